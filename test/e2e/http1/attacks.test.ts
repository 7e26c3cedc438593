/** Requests that try to be two things at once, to climb out of their path, or to hold the gateway up. */
import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import { HEAD_INCOMPLETE, HEAD_INVALID, HEAD_TARGET_TOO_LONG, HEAD_TOO_LARGE, HEAD_VERSION } from '../../../src/codec/http1/head.ts'
import { waitFor } from '../../support/wait.ts'
import { CHUNKED } from '../../vectors/http1/chunked.ts'
import { REQUEST_FIELDS } from '../../vectors/http1/request-fields.ts'
import { REQUEST_FRAMING } from '../../vectors/http1/request-framing.ts'
import { REQUEST_LINE } from '../../vectors/http1/request-line.ts'
import { openClient, problem, readMessage, readMessages, request, sleep, startGateway, startScript, statusOf } from './kit.ts'

const scope = { after }
const upstream = await startScript(scope)
const gateway = await startGateway(scope, [upstream.address], {
  more: {
    listeners: {
      // Where HTTP/2 is spoken, its preface is no bad head.
      web: { address: '127.0.0.1:0', maxConnectionsPerClient: 0, http2: null },
      slow: { address: '127.0.0.1:0', timeouts: { head: '300ms', body: '800ms', idle: '5s' } },
      small: { address: '127.0.0.1:0', limits: { head: '2KiB', headers: 10, uri: '100B', body: '1000B' } },
      few: { address: '127.0.0.1:0', maxConnections: 2 },
      single: { address: ':0', maxConnectionsPerClient: 1 },
      kept: { address: '127.0.0.1:0', path: { mergeSlashes: false, escapedSlashes: 'keep' } },
    },
    routes: {
      all: { to: 'up' },
      secret: { match: { prefix: '/secret' }, respond: { status: 403, body: 'secret' } },
      tight: { match: { path: '/tight' }, to: 'up', limits: { body: 10 } },
    },
  },
})
const port = gateway.port()

beforeEach(() => upstream.reset())

const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'
const STATUS: Record<number, number> = { [HEAD_INVALID]: 400, [HEAD_TARGET_TOO_LONG]: 414, [HEAD_TOO_LARGE]: 431, [HEAD_VERSION]: 505 }

const bad = [...REQUEST_LINE, ...REQUEST_FRAMING, ...REQUEST_FIELDS].filter(
  ({ expected, limits }) => typeof expected === 'number' && expected !== HEAD_INCOMPLETE && limits === undefined,
)

test(`each of the ${bad.length} bad request heads is refused, the connection closed, and nothing reaches the upstream`, async (t) => {
  assert.ok(bad.length > 150)
  for (const { name, bytes, expected } of bad) {
    const client = await openClient(t, port)
    client.send(bytes + SMUGGLED)
    assert.equal(await client.end(), 'closed', name)
    const isHead = bytes.startsWith('HEAD')
    const answer = readMessage(client.text, isHead)!
    assert.equal(answer.size, client.text.length, `${name}: one answer`)
    assert.equal(statusOf(answer), STATUS[expected as number], name)
    assert.equal(answer.get('connection'), 'close', name)
    if (!isHead) assert.equal(problem(answer).request_id, answer.get('x-request-id'), name)
    client.socket.destroy()
  }
  assert.equal(upstream.received(), '')
})

const badChunks = CHUNKED.filter(({ expected, maxTrailerBytes }) => expected === 'error' && maxTrailerBytes === undefined)

test(`each of the ${badChunks.length} bad chunked bodies is refused or broken off, and never completed upstream`, async (t) => {
  assert.ok(badChunks.length > 40)
  for (const { name, bytes } of badChunks) {
    upstream.reset()
    const client = await openClient(t, port)
    client.send(`POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${bytes}${SMUGGLED}`)
    await client.end()
    const answer = readMessage(client.text)
    assert.equal(answer === null ? 400 : statusOf(answer), 400, name)
    assert.equal(upstream.requests.length, 0, name)
    assert.equal(upstream.received().includes('smuggled'), false, name)
    client.socket.destroy()
  }
})

