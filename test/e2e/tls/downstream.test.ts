// TLS towards clients: which certificate, which version, what services are told, and what broken clients can do.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import net from 'node:net'
import { after, test } from 'node:test'
import tls from 'node:tls'
import { requirePrograms } from '../../support/programs.ts'
import { curl, runProgram } from '../../support/run.ts'
import { startSluice } from '../../support/sluice.ts'
import { startUpstream } from '../../support/upstream.ts'
import { waitFor } from '../../support/wait.ts'
import { Authority, ask, connect, GET, metric } from './kit.ts'

const { openssl } = requirePrograms(['curl', 'openssl'])

const authority = new Authority({ after })
const first = authority.issue('a.test')
const wildcard = authority.issue('wild', { names: 'DNS:*.b.test' })
const exact = authority.issue('x.b.test')
const certificateOf = ({ certPath, keyPath }: { certPath: string; keyPath: string }) => ({ cert: certPath, key: keyPath })

const HELLO = { hello: { match: { prefix: '/' }, respond: { status: 200, body: 'hi\n' } } }

test('the certificate goes by the name the client asks for: exact, then wildcard, then the first', async (t) => {
  const certificates = [first, wildcard, exact].map(certificateOf)
  const sluice = await startSluice(t, { listeners: { web: { address: '127.0.0.1:0', tls: { certificates } } }, routes: HELLO })
  const nameFor = async (servername: string) => (await connect(t, sluice.port(), servername === '' ? {} : { servername })).commonName
  assert.equal(await nameFor('x.b.test'), 'x.b.test')
  assert.equal(await nameFor('X.B.Test'), 'x.b.test')
  assert.equal(await nameFor('y.b.test'), 'wild')
  assert.equal(await nameFor('z.y.b.test'), 'a.test', 'a wildcard stands for one label')
  assert.equal(await nameFor('b.test'), 'a.test')
  assert.equal(await nameFor('other.test'), 'a.test')
  assert.equal(await nameFor(''), 'a.test')
  const resolve = ['--cacert', authority.path, '--resolve', `x.b.test:${sluice.port()}:127.0.0.1`]
  assert.equal(await curl(...resolve, `https://x.b.test:${sluice.port()}/`), 'hi\n')
})

test('names in the configuration come instead of those in the certificate', async (t) => {
  const certificates = [certificateOf(first), { ...certificateOf(exact), names: ['*.c.test', 'c.test'] }]
  const sluice = await startSluice(t, { listeners: { web: { address: '127.0.0.1:0', tls: { certificates } } }, routes: HELLO })
  assert.equal((await connect(t, sluice.port(), { servername: 'c.test' })).commonName, 'x.b.test')
  assert.equal((await connect(t, sluice.port(), { servername: 'x.b.test' })).commonName, 'a.test')
})

