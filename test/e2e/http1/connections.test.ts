/** Connections on both legs: reuse, pipelining, half-close, clients that leave, and requests that are repeated. */
import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import type { CleanupScope } from '../../support/cleanup.ts'
import { waitFor } from '../../support/wait.ts'
import { type Client, OK, openClient, problem, readMessages, request, sleep, startGateway, startScript, statusOf } from './kit.ts'

const scope = { after }
const upstream = await startScript(scope)
const gateway = await startGateway(scope, [upstream.address], { more: { accessLog: { path: '-' } } })
const port = gateway.port()

beforeEach(async () => {
  upstream.reset()
  await waitFor('all upstream connections to be gone', () => upstream.open === 0)
})

/** Answers each request with its own target. */
const echoTarget = () => {
  upstream.answer = (seen, connection) => {
    const target = seen.start.split(' ')[1]!
    connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${target.length}\r\n\r\n${target}`)
  }
}

test('both legs keep their connections: 200 requests of 4 clients use 4 connections and at most 4 upstream', async (t) => {
  const before = upstream.connections
  const clients = await Promise.all(Array.from({ length: 4 }, () => openClient(t, port)))
  await Promise.all(
    clients.map(async (client) => {
      for (let i = 0; i < 50; i++) {
        client.send(i % 3 === 0 ? request('POST', '/', [], 'body') : request())
        assert.equal((await client.response()).body, 'ok')
      }
    }),
  )
  assert.equal(upstream.requests.length, 200)
  assert.ok(upstream.connections - before <= 4, `${upstream.connections - before} connections`)
})

test('one client after another uses the same upstream connection', async (t) => {
  const before = upstream.connections
  for (let i = 0; i < 20; i++) {
    const client = await openClient(t, port)
    client.send(request('GET', '/', ['Connection: close']))
    assert.equal((await client.response()).body, 'ok')
    await client.end()
  }
  assert.equal(upstream.connections - before, 1)
})

const answersOf = (client: Client) => readMessages(client.text).map((message) => message.body)

test('three requests in one write are answered in order, also when the first takes longest', async (t) => {
  upstream.answer = async (seen, connection) => {
    const target = seen.start.split(' ')[1]!
    await sleep(target === '/1' ? 150 : 1)
    connection.write(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${target}`)
  }
  const client = await openClient(t, port)
  client.send(request('GET', '/1') + request('POST', '/2', [], 'body') + request('GET', '/3', ['Connection: close']))
  assert.equal(await client.end(), 'closed')
  assert.deepEqual(answersOf(client), ['/1', '/2', '/3'])
  assert.equal(upstream.requests[1]!.body, 'body')
})

/** 1,000 requests of every kind, and what is answered to them. */
function thousand(): { bytes: string; expected: string[] } {
  const expected: string[] = []
  let bytes = ''
  for (let i = 0; i < 1000; i++) {
    const target = `/${i}?${'q'.repeat(i % 37)}`
    expected.push(target)
    if (i % 5 === 1) bytes += request('POST', target, [], 'x'.repeat((i % 11) * 10 + 1))
    else if (i % 5 === 2)
      bytes += `PUT ${target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\nT: x\r\n\r\n`
    else bytes += request('GET', target)
  }
  return { bytes, expected }
}

test('1,000 requests in one write are answered in order', async (t) => {
  echoTarget()
  const { bytes, expected } = thousand()
  const client = await openClient(t, port)
  client.send(bytes)
  await client.until(() => client.text.endsWith(expected[999]!), 20_000)
  assert.deepEqual(answersOf(client), expected)
  assert.equal(upstream.requests.length, 1000)
})

test('1,000 requests split at odd places are answered in order', async (t) => {
  echoTarget()
  const { bytes, expected } = thousand()
  const client = await openClient(t, port)
  let at = 0
  for (let i = 0; at < bytes.length; i++) {
    const size = [1, 7, 61, 1009, 3, 4096, 2, 523][i % 8]!
    client.send(bytes.slice(at, at + size))
    at += size
    if (i % 4 === 0) await sleep(0)
  }
  await client.until(() => client.text.endsWith(expected[999]!), 20_000)
  assert.deepEqual(answersOf(client), expected)
})

