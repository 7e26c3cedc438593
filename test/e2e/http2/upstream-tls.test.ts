/** HTTP/2 towards services over TLS, and WebSockets over streams. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import https from 'node:https'
import net from 'node:net'
import { type TestContext, test } from 'node:test'
import { startSluice } from '../../support/sluice.ts'
import { waitFor } from '../../support/wait.ts'
import { Authority } from '../tls/kit.ts'
import { bothClients, startHttp2Upstream, toService } from './upstream-kit.ts'

const errorOf = (body: string): string => (JSON.parse(body) as { code: string }).code

test('over TLS the endpoint is asked for h2, and one that does not choose it is a failure to connect', async (t) => {
  const authority = new Authority(t)
  const issued = authority.issue('app', { names: 'IP:127.0.0.1' })
  const schemes: unknown[] = []
  const upstream = await startHttp2Upstream(
    t,
    (stream, headers) => {
      schemes.push(headers[':scheme'])
      stream.respond({ ':status': 200 })
      stream.end('over TLS')
    },
    { cert: issued.cert, key: issued.key },
  )
  const old = https.createServer({ cert: issued.cert, key: issued.key, ALPNProtocols: ['http/1.1'] }, (_, response) => response.end('no'))
  const none = https.createServer({ cert: issued.cert, key: issued.key }, (_, response) => response.end('no'))
  // Node.js offers http/1.1 by default: this one knows nothing of ALPN.
  ;(none as unknown as { ALPNProtocols: undefined }).ALPNProtocols = undefined
  for (const server of [old, none]) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.after(() => server.close())
  }
  const addressOf = (server: https.Server) => `127.0.0.1:${(server.address() as net.AddressInfo).port}`
  const service = (address: string) => ({ protocol: 'http2', endpoints: [address], retry: null, tls: { ca: authority.path } })
  const sluice = await startSluice(t, {
    workers: 1,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: { app: service(upstream.address), old: service(addressOf(old)), none: service(addressOf(none)) },
    routes: {
      a: { match: { path: '/app' }, to: 'app' },
      b: { match: { path: '/old' }, to: 'old' },
      c: { match: { path: '/none' }, to: 'none' },
    },
  })
  for (const client of bothClients(t, sluice)) {
    assert.equal((await client.ask({ path: '/app' })).body, 'over TLS', client.name)
    const refused = await client.ask({ path: '/old' })
    assert.deepEqual([refused.status, errorOf(refused.body)], [502, 'upstream_tls'], client.name)
    const ignored = await client.ask({ path: '/none' })
    assert.deepEqual([ignored.status, errorOf(ignored.body)], [502, 'connect_failed'], client.name)
  }
  assert.deepEqual(schemes, ['https', 'https'])
  assert.equal(upstream.connections, 1)
  assert.ok(sluice.logs.some((line) => line.includes('did not choose HTTP/2')))
})

const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
const ACCEPT = createHash('sha1').update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')

interface Talk {
  socket: net.Socket
  text(): string
}

async function upgrade(t: TestContext, port: number, path: string): Promise<Talk> {
  const socket = net.connect(port, '127.0.0.1')
  t.after(() => void socket.destroy())
  let text = ''
  socket.setEncoding('latin1')
  socket.on('data', (data: string) => (text += data))
  socket.on('error', () => {})
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n\r\n`,
  )
  await waitFor('an answer', () => text.includes('\r\n\r\n'))
  return { socket, text: () => text }
}

test('a WebSocket of an HTTP/1.1 client goes over a stream', async (t) => {
  const seen: Record<string, unknown>[] = []
  const upstream = await startHttp2Upstream(
    t,
    (stream, headers) => {
      seen.push({ ...headers })
      if (headers[':path'] === '/no') {
        stream.respond({ ':status': 403 })
        return void stream.end('not here')
      }
      stream.respond({ ':status': 200 })
      // Frames of a client are masked with 0 here: what comes back is the same without the mask.
      stream.on('data', (data: Buffer) => stream.write(Buffer.concat([Buffer.from([data[0]!, data[1]! & 127]), data.subarray(6)])))
      stream.on('end', () => stream.end())
    },
    { settings: { enableConnectProtocol: true } },
  )
  const sluice = await startSluice(t, {
    workers: 1,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: { app: { protocol: 'http2', endpoints: [upstream.address] } },
    routes: { all: { to: 'app', websocket: true } },
  })
  const talk = await upgrade(t, sluice.port(), '/chat?a=b')
  assert.match(talk.text(), /^HTTP\/1\.1 101 Switching Protocols\r\n/)
  assert.ok(talk.text().includes(`Sec-WebSocket-Accept: ${ACCEPT}\r\n`), talk.text())
  assert.match(talk.text(), /\r\nUpgrade: websocket\r\n/)
  assert.deepEqual([seen[0]?.[':method'], seen[0]?.[':protocol'], seen[0]?.[':path']], ['CONNECT', 'websocket', '/chat?a=b'])
  assert.equal(seen[0]?.['sec-websocket-key'], undefined)
  assert.equal(seen[0]?.['sec-websocket-version'], '13')
  for (let i = 0; i < 3; i++) {
    talk.socket.write(Buffer.concat([Buffer.from([0x81, 0x85, 0, 0, 0, 0]), Buffer.from(`hello`)]))
    await waitFor('the echo', () => talk.text().split('\x81\x05hello').length === i + 2)
  }
  talk.socket.end()
  await waitFor('the end', () => talk.socket.closed)

  const refused = await upgrade(t, sluice.port(), '/no')
  assert.match(refused.text(), /^HTTP\/1\.1 403 /)
  await waitFor('its body', () => refused.text().includes('not here'))
  assert.equal(upstream.connections, 1)
})

test('an endpoint that takes no WebSockets over HTTP/2 is a 502', async (t) => {
  const upstream = await startHttp2Upstream(t, (stream) => stream.respond({ ':status': 200 }, { endStream: true }))
  const sluice = await startSluice(t, toService({ endpoints: [upstream.address] }, { routes: { all: { to: 'app', websocket: true } } }))
  const talk = await upgrade(t, sluice.port(), '/chat')
  assert.match(talk.text(), /^HTTP\/1\.1 502 /)
  assert.ok(talk.text().includes('RFC 8441'))
})
