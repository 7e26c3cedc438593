import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createSecureServer } from 'node:http2'
import net, { type AddressInfo } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import tls from 'node:tls'
import { parseProxyHeader } from '../../../src/codec/proxy-protocol.ts'
import type { CleanupScope } from '../../support/cleanup.ts'
import { requirePrograms } from '../../support/programs.ts'
import { curl } from '../../support/run.ts'
import { startSluice } from '../../support/sluice.ts'
import { waitFor } from '../../support/wait.ts'
import { Authority } from '../tls/kit.ts'
import { exchange, openClient, startEcho, startNamed, startService } from './kit.ts'

requirePrograms(['curl'])

/** An HTTP/2 server over TLS that answers with its name and what it was asked by. */
async function startHttp2(scope: CleanupScope, authority: Authority, name: string, names = `DNS:${name}`): Promise<string> {
  const { cert, key } = authority.issue(name, { names })
  const server = createSecureServer({ cert, key, allowHTTP1: true }, (request, response) => {
    response.end(`${name} HTTP/${request.httpVersion} ${(request.socket as tls.TLSSocket).servername}`)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  scope.after(() => void server.close())
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('the name in the TLS greeting chooses the service, and nothing is terminated', async (t) => {
  const authority = new Authority(t)
  const plain = await startNamed(t, 'plain')
  const [a, b, deep] = [
    await startHttp2(t, authority, 'a.example.com'),
    await startHttp2(t, authority, 'b', 'DNS:*.b.example,DNS:x.y.b.example'),
    await startHttp2(t, authority, 'deep', 'DNS:*.deep.b.example'),
  ]
  const sni = { 'A.example.com': 'a', '*.b.example': 'b', '*.deep.b.example': 'deep' }
  const sluice = await startSluice(t, {
    workers: 1,
    listeners: {
      tls: { address: '127.0.0.1:0', protocol: 'tcp', sni: { ...sni, default: 'plain' }, timeouts: { head: '400ms' } },
      strict: { address: '127.0.0.1:0', protocol: 'tcp', sni },
    },
    services: { a: { endpoints: [a] }, b: { endpoints: [b] }, deep: { endpoints: [deep] }, plain: { endpoints: [plain.address] } },
  })
  const port = sluice.port('tls')
  const get = (name: string, ...args: string[]) =>
    curl('--cacert', authority.path, '--resolve', `${name}:${port}:127.0.0.1`, ...args, `https://${name}:${port}/`)
  assert.equal(await get('a.example.com', '--http2'), 'a.example.com HTTP/2.0 a.example.com')
  assert.equal(await get('a.example.com', '--http1.1'), 'a.example.com HTTP/1.1 a.example.com')
  assert.equal(await get('one.b.example'), 'b HTTP/2.0 one.b.example')
  assert.equal(await get('x.y.b.example'), 'b HTTP/2.0 x.y.b.example')
  assert.equal(await get('x.deep.b.example'), 'deep HTTP/2.0 x.deep.b.example')
  // What is no TLS, or asks for another name, goes to the default; without one it is closed.
  assert.equal((await exchange(t, port, 'GET / HTTP/1.0\r\n\r\n')).received, 'plain')
  assert.deepEqual(await exchange(t, sluice.port('strict'), 'GET / HTTP/1.0\r\n\r\n'), { received: '', how: 'ECONNRESET' })
  const unknown = tls.connect({ host: '127.0.0.1', port: sluice.port('strict'), servername: 'other.example', rejectUnauthorized: false })
  const [error] = (await once(unknown, 'error')) as [NodeJS.ErrnoException]
  assert.equal(error.code, 'ECONNRESET')
  // A greeting that never ends is not waited for.
  const slow = await openClient(t, port)
  slow.socket.write(Buffer.from([22, 3, 1]))
  const startedMs = performance.now()
  assert.equal(await slow.closed, 'ECONNRESET')
  assert.ok(performance.now() - startedMs < 5000)
})

test('a TLS greeting may come byte by byte', async (t) => {
  const authority = new Authority(t)
  const a = await startHttp2(t, authority, 'a.example.com')
  const sluice = await startSluice(t, {
    workers: 1,
    listeners: { tls: { address: '127.0.0.1:0', protocol: 'tcp', sni: { 'a.example.com': 'a' } } },
    services: { a: { endpoints: [a] } },
  })
  // A relay in between that sends what the client says in single bytes.
  const slowly = net.createServer((client) => {
    const out = net.connect({ host: '127.0.0.1', port: sluice.port(), noDelay: true })
    out.pipe(client)
    client.on('error', () => undefined)
    out.on('error', () => undefined)
    client.on('data', async (bytes) => {
      client.pause()
      for (const byte of bytes) {
        out.write(Buffer.from([byte]))
        await new Promise((resolve) => setImmediate(resolve))
      }
      client.resume()
    })
    client.on('end', () => out.end())
  })
  slowly.listen(0, '127.0.0.1')
  await once(slowly, 'listening')
  t.after(() => void slowly.close())
  const { port } = slowly.address() as AddressInfo
  const answer = await curl('--cacert', authority.path, '--resolve', `a.example.com:${port}:127.0.0.1`, `https://a.example.com:${port}/`)
  assert.equal(answer, 'a.example.com HTTP/2.0 a.example.com')
})

test('a client that has said all it has to say gets everything that a TLS service sent before its end, however slowly', async (t) => {
  const authority = new Authority(t)
  const issued = authority.issue('tcp.example')
  const answer = Buffer.alloc(300_000, 'x')
  const service = tls.createServer({ cert: issued.cert, key: issued.key, allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined)
    socket.resume().on('end', () => socket.end(answer))
  })
  service.listen(0, '127.0.0.1')
  await once(service, 'listening')
  t.after(() => void service.close())
  const sluice = await startSluice(t, {
    workers: 1,
    // The last of it, and the end behind it, have come to the gateway before it may pass them on.
    listeners: { tcp: { address: '127.0.0.1:0', protocol: 'tcp', to: 'secure', bandwidth: { download: '128KiB' } } },
    services: {
      secure: {
        endpoints: [`127.0.0.1:${(service.address() as AddressInfo).port}`],
        tls: { ca: authority.path, serverName: 'tcp.example' },
      },
    },
  })
  const { received, how } = await exchange(t, sluice.port(), 'go')
  assert.deepEqual({ bytes: received.length, how }, { bytes: answer.length, how: 'end' })
})

test('TLS ends at the listener, or begins at the service, or both; half-close works through it', async (t) => {
  const authority = new Authority(t)
  const issued = authority.issue('tcp.example')
  const secureEcho = tls.createServer({ cert: issued.cert, key: issued.key, allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined)
    socket.pipe(socket)
  })
  secureEcho.listen(0, '127.0.0.1')
  await once(secureEcho, 'listening')
  t.after(() => void secureEcho.close())
  const securePort = (secureEcho.address() as AddressInfo).port
  const echo = await startEcho(t)
  const certificates = [{ cert: issued.certPath, key: issued.keyPath }]
  const tcp = { address: '127.0.0.1:0', protocol: 'tcp' }
  const sluice = await startSluice(t, {
    workers: 1,
    listeners: {
      terminated: { ...tcp, to: 'plain', tls: { certificates } },
      originated: { ...tcp, to: 'secure' },
      both: { ...tcp, to: 'secure', tls: { certificates } },
    },
    services: {
      plain: { endpoints: [echo.address] },
      secure: {
        endpoints: [`127.0.0.1:${securePort}`],
        pool: { connectTimeout: '10s' },
        tls: { ca: authority.path, serverName: 'tcp.example' },
      },
    },
  })
  const text = 'x'.repeat(3_000_000)
  const throughTls = async (listener: string, protocols?: string[]) => {
    const socket = tls.connect({
      host: '127.0.0.1',
      port: sluice.port(listener),
      servername: 'tcp.example',
      ca: authority.cert,
      allowHalfOpen: true,
      ...(protocols === undefined ? {} : { ALPNProtocols: protocols }),
    } as tls.ConnectionOptions)
    let received = ''
    socket.setEncoding('latin1').on('data', (piece: string) => (received += piece))
    await once(socket, 'secureConnect')
    assert.equal(socket.alpnProtocol, false)
    socket.end(text)
    await once(socket, 'close')
    return received === text
  }
  assert.ok(await throughTls('terminated'))
  assert.ok(await throughTls('terminated', ['redis', 'h2']))
  assert.ok(await throughTls('both'))
  const { received, how } = await exchange(t, sluice.port('originated'), text)
  assert.equal(how, 'end')
  assert.ok(received === text)
  assert.equal((await exchange(t, sluice.port('terminated'), 'no TLS at all')).received.includes('no TLS'), false)
})

/** The first bytes that a client of TLS sends. */
async function captureGreeting(): Promise<Buffer> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = tls.connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, servername: 'tcp.example' })
  client.on('error', () => undefined)
  const [socket] = (await once(server, 'connection')) as [net.Socket]
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  socket.destroy()
  server.close()
  return bytes
}

