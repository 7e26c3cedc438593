// WebSockets whose client and endpoint speak the same or different versions of HTTP (RFC 6455, RFC 8441), with TLS and without.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type SluiceProcess, startSluice } from '../../support/sluice.ts'
import { waitFor } from '../../support/wait.ts'
import { Authority } from '../tls/kit.ts'
import { type Client, type Echo, echoOf, startClient, startEcho, type Version } from './kit.ts'

const authority = new Authority({ after })
const { certPath, keyPath, cert, key } = authority.issue('a.test')

function config(address: string, upstream: Version, isSecure: boolean): object {
  const service = { endpoints: [address], protocol: upstream === 'h2' ? 'http2' : 'http1' }
  const tls = { certificates: [{ cert: certPath, key: keyPath }] }
  const limited = { maxMessage: 1000, idleTimeout: '400ms', ping: '150ms' }
  return {
    workers: 1,
    accessLog: { path: '-', format: '${method} ${path} ${status} [${flags}]' },
    listeners: { web: { address: '127.0.0.1:0', ...(isSecure ? { tls } : {}) } },
    services: { up: isSecure ? { ...service, tls: { ca: authority.path, serverName: 'a.test' } } : service },
    routes: {
      // An extended CONNECT is a GET to routes.
      all: { to: 'up', match: { prefix: '/', methods: ['GET'] } },
      limited: { to: 'up', match: { prefix: '/limited' }, websocket: limited },
    },
  }
}

for (const isSecure of [false, true]) {
  for (const down of ['h1', 'h2'] as const) {
    for (const up of ['h1', 'h2'] as const) {
      describe(`a WebSocket from ${down} to ${up}${isSecure ? ' over TLS' : ''}`, { timeout: 120_000 }, () => {
        let echo: Echo
        let gateway: SluiceProcess
        let client: Client
        // What a hook registers with "after" itself would run as soon as the hook is over.
        const cleanups: (() => void | Promise<void>)[] = []
        const scope = { after: (fn: () => void | Promise<void>) => void cleanups.push(fn) }
        after(async () => {
          for (const cleanup of cleanups.reverse()) await cleanup()
        })

        before(async () => {
          echo = await startEcho(scope, up, isSecure ? { cert, key } : {})
          gateway = await startSluice(scope, config(echo.address, up, isSecure))
          const url = `${isSecure ? 'https' : 'http'}://127.0.0.1:${gateway.port()}`
          client = await startClient(scope, down, url, isSecure ? authority.cert : undefined)
        })
        beforeEach(() => {
          echo.clients.length = 0
          echo.closes.length = 0
          echo.headers.length = 0
        })

        afterEach(() => waitFor('the ends of all', () => echo.closes.length === echo.clients.length))

        const metric = async (pattern: RegExp) => {
          const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
          return Number(pattern.exec(text)?.[1] ?? Number.NaN)
        }

        it('carries messages of all kinds both ways, and what the server pushes', async () => {
          const pushed: string[] = []
          const push = await client.open('/push', {}, (message) => pushed.push(String(message)))
          await waitFor('ten messages', () => pushed.length === 10)
          const socket = await client.open('/', { cookie: 'a=b' })
          assert.equal(String(await echoOf(socket, 'Grüße')), 'Grüße')
          assert.deepEqual(await echoOf(socket, Buffer.from([0, 255, 1])), Buffer.from([0, 255, 1]))
          const large = Buffer.alloc(3_000_000, 'abcdefg')
          assert.ok((await echoOf(socket, large)).equals(large))
          const pong = once(socket, 'pong')
          socket.ping('are you there')
          assert.equal(String((await pong)[0]), 'are you there')
          assert.equal(echo.headers[1]?.cookie, 'a=b')
          assert.equal(echo.headers[1]?.['x-forwarded-for'], '127.0.0.1')
          for (const one of [push, socket]) {
            one.close(4001, 'bye')
            await once(one, 'close')
          }
          await waitFor('both closes', () => echo.closes.length === 2)
          assert.deepEqual(echo.closes[0], { code: 4001, reason: 'bye' })
          await waitFor('their end', async () => (await metric(/sluice_websockets_open\{route="all"\} (\d+)/)) === 0)
          await waitFor('the log', () => gateway.logs.includes('GET /push 101 [-]'))
          assert.equal(await metric(/sluice_requests_in_flight\{listener="web"\} (\d+)/), 0)
        })

        it('closes with the code of the server; an end without a Close is seen on the other side', async () => {
          const first = await client.open()
          const closed = once(first, 'close') as Promise<[number, Buffer]>
          echo.clients[0]?.close(4002, 'server says bye')
          const [code, reason] = await closed
          assert.deepEqual([code, String(reason)], [4002, 'server says bye'])
          const second = await client.open()
          const broken = once(second, 'close') as Promise<[number]>
          echo.clients[1]?.terminate()
          assert.equal((await broken)[0], 1006)
          const third = await client.open()
          third.terminate()
          await waitFor('the last close of the server', () => echo.closes.length === 3)
          assert.equal(echo.closes[2]?.code, 1006)
        })

        it('is refused by the endpoint with a plain answer, and what comes after it is not', async () => {
          assert.equal((await client.refused('/no')).status, 403)
          const socket = await client.open()
          assert.equal(String(await echoOf(socket, 'and then')), 'and then')
          socket.close()
          await once(socket, 'close')
        })

        it('is held to the limits of its route, and kept by pings', async () => {
          const large = await client.open('/limited')
          large.send('x'.repeat(1001))
          assert.equal(((await once(large, 'close')) as [number])[0], 1009)
          const kept = await client.open('/limited')
          let pings = 0
          kept.on('ping', () => pings++)
          await sleep(900)
          assert.equal(kept.readyState, kept.OPEN)
          assert.ok(pings >= 3, `${pings} pings`)
          kept.close()
          await waitFor('both to be gone', () => echo.closes.length === 2)
        })

        it('is closed with 1001 when the gateway shuts down', async () => {
          const closed: Promise<[number]>[] = []
          for (let i = 0; i < 2; i++) closed.push(once(await client.open(), 'close') as Promise<[number]>)
          const stopped = gateway.stop()
          for (const one of closed) assert.equal((await one)[0], 1001)
          assert.equal((await stopped).code, 0)
          await waitFor('the closes of the server', () => echo.closes.length === 2)
          assert.deepEqual(
            echo.closes.map(({ code }) => code),
            [1001, 1001],
          )
        })
      })
    }
  }
}
