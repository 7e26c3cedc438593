import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket, WebSocketServer } from 'ws'
import type { CleanupScope } from '../../support/cleanup.ts'
import { rawRequest } from '../../support/raw.ts'
import { type SluiceProcess, startSluice } from '../../support/sluice.ts'
import { startRawUpstream, startUpstream } from '../../support/upstream.ts'
import { waitFor } from '../../support/wait.ts'

interface Server {
  address: string
  clients: WebSocket[]
  closes: { code: number; reason: string }[]
  headers: http.IncomingHttpHeaders[]
  stop(): void
}

/** A server that echoes every message; `/push` gets ten messages first. */
async function startEcho(t: CleanupScope, options: { protocols?: string[] } = {}): Promise<Server> {
  const server = http.createServer((_, response) => response.end('plain'))
  const handleProtocols = options.protocols === undefined ? {} : { handleProtocols: () => (options.protocols as string[])[0] as string }
  const sockets = new WebSocketServer({ server, perMessageDeflate: true, ...handleProtocols })
  const echo: Server = { address: '', clients: [], closes: [], headers: [], stop: () => undefined }
  sockets.on('connection', (socket, request) => {
    echo.clients.push(socket)
    echo.headers.push(request.headers)
    if (request.url === '/push') for (let i = 0; i < 10; i++) socket.send(`push ${i}`)
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
    socket.on('close', (code, reason) => echo.closes.push({ code, reason: String(reason) }))
    socket.on('error', () => undefined)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  echo.address = `127.0.0.1:${(server.address() as { port: number }).port}`
  echo.stop = () => {
    for (const client of echo.clients) client.terminate()
    sockets.close()
    server.close()
    server.closeAllConnections()
  }
  t.after(echo.stop)
  return echo
}

function config(address: string, route: object = {}, service: object = {}): object {
  return {
    workers: 1,
    accessLog: { path: '-', format: '${path} ${status} [${flags}]' },
    listeners: { web: { address: '127.0.0.1:0' } },
    services: { up: { endpoints: [address], ...service } },
    routes: { all: { to: 'up', ...route } },
  }
}

async function open(gateway: SluiceProcess, path = '/', options: object = {}, protocols: string[] = []): Promise<WebSocket> {
  const socket = new WebSocket(`${gateway.url.replace('http', 'ws')}${path}`, protocols, options)
  await once(socket, 'open')
  return socket
}

async function status(gateway: SluiceProcess, path: string, headers: Record<string, string>): Promise<number> {
  const socket = new WebSocket(`${gateway.url.replace('http', 'ws')}${path}`, { headers })
  const [, response] = (await once(socket, 'unexpected-response')) as [unknown, http.IncomingMessage]
  response.resume()
  socket.on('error', () => undefined)
  socket.terminate()
  return response.statusCode as number
}

async function echoOf(socket: WebSocket, data: string | Buffer): Promise<Buffer> {
  const answer = once(socket, 'message') as Promise<[Buffer, boolean]>
  socket.send(data)
  const [message, isBinary] = await answer
  assert.equal(isBinary, typeof data !== 'string')
  return message
}

async function metric(gateway: SluiceProcess, pattern: RegExp): Promise<number> {
  const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
  return Number(pattern.exec(text)?.[1] ?? Number.NaN)
}

describe('a WebSocket through the gateway', () => {
  it('carries text, binary, large fragmented and compressed messages, pings, and what the server pushes', async (t) => {
    const echo = await startEcho(t)
    const gateway = await startSluice(t, config(echo.address))
    const pushed: string[] = []
    const push = new WebSocket(`${gateway.url.replace('http', 'ws')}/push`)
    push.on('message', (data) => pushed.push(String(data)))
    await waitFor('ten messages', () => pushed.length === 10)
    push.close()
    for (const perMessageDeflate of [false, true]) {
      const socket = await open(gateway, '/', { perMessageDeflate })
      assert.equal(String(await echoOf(socket, 'Hello world!')), 'Hello world!')
      assert.deepEqual(await echoOf(socket, Buffer.from([0, 255, 1])), Buffer.from([0, 255, 1]))
      const large = Buffer.alloc(1024 * 1024, 'abc')
      socket.setMaxListeners(100)
      const answer = once(socket, 'message') as Promise<[Buffer]>
      for (let at = 0; at < large.length; at += 10_000) {
        socket.send(large.subarray(at, at + 10_000), { fin: at + 10_000 >= large.length, binary: true })
      }
      assert.ok((await answer)[0].equals(large))
      const pong = once(socket, 'pong')
      socket.ping('are you there')
      assert.equal(String((await pong)[0]), 'are you there')
      socket.close()
      await once(socket, 'close')
    }
    assert.ok((await metric(gateway, /sluice_websocket_frames_total\{direction="received",route="all"\} (\d+)/)) > 100)
    await waitFor('their end', async () => (await metric(gateway, /sluice_websockets_open\{route="all"\} (\d+)/)) === 0)
    await waitFor('the access log', () => gateway.logs.includes('/push 101 [-]'))
  })

  it('passes on subprotocols, cookies and the address of the client', async (t) => {
    const echo = await startEcho(t, { protocols: ['chat.v2'] })
    const gateway = await startSluice(t, config(echo.address))
    const socket = await open(gateway, '/', { headers: { cookie: 'a=b' } }, ['chat.v1', 'chat.v2'])
    assert.equal(socket.protocol, 'chat.v2')
    assert.equal(echo.headers[0]?.cookie, 'a=b')
    assert.equal(echo.headers[0]?.['x-forwarded-for'], '127.0.0.1')
    socket.close()
  })

  it('closes with the code of whichever side closes', async (t) => {
    const echo = await startEcho(t)
    const gateway = await startSluice(t, config(echo.address))
    const first = await open(gateway)
    first.close(4001, 'client says bye')
    await once(first, 'close')
    const seen = await waitFor('the close of the server', () => echo.closes.shift())
    assert.deepEqual(seen, { code: 4001, reason: 'client says bye' })
    const second = await open(gateway)
    const closed = once(second, 'close') as Promise<[number, Buffer]>
    echo.clients[1]?.close(4002, 'server says bye')
    const [code, reason] = await closed
    assert.deepEqual([code, String(reason)], [4002, 'server says bye'])
  })

  it('ends with 1006 when the server dies, and the server learns when the client dies', async (t) => {
    const echo = await startEcho(t)
    const gateway = await startSluice(t, config(echo.address))
    const first = await open(gateway)
    const closed = once(first, 'close') as Promise<[number]>
    echo.clients[0]?.terminate()
    assert.equal((await closed)[0], 1006)
    const second = await open(gateway)
    second.terminate()
    await waitFor('the close of the server', () => echo.closes.some(({ code }) => code === 1006))
    await waitFor('their end', async () => (await metric(gateway, /sluice_websockets_open\{route="all"\} (\d+)/)) === 0)
  })

  it('stays open through 20 reloads', async (t) => {
    const echo = await startEcho(t)
    const gateway = await startSluice(t, config(echo.address))
    const socket = await open(gateway)
    for (let i = 0; i < 20; i++) {
      const { status: reloaded } = await gateway.reload(config(echo.address, { timeouts: { request: `${10 + i}s` } }))
      assert.equal(reloaded, 200)
      assert.equal(String(await echoOf(socket, `after ${i}`)), `after ${i}`)
    }
    socket.close()
  })

  it('is closed with 1001 when the gateway shuts down, also while a message is cut in two', async (t) => {
    const echo = await startEcho(t)
    const gateway = await startSluice(t, config(echo.address))
    const [a, b] = [await open(gateway), await open(gateway)]
    const [closedA, closedB] = [once(a, 'close'), once(b, 'close')] as [Promise<[number]>, Promise<[number]>]
    // A frame of 10 bytes of which four are sent: our Close frame has to wait for the others.
    const raw = (echo.clients[1] as unknown as { _socket: import('node:net').Socket })._socket
    raw.write(Buffer.from([0x81, 10, 65, 65]))
    const messages: string[] = []
    b.on('message', (data) => messages.push(String(data)))
    await sleep(100)
    const stopped = gateway.stop()
    assert.equal((await closedA)[0], 1001)
    raw.write(Buffer.from('A'.repeat(8)))
    assert.equal((await closedB)[0], 1001)
    assert.deepEqual(messages, ['A'.repeat(10)])
    assert.equal((await stopped).code, 0)
    await waitFor('the closes of the server', () => echo.closes.length === 2)
    assert.deepEqual(
      echo.closes.map(({ code }) => code),
      [1001, 1001],
    )
  })

  it('is closed when nothing moves, and kept open by pings', async (t) => {
    const echo = await startEcho(t)
    const gateway = await startSluice(t, config(echo.address, { websocket: { idleTimeout: '300ms' } }))
    const idle = await open(gateway)
    const [code] = (await once(idle, 'close')) as [number]
    assert.equal(code, 1006)
    assert.equal((await gateway.reload(config(echo.address, { websocket: { idleTimeout: '300ms', ping: '100ms' } }))).status, 200)
    const kept = await open(gateway)
    let pings = 0
    kept.on('ping', () => pings++)
    await sleep(800)
    assert.equal(kept.readyState, WebSocket.OPEN)
    assert.ok(pings >= 4, `${pings} pings`)
    kept.close()
  })

  it('lives no longer than it may', async (t) => {
    const echo = await startEcho(t)
    const gateway = await startSluice(t, config(echo.address, { websocket: { maxLifetime: '200ms' } }))
    const socket = await open(gateway)
    const [code] = (await once(socket, 'close')) as [number]
    assert.equal(code, 1001)
  })

  it('holds the client to its message size and rate', async (t) => {
    const echo = await startEcho(t)
    const gateway = await startSluice(t, config(echo.address, { websocket: { maxMessage: 1000, messageRate: 5 } }))
    // Compressed, the messages would be small.
    const large = await open(gateway, '/', { perMessageDeflate: false })
    assert.equal((await echoOf(large, 'x'.repeat(1000))).length, 1000)
    large.send('x'.repeat(1001))
    assert.equal(((await once(large, 'close')) as [number])[0], 1009)
    const fast = await open(gateway)
    for (let i = 0; i < 10; i++) fast.send('x')
    assert.equal(((await once(fast, 'close')) as [number])[0], 1008)
    await waitFor('both to be gone', () => echo.closes.length === 2)
  })

  it('is counted: beyond the limits of the route it is refused with 503', async (t) => {
    const echo = await startEcho(t)
    const gateway = await startSluice(t, config(echo.address, { websocket: { maxConnections: 2 } }))
    const [a] = [await open(gateway), await open(gateway)]
    assert.equal(await status(gateway, '/', {}), 503)
    a.close()
    await once(a, 'close')
    await waitFor('a free place', async () => (await metric(gateway, /sluice_websockets_open\{route="all"\} (\d+)/)) === 1)
    await open(gateway)
  })

  it('moves 100 MB both ways at once without losing a byte', async (t) => {
    const echo = await startEcho(t)
    const gateway = await startSluice(t, config(echo.address))
    const socket = await open(gateway, '/', { perMessageDeflate: false })
    const piece = Buffer.alloc(1024 * 1024)
    for (let i = 0; i < piece.length; i += 4) piece.writeUInt32LE((i * 2654435761) >>> 0, i)
    let got = 0
    const done = new Promise<void>((resolve) => {
      socket.on('message', (data: Buffer) => {
        assert.ok(data.equals(piece))
        if (++got === 100) resolve()
      })
    })
    for (let i = 0; i < 100; i++) socket.send(piece)
    await done
    socket.close()
  })
})

describe('a handshake', () => {
  const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='

  it('is refused where the route takes none, or none from this origin', async (t) => {
    const echo = await startEcho(t)
    const routes = (websocket: unknown) => config(echo.address, { websocket })
    const gateway = await startSluice(t, routes(false))
    assert.equal(await status(gateway, '/', {}), 403)
    assert.equal(await (await fetch(gateway.url)).text(), 'plain')
    await gateway.reload(routes({ origins: ['https://app.example.com', 'https://*.example.org'] }))
    assert.equal(await status(gateway, '/', {}), 403)
    assert.equal(await status(gateway, '/', { origin: 'https://evil.com' }), 403)
    assert.equal(await status(gateway, '/', { origin: 'https://example.org' }), 403)
    assert.equal(await status(gateway, '/', { origin: 'https://evilexample.org' }), 403)
    for (const origin of ['https://app.example.com', 'https://a.example.org']) (await open(gateway, '/', { headers: { origin } })).close()
  })

  it('is needed on a route for WebSockets only: 426 for the rest', async (t) => {
    const echo = await startEcho(t)
    const gateway = await startSluice(t, config(echo.address, { websocket: 'only' }))
    const { text: response } = await rawRequest(gateway.port(), 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    assert.match(response, /^HTTP\/1\.1 426 /)
    assert.match(response, /\r\nUpgrade: websocket\r\n/)
    assert.match(response, /\r\nConnection: Upgrade\r\n/)
    ;(await open(gateway)).close()
  })

  it('must be whole: a wrong version is 426, a bad key or method 400', async (t) => {
    const echo = await startEcho(t)
    const gateway = await startSluice(t, config(echo.address))
    const ask = async (head: string) => {
      const text = `${head}\r\nHost: a\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\r\n`
      return Number((await rawRequest(gateway.port(), text)).text.slice(9, 12))
    }
    const version = '\r\nSec-WebSocket-Version: 13'
    assert.equal(await ask(`GET / HTTP/1.1\r\nSec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 8`), 426)
    assert.equal(await ask(`GET / HTTP/1.1${version}`), 400)
    assert.equal(await ask(`GET / HTTP/1.1${version}\r\nSec-WebSocket-Key: abc`), 400)
    assert.equal(await ask(`POST / HTTP/1.1${version}\r\nSec-WebSocket-Key: ${KEY}\r\nContent-Length: 0`), 400)
  })

  it('that the endpoint answers with something else is a plain response, and the connection goes on', async (t) => {
    const up = await startUpstream(t, (_, response) => response.writeHead(401, { 'content-length': 2 }).end('no'))
    // node:http needs a listener to leave an upgrade alone.
    const gateway = await startSluice(t, config(up.address))
    assert.equal(await status(gateway, '/', {}), 401)
  })

  it('that the endpoint answers without having read the key, or unasked, is refused with 502', async (t) => {
    const liar = await startRawUpstream(t, (socket) => {
      socket.once('data', () => {
        const accept = 'Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA='
        socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${accept}\r\n\r\n`)
      })
    })
    const gateway = await startSluice(t, config(liar.address))
    assert.equal(await status(gateway, '/', {}), 502)
    assert.equal((await fetch(gateway.url)).status, 502)
  })

  it('for a protocol that is not named goes on as plain HTTP; for one that is, the bytes pass', async (t) => {
    const up = await startRawUpstream(t, (socket) => {
      socket.once('data', (bytes) => {
        if (!/\r\nUpgrade: foo\r\n/.test(String(bytes))) {
          socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain')
          return
        }
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\nfoo?')
        socket.on('data', (more) => socket.end(`foo got ${more}`))
      })
    })
    const ask = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: Foo\r\n\r\n'
    const plain = await startSluice(t, config(up.address))
    assert.match((await rawRequest(plain.port(), ask.replace('Upgrade\r\n', 'Upgrade, close\r\n'))).text, /200 OK[\s\S]*plain$/)
    const gateway = await startSluice(t, config(up.address, { upgrades: ['foo'] }))
    // The first words of the new protocol come with the request.
    const { text: answer } = await rawRequest(gateway.port(), `${ask}early`)
    assert.match(answer, /^HTTP\/1\.1 101 [\s\S]*\r\nUpgrade: foo\r\n\r\nfoo\?foo got early$/)
  })
})
