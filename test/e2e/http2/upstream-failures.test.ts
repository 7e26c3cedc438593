/** HTTP/2 towards services: what endpoints can do wrong, and how requests survive it. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { requirePrograms } from '../../support/programs.ts'
import { startSluice } from '../../support/sluice.ts'
import { startRawUpstream, startUpstream } from '../../support/upstream.ts'
import { waitFor } from '../../support/wait.ts'
import { codeOf, connect, DATA, type Frame, field, frame, GOAWAY, HEADERS, PING, RST_STREAM, u32 } from './kit.ts'
import { bothClients, http1Client, type RawEndpoint, startHttp2Upstream, startNghttpd, startRawHttp2, toService } from './upstream-kit.ts'

const { nghttpd } = requirePrograms(['nghttpd'])

const REFUSED_STREAM = 7
const INTERNAL_ERROR = 2
const CANCEL = 8

const OK = Buffer.from([0x88])
const isRequest = ({ type }: Frame) => type === HEADERS
const errorOf = (body: string): string => (JSON.parse(body) as { code: string }).code

/** Answers each stream when its request is complete. */
function answerAll(frame_: Frame, endpoint: RawEndpoint): void {
  if ((frame_.type === HEADERS || frame_.type === DATA) && (frame_.flags & 1) !== 0)
    endpoint.send(frame(HEADERS, 4, frame_.id, OK), frame(DATA, 1, frame_.id, 'fine'))
}

test('a refused stream is sent again, also a POST with a body', async (t) => {
  let refused = 0
  const upstream = await startRawHttp2(t, (one, endpoint) => {
    // Every third request is refused at its head.
    if (isRequest(one) && ((one.id - 1) / 2) % 3 === 0) {
      refused++
      endpoint.send(frame(RST_STREAM, 0, one.id, u32(REFUSED_STREAM)))
    } else if (((one.id - 1) / 2) % 3 !== 0) answerAll(one, endpoint)
  })
  const sluice = await startSluice(t, toService({ endpoints: [upstream.address], ejection: null, retry: { attempts: 3 } }))
  for (const client of bothClients(t, sluice)) {
    for (let i = 0; i < 4; i++) {
      const answer = await client.ask({ body: 'x'.repeat(5000) })
      assert.deepEqual([answer.status, answer.body], [200, 'fine'], client.name)
    }
  }
  assert.ok(refused >= 3, `${refused}`)
})

test('an endpoint that refuses everything is a 503, and one that resets streams a 502', async (t) => {
  const upstream = await startRawHttp2(t, (one, endpoint, path) => {
    if (!isRequest(one)) return
    const isReset = path === '/reset'
    endpoint.send(frame(RST_STREAM, 0, one.id, u32(isReset ? INTERNAL_ERROR : REFUSED_STREAM)))
  })
  const sluice = await startSluice(t, toService({ endpoints: [upstream.address], ejection: null, retry: null }))
  for (const client of bothClients(t, sluice)) {
    const refused = await client.ask({ path: '/refuse' })
    assert.deepEqual([refused.status, errorOf(refused.body)], [503, 'upstream_refused'], client.name)
    const reset = await client.ask({ path: '/reset' })
    assert.deepEqual([reset.status, errorOf(reset.body)], [502, 'upstream_reset'], client.name)
  }
  assert.equal(upstream.connections, 1)
})

test('what is not valid HTTP/2 is a 502, and only the stream suffers', async (t) => {
  const upstream = await startRawHttp2(t, (one, endpoint, path) => {
    if (!isRequest(one)) return
    const { id } = one
    if (path === '/upper') endpoint.send(frame(HEADERS, 5, id, Buffer.concat([OK, field('X-Upper', '1')])))
    else if (path === '/nostatus') endpoint.send(frame(HEADERS, 5, id, field('a', 'b')))
    else if (path === '/short') endpoint.send(frame(HEADERS, 5, id, Buffer.concat([OK, field('content-length', '5')])))
    else if (path === '/large') {
      const fields = Array.from({ length: 700 }, (_, i) => field(`x-${i}`, 'y'.repeat(100)))
      const block = Buffer.concat([OK, ...fields])
      endpoint.send(frame(HEADERS, 1, id, block.subarray(0, 16_000)))
      for (let at = 16_000; at < block.length; at += 16_000)
        endpoint.send(frame(9, at + 16_000 >= block.length ? 4 : 0, id, block.subarray(at, at + 16_000)))
    } else endpoint.send(frame(HEADERS, 4, id, OK), frame(DATA, 1, id, 'fine'))
  })
  const sluice = await startSluice(t, toService({ endpoints: [upstream.address], ejection: null, retry: null }))
  for (const client of bothClients(t, sluice)) {
    for (const path of ['/upper', '/nostatus', '/short', '/large']) {
      const answer = await client.ask({ path })
      assert.deepEqual([answer.status, errorOf(answer.body)], [502, 'upstream_protocol'], `${client.name} ${path}`)
      assert.equal((await client.ask({ path: '/fine' })).body, 'fine')
    }
  }
  assert.equal(upstream.connections, 1)
})