test('requests pipelined behind one that the gateway answers itself are served too', async (t) => {
  const local = await startGateway(t, [upstream.address], {
    more: { routes: { own: { match: { path: '/own' }, respond: { body: 'own' } }, all: { to: 'up' } } },
  })
  const client = await openClient(t, local.port())
  client.send((request('GET', '/own') + request('GET', '/')).repeat(100) + request('GET', '/own', ['Connection: close']))
  await client.end()
  assert.equal(answersOf(client).join(''), `${'ownok'.repeat(100)}own`)
})

test('what is pipelined behind a broken request or behind Connection: close is never served', async (t) => {
  const client = await openClient(t, port)
  client.send(`${request('GET', '/good')}${request('GET', '/last', ['Connection: close'])}${request('GET', '/never')}`)
  await client.end()
  assert.equal(answersOf(client).length, 2)
  const broken = await openClient(t, port)
  broken.send(`${request('GET', '/good')}GET / HTTP/1.1\r\nbroken\r\n\r\n${request('GET', '/never')}`)
  await broken.end()
  assert.deepEqual(readMessages(broken.text).map(statusOf), [200, 400])
  assert.equal(
    upstream.requests.some((seen) => seen.start.includes('never')),
    false,
  )
})

test('a client that sends its FIN right behind the request gets the whole response', async (t) => {
  const body = 'x'.repeat(3_000_000)
  upstream.answer = async (_, connection) => {
    await sleep(300)
    connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  }
  const client = await openClient(t, port)
  client.send(request())
  client.socket.end()
  assert.equal(await client.end(), 'closed')
  const response = readMessages(client.text)[0]!
  assert.equal(response.body.length, body.length)
  assert.equal(response.get('content-length'), String(body.length))

  // The same behind a body, and behind pipelined requests.
  echoTarget()
  const posting = await openClient(t, port)
  posting.socket.end(request('GET', '/1') + request('POST', '/2', [], 'x'.repeat(50_000)) + request('GET', '/3'), 'latin1')
  assert.equal(await posting.end(), 'closed')
  assert.deepEqual(answersOf(posting), ['/1', '/2', '/3'])
})

/** A few milliseconds on a quiet machine. Whoever does not notice waits for a timeout, of which none is shorter than ten seconds. */
const AT_ONCE_MS = 2500

/** Waits until the upstream has noticed, and says how long that took. */
async function noticedAfter(startMs: number): Promise<number> {
  const connection = upstream.log.at(-1)!
  await waitFor('the upstream to see the close', () => connection.closedMs !== null, { everyMs: 5 })
  return connection.closedMs! - startMs
}

test('a client that leaves while it waits takes its upstream request with it at once', async (t) => {
  for (const leave of ['destroy', 'resetAndDestroy'] as const) {
    upstream.answer = () => {}
    const client = await openClient(t, port)
    client.send(request())
    await waitFor('the request', () => upstream.requests.length === 1)
    await sleep(150)
    const startMs = performance.now()
    client.socket[leave]()
    const ms = await noticedAfter(startMs)
    assert.ok(ms < AT_ONCE_MS, `${leave}: ${ms} ms`)
    upstream.reset()
  }
})

