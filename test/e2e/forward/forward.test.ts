import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../support/port.ts'
import { requirePrograms } from '../../support/programs.ts'
import { rawRequest } from '../../support/raw.ts'
import { runProgram } from '../../support/run.ts'
import { type SluiceProcess, startSluice } from '../../support/sluice.ts'
import { startRawUpstream, startUpstream } from '../../support/upstream.ts'
import { waitFor } from '../../support/wait.ts'

const { curl, openssl } = requirePrograms(['curl', 'openssl'])

/** What a test gateway needs to reach the servers of the test. */
const LOCAL = { allowPrivate: '127.0.0.0/8', connectPorts: '1-65535' }

function startProxy(t: TestContext, listener: object = {}, more: object = {}): Promise<SluiceProcess> {
  return startSluice(t, {
    workers: 1,
    drainTimeout: '5s',
    listeners: { proxy: { address: '127.0.0.1:0', protocol: 'forward', destinations: LOCAL, ...listener } },
    ...more,
  })
}

/** curl through the proxy: the whole response, and its exit code. */
async function ask(sluice: SluiceProcess, ...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return runProgram(curl, [
    '-q',
    '-sS',
    '-i',
    '--max-time',
    '10',
    '--noproxy',
    '',
    '-x',
    `http://127.0.0.1:${sluice.port('proxy')}`,
    ...args,
  ])
}

function startEcho(t: TestContext) {
  return startUpstream(t, (request, response) => {
    response.setHeader('connection', 'x-hop, close')
    response.setHeader('x-hop', 'of the origin')
    response.setHeader('proxy-authenticate', 'Basic')
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ method: request.method, url: request.url, headers: request.headers }))
  })
}

interface Echoed {
  method: string
  url: string
  headers: Record<string, string>
}

function bodyOf(response: string): Echoed {
  return JSON.parse(response.slice(response.indexOf('\r\n\r\n') + 4)) as Echoed
}

async function metric(sluice: SluiceProcess, name: string, ...labels: string[]): Promise<number> {
  const text = await (await fetch(`${sluice.adminUrl}/metrics`)).text()
  let sum = 0
  for (const line of text.split('\n')) {
    if (line.startsWith(name) && labels.every((label) => line.includes(label))) sum += Number(line.slice(line.lastIndexOf(' ') + 1))
  }
  return sum
}

async function createCertificate(): Promise<{ key: string; cert: string }> {
  const args = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-subj',
    '/CN=localhost',
    '-days',
    '2',
  ]
  const { stdout } = await runProgram(openssl, [...args, '-keyout', '-', '-out', '-'])
  const split = stdout.indexOf('-----BEGIN CERTIFICATE')
  return { key: stdout.slice(0, split), cert: stdout.slice(split) }
}

test('curl reaches an http site: path and query as they came, hop-by-hop fields taken out both ways', async (t) => {
  const origin = await startEcho(t)
  const sluice = await startProxy(t)
  const { stdout } = await ask(
    sluice,
    '-H',
    'Proxy-Connection: keep-alive',
    '-H',
    'Connection: X-Mine',
    '-H',
    'X-Mine: 1',
    '-H',
    'X-Forwarded-For: 198.51.100.9',
    `http://${origin.address}/a//b/%7euser/c%2Fd?x=%zz`,
  )
  assert.match(stdout, /^HTTP\/1\.1 200 /)
  assert.doesNotMatch(stdout, /x-hop|proxy-authenticate/i)
  const { url, headers } = bodyOf(stdout)
  assert.equal(url, '/a//b/%7euser/c%2Fd?x=%zz')
  assert.equal(headers['host'], origin.address)
  assert.match(headers['via'] ?? '', /^1\.1 sluice-[0-9a-f]{10}$/)
  for (const name of ['proxy-connection', 'x-mine', 'x-request-id', 'x-forwarded-host', 'x-sluice-timeout'])
    assert.equal(headers[name], undefined, name)
  assert.equal(headers['x-forwarded-for'], '198.51.100.9')
})