test('a response that breaks off is broken off for the client too', async (t) => {
  const upstream = await startRawHttp2(t, (one, endpoint) => {
    if (!isRequest(one)) return
    endpoint.send(frame(HEADERS, 4, one.id, OK), frame(DATA, 0, one.id, 'half'))
    setTimeout(() => endpoint.send(frame(RST_STREAM, 0, one.id, u32(INTERNAL_ERROR))), 50)
  })
  const sluice = await startSluice(t, toService({ endpoints: [upstream.address] }))
  for (const client of bothClients(t, sluice)) await assert.rejects(client.ask(), client.name)
})

test('a reset without an error ends a response, unless some of it is missing', async (t) => {
  const upstream = await startRawHttp2(t, (one, endpoint, path) => {
    if (!isRequest(one)) return
    const head = path === '/length' ? Buffer.concat([OK, field('content-length', '5')]) : OK
    endpoint.send(frame(HEADERS, 4, one.id, head), frame(DATA, 0, one.id, 'half'), frame(RST_STREAM, 0, one.id, u32(0)))
  })
  const sluice = await startSluice(t, toService({ endpoints: [upstream.address] }))
  for (const client of bothClients(t, sluice)) {
    assert.equal((await client.ask()).body, 'half', client.name)
    await assert.rejects(client.ask({ path: '/length' }), client.name)
  }
})

test('a connection whose endpoint breaks the protocol fails its requests and is replaced', async (t) => {
  const upstream = await startRawHttp2(t, (one, endpoint, path) => {
    if (!isRequest(one)) return
    // A PUSH_PROMISE although push is off.
    if (path === '/bad') endpoint.send(frame(5, 4, one.id, u32(2)))
    else answerAll(one, endpoint)
  })
  const sluice = await startSluice(t, toService({ endpoints: [upstream.address], ejection: null, retry: null }))
  for (const client of bothClients(t, sluice)) {
    const bad = await client.ask({ path: '/bad' })
    assert.deepEqual([bad.status, errorOf(bad.body)], [502, 'upstream_protocol'], client.name)
    assert.equal((await client.ask({ path: '/fine' })).body, 'fine')
  }
  assert.equal(upstream.connections, 3)
})

test('requests that a GOAWAY leaves out go to another connection, also with a body and without retries', async (t) => {
  for (const retry of [undefined, null]) {
    const upstream = await startRawHttp2(t, (one, endpoint) => {
      // Each connection serves its first two requests and says so late, when the third is there.
      if (isRequest(one) && one.id === 5) endpoint.send(frame(GOAWAY, 0, 0, Buffer.concat([u32(3), u32(0)])))
      else if (one.id < 5) answerAll(one, endpoint)
    })
    const sluice = await startSluice(t, toService({ endpoints: [upstream.address], ...(retry === null ? { retry } : {}) }))
    for (const client of bothClients(t, sluice)) {
      for (let i = 0; i < 6; i++) {
        const answer = await client.ask(retry === null ? { method: 'DELETE' } : { body: 'a body' })
        assert.deepEqual([answer.status, answer.body], [200, 'fine'], client.name)
      }
    }
    await sluice.stop()
  }
})

test('a connection that died while it stood idle is replaced, for requests that may be repeated', async (t) => {
  const upstream = await startRawHttp2(t, (one, endpoint) => {
    // The second request of a connection finds it dead.
    if (isRequest(one) && one.id > 1) endpoint.socket.destroy()
    else answerAll(one, endpoint)
  })
  const sluice = await startSluice(t, toService({ endpoints: [upstream.address], ejection: null, retry: null }))
  const [client] = bothClients(t, sluice)
  for (let i = 0; i < 3; i++) assert.equal((await client!.ask()).body, 'fine')
  assert.equal(upstream.connections, 3)
  const answer = await client!.ask({ method: 'POST' })
  assert.deepEqual([answer.status, errorOf(answer.body)], [502, 'upstream_reset'])
})

