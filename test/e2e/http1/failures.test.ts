/** Upstreams that die, lie, stall or refuse; timeouts; the pool and its waiting line. */
import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import type { CleanupScope } from '../../support/cleanup.ts'
import { freePort } from '../../support/port.ts'
import { startStalled } from '../../support/stalled.ts'
import { waitFor } from '../../support/wait.ts'
import { openClient, problem, readMessage, request, sleep, startGateway, startScript, statusOf } from './kit.ts'

const scope = { after }
const upstream = await startScript(scope)
const refusedPort = await freePort()
const stalled = await startStalled(scope)

const to = (service: string, prefix: string, route: object = {}) => ({ match: { prefix }, to: service, ...route })
const gateway = await startGateway(scope, [upstream.address], {
  more: {
    services: {
      up: { endpoints: [upstream.address], ejection: null },
      gone: { endpoints: [`127.0.0.1:${refusedPort}`], ejection: null },
      stalled: { endpoints: [stalled.address], ejection: null, pool: { connectTimeout: '200ms' } },
      hasty: { endpoints: [upstream.address], ejection: null, timeouts: { request: '300ms' } },
      tries: { endpoints: [upstream.address], ejection: null, timeouts: { request: '5s', perTry: '200ms' } },
      idle: { endpoints: [upstream.address], ejection: null, timeouts: { idle: '1s' } },
      narrow: {
        endpoints: [upstream.address],
        ejection: null,
        pool: { maxConnections: 2, maxPending: 3, pendingTimeout: '1200ms' },
      },
      unresolved: { endpoints: ['no-such-host.invalid:80'], ejection: null },
    },
    routes: {
      up: to('up', '/'),
      gone: to('gone', '/gone'),
      stalled: to('stalled', '/stalled'),
      hasty: to('hasty', '/hasty'),
      hastyRoute: to('up', '/hasty-route', { timeouts: { request: '300ms' } }),
      patient: to('hasty', '/patient', { timeouts: { request: 0 } }),
      tries: to('tries', '/tries'),
      idle: to('idle', '/idle'),
      narrow: to('narrow', '/narrow'),
      unresolved: to('unresolved', '/unresolved'),
    },
  },
})
const port = gateway.port()

beforeEach(async () => {
  upstream.reset()
  await waitFor('all upstream connections to be gone', () => upstream.open === 0)
})

/** Sends one request on a connection of its own and returns the response. */
async function ask(t: CleanupScope, target = '/', bytes = request('GET', target)) {
  const client = await openClient(t, port)
  client.send(bytes)
  const response = await client.response()
  return { client, response, status: statusOf(response), code: statusOf(response) >= 400 ? problem(response).code : '' }
}

test('a refused connection is 502, a name that does not resolve too', async (t) => {
  const { status, code, response, client } = await ask(t, '/gone/x')
  assert.deepEqual([status, code], [502, 'connect_failed'])
  assert.equal(response.get('content-type'), 'application/problem+json')
  assert.equal(problem(response).request_id, response.get('x-request-id'))
  assert.equal(response.body.includes(String(refusedPort)), false, 'the client does not learn addresses')
  client.send(request())
  assert.equal((await client.response()).body, 'ok', 'its connection is fine')
  const posting = await ask(t, '', request('POST', '/gone', [], 'x'.repeat(1000)))
  assert.equal(posting.status, 502)
  assert.deepEqual(((r) => [r.status, r.code])(await ask(t, '/unresolved')), [502, 'connect_failed'])
})

test('a connection that is not accepted in time is 504', async (t) => {
  // The best of many: without a setting of its own it would be a second.
  let ms = Number.POSITIVE_INFINITY
  for (let i = 0; i < 5 && ms > 600; i++) {
    const startMs = performance.now()
    const { status, code } = await ask(t, '/stalled')
    ms = Math.min(ms, performance.now() - startMs)
    assert.deepEqual([status, code], [504, 'connect_timeout'])
  }
  assert.ok(ms > 180 && ms < 900, `${ms} ms`)
})

test('an upstream that dies before or inside the head is 502', async (t) => {
  for (const start of ['', 'H', 'HTTP/1.1 200 OK\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: ']) {
    for (const end of ['destroySoon', 'resetAndDestroy'] as const) {
      upstream.answer = async (_, { socket }) => {
        socket.write(start)
        await sleep(20)
        socket[end]()
      }
      const { status, code, client } = await ask(t)
      assert.deepEqual([status, code], [502, 'upstream_reset'], `${JSON.stringify(start)} ${end}`)
      upstream.reset()
      client.send(request())
      assert.equal((await client.response()).body, 'ok')
    }
  }
})