test('bodies pass both ways, and connections to the destination are used again', async (t) => {
  const origin = await startUpstream(t, (request, response) => {
    const hash = createHash('sha256')
    request.on('data', (bytes: Buffer) => hash.update(bytes)).on('end', () => response.end(hash.digest('hex') + 'x'.repeat(300_000)))
  })
  const sluice = await startProxy(t)
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  const body = Buffer.alloc(2_000_000, 'abc')
  const expected = createHash('sha256').update(body).digest('hex')
  for (let i = 0; i < 4; i++) {
    const answer = await new Promise<string>((resolve, reject) => {
      const options = { agent, host: '127.0.0.1', port: sluice.port('proxy'), method: 'POST', path: `http://${origin.address}/${i}` }
      const request = http.request({ ...options, headers: { host: origin.address } }, (response) => {
        let text = ''
        response.setEncoding('latin1').on('data', (piece: string) => (text += piece))
        response.on('end', () => resolve(text))
      })
      request.on('error', reject)
      request.end(body)
    })
    assert.equal(answer.slice(0, 64), expected)
    assert.equal(answer.length, 300_064)
  }
  assert.equal(origin.connections, 1)
  assert.equal(await metric(sluice, 'sluice_requests_total', 'route="forward:proxy"', 'code="200"'), 4)
  assert.equal(await metric(sluice, 'sluice_requests_in_flight'), 0)
})

test('curl reaches an https site through CONNECT', async (t) => {
  const { key, cert } = await createCertificate()
  const origin = https.createServer({ key, cert }, (request, response) => response.end(`secret ${request.url}`))
  await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve))
  t.after(() => void origin.close())
  const { port } = origin.address() as net.AddressInfo
  const sluice = await startProxy(t, {}, { accessLog: { path: '-', format: 'json' } })
  const { stdout } = await ask(sluice, '-k', `https://127.0.0.1:${port}/page`)
  assert.match(stdout, /^HTTP\/1\.1 200 Connection established\r\n\r\nHTTP\/1\.1 200 OK\r\n[\s\S]*secret \/page$/)
  const line = await waitFor('the access log', () => sluice.logs.find((text) => text.includes('"CONNECT"')))
  const entry = JSON.parse(line) as Record<string, unknown>
  // curl closes with session tickets unread, and then its end may come as an RST.
  assert.ok(entry['status'] === 200 || entry['status'] === 499, line)
  assert.ok((entry['requestBytes'] as number) > 300 && (entry['responseBytes'] as number) > 300, line)
  await waitFor('the end', async () => (await metric(sluice, 'sluice_tunnels_open')) === 0)
  assert.equal(await metric(sluice, 'sluice_requests_in_flight'), 0)
  assert.equal(await metric(sluice, 'sluice_requests_total', 'route="forward:proxy"', `code="${entry['status']}"`), 1)
  assert.equal(await metric(sluice, 'sluice_tunnel_bytes_total', 'received'), entry['requestBytes'])
})

test('by default, private addresses are refused with 403, whatever name or spelling leads to them', async (t) => {
  const origin = await startEcho(t)
  const sluice = await startProxy(t, { destinations: { connectPorts: '1-65535' } })
  const hosts = [
    '127.0.0.1',
    'localhost',
    'LOCALHOST.',
    '127.1',
    '2130706433',
    '0x7f000001',
    '0.0.0.0',
    '169.254.169.254',
    '10.0.0.1',
    '100.64.0.1',
  ]
  for (const host of [...hosts, '[::1]', '[::ffff:127.0.0.1]', '[fd00::1]', '[64:ff9b::7f00:1]']) {
    const { text } = await rawRequest(
      sluice.port('proxy'),
      `CONNECT ${host}:${origin.port} HTTP/1.1\r\nHost: ${host}:${origin.port}\r\n\r\n`,
      {
        timeoutMs: 5000,
        until: (sofar) => sofar.includes('\n}') || sofar.includes('}\n'),
      },
    )
    assert.match(text, /^HTTP\/1\.1 403 Forbidden\r\n[\s\S]*"destination_denied"/, host)
    const get = await rawRequest(sluice.port('proxy'), `GET http://${host}:${origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`, {
      timeoutMs: 5000,
      until: (sofar) => sofar.includes('}\n'),
    })
    assert.match(get.text, /^HTTP\/1\.1 403 Forbidden\r\n[\s\S]*"destination_denied"/, host)
  }
  assert.equal(origin.connections, 0)
})