test('TLS 1.2 and 1.3 are spoken, older versions and weak ciphers are not, and minVersion raises it', async (t) => {
  const certificates = [certificateOf(first)]
  const sluice = await startSluice(t, {
    listeners: {
      web: { address: '127.0.0.1:0', tls: { certificates } },
      strict: { address: '127.0.0.1:0', tls: { certificates, minVersion: 'TLSv1.3' } },
    },
    routes: HELLO,
  })
  assert.equal((await connect(t, sluice.port('web'), { maxVersion: 'TLSv1.2' })).version, 'TLSv1.2')
  const newest = await connect(t, sluice.port('web'), { ALPNProtocols: ['http/1.1'] })
  assert.equal(newest.version, 'TLSv1.3')
  assert.equal(newest.socket.alpnProtocol, 'http/1.1')
  const old = { minVersion: 'TLSv1' as const, maxVersion: 'TLSv1.1' as const, ciphers: 'DEFAULT:@SECLEVEL=0' }
  await assert.rejects(connect(t, sluice.port('web'), old))
  await assert.rejects(connect(t, sluice.port('web'), { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256' }))
  await assert.rejects(connect(t, sluice.port('strict'), { maxVersion: 'TLSv1.2' }))
  await waitFor('three failures', async () => (await metric(sluice.adminUrl, 'sluice_tls_handshakes_total', { result: 'failed' })) === 3)
  await waitFor(
    'its count',
    async () => (await metric(sluice.adminUrl, 'sluice_tls_handshakes_total', { result: 'ok', version: 'TLSv1.2' })) === 1,
  )
  await waitFor(
    'its count',
    async () => (await metric(sluice.adminUrl, 'sluice_tls_handshakes_total', { result: 'ok', version: 'TLSv1.3' })) === 1,
  )
  assert.equal((await ask(newest.socket, GET)).split('\r\n')[0], 'HTTP/1.1 200 OK')
})

test('services see https, sticky cookies are Secure, and browsers are told to keep to https', async (t) => {
  const upstream = await startUpstream(t, (request, response) => void response.end(JSON.stringify(request.headers)))
  const certificates = [certificateOf(first)]
  const sluice = await startSluice(t, {
    listeners: {
      web: { address: '127.0.0.1:0', tls: { certificates, hsts: { days: 365, includeSubDomains: true } } },
      plain: { address: '127.0.0.1:0' },
    },
    services: { app: { endpoints: [upstream.address], balance: { algorithm: 'round-robin', sticky: { cookie: 'stuck' } } } },
    routes: { app: { match: { prefix: '/' }, to: 'app' } },
  })
  const { socket } = await connect(t, sluice.port('web'))
  const secure = await ask(socket, GET)
  assert.match(secure, /"x-forwarded-proto":"https"/)
  assert.match(secure, /^Strict-Transport-Security: max-age=31536000; includeSubDomains\r$/m)
  assert.match(secure, /^Set-Cookie: stuck=.*; Secure/im)
  const plain = await fetch(`http://127.0.0.1:${sluice.port('plain')}/`)
  assert.equal(plain.headers.get('strict-transport-security'), null)
  assert.match(await plain.text(), /"x-forwarded-proto":"http"/)
})

test('httpsRedirect sends everybody to https, but not the questions of certificate authorities', async (t) => {
  const sluice = await startSluice(t, {
    listeners: {
      web: { address: '127.0.0.1:0', httpsRedirect: {} },
      odd: { address: '127.0.0.1:0', httpsRedirect: { port: 8443, status: 301 } },
    },
    routes: HELLO,
  })
  const [status, location] = (
    await curl('-o', '/dev/null', '-w', '%{http_code} %header{location}', '-H', 'Host: a.test', `${sluice.url}/x?y=1`)
  ).split(' ')
  assert.deepEqual([status, location], ['308', 'https://a.test/x?y=1'])
  const odd = await fetch(`http://127.0.0.1:${sluice.port('odd')}/z`, { redirect: 'manual' })
  assert.deepEqual([odd.status, odd.headers.get('location')], [301, 'https://127.0.0.1:8443/z'])
  assert.equal(await curl(`${sluice.url}/.well-known/acme-challenge/abc`), 'hi\n')
})

test('large bodies arrive whole in both directions, also when the client reads slowly', async (t) => {
  const down = randomBytes(6 * 1024 * 1024)
  const upstream = await startUpstream(t, (request, response) => {
    const hash = createHash('sha256')
    request.on('data', (piece: Buffer) => hash.update(piece))
    request.on('end', () => {
      response.setHeader('X-Got', hash.digest('hex'))
      response.end(down)
    })
  })
  const sluice = await startSluice(t, {
    listeners: { web: { address: '127.0.0.1:0', tls: { certificates: [certificateOf(first)] } } },
    services: { app: { endpoints: [upstream.address] } },
    routes: { app: { match: { prefix: '/' }, to: 'app' } },
  })
  const up = randomBytes(3 * 1024 * 1024)
  const { socket } = await connect(t, sluice.port())
  for (const framing of [`Content-Length: ${up.length}`, 'Transfer-Encoding: chunked']) {
    const got: Buffer[] = []
    let size = 0
    const whole = new Promise<void>((resolve) => {
      let pieces = 0
      socket.on('data', (piece: Buffer) => {
        got.push(piece)
        size += piece.length
        if (size > down.length + 100 && Buffer.concat(got).indexOf('\r\n\r\n') + 4 + down.length === size) resolve()
        if (++pieces % 64 !== 0) return
        socket.pause()
        setTimeout(() => socket.resume(), 5)
      })
    })
    socket.write(`POST / HTTP/1.1\r\nHost: a.test\r\n${framing}\r\n\r\n`)
    const isChunked = framing.startsWith('Transfer')
    for (let at = 0; at < up.length; at += 100_000) {
      const piece = up.subarray(at, at + 100_000)
      if (isChunked) socket.write(`${piece.length.toString(16)}\r\n`)
      socket.write(piece)
      if (isChunked) socket.write('\r\n')
    }
    if (isChunked) socket.write('0\r\n\r\n')
    await whole
    socket.removeAllListeners('data')
    const all = Buffer.concat(got)
    const headEnd = all.indexOf('\r\n\r\n') + 4
    assert.match(all.toString('latin1', 0, headEnd), new RegExp(`X-Got: ${createHash('sha256').update(up).digest('hex')}`, 'i'))
    assert.ok(all.subarray(headEnd).equals(down))
  }
})

test('requests sent ahead are answered in order, and a client that has said all gets its answer', async (t) => {
  const upstream = await startUpstream(t, (request, response) => void setTimeout(() => response.end(request.url), 20))
  const sluice = await startSluice(t, {
    listeners: { web: { address: '127.0.0.1:0', tls: { certificates: [certificateOf(first)] } } },
    services: { app: { endpoints: [upstream.address] } },
    routes: { app: { match: { prefix: '/' }, to: 'app' } },
  })
  const { socket } = await connect(t, sluice.port())
  const padding = `X-Padding: ${'p'.repeat(5000)}\r\n`
  let text = ''
  socket.on('data', (piece: Buffer) => (text += piece.toString('latin1')))
  let requests = ''
  for (let i = 1; i <= 20; i++)
    requests += `GET /number-${i}. HTTP/1.1\r\nHost: a.test\r\n${padding}${i === 20 ? 'Connection: close\r\n' : ''}\r\n`
  socket.end(requests)
  await new Promise((resolve) => socket.once('close', resolve))
  const seen = [...text.matchAll(/\/number-(\d+)\./g)].map((match) => Number(match[1]))
  assert.deepEqual(
    seen,
    Array.from({ length: 20 }, (_, index) => index + 1),
  )
})

test('a handshake that takes too long, is no handshake, or is broken off costs nobody else anything', async (t) => {
  const sluice = await startSluice(t, {
    workers: 1,
    log: { level: 'debug' },
    listeners: {
      web: { address: '127.0.0.1:0', maxConnections: 40, tls: { certificates: [certificateOf(first)], handshakeTimeout: '400ms' } },
    },
    routes: HELLO,
  })
  const started = Date.now()
  const silent = Array.from({ length: 20 }, () => net.connect(sluice.port(), '127.0.0.1').on('error', () => undefined))
  const closed = silent.map((socket) => new Promise((resolve) => socket.once('close', resolve)))
  for (const socket of silent) socket.resume()
  const plain = net.connect(sluice.port(), '127.0.0.1').on('error', () => undefined)
  plain.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n')
  const partial = net.connect(sluice.port(), '127.0.0.1').on('error', () => undefined)
  partial.end(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]))
  const { socket } = await connect(t, sluice.port())
  assert.match(await ask(socket, GET), /^HTTP\/1\.1 200/)
  await Promise.all(closed)
  const tookMs = Date.now() - started
  assert.ok(tookMs >= 380 && tookMs < 8000, `${tookMs} ms`)
  const count = (result: string) => metric(sluice.adminUrl, 'sluice_tls_handshakes_total', { result })
  await waitFor(
    'the counters',
    async () => (await count('timeout')) === 20 && (await count('failed')) === 1 && (await count('aborted')) === 1,
  )
  await waitFor('the places', async () => (await metric(sluice.adminUrl, 'sluice_connections_open', { listener: 'web' })) === 1)
  assert.ok(sluice.logs.some((line) => line.includes('a TLS handshake failed') && line.includes('not done within 400 ms')))
  assert.match(await ask(socket, GET), /^HTTP\/1\.1 200/)
})

test('a client cannot negotiate anew', async (t) => {
  const sluice = await startSluice(t, {
    listeners: { web: { address: '127.0.0.1:0', tls: { certificates: [certificateOf(first)] } } },
    routes: HELLO,
  })
  const { socket } = await connect(t, sluice.port(), { maxVersion: 'TLSv1.2' })
  const error = await new Promise<Error | null>((resolve) => {
    socket.once('error', resolve)
    socket.renegotiate({ rejectUnauthorized: false }, (problem) => resolve(problem))
  })
  assert.match(String(error), /no.renegotiation|renegotiation/i)
})

test('openssl agrees: the chain is believed, and the protocol is agreed on', async (t) => {
  const sluice = await startSluice(t, {
    listeners: { web: { address: '127.0.0.1:0', tls: { certificates: [certificateOf(first)] } } },
    routes: HELLO,
  })
  const args = [
    's_client',
    '-connect',
    `127.0.0.1:${sluice.port()}`,
    '-servername',
    'a.test',
    '-CAfile',
    authority.path,
    '-alpn',
    'http/1.1',
  ]
  const { stdout } = await runProgram(openssl, args, { input: '' })
  assert.match(stdout, /Verify return code: 0 \(ok\)/)
  assert.match(stdout, /ALPN protocol: http\/1\.1/)
})

test('a connection cut off inside a response cannot be taken for a complete one', async (t) => {
  const upstream = await startUpstream(t, (_, response) => {
    response.write('beginning')
    setTimeout(() => response.destroy(), 50)
  })
  const sluice = await startSluice(t, {
    listeners: { web: { address: '127.0.0.1:0', tls: { certificates: [certificateOf(first)] } } },
    services: { app: { endpoints: [upstream.address] } },
    routes: { app: { match: { prefix: '/' }, to: 'app' } },
  })
  const socket = tls.connect({ host: '127.0.0.1', port: sluice.port(), rejectUnauthorized: false })
  t.after(() => void socket.destroy())
  socket.resume()
  socket.write(GET)
  const error = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
    socket.once('error', resolve)
    socket.once('end', () => resolve(null))
  })
  assert.equal(error?.code, 'ECONNRESET')
})

