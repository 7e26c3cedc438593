/** HTTP/2 towards services: many streams, large bodies, slow clients. */
import assert from 'node:assert/strict'

import { once } from 'node:events'
import http from 'node:http'
import type http2 from 'node:http2'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startSluice } from '../../support/sluice.ts'
import { waitFor } from '../../support/wait.ts'
import { residentMiB } from '../http1/kit.ts'
import { connect } from './kit.ts'
import { http1Client, http2Client, startHttp2Upstream, toService } from './upstream-kit.ts'

const MIB = 1024 * 1024
const LARGE_BYTES = 100 * MIB

/** Answers after a moment, so that requests pile up. */
function answerLater(stream: http2.ServerHttp2Stream): void {
  setTimeout(() => {
    if (stream.destroyed) return
    stream.respond({ ':status': 200 })
    stream.end('fine')
  }, 100)
}

test('a thousand requests at a time take few connections', { timeout: 120_000 }, async (t) => {
  const upstream = await startHttp2Upstream(t, answerLater, { settings: { maxConcurrentStreams: 128 } })
  const sluice = await startSluice(t, toService({ endpoints: [upstream.address] }))
  const agent = new http.Agent({ keepAlive: true, maxSockets: 500 })
  t.after(() => agent.destroy())
  const clients = [http1Client(sluice.port(), agent)]
  for (let i = 0; i < 5; i++) clients.push(http2Client(connect(t, sluice.port())))
  // 500 over HTTP/1.1, and 100 on each connection of HTTP/2.
  const answers = await Promise.all(
    Array.from({ length: 3000 }, (_, i) => {
      const client = i % 2 === 0 ? clients[0]! : clients[1 + ((i >> 1) % 5)]!
      return client.ask()
    }),
  )
  assert.deepEqual(new Set(answers.map(({ status, body }) => `${status} ${body}`)), new Set(['200 fine']))
  assert.ok(upstream.mostStreams > 500, `${upstream.mostStreams} at a time`)
  assert.ok(upstream.connections <= 12, `${upstream.connections} connections`)
})

test('requests beyond what all connections take wait for their turn, or fail when the line is full', { timeout: 120_000 }, async (t) => {
  const upstream = await startHttp2Upstream(t, answerLater, { settings: { maxConcurrentStreams: 3 } })
  const config = (maxPending: number) =>
    toService({ endpoints: [upstream.address], retry: null, pool: { maxConnections: 2, maxPending, pendingTimeout: '10s' } })
  const sluice = await startSluice(t, config(1000))
  const client = http2Client(connect(t, sluice.port()))
  const answers = await Promise.all(Array.from({ length: 60 }, () => client.ask()))
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
  assert.ok(upstream.mostStreams <= 6, `${upstream.mostStreams}`)
  assert.equal(upstream.connections, 2)
  assert.equal((await sluice.reload(config(4))).status, 200)
  const statuses = (await Promise.all(Array.from({ length: 60 }, () => client.ask()))).map(({ status }) => status)
  assert.ok(statuses.includes(503) && statuses.includes(200), String(statuses))
})

test('requests are spread over as many connections as configured', async (t) => {
  const upstream = await startHttp2Upstream(t, answerLater)
  const sluice = await startSluice(t, toService({ endpoints: [upstream.address], http2: { connections: 3 } }))
  const client = http2Client(connect(t, sluice.port()))
  for (let round = 0; round < 4; round++) await Promise.all(Array.from({ length: 30 }, () => client.ask()))
  assert.equal(upstream.connections, 3)
})