test('a client that leaves while the response streams takes its upstream request with it', async (t) => {
  upstream.answer = async (_, connection) => {
    connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    while (connection.closedMs === null) {
      connection.write('5\r\nevent\r\n')
      await sleep(20)
    }
  }
  const client = await openClient(t, port)
  client.send(request())
  await client.until(() => client.text.includes('event'))
  await sleep(150)
  const startMs = performance.now()
  client.socket.destroy()
  assert.ok((await noticedAfter(startMs)) < AT_ONCE_MS)

  // Also when it has stopped reading before.
  upstream.answer = (_, connection) =>
    connection.write(Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n'), Buffer.alloc(50_000_000)]))
  const lazy = await openClient(t, port)
  lazy.socket.pause()
  lazy.send(request())
  await sleep(400)
  const leftMs = performance.now()
  lazy.socket.resetAndDestroy()
  assert.ok((await noticedAfter(leftMs)) < AT_ONCE_MS)
})

test('a client that leaves while it uploads takes its upstream request with it', async (t) => {
  const client = await openClient(t, port)
  client.send(request('PUT', '/', ['Content-Length: 1000']))
  client.send('x'.repeat(500))
  await waitFor('the first half', () => upstream.received().includes('xxxxx'))
  const startMs = performance.now()
  client.socket.destroy()
  assert.ok((await noticedAfter(startMs)) < AT_ONCE_MS)
  assert.equal(upstream.requests.length, 0, 'never a complete request')

  const coded = await openClient(t, port)
  coded.send('PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
  await waitFor('the first chunk', () => upstream.log.at(-1)!.received.includes('hello'))
  const leftMs = performance.now()
  coded.socket.end()
  assert.ok((await noticedAfter(leftMs)) < AT_ONCE_MS)
  assert.equal(upstream.log.at(-1)!.received.includes('0\r\n\r\n'), false, 'never a clean end')
})

test('the head and the first part of a body reach the upstream while the rest is still to come', async (t) => {
  for (const kind of ['fresh', 'kept'] as const) {
    const client = await openClient(t, port)
    if (kind === 'kept') {
      client.send(request())
      await client.response()
    }
    const before = upstream.received().length
    client.send('POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
    const startMs = performance.now()
    await waitFor('the head', () => upstream.received().slice(before).includes('\r\n\r\n'), { everyMs: 2 })
    client.send('5\r\nhello\r\n')
    await waitFor('the first chunk', () => upstream.received().slice(before).includes('hello'), { everyMs: 2 })
    assert.ok(performance.now() - startMs < AT_ONCE_MS)
    client.send('0\r\n\r\n')
    assert.equal((await client.response()).body, 'ok')
    if (kind === 'fresh') {
      // In one piece, while the connection to the upstream is still being made.
      upstream.reset()
      const other = await openClient(t, port)
      other.send('POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
      await waitFor('the first chunk', () => upstream.received().includes('hello'), { everyMs: 2 })
    }
  }
})

/** A connection the upstream keeps, and closes under the next request that comes on it. */
async function staleConnection(client: Client, answer = ''): Promise<void> {
  client.send(request('GET', '/first'))
  await client.response()
  const kept = upstream.log.at(-1)!
  const had = kept.received.length
  upstream.onBytes = (connection) => {
    if (connection !== kept || connection.received.length === had) return
    connection.socket.end(answer)
    connection.socket.destroySoon()
  }
}

test('a kept connection that dies under a request: repeated once on a fresh one for GET, never for POST', async (t) => {
  for (const method of ['GET', 'HEAD', 'OPTIONS', 'DELETE']) {
    const client = await openClient(t, port)
    await staleConnection(client)
    const before = upstream.connections
    client.send(request(method, '/second'))
    assert.equal(statusOf(await client.response({ bodyless: method === 'HEAD' })), 200, method)
    assert.equal(upstream.connections - before, 1)
    upstream.reset()
  }
  for (const method of ['POST', 'PATCH']) {
    const client = await openClient(t, port)
    await staleConnection(client)
    client.send(request(method, '/second'))
    const response = await client.response()
    assert.deepEqual([statusOf(response), problem(response).code], [502, 'upstream_reset'], method)
    upstream.reset()
  }
})

test('the fresh connection dies as well: 502, and no third attempt', async (t) => {
  const client = await openClient(t, port)
  client.send(request('GET', '/first'))
  await client.response()
  upstream.onBytes = ({ socket }) => void socket.destroy()
  const before = upstream.connections
  client.send(request('GET', '/second'))
  assert.equal(statusOf(await client.response()), 502)
  assert.equal(upstream.connections - before, 1)
})

test('a kept connection that dies after a byte of the response: not repeated', async (t) => {
  for (const answer of ['HTTP/1.1 20', 'HTTP/1.1 103 Early Hints\r\n\r\n']) {
    const client = await openClient(t, port)
    await staleConnection(client, answer)
    const before = upstream.connections
    client.send(request('GET', '/second'))
    let response = await client.response()
    if (statusOf(response) === 103) response = await client.response()
    assert.equal(statusOf(response), 502)
    assert.equal(upstream.connections, before)
    upstream.reset()
  }
})

test('an empty chunked body is ended on the repeated attempt too', async (t) => {
  const client = await openClient(t, port)
  await staleConnection(client)
  client.send('PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n')
  assert.equal(statusOf(await client.response()), 200)
  assert.equal(upstream.requests.at(-1)!.framing, 'chunked')
})

test('an upstream that closes idle connections costs no request', async (t) => {
  const client = await openClient(t, port)
  for (let i = 0; i < 10; i++) {
    client.send(request())
    assert.equal((await client.response()).body, 'ok')
    upstream.log.at(-1)!.socket.end()
    await sleep(i % 2 === 0 ? 0 : 20)
  }
})

test('bytes that nobody asked for end an idle upstream connection', async (t) => {
  const client = await openClient(t, port)
  client.send(request())
  await client.response()
  const kept = upstream.log[0]!
  kept.write(OK)
  await waitFor('the close', () => kept.closedMs !== null)
  client.send(request('GET', '/next'))
  assert.equal((await client.response()).body, 'ok')
  assert.equal(upstream.requests[1]!.start, 'GET /next HTTP/1.1')
})

test('maxRequestsPerConnection closes politely', async (t) => {
  const limited = await startGateway(t, [upstream.address], { listener: { maxRequestsPerConnection: 3 } })
  const client = await openClient(t, limited.port())
  client.send(request().repeat(5))
  assert.equal(await client.end(), 'closed')
  const answers = readMessages(client.text)
  assert.deepEqual(
    answers.map((message) => message.get('connection')),
    [undefined, undefined, 'close'],
  )
})

test('idle connections: closed on both legs after their time', async (t) => {
  const short = await startGateway(t, [upstream.address], {
    listener: { timeouts: { idle: '300ms' } },
    service: { pool: { idleTimeout: '150ms' } },
  })
  const client = await openClient(t, short.port())
  client.send(request())
  await client.response()
  const startMs = performance.now()
  await waitFor('the upstream leg', () => upstream.log[0]!.closedMs !== null)
  const upstreamMs = upstream.log[0]!.closedMs! - startMs
  assert.equal(await client.end(), 'closed')
  const clientMs = performance.now() - startMs
  assert.ok(upstreamMs > 100 && upstreamMs < 3000, `${upstreamMs}`)
  assert.ok(clientMs > 250 && clientMs < 3000, `${clientMs}`)
  assert.equal(client.text, '')
})

/** Starts an upload to an upstream that reads nothing. */
async function uploadToNobody(t: CleanupScope, size: number): Promise<Client> {
  upstream.reset()
  upstream.onBytes = ({ socket }) => {
    upstream.onBytes = null
    socket.pause()
  }
  const client = await openClient(t, port)
  client.send(request('PUT', '/', [`Content-Length: ${size}`]))
  client.send(Buffer.alloc(size))
  await sleep(150)
  return client
}

/** Sizes at which the last part of an upload waits in the gateway: as much as the kernel takes and one read more, or a little less. */
async function sizesThatWait(t: CleanupScope): Promise<number[]> {
  const seen = gateway.logs.length
  const client = await uploadToNobody(t, 30_000_000)
  client.socket.destroy()
  upstream.reset()
  const line = await waitFor('the log of the upload', () => gateway.logs.slice(seen).find((entry) => entry.includes('"PUT"')))
  const { requestBytes } = JSON.parse(line) as { requestBytes: number }
  return Array.from({ length: 10 }, (_, i) => requestBytes - i * 16_000)
}

test('an upload whose last part had to wait leaves the client connection as it was', async (t) => {
  for (const size of await sizesThatWait(t)) {
    const client = await uploadToNobody(t, size)
    upstream.log[0]!.socket.resume()
    assert.equal((await client.response()).body, 'ok')
    client.send(request('GET', '/next'))
    assert.equal((await client.response()).body, 'ok')
    client.socket.destroy()
  }
})

test('the same when the answer comes before the last part has left', async (t) => {
  for (const size of await sizesThatWait(t)) {
    const client = await uploadToNobody(t, size)
    upstream.log[0]!.write('HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
    const response = await client.response()
    assert.equal(statusOf(response), 403)
    client.send(request('GET', '/next'))
    // A connection that could not be kept is closed; it never just hangs.
    await client.until(() => client.text !== '')
    client.socket.destroy()
  }
})

test('a client that leaves after an upload whose last part had to wait is noticed', async (t) => {
  for (const size of await sizesThatWait(t)) {
    const client = await uploadToNobody(t, size)
    upstream.answer = () => {}
    upstream.log[0]!.socket.resume()
    await waitFor('the whole upload', () => upstream.requests.length === 1)
    await sleep(10)
    const startMs = performance.now()
    client.socket.resetAndDestroy()
    assert.ok((await noticedAfter(startMs)) < AT_ONCE_MS)
  }
})