test('the ways to say two lengths: 400, closed, nothing upstream, whole or in two pieces', async (t) => {
  const vectors = [
    'Content-Length: 5\r\nTransfer-Encoding: chunked',
    'Transfer-Encoding: chunked\r\nContent-Length: 5',
    'Content-Length: 5\r\nContent-Length: 6',
    'Content-Length: 5\r\nContent-Length: 5',
    'Content-Length: 5, 5',
    'Content-Length: +5',
    'Content-Length: 0x5',
    'Content-Length: 1_0',
    'Content-Length: ',
    'Content-Length: -1',
    'Content-Length: 99999999999999999999',
    'Transfer-Encoding: ,chunked',
    'Transfer-Encoding: chunked, identity',
    'Transfer-Encoding: identity, chunked',
    'Transfer-Encoding: gzip, chunked',
    'Transfer-Encoding: xchunked',
    'Transfer-Encoding: \x0bchunked',
    'Transfer-Encoding : chunked',
    'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked',
    'Transfer-Encoding: chunked\r\nTransfer-Encoding: x',
    'Transfer-Encoding:\r\n chunked',
    'X: a\r\n b',
    'X: a\nTransfer-Encoding: chunked',
    'X: a\rTransfer-Encoding: chunked',
    'X: a\0',
    ': a',
    ' X: a',
    'X',
    'Host: b',
  ]
  for (const lines of vectors) {
    const bytes = `POST /p HTTP/1.1\r\nHost: a\r\n${lines}\r\n\r\n0\r\n\r\n`
    const middle = Math.floor(bytes.length / 2)
    for (const pieces of [[bytes + SMUGGLED], [bytes.slice(0, middle), bytes.slice(middle) + SMUGGLED]]) {
      const client = await openClient(t, port)
      for (const piece of pieces) {
        client.send(piece)
        await sleep(2)
      }
      await client.end()
      assert.deepEqual(readMessages(client.text).map(statusOf), [400], JSON.stringify(lines))
    }
  }
  for (const [method, version] of [
    ['POST', '1.0'],
    ['GET', '1.0'],
    ['DELETE', '1.0'],
    ['HEAD', '1.0'],
  ]) {
    const framing = method === 'POST' ? 'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n' : 'Content-Length: 1\r\n\r\nx'
    const client = await openClient(t, port)
    client.send(`${method} / HTTP/${version}\r\nHost: a\r\nConnection: keep-alive\r\n${framing}${SMUGGLED}`)
    await client.end()
    assert.match(client.text, /^HTTP\/1\.1 400 /)
  }
  assert.equal(upstream.received(), '')
})

/** Sends a target; the answer is what arrived upstream, or the status when nothing did. */
async function sent(t: { after(fn: () => void): void }, target: string, listener = 'web'): Promise<string | number> {
  const client = await openClient(t, gateway.port(listener))
  upstream.requests.length = 0
  client.send(request('GET', target))
  const status = statusOf(await client.response())
  client.socket.destroy()
  return upstream.requests[0]?.start.split(' ')[1] ?? status
}