test('hosts and ports are allowed and denied by rules', async (t) => {
  const origin = await startEcho(t)
  const destinations = { ...LOCAL, allowHosts: ['localhost', '127.0.0.1'], denyHosts: '127.0.0.1', connectPorts: 443 }
  const sluice = await startProxy(t, { destinations })
  assert.match((await ask(sluice, `http://localhost:${origin.port}/`)).stdout, /^HTTP\/1\.1 200 /)
  assert.match((await ask(sluice, `http://127.0.0.1:${origin.port}/`)).stdout, /^HTTP\/1\.1 403 [\s\S]*this host/)
  assert.match((await ask(sluice, 'http://example.com/')).stdout, /^HTTP\/1\.1 403 [\s\S]*this host/)
  assert.match((await ask(sluice, '-p', `http://localhost:${origin.port}/`)).stdout, /^HTTP\/1\.1 403 /)
  const ports = await startProxy(t, { destinations: { ...LOCAL, ports: [80] } })
  assert.match((await ask(ports, `http://localhost:${origin.port}/`)).stdout, /^HTTP\/1\.1 403 [\s\S]*port/)
  const addresses = await startProxy(t, { destinations: { ...LOCAL, denyAddresses: '127.0.0.1' } })
  assert.match((await ask(addresses, `http://localhost:${origin.port}/`)).stdout, /^HTTP\/1\.1 403 /)
  assert.equal(origin.connections, 1)
})

test('users must show their password: 407 with a challenge, also for CONNECT; the password goes no further', async (t) => {
  const origin = await startEcho(t)
  const sluice = await startProxy(t, { auth: { users: { ada: 'pä:ss', bob: 'b' } } })
  const url = `http://${origin.address}/`
  for (const args of [
    [],
    ['-p'],
    ['-U', 'ada:wrong'],
    ['-U', 'ada:'],
    ['-U', 'eve:b'],
    ['--proxy-header', 'Proxy-Authorization: Basic !!!'],
  ]) {
    const { stdout } = await ask(sluice, ...args, url)
    assert.match(
      stdout,
      /^HTTP\/1\.1 407 Proxy Authentication Required\r\n[\s\S]*Proxy-Authenticate: Basic realm="sluice", charset="UTF-8"\r\n/,
      args.join(' '),
    )
  }
  assert.equal(origin.connections, 0)
  for (const user of ['ada:pä:ss', 'bob:b']) {
    const { stdout } = await ask(sluice, '-U', user, url)
    assert.equal(bodyOf(stdout).headers['proxy-authorization'], undefined)
    assert.match((await ask(sluice, '-p', '-U', user, url)).stdout, /^HTTP\/1\.1 200 Connection established[\s\S]*HTTP\/1\.1 200 OK/)
  }
})

test('the admin API shows no password of the proxy', async (t) => {
  const sluice = await startProxy(t, {
    auth: { users: { ada: 'swordfish' } },
    parent: { address: '127.0.0.1:1', credentials: 'a:swordfish' },
  })
  const text = await (await fetch(`${sluice.adminUrl}/config`)).text()
  assert.match(text, /"passwords": ?"\[redacted\]"/)
  assert.doesNotMatch(text + sluice.logs.join(), /swordfish/)
})