test('HTTP/2 and HTTP/1.1 are agreed on by ALPN, in the order of the configuration; nothing in common is refused', async (t) => {
  const certificates = [certificateOf(first)]
  const sluice = await startSluice(t, {
    listeners: {
      both: { address: '127.0.0.1:0', tls: { certificates } },
      old: { address: '127.0.0.1:0', tls: { certificates, alpn: 'http/1.1' } },
      off: { address: '127.0.0.1:0', http2: null, tls: { certificates } },
    },
    routes: HELLO,
  })
  const version = (listener: string, ...args: string[]) =>
    curl('-k', '-o', '/dev/null', '-w', '%{http_version}', ...args, `https://127.0.0.1:${sluice.port(listener)}/`)
  assert.equal(await version('both', '--http2'), '2')
  assert.equal(await version('both', '--http1.1'), '1.1')
  assert.equal(await version('old', '--http2'), '1.1')
  assert.equal(await version('off', '--http2'), '1.1')
  const silent = await connect(t, sluice.port('both'))
  assert.equal(silent.socket.alpnProtocol, false)
  assert.match(await ask(silent.socket, GET), /^HTTP\/1\.1 200/)
  await assert.rejects(connect(t, sluice.port('both'), { ALPNProtocols: ['spdy/1'] }))
})