test('a path is matched and forwarded in one form', async (t) => {
  const cases: [string, string | number][] = [
    ['/a/b', '/a/b'],
    ['/a/./b', '/a/b'],
    ['/a/../b', '/b'],
    ['/a//b', '/a/b'],
    ['//a', '/a'],
    ['/a/b/..', '/a/'],
    ['/a/%2e%2e/b', '/b'],
    ['/a/.%2E/b', '/b'],
    ['/a/%2e/b', '/a/b'],
    ['/%61%62c', '/abc'],
    ['/%7Euser', '/~user'],
    ['/a%20b', '/a%20b'],
    ['/a%c3%a4', '/a%C3%A4'],
    ['/a?x=%2f../..%00', '/a?x=%2f../..%00'],
    ['/a/../../b', 400],
    ['/..', 400],
    ['/%2e%2e/b', 400],
    ['/..//b', 400],
    ['/a%2fb', 400],
    ['/a%2Fb', 400],
    ['/a%5cb', 400],
    ['/a%00', 400],
    ['/a%0d%0a', 400],
    ['/a%7f', 400],
    ['/a%', 400],
    ['/a%2', 400],
    ['/a%zz', 400],
    ['/a\\b', 400],
    // The protected part of the path is found whatever it is dressed in.
    ['/secret', 403],
    ['/%73ecret/x', 403],
    ['/x/../secret', 403],
    ['//secret', 403],
    ['/./secret/', 403],
    ['/x/%2e%2e/secret', 403],
    ['/x//..//secret', 403],
    ['/secret/%2e%2e/secret/y', 403],
    ['/secret/../open', '/open'],
    ['/SECRET', '/SECRET'],
    ['/secrets', '/secrets'],
    ['/secret;x=1', '/secret;x=1'],
    ['/secret%3Bx', '/secret%3Bx'],
  ]
  for (const [target, expected] of cases) assert.equal(await sent(t, target), expected, target)
  assert.equal(await sent(t, '/a//b%2Fc', 'kept'), '/a//b%2Fc')
  assert.equal(await sent(t, '/a%2fb', 'kept'), '/a%2Fb')
})

test('a head that trickles in is 408 when its time is over, however often a byte comes', async (t) => {
  const slow = gateway.port('slow')
  const client = await openClient(t, slow)
  const startMs = performance.now()
  const timer = setInterval(() => client.send('x'), 40)
  client.send('GET /x')
  await client.end()
  clearInterval(timer)
  const ms = performance.now() - startMs
  const answer = readMessages(client.text)[0]!
  assert.deepEqual([statusOf(answer), problem(answer).code], [408, 'request_timeout'])
  assert.ok(ms > 280 && ms < 3000, `${ms} ms`)

  // Between two requests too, counted from the first byte of the second.
  const kept = await openClient(t, slow)
  kept.send(request())
  await kept.response()
  await sleep(400)
  kept.send('GET / HTTP/1.1\r\nHost:')
  assert.equal(statusOf(await kept.response()), 408)
  // Who says nothing at all is not answered.
  const silent = await openClient(t, slow)
  assert.equal(await silent.end(), 'closed')
  assert.equal(silent.text, '')
  assert.equal(upstream.requests.length, 1)
})

test('a body that stalls is 408, in time, and its upstream request is given up', async (t) => {
  for (const [framing, start] of [
    ['Content-Length: 10', 'hello'],
    ['Transfer-Encoding: chunked', '5\r\nhello\r\n'],
    ['Content-Length: 10', ''],
  ]) {
    const client = await openClient(t, gateway.port('slow'))
    const startMs = performance.now()
    client.send(`${request('POST', '/', [framing!])}${start}`)
    const answer = await client.response()
    const ms = performance.now() - startMs
    assert.deepEqual([statusOf(answer), problem(answer).code], [408, 'request_timeout'])
    assert.equal(answer.get('connection'), 'close')
    assert.ok(ms > 780 && ms < 3500, `${ms} ms`)
    await waitFor('the upstream to see the close', () => upstream.log.at(-1)!.closedMs !== null)
  }
  assert.equal(upstream.requests.length, 0)
  // A body that comes slowly, but comes, is fine.
  const client = await openClient(t, gateway.port('slow'))
  client.send(request('POST', '/', ['Content-Length: 12']))
  for (let i = 0; i < 12; i++) {
    await sleep(100)
    client.send('x')
  }
  assert.equal((await client.response()).body, 'ok')
})