test('a shutdown gives open tunnels the time for draining, then cuts them off', async (t) => {
  const origin = await startRawUpstream(t, (socket) => void socket.on('data', (piece) => socket.write(piece)))
  const sluice = await startProxy(t, {}, { drainTimeout: '700ms' })
  const client = net.connect(sluice.port('proxy'), '127.0.0.1')
  t.after(() => void client.destroy())
  let text = ''
  client.setEncoding('latin1').on('data', (piece: string) => (text += piece))
  client.on('error', () => {})
  const closed = new Promise<void>((resolve) => client.once('close', () => resolve()))
  client.write(`CONNECT ${origin.address} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await waitFor('the tunnel', () => text.includes('\r\n\r\n'))
  const startedAt = performance.now()
  const stopped = sluice.stop()
  await sleep(200)
  client.write('still here')
  await waitFor('the echo', () => text.endsWith('still here'))
  await closed
  assert.ok(performance.now() - startedAt > 500)
  assert.equal((await stopped).code, 0)
})

test('two proxies in a chain name both clients in X-Forwarded-For, and tunnels go through both', async (t) => {
  const origin = await startEcho(t)
  const last = await startProxy(t, { forwardedFor: true, auth: { users: { first: 'proxy' } } })
  const parent = { address: `127.0.0.1:${last.port('proxy')}`, credentials: 'first:proxy' }
  const first = await startProxy(t, { forwardedFor: true, parent })
  const { stdout } = await ask(first, '--interface', '127.0.0.7', `http://localhost:${origin.port}/a?b#c`)
  const { url, headers } = bodyOf(stdout)
  assert.equal(headers['x-forwarded-for'], '127.0.0.7, 127.0.0.1')
  const [, one, other] = /^1\.1 (sluice-\w+), 1\.1 (sluice-\w+)$/.exec(headers['via'] ?? '') ?? []
  assert.notEqual(one, other)
  assert.equal(headers['host'], `localhost:${origin.port}`)
  assert.equal(url, '/a?b')
  assert.equal(headers['proxy-authorization'], undefined)
  const tunnel = await ask(first, '-p', `http://localhost:${origin.port}/through`)
  assert.match(tunnel.stdout, /^HTTP\/1\.1 200 Connection established\r\n\r\nHTTP\/1\.1 200 OK[\s\S]*"\/through"/)
  // What can be judged here is.
  const strict = await startProxy(t, { parent, destinations: { connectPorts: '1-65535' } })
  assert.match((await ask(strict, '-p', `http://127.0.0.1:${origin.port}/`)).stdout, /^HTTP\/1\.1 403 /)
  assert.match((await ask(strict, `http://127.0.0.1:${origin.port}/`)).stdout, /^HTTP\/1\.1 403 /)
  const refused = await startProxy(t, { parent: { ...parent, credentials: 'first:wrong' } })
  assert.match((await ask(refused, '-p', `http://localhost:${origin.port}/`)).stdout, /^HTTP\/1\.1 502 /)
  const gone = await startProxy(t, { parent: { address: '127.0.0.1:1' } })
  assert.match((await ask(gone, '-p', `http://localhost:${origin.port}/`)).stdout, /^HTTP\/1\.1 502 /)
  assert.match((await ask(gone, `http://localhost:${origin.port}/`)).stdout, /^HTTP\/1\.1 502 /)
})

test('a request that comes back is 508, also as a CONNECT, in any worker and through another proxy', async (t) => {
  const port = await freePort()
  const origin = await startEcho(t)
  const destination = `http://localhost:${origin.port}/`
  const second = await startProxy(t, { parent: { address: `127.0.0.1:${port}` } })
  const first = await startProxy(
    t,
    { address: `127.0.0.1:${port}`, parent: { address: `127.0.0.1:${second.port('proxy')}` } },
    { workers: 2 },
  )
  for (let i = 0; i < 2; i++) {
    assert.match((await ask(first, destination)).stdout, /^HTTP\/1\.1 508 [\s\S]*"loop_detected"/)
    assert.match((await ask(first, '-p', destination)).stdout, /^HTTP\/1\.1 508 /)
  }
  // Twice round each time, at most once more than it takes to see it.
  assert.ok((await metric(first, 'sluice_requests_total')) <= 8, 'it went round more often')
  const line = await waitFor('its line', () => first.logs.find((text) => text.includes('"errorCode":"loop_detected"')))
  assert.equal(JSON.parse(line).flags, 'LD')
  // Somebody else of the same kind before us is no loop.
  const open = await startProxy(t)
  assert.match((await ask(open, '-H', 'Via: 1.1 sluice, 1.1 sluice-0123456789', destination)).stdout, /^HTTP\/1\.1 200 /)
})

test('a tunnel to the proxy itself is refused, by whatever address', async (t) => {
  const port = await freePort()
  const sluice = await startProxy(t, { address: `:${port}`, destinations: { ...LOCAL, allowPrivate: ['127.0.0.0/8', '::1'] } })
  for (const host of ['127.0.0.1', '127.0.0.2', 'localhost', '[::1]', '[::ffff:127.0.0.1]']) {
    const { text } = await rawRequest(port, `CONNECT ${host}:${port} HTTP/1.1\r\nHost: ${host}:${port}\r\nConnection: close\r\n\r\n`)
    // Mapped addresses are private, whatever is allowed of IPv4.
    assert.match(text, host.startsWith('[::f') ? /^HTTP\/1\.1 (403|508) / : /^HTTP\/1\.1 508 /, host)
  }
  assert.equal(await metric(sluice, 'sluice_tunnels_open'), 0)
})

test('a host that refuses or does not exist is 502, one that is silent 504', async (t) => {
  // Listens and never accepts: when its queue is full, the system answers no further connection.
  const script =
    "const s = require('net').createServer().listen(0, '127.0.0.1', 1, () => { require('fs').writeSync(1, s.address().port + '\\n'); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0) })"
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] })
  t.after(() => void child.kill('SIGKILL'))
  const port = Number(await new Promise((resolve) => child.stdout.once('data', resolve)))
  const queue = Array.from({ length: 4 }, () => net.connect(port, '127.0.0.1').on('error', () => {}))
  t.after(() => {
    for (const socket of queue) socket.destroy()
  })
  await sleep(100)
  const sluice = await startProxy(t, { timeouts: { connect: '300ms' } })
  for (const args of [[], ['-p']]) {
    assert.match((await ask(sluice, ...args, 'http://127.0.0.1:1024/')).stdout, /^HTTP\/1\.1 502 /)
    assert.match((await ask(sluice, ...args, 'http://does-not-exist.invalid/')).stdout, /^HTTP\/1\.1 502 /)
    assert.match((await ask(sluice, ...args, `http://127.0.0.1:${port}/`)).stdout, /^HTTP\/1\.1 504 /)
  }
  assert.equal(await metric(sluice, 'sluice_gateway_errors_total', 'connect_failed'), 4)
  assert.equal(await metric(sluice, 'sluice_gateway_errors_total', 'connect_timeout'), 2)
  assert.equal(await metric(sluice, 'sluice_requests_in_flight'), 0)
})