test('a PROXY header may stand before TLS, in one piece with the greeting', async (t) => {
  const authority = new Authority(t)
  const issued = authority.issue('tcp.example')
  const headers: string[] = []
  const service = await startService(t, (socket) => {
    socket.once('data', (bytes) => {
      const header = parseProxyHeader(bytes, bytes.length)
      if (typeof header === 'object') headers.push(header.source?.address ?? '')
      socket.end('bye')
    })
  })
  const sluice = await startSluice(t, {
    workers: 1,
    listeners: {
      tcp: {
        address: '127.0.0.1:0',
        protocol: 'tcp',
        to: 's',
        tls: { certificates: [{ cert: issued.certPath, key: issued.keyPath }] },
        proxyProtocol: { from: '127.0.0.1' },
      },
      web: {
        address: '127.0.0.1:0',
        tls: { certificates: [{ cert: issued.certPath, key: issued.keyPath }] },
        proxyProtocol: { from: '127.0.0.1' },
      },
    },
    services: { s: { endpoints: [service.address], proxyProtocol: 'v2' } },
    routes: { r: { filters: [{ headers: { response: { set: { 'x-client': '${clientIp}' } } } }], respond: { body: 'hello' } } },
  })
  const header = 'PROXY TCP4 192.0.2.9 192.0.2.10 1000 443\r\n'
  const greeting = await captureGreeting()
  for (const listener of ['tcp', 'web']) {
    const client = await openClient(t, sluice.port(listener))
    client.socket.write(Buffer.concat([Buffer.from(header), greeting]))
    await waitFor('the answer to the greeting', () => client.received.startsWith('\x16\x03\x03'))
    client.socket.destroy()
    const raw = net.connect({ host: '127.0.0.1', port: sluice.port(listener), noDelay: true })
    await once(raw, 'connect')
    raw.write(header)
    await sleep(20)
    const socket = tls.connect({ socket: raw, servername: 'tcp.example', ca: authority.cert })
    let received = ''
    socket.setEncoding('latin1').on('data', (piece: string) => (received += piece))
    await once(socket, 'secureConnect')
    socket.write('GET / HTTP/1.1\r\nHost: tcp.example\r\nConnection: close\r\n\r\n')
    await once(socket, 'close')
    if (listener === 'tcp') assert.equal(received, 'bye')
    else assert.match(received, /^x-client: 192\.0\.2\.9\r$/im)
  }
  assert.deepEqual(headers, ['192.0.2.9'])
})