test('a client that reads slowly gets all the time it needs, one that stops reading does not', async (t) => {
  const body = randomBytes(24 * 1024 * 1024)
  const upstream = await startUpstream(t, (_, response) => void response.end(body))
  const sluice = await startSluice(t, {
    listeners: { web: { address: '127.0.0.1:0', timeouts: { send: '2s' }, tls: { certificates: [certificateOf(first)] } } },
    services: { app: { endpoints: [upstream.address] } },
    routes: { app: { match: { prefix: '/' }, to: 'app' } },
  })
  const { socket } = await connect(t, sluice.port())
  let got = 0
  let isReading = true
  socket.on('data', (piece: Buffer) => {
    got += piece.length
    socket.pause()
    setTimeout(() => isReading && socket.resume(), 5)
  })
  socket.write(GET)
  const started = Date.now()
  let isClosed = false
  socket.once('close', () => (isClosed = true))
  await waitFor('five seconds of slow reading', () => Date.now() - started > 5000)
  assert.equal(isClosed, false)
  assert.ok(got > 1_000_000 && got < body.length, String(got))
  isReading = false
  const open = () => metric(sluice.adminUrl, 'sluice_connections_open', { listener: 'web' })
  await waitFor('the end of who has stopped', async () => (await open()) === 0)
})