test('what is no request for a proxy is refused', async (t) => {
  const sluice = await startProxy(t)
  const expect400 = async (request: string) => {
    const { text } = await rawRequest(sluice.port('proxy'), request, { timeoutMs: 3000, until: (sofar) => sofar.includes('}\n') })
    assert.match(text, /^HTTP\/1\.1 400 /, request)
  }
  await expect400('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await expect400('GET https://example.com/ HTTP/1.1\r\nHost: a\r\n\r\n')
  await expect400('GET http://user@example.com/ HTTP/1.1\r\nHost: a\r\n\r\n')
  await expect400('CONNECT example.com HTTP/1.1\r\nHost: a\r\n\r\n')
  await expect400('CONNECT example.com:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx')
})

test('a tunnel passes bytes sent ahead, half-closes and large amounts, and ends by its idle time', async (t) => {
  const origin = await startRawUpstream(t, (socket) => {
    const hash = createHash('sha256')
    let bytes = 0
    socket.on('data', (piece) => {
      bytes += piece.length
      hash.update(piece)
    })
    socket.on('end', () => socket.end(`${bytes} ${hash.digest('hex')} ${'y'.repeat(5_000_000)}`))
  })
  const sluice = await startProxy(t, { timeouts: { tunnelIdle: '1500ms' } })
  const client = net.connect({ port: sluice.port('proxy'), host: '127.0.0.1', allowHalfOpen: true })
  t.after(() => void client.destroy())
  const chunks: Buffer[] = []
  client.on('data', (piece) => chunks.push(piece))
  const ended = new Promise<void>((resolve) => client.once('end', () => resolve()))
  const body = Buffer.alloc(20_000_000, 'tunnel')
  // The first bytes in one packet with the request.
  client.write(
    Buffer.concat([Buffer.from(`CONNECT ${origin.address} HTTP/1.1\r\nHost: ${origin.address}\r\n\r\n`), body.subarray(0, 1000)]),
  )
  await sleep(100)
  client.end(body.subarray(1000))
  await ended
  const text = Buffer.concat(chunks).toString('latin1')
  const head = 'HTTP/1.1 200 Connection established\r\n\r\n'
  assert.ok(text.startsWith(`${head}20000000 ${createHash('sha256').update(body).digest('hex')} yyy`), text.slice(0, 200))
  assert.equal(text.length, head.length + 9 + 65 + 5_000_000)

  const idle = await rawRequest(sluice.port('proxy'), `CONNECT ${origin.address} HTTP/1.1\r\nHost: x\r\n\r\n`, { timeoutMs: 10_000 })
  assert.equal(idle.ended, 'reset')
  await waitFor('the tunnels', async () => (await metric(sluice, 'sluice_tunnels_open')) === 0)
  assert.equal(await metric(sluice, 'sluice_connections_open', 'proxy'), 0)
})

test('a client that has said everything before the tunnel stands gets its answer', async (t) => {
  const origin = await startRawUpstream(t, (socket) => {
    let text = ''
    socket.on('data', (piece) => (text += piece.toString()))
    socket.on('end', () => socket.end(`got ${text}`))
  })
  const sluice = await startProxy(t, { destinations: { ...LOCAL, allowPrivate: ['127.0.0.0/8', '::1'] } })
  for (const ahead of ['all of it', '']) {
    const request = `CONNECT localhost:${origin.port} HTTP/1.1\r\nHost: x\r\n\r\n${ahead}`
    const { text, ended } = await rawRequest(sluice.port('proxy'), request, { end: true, timeoutMs: 5000 })
    assert.equal(text, `HTTP/1.1 200 Connection established\r\n\r\ngot ${ahead}`)
    assert.equal(ended, 'closed')
  }
})

test('a client that leaves while the connection is made, and one that resets a tunnel, leave nothing behind', async (t) => {
  const origin = await startRawUpstream(t, (socket) => void socket.resume().on('end', () => socket.end()))
  const sluice = await startProxy(t)
  for (let i = 0; i < 60; i++) {
    await new Promise<void>((resolve) => {
      const client = net.connect(sluice.port('proxy'), '127.0.0.1', () => {
        client.write(`CONNECT localhost:${origin.port} HTTP/1.1\r\nHost: x\r\n\r\n`)
        setTimeout(() => client.resetAndDestroy(), i % 6)
      })
      client.on('error', () => {})
      client.on('data', () => {})
      client.on('close', () => resolve())
    })
  }
  await waitFor('the end', async () => (await metric(sluice, 'sluice_connections_open', 'proxy')) === 0)
  assert.equal(await metric(sluice, 'sluice_tunnels_open'), 0)
  assert.equal(await metric(sluice, 'sluice_requests_in_flight'), 0)
  await waitFor('the origin', () => origin.open === 0)
})

test('a reload changes the rules for the next request and leaves tunnels open', async (t) => {
  const origin = await startRawUpstream(t, (socket) => void socket.on('data', (piece) => socket.write(piece)))
  const sluice = await startProxy(t)
  const client = net.connect(sluice.port('proxy'), '127.0.0.1')
  t.after(() => void client.destroy())
  let text = ''
  client.setEncoding('latin1').on('data', (piece: string) => (text += piece))
  client.write(`CONNECT ${origin.address} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await waitFor('the tunnel', () => text.includes('\r\n\r\n'))
  const strict = {
    workers: 1,
    listeners: { proxy: { address: '127.0.0.1:0', protocol: 'forward', destinations: { connectPorts: '1-65535' } } },
  }
  assert.deepEqual((await sluice.reload(strict)).problems, [])
  client.write('still here')
  await waitFor('the echo', () => text.endsWith('still here'))
  assert.match((await ask(sluice, '-p', `http://${origin.address}/`)).stdout, /^HTTP\/1\.1 403 /)
})

test('the number of destinations is bounded', async (t) => {
  const origin = await startEcho(t)
  const sluice = await startProxy(t, { maxDestinations: 3 })
  for (let i = 1; i <= 12; i++) {
    const { stdout } = await ask(sluice, `http://127.0.0.${i}:${origin.port}/`)
    // The origin listens on 127.0.0.1 only.
    assert.match(stdout, i === 1 ? /^HTTP\/1\.1 200 / : /^HTTP\/1\.1 502 /)
  }
  assert.ok((await metric(sluice, 'sluice_upstream_connections', 'forward:proxy')) <= 3)
})