test('what is left of a request that was answered is taken back', async (t) => {
  const frames: Frame[] = []
  const upstream = await startRawHttp2(t, (one, endpoint) => {
    frames.push(one)
    if (isRequest(one)) endpoint.send(frame(HEADERS, 5, one.id, OK))
  })
  const sluice = await startSluice(t, toService({ endpoints: [upstream.address] }))
  const stream = connect(t, sluice.port()).request({ ':method': 'POST', ':path': '/' })
  stream.on('error', () => {})
  stream.write('a beginning')
  const reset = await waitFor('RST_STREAM', () => frames.find((one) => one.type === RST_STREAM))
  assert.equal(codeOf(reset), CANCEL)
})

test('an endpoint that closes its connections in order all the time costs no request', { timeout: 120_000 }, async (t) => {
  let served = 0
  const upstream = await startHttp2Upstream(t, (stream) => {
    stream.resume()
    stream.on('end', () => {
      stream.respond({ ':status': 200 })
      stream.end('fine')
      if (++served % 60 === 0) stream.session?.close()
    })
  })
  const sluice = await startSluice(t, toService({ endpoints: [upstream.address] }))
  const agent = new http.Agent({ keepAlive: true, maxSockets: 10 })
  t.after(() => agent.destroy())
  const clients = [http1Client(sluice.port(), agent), bothClients(t, sluice)[1]!]
  const statuses = new Map<string, number>()
  await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      for (let n = 0; n < 60; n++) {
        const client = clients[i % 2]!
        const answer = await client.ask(n % 3 === 0 ? {} : { body: 'x'.repeat(200) })
        const key = `${client.name} ${answer.status} ${answer.body.slice(0, 200)}`
        statuses.set(key, (statuses.get(key) ?? 0) + 1)
      }
    }),
  )
  assert.deepEqual(Object.fromEntries(statuses), { 'HTTP/1.1 200 fine': 600, 'HTTP/2 200 fine': 600 })
  assert.ok(upstream.connections > 5, `${upstream.connections}`)
})

test('an endpoint that does not speak HTTP/2, or says nothing, is a failure to connect', async (t) => {
  const http1 = await startUpstream(t, (_, response) => response.end('no'))
  const mute = await startRawUpstream(t, (socket) => socket.resume())
  const config = {
    workers: 1,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: {
      http1: { protocol: 'http2', endpoints: [http1.address], retry: null },
      mute: { protocol: 'http2', endpoints: [mute.address], retry: null, pool: { connectTimeout: '300ms' } },
    },
    routes: { one: { match: { path: '/http1' }, to: 'http1' }, two: { match: { path: '/mute' }, to: 'mute' } },
  }
  const sluice = await startSluice(t, config)
  for (const client of bothClients(t, sluice)) {
    const answers = await Promise.all([client.ask({ path: '/http1' }), client.ask({ path: '/mute' })])
    assert.deepEqual(
      answers.map(({ status, body }) => [status, errorOf(body)]),
      [
        [502, 'connect_failed'],
        [504, 'connect_timeout'],
      ],
      client.name,
    )
  }
  assert.ok(sluice.logs.some((line) => line.includes('does not speak HTTP/2')))
})

test('a client that leaves cancels its stream, and the connection stays', async (t) => {
  const frames: Frame[] = []
  const upstream = await startRawHttp2(t, (one, endpoint, path) => {
    frames.push(one)
    if (isRequest(one) && path === '/fine') answerAll(one, endpoint)
    else if (isRequest(one)) endpoint.send(frame(HEADERS, 4, one.id, OK))
  })
  const sluice = await startSluice(t, toService({ endpoints: [upstream.address] }))
  const [client] = bothClients(t, sluice)
  const request = http.get({ port: sluice.port(), host: '127.0.0.1', path: '/endless', agent: false })
  request.on('error', () => {})
  request.on('response', (response) => response.on('error', () => {}))
  await waitFor('the request', () => frames.find(isRequest))
  await sleep(50)
  request.socket?.resetAndDestroy()
  const reset = await waitFor('RST_STREAM', () => frames.find((one) => one.type === RST_STREAM))
  assert.equal(codeOf(reset), CANCEL)
  const session = connect(t, sluice.port())
  const stream = session.request({ ':path': '/endless' })
  stream.on('error', () => {})
  await waitFor('the second request', () => frames.filter(isRequest).length === 2)
  stream.close(CANCEL)
  await waitFor('the second RST_STREAM', () => frames.filter((one) => one.type === RST_STREAM).length === 2)
  assert.equal((await client!.ask({ path: '/fine' })).body, 'fine')
  assert.equal(upstream.connections, 1)
})