test('an upstream that dies inside the body: the client sees a broken connection, never an end', async (t) => {
  const starts = [
    'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n',
    `HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(999_999)}`,
  ]
  for (const start of starts) {
    for (const end of ['destroySoon', 'resetAndDestroy'] as const) {
      for (const version of ['1.1', '1.0']) {
        upstream.answer = async (_, { socket }) => {
          socket.write(start, 'latin1')
          await sleep(50)
          socket[end]()
        }
        const client = await openClient(t, port)
        client.send(`GET / HTTP/${version}\r\nHost: a\r\n\r\n`)
        assert.equal(await client.end(), 'reset', `${start.slice(0, 90)} ${end} to HTTP/${version}`)
        assert.equal(client.text.includes('\r\n0\r\n'), false)
      }
    }
  }
})

test('a body until close that is reset instead of closed is broken off too', async (t) => {
  upstream.answer = async (_, { socket }) => {
    socket.write('HTTP/1.1 200 OK\r\n\r\nhello')
    await sleep(50)
    socket.resetAndDestroy()
  }
  const client = await openClient(t, port)
  client.send(request())
  assert.equal(await client.end(), 'reset')
})

const malicious: [string, string][] = [
  ['no HTTP at all', 'hello\r\n\r\n'],
  ['an SSH banner', 'SSH-2.0-OpenSSH_9.2\r\n'],
  ['another version', 'HTTP/2.0 200 OK\r\n\r\n'],
  ['a bare LF', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok'],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
  ['length and chunked', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['chunked on HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok'],
  ['two equal lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok'],
  ['a length list', 'HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok'],
  ['a signed length', 'HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok'],
  ['an unknown coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
  ['chunked twice', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['a folded line', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n'],
  ['a space before the colon', 'HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok'],
  ['an empty name', 'HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 0\r\n\r\n'],
  ['a NUL in a value', 'HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n'],
  ['a CR in a value', 'HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n'],
  ['a head that is too large', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}\r\nContent-Length: 0\r\n\r\n`],
  ['a head without end', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(200_000)}`],
  ['too many fields', `HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(201)}Content-Length: 0\r\n\r\n`],
]

for (const [name, bytes] of malicious) {
  test(`a response with ${name} is 502 and its connection is never used again`, async (t) => {
    upstream.answer = (_, connection) => connection.write(bytes)
    const { status, code, client } = await ask(t)
    assert.deepEqual([status, code], [502, 'upstream_protocol'])
    await waitFor('the upstream connection to be closed', () => upstream.log[0]!.closedMs !== null)
    upstream.reset()
    client.send(request())
    assert.equal((await client.response()).body, 'ok')
  })
}

test('a chunked response that goes wrong after its head is broken off', async (t) => {
  for (const chunk of [
    'x\r\n',
    '5 \r\nhello\r\n',
    '0x5\r\nhello\r\n',
    '5\nhello\n',
    '5\r\nhelloXX',
    'fffffffffffffffff\r\n',
    '-1\r\n',
    '0\r\nbad trailer\r\n\r\n',
  ]) {
    upstream.answer = (_, connection) => connection.write(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n${chunk}`)
    const client = await openClient(t, port)
    client.send(request())
    assert.equal(await client.end(), 'reset', chunk)
    assert.equal(client.text.includes('\r\n0\r\n'), false)
    await waitFor('the upstream connection to be closed', () => upstream.log.at(-1)!.closedMs !== null)
  }
})

test('more bytes than the length says: the client gets the length, the connection is never used again', async (t) => {
  upstream.answer = (_, connection) =>
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil')
  const client = await openClient(t, port)
  client.send(request() + request())
  await client.until(() => client.text.split('HTTP/1.1 200').length === 3)
  assert.equal(client.text.includes('evil'), false)
  assert.equal(upstream.log.length, 2)
  // The same behind the last chunk, and behind a response that has no body.
  upstream.reset()
  const evil = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'
  for (const head of [
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'HTTP/1.1 204 No Content\r\n\r\n',
    'HTTP/1.1 304 Not Modified\r\n\r\n',
  ]) {
    upstream.answer = (_, connection) => connection.write(head + evil)
    const next = await openClient(t, port)
    next.send(request())
    await next.response()
    upstream.answer = (_, connection) => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood')
    next.send(request())
    assert.equal((await next.response()).body, 'good')
    upstream.reset()
  }
})

test('the request timeout is 504 and takes the request away from the upstream', async (t) => {
  upstream.answer = () => {}
  for (const target of ['/hasty', '/hasty-route']) {
    const startMs = performance.now()
    const { status, code } = await ask(t, target)
    const ms = performance.now() - startMs
    assert.deepEqual([status, code], [504, 'upstream_timeout'])
    assert.ok(ms > 280 && ms < 3000, `${ms} ms`)
    await waitFor('the close', () => upstream.log.at(-1)!.closedMs !== null)
  }
  // The upstream sends interim responses, or half a head: that is no answer.
  for (const start of ['HTTP/1.1 103 Early Hints\r\n\r\n', 'HTTP/1.1 200 OK\r\nContent-']) {
    upstream.answer = (_, connection) => connection.write(start)
    const client = await openClient(t, port)
    client.send(request('GET', '/hasty'))
    let response = await client.response()
    if (statusOf(response) === 103) response = await client.response()
    assert.equal(statusOf(response), 504)
  }
})

test('a request timeout of 0 on a route switches that of the service off', async (t) => {
  upstream.answer = async (_, connection) => {
    await sleep(800)
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
  }
  assert.equal((await ask(t, '/patient')).status, 200)
})

test('a body that takes longer than the request timeout is no timeout, in either direction', async (t) => {
  upstream.answer = async (_, connection) => {
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n')
    for (let i = 0; i < 8; i++) {
      await sleep(100)
      connection.write('x')
    }
  }
  assert.equal((await ask(t, '/hasty')).response.body, 'xxxxxxxx')
  upstream.reset()
  const client = await openClient(t, port)
  client.send(request('PUT', '/hasty', ['Content-Length: 8']))
  for (let i = 0; i < 8; i++) {
    await sleep(100)
    client.send('x')
  }
  assert.equal((await client.response()).body, 'ok')
})

test('the per-try timeout is 504', async (t) => {
  upstream.answer = () => {}
  const startMs = performance.now()
  const { status, code } = await ask(t, '/tries')
  const ms = performance.now() - startMs
  assert.deepEqual([status, code], [504, 'upstream_timeout'])
  assert.ok(ms > 180 && ms < 3000, `${ms} ms`)
})

test('a response body that stalls is broken off after the idle timeout', async (t) => {
  for (const start of [
    'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n',
  ]) {
    upstream.answer = (_, connection) => connection.write(start)
    const client = await openClient(t, port)
    client.send(request('GET', '/idle'))
    const startMs = performance.now()
    assert.equal(await client.end(), 'reset')
    const ms = performance.now() - startMs
    assert.ok(ms > 980 && ms < 10_000, `${ms} ms`)
    await waitFor('the close', () => upstream.log.at(-1)!.closedMs !== null)
  }
})

test('the idle timeout is for the upstream: a client that reads or sends slowly does not use it up', async (t) => {
  const body = 'x'.repeat(12_000_000)
  upstream.answer = (_, connection) => connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  const reader = await openClient(t, port)
  reader.send(request('GET', '/idle'))
  await reader.until(() => reader.text.length > 0)
  reader.socket.pause()
  await sleep(2000)
  reader.socket.resume()
  assert.equal((await reader.response({ timeoutMs: 20_000 })).body.length, body.length)

  upstream.reset()
  const sender = await openClient(t, port)
  sender.send(`${request('PUT', '/idle', ['Content-Length: 10'])}hello`)
  await sleep(2000)
  sender.send('world')
  assert.equal((await sender.response()).body, 'ok')
  assert.equal(upstream.requests[0]!.body, 'helloworld')
})

test('an upstream that does not take the upload is 504 after the idle timeout', async (t) => {
  upstream.onBytes = ({ socket }) => void socket.pause()
  const client = await openClient(t, port)
  client.send(request('PUT', '/idle', ['Content-Length: 100000000']))
  client.send(Buffer.alloc(30_000_000))
  const response = await client.response()
  assert.deepEqual([statusOf(response), problem(response).code], [504, 'upstream_timeout'])
})

test('an early answer to an upload reaches the client while it still sends, however the upstream closes behind it', async (t) => {
  for (const ending of ['keeps', 'closes', 'resets'] as const) {
    for (let i = 0; i < 10; i++) {
      upstream.onBytes = ({ socket, received, write }) => {
        if (received.length < 10_000 || socket.writableEnded) return
        socket.pause()
        const head = `HTTP/1.1 413 Content Too Large\r\n${ending === 'keeps' ? '' : 'Connection: close\r\n'}Content-Length: 7\r\n\r\ntoo big`
        if (ending === 'keeps') write(head)
        else socket.end(head)
        // What has arrived and was not read turns the close into a reset.
        if (ending === 'resets') socket.destroySoon()
      }
      const client = await openClient(t, port)
      client.send(request('PUT', '/', ['Content-Length: 30000000']))
      client.send(Buffer.alloc(30_000_000))
      const response = await client.response()
      assert.deepEqual([statusOf(response), response.body], [413, 'too big'], ending)
      client.socket.destroy()
      upstream.reset()
    }
  }
})

test('the pool: no more connections than allowed, the rest wait in line', async (t) => {
  upstream.answer = async (_, connection) => {
    await sleep(100)
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
  }
  const before = upstream.connections
  const answers = await Promise.all(Array.from({ length: 5 }, () => ask(t, '/narrow')))
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200, 200, 200],
  )
  assert.equal(upstream.connections - before, 2)
})

test('the pool: a full line is 503 at once, a wait that takes too long 503 after its time', async (t) => {
  upstream.answer = () => {}
  const startMs = performance.now()
  const answers = await Promise.all(
    Array.from({ length: 9 }, async () => {
      const client = await openClient(t, port)
      client.send(request('GET', '/narrow'))
      const response = await Promise.race([client.response(), sleep(3500, null)])
      return { response, ms: performance.now() - startMs }
    }),
  )
  const refused = answers.filter(({ response }) => response !== null)
  assert.equal(refused.length, 7)
  for (const { response } of refused) {
    assert.deepEqual([statusOf(response!), problem(response!).code], [503, 'pool_overflow'])
    assert.notEqual(response!.get('retry-after'), undefined)
  }
  assert.equal(refused.filter(({ ms }) => ms < 1100).length, 4, 'more than the line holds')
  assert.equal(refused.filter(({ ms }) => ms > 1180).length, 3, 'waited in vain')
})

test('the pool: a client that leaves the line leaves no request behind, and its place is free', async (t) => {
  upstream.answer = () => {}
  const busy = await Promise.all([openClient(t, port), openClient(t, port)])
  for (const client of busy) client.send(request('GET', '/narrow/busy'))
  await waitFor('both connections to be busy', () => upstream.requests.length === 2)
  const leaving = await Promise.all([openClient(t, port), openClient(t, port), openClient(t, port)])
  for (const client of leaving) client.send(request('GET', '/narrow/leaving'))
  await sleep(50)
  for (const client of leaving) client.socket.resetAndDestroy()
  await sleep(50)
  const waiting = await openClient(t, port)
  waiting.send(request('GET', '/narrow/waiting'))
  await sleep(50)
  upstream.log[0]!.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
  await waitFor('the waiting request', () => upstream.requests.length === 3)
  assert.match(upstream.requests[2]!.start, /waiting/)
  upstream.log[0]!.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
  assert.equal(statusOf(await waiting.response()), 200)
})

test('errors: problem documents with code and request id; none of it for HEAD', async (t) => {
  const client = await openClient(t, port)
  client.send(request('HEAD', '/gone'))
  const head = await client.response({ bodyless: true })
  assert.equal(statusOf(head), 502)
  assert.equal(head.get('content-type'), 'application/problem+json')
  client.send(request('GET', '/gone'))
  const response = await client.response()
  assert.equal(client.text, '')
  const document = JSON.parse(response.body) as Record<string, unknown>
  assert.deepEqual(Object.keys(document), ['type', 'title', 'status', 'code', 'detail', 'request_id'])
  assert.equal(response.get('cache-control'), 'no-store')
  assert.equal(readMessage(`${response.start}\r\n\r\n`)!.start, 'HTTP/1.1 502 Bad Gateway')
})