test('limits: many fields and large heads 431, long targets 414, large bodies 413', async (t) => {
  const small = gateway.port('small')
  const ask = async (bytes: string, to = small) => {
    const client = await openClient(t, to)
    client.send(bytes)
    const answer = await client.response()
    assert.equal(answer.get('connection'), 'close')
    assert.equal(await client.end(), 'closed')
    return [statusOf(answer), problem(answer).code]
  }
  const fields = (count: number) => Array.from({ length: count }, (_, i) => `X-${i}: y`)
  assert.deepEqual(await ask(request('GET', '/', fields(10))), [431, 'head_too_large'])
  assert.deepEqual(await ask(request('GET', '/', [`X: ${'y'.repeat(3000)}`])), [431, 'head_too_large'])
  assert.deepEqual(await ask(`GET / HTTP/1.1\r\nX: ${'y'.repeat(3000)}`), [431, 'head_too_large'], 'before its end')
  assert.deepEqual(await ask(request('GET', `/${'x'.repeat(100)}`)), [414, 'uri_too_long'])
  assert.deepEqual(await ask(`GET /${'x'.repeat(3000)}`), [414, 'uri_too_long'], 'before its end')
  assert.deepEqual(await ask(request('POST', '/', ['Content-Length: 1001'])), [413, 'body_too_large'], 'before its body')
  assert.deepEqual(await ask(request('POST', '/tight', [], 'x'.repeat(11)), port), [413, 'body_too_large'])
  assert.deepEqual(await ask(request('GET', '/', fields(100)), port), [431, 'head_too_large'])
  assert.deepEqual(await ask(request('GET', `/${'x'.repeat(9000)}`), port), [414, 'uri_too_long'])
  assert.equal(upstream.received(), '')
  // Chunked bodies have no length to judge by: the limit counts what comes.
  const chunk = `${(400).toString(16)}\r\n${'x'.repeat(400)}\r\n`
  assert.deepEqual(await ask(`POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(3)}`), [413, 'body_too_large'])
  assert.equal(upstream.requests.length, 0)
  await waitFor('the upstream to see the close', () => upstream.log.every((connection) => connection.closedMs !== null))

  const client = await openClient(t, small)
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(2)}0\r\n\r\n`)
  assert.equal((await client.response()).body, 'ok')
  client.send(request('POST', `/${'x'.repeat(99)}`, fields(8), 'x'.repeat(1000)))
  assert.equal((await client.response()).body, 'ok')
})

test('a refused upload is answered to clients that read only when they have sent everything', async (t) => {
  const client = await openClient(t, gateway.port('small'))
  client.socket.pause()
  client.send(request('PUT', '/', ['Content-Length: 900000']))
  for (let i = 0; i < 9; i++) {
    client.send(Buffer.alloc(100_000))
    await sleep(10)
  }
  client.socket.resume()
  assert.equal(statusOf(await client.response()), 413)
})

test('one connection too many is told so, and room is made when one leaves', async (t) => {
  const few = gateway.port('few')
  const first = await openClient(t, few)
  const second = await openClient(t, few)
  first.send(request())
  assert.equal(statusOf(await first.response()), 200)
  for (let i = 0; i < 20; i++) {
    const third = await openClient(t, few)
    // Sent at once, so that it may lie unread when the gateway closes.
    third.send(request('POST', '/', [], 'x'.repeat(5000)))
    assert.equal(statusOf(await third.response()), 503)
    assert.equal(await third.end(), 'closed')
  }
  first.socket.destroy()
  await waitFor('room', async () => {
    const next = await openClient(t, few)
    next.send(request())
    const { start } = await next.response()
    return start.includes('200')
  })
  second.send(request())
  assert.equal(statusOf(await second.response()), 200)
})

test('the limit per client counts one address as one, also on a socket of both families', async (t) => {
  const single = gateway.port('single')
  const first = await openClient(t, single)
  first.send(request())
  assert.equal(statusOf(await first.response()), 200)
  const second = await openClient(t, single)
  second.send(request())
  assert.equal(statusOf(await second.response()), 503)
  const other = await openClient(t, single, '127.0.0.2')
  other.socket.destroy()
})