test('an endpoint that gives no sign of life is given up, and asked no more often than needed', async (t) => {
  let isDead = false
  const pings: number[] = []
  const upstream = await startRawHttp2(t, (one, endpoint, path) => {
    if (one.type === PING && (one.flags & 1) === 0) {
      pings.push(performance.now())
      if (!isDead) endpoint.send(frame(PING, 1, 0, one.payload))
    }
    if (isRequest(one) && path === '/fine') answerAll(one, endpoint)
  })
  const sluice = await startSluice(t, toService({ endpoints: [upstream.address], retry: null, http2: { ping: '300ms' } }))
  const [client] = bothClients(t, sluice)
  assert.equal((await client!.ask({ path: '/fine' })).body, 'fine')
  await sleep(1500)
  // It answered the first and had nothing to do.
  assert.equal(pings.length, 1)
  isDead = true
  const began = performance.now()
  const answer = await client!.ask({ method: 'POST', path: '/silence' })
  assert.deepEqual([answer.status, errorOf(answer.body)], [502, 'upstream_reset'])
  assert.ok(performance.now() - began < 10_000)
  assert.equal(pings.length, 2)
})

test('an idle connection is closed with a GOAWAY', async (t) => {
  const frames: Frame[] = []
  const upstream = await startRawHttp2(t, (one, endpoint) => {
    frames.push(one)
    answerAll(one, endpoint)
  })
  const sluice = await startSluice(t, toService({ endpoints: [upstream.address], pool: { idleTimeout: '200ms' } }))
  const [client] = bothClients(t, sluice)
  assert.equal((await client!.ask()).body, 'fine')
  await waitFor('GOAWAY', () => frames.find((one) => one.type === GOAWAY))
  await waitFor('the end', () => upstream.open === 0)
  assert.equal((await client!.ask()).body, 'fine')
  assert.equal(upstream.connections, 2)
})

test('connections outlive a reload, and close when their service goes', async (t) => {
  const upstream = await startHttp2Upstream(t, (stream) => {
    stream.respond({ ':status': 200 })
    stream.end('fine')
  })
  const config = toService({ endpoints: [upstream.address] })
  const sluice = await startSluice(t, config)
  const [client] = bothClients(t, sluice)
  assert.equal((await client!.ask()).body, 'fine')
  assert.equal((await sluice.reload(toService({ endpoints: [upstream.address], timeouts: { request: '5s' } }))).status, 200)
  assert.equal((await client!.ask()).body, 'fine')
  assert.equal(upstream.connections, 1)
  const changed = toService({ endpoints: [upstream.address], http2: { maxStreams: 5 } })
  assert.equal((await sluice.reload(changed)).status, 200)
  await waitFor('the end of the old connection', () => upstream.open === 0)
  assert.equal((await client!.ask()).body, 'fine')
  assert.equal(upstream.connections, 2)
})

test('an endpoint that is killed under load is replaced by the other', { timeout: 120_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-nghttpd-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, 'small.txt'), 'small')
  const one = await startNghttpd(t, nghttpd, folder)
  const two = await startNghttpd(t, nghttpd, folder)
  const sluice = await startSluice(t, toService({ endpoints: [one.address, two.address], retry: { budget: '100%' } }))
  const [, client] = bothClients(t, sluice)
  const statuses = new Map<string, number>()
  let asked = 0
  await Promise.all(
    Array.from({ length: 10 }, async () => {
      while (asked < 3000) {
        if (++asked === 1500) process.kill(one.pid, 'SIGKILL')
        const { status, body } = await client!.ask({ path: '/small.txt' })
        const key = `${status} ${body}`
        statuses.set(key, (statuses.get(key) ?? 0) + 1)
      }
    }),
  )
  assert.deepEqual([...statuses.keys()], ['200 small'])
})