test('large bodies go through in both directions in little memory', { timeout: 120_000 }, async (t) => {
  let received = 0
  const piece = Buffer.alloc(64 * 1024, 'x')
  const upstream = await startHttp2Upstream(t, (stream, headers) => {
    if (headers[':method'] === 'POST') {
      stream.on('data', (data: Buffer) => (received += data.length))
      stream.on('end', () => {
        stream.respond({ ':status': 200 })
        stream.end('taken')
      })
      return
    }
    stream.respond({ ':status': 200 })
    let sent = 0
    const more = () => {
      while (sent < LARGE_BYTES) {
        sent += piece.length
        if (!stream.write(piece)) return void stream.once('drain', more)
      }
      stream.end()
    }
    more()
  })
  const sluice = await startSluice(t, toService({ endpoints: [upstream.address] }))
  await http1Client(sluice.port()).ask({ body: 'warm' })
  received = 0
  const before = await residentMiB(sluice.pid)
  let most = 0
  let isOver = false
  const watch = (async () => {
    for (; !isOver; await sleep(20)) most = Math.max(most, await residentMiB(sluice.pid))
  })()
  const session = connect(t, sluice.port())
  const streamOf = {
    'HTTP/1.1': (method: string) =>
      http.request({
        port: sluice.port(),
        host: '127.0.0.1',
        method,
        agent: false,
        headers: method === 'POST' ? { 'transfer-encoding': 'chunked' } : {},
      }),
    'HTTP/2': (method: string) => session.request({ ':method': method, ':path': '/' }, { endStream: method === 'GET' }),
  }
  for (const [name, open] of Object.entries(streamOf)) {
    received = 0
    const upload = open('POST')
    const answered = once(upload, 'response')
    for (let sent = 0; sent < LARGE_BYTES; sent += piece.length) if (!upload.write(piece)) await once(upload, 'drain')
    upload.end()
    const [response] = (await answered) as [http.IncomingMessage]
    if (name === 'HTTP/1.1') response.resume()
    assert.equal(received, LARGE_BYTES, name)

    const download = open('GET')
    if (name === 'HTTP/1.1') (download as http.ClientRequest).end()
    const [head] = (await once(download, 'response')) as [http.IncomingMessage]
    const source = name === 'HTTP/1.1' ? head : (download as http2.ClientHttp2Stream)
    let size = 0
    source.on('data', (data: Buffer) => (size += data.length))
    await once(source, 'end')
    assert.equal(size, LARGE_BYTES, name)
  }
  isOver = true
  await watch
  t.diagnostic(`${Math.round(before)} MiB before, at most ${Math.round(most)} MiB`)
  assert.ok(most - before < 60, `${before} MiB before, ${most} MiB at most`)
})

test('a client that does not read stops the endpoint, and nobody else', { timeout: 120_000 }, async (t) => {
  const sent = new Map<string, number>()
  const piece = Buffer.alloc(64 * 1024, 'x')
  const upstream = await startHttp2Upstream(t, (stream, headers) => {
    const path = headers[':path'] as string
    stream.respond({ ':status': 200 })
    if (path === '/fine') return void stream.end('fine')
    const more = () => {
      do sent.set(path, (sent.get(path) ?? 0) + piece.length)
      while (!stream.destroyed && stream.write(piece))
      if (!stream.destroyed) stream.once('drain', more)
    }
    more()
  })
  const sluice = await startSluice(t, toService({ endpoints: [upstream.address] }))
  const client = http1Client(sluice.port())
  assert.equal((await client.ask({ path: '/fine' })).body, 'fine')
  const before = await residentMiB(sluice.pid)
  const request = http.get({ port: sluice.port(), host: '127.0.0.1', path: '/h1', agent: false })
  t.after(() => request.destroy())
  request.on('error', () => {})
  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  response.on('error', () => {})
  response.pause()
  const stream = connect(t, sluice.port()).request({ ':path': '/h2' })
  stream.on('error', () => {})
  await once(stream, 'response')
  stream.pause()
  let last = -1
  await waitFor('standstill', async () => {
    const now = (sent.get('/h1') ?? 0) + (sent.get('/h2') ?? 0)
    const isStill = now === last
    last = now
    await sleep(300)
    return isStill
  })
  // Windows and socket buffers on the way, no more.
  for (const [path, bytes] of sent) assert.ok(bytes < 16 * MIB, `${path}: ${bytes}`)
  const after = await residentMiB(sluice.pid)
  assert.ok(after - before < 30, `${before} to ${after} MiB`)
  assert.equal((await client.ask({ path: '/fine' })).body, 'fine')
  assert.equal(upstream.connections, 1)
  // Who reads again gets more.
  const [h1, h2] = [sent.get('/h1')!, sent.get('/h2')!]
  response.resume()
  stream.resume()
  await waitFor('more', () => sent.get('/h1')! > h1 + 4 * MIB && sent.get('/h2')! > h2 + 4 * MIB)
})
