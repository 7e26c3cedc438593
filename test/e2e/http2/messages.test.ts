/** Requests and responses of HTTP/2 clients, over an HTTP/1.1 service. */
import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import { requirePrograms } from '../../support/programs.ts'
import { curl, runProgram } from '../../support/run.ts'
import { waitFor } from '../../support/wait.ts'
import { openClient, request, startGateway, startScript } from '../http1/kit.ts'
import { ask, block, codeOf, collect, connect, field, frame, get, HEADERS, hello, openRaw, post, RST_STREAM, SETTINGS } from './kit.ts'

requirePrograms(['curl', 'nghttp'])
const scope = { after }
const upstream = await startScript(scope)
const listener = { limits: { body: '100KiB', uri: '1KiB', head: '8KiB' } }
const gateway = await startGateway(scope, [upstream.address], {
  listener,
  more: {
    accessLog: { format: 'json' },
    listeners: { web: { address: '127.0.0.1:0', ...listener }, old: { address: '127.0.0.1:0', http2: null } },
    routes: { all: { to: 'up' }, local: { match: { path: '/local' }, respond: { body: 'x'.repeat(100_000) } } },
  },
})
const port = gateway.port('web')

beforeEach(() => upstream.reset())

const answerWith = (...lines: string[]) => {
  upstream.answer = (_, connection) => connection.write(lines.join('\r\n'))
}

test('a request arrives as HTTP/1.1, and its response comes back', async (t) => {
  answerWith('HTTP/1.1 201 Created', 'X-Own: 1', 'Connection: x-hop', 'X-Hop: 1', 'Keep-Alive: x', 'Content-Length: 5', '', 'hello')
  const answer = await ask(connect(t, port), { ':path': '/a/b?c=d', cookie: ['a=1', 'b=2'], 'x-thing': 'yes', te: 'trailers' })
  assert.equal(answer.status, 201)
  assert.equal(answer.body, 'hello')
  assert.equal(answer.headers['x-own'], '1')
  assert.equal(answer.headers['content-length'], '5')
  for (const name of ['connection', 'keep-alive', 'x-hop', 'transfer-encoding']) assert.equal(answer.headers[name], undefined)
  const [message] = upstream.requests
  assert.equal(message?.start, 'GET /a/b?c=d HTTP/1.1')
  assert.equal(message?.get('host'), `127.0.0.1:${port}`)
  assert.equal(message?.get('via'), '2.0 sluice')
  assert.equal(message?.get('x-forwarded-proto'), 'http')
  assert.equal(message?.get('x-forwarded-for'), '127.0.0.1')
  assert.equal(message?.get('cookie'), 'a=1; b=2')
  assert.equal(message?.get('x-thing'), 'yes')
  assert.equal(message?.get('te'), 'trailers')
  assert.deepEqual(message?.all('transfer-encoding').concat(message.all('connection')), [])
})

test('the access log says HTTP/2.0', async (t) => {
  await ask(connect(t, port), { ':path': '/logged' })
  const line = await waitFor('the line', () => gateway.logs.find((one) => one.includes('/logged')))
  assert.match(line, /HTTP\/2\.0/)
})

test('bodies with and without a length arrive, and so do trailers', async (t) => {
  const session = connect(t, port)
  const known = await ask(session, { ':method': 'POST', 'content-length': 5 }, { body: 'hello' })
  assert.equal(known.status, 200)
  assert.equal(upstream.requests[0]?.framing, 'length')
  assert.equal(upstream.requests[0]?.body, 'hello')
  await ask(session, { ':method': 'POST', trailer: 'x-sum' }, { body: 'hello again', trailers: { 'x-sum': '42' } })
  assert.equal(upstream.requests[1]?.framing, 'chunked')
  assert.equal(upstream.requests[1]?.body, 'hello again')
  assert.match(upstream.requests[1]?.trailers ?? '', /x-sum: 42/i)
  await ask(session, { ':method': 'POST' }, { body: '' })
  assert.equal(upstream.requests[2]?.body, '')
})

test('chunked responses come without their framing, with their trailers', async (t) => {
  answerWith('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked', '', '5', 'hello', '6', ' world', '0', 'X-Sum: 42', '', '')
  const answer = await ask(connect(t, port))
  assert.equal(answer.body, 'hello world')
  assert.equal(answer.trailers?.['x-sum'], '42')
})

test('HEAD, 204 and 304 have no body, and lose nothing of their heads', async (t) => {
  const session = connect(t, port)
  answerWith('HTTP/1.1 200 OK', 'Content-Length: 1234', '', '')
  const head = await ask(session, { ':method': 'HEAD' })
  assert.deepEqual([head.status, head.body, head.headers['content-length']], [200, '', '1234'])
  answerWith('HTTP/1.1 204 No Content', '', '')
  assert.deepEqual([(await ask(session)).status], [204])
  answerWith('HTTP/1.1 304 Not Modified', 'ETag: "x"', '', '')
  const unchanged = await ask(session)
  assert.deepEqual([unchanged.status, unchanged.headers['etag']], [304, '"x"'])
})

test('interim responses are passed on, and 100 Continue comes when somebody will read the body', async (t) => {
  answerWith('HTTP/1.1 103 Early Hints', 'Link: </a.css>', '', 'HTTP/1.1 200 OK', 'Content-Length: 0', '', '')
  const session = connect(t, port)
  assert.deepEqual((await ask(session)).interim, [103])
  answerWith('HTTP/1.1 200 OK', 'Content-Length: 0', '', '')
  const stream = session.request({ ':method': 'POST', ':path': '/', expect: '100-continue' }, { endStream: false })
  const answer = collect(stream)
  await new Promise((resolve) => stream.once('continue', resolve))
  stream.end('body')
  assert.deepEqual((await answer).interim, [100])
  assert.equal(upstream.requests[1]?.body, 'body')
  assert.equal(upstream.requests[1]?.get('expect'), undefined)
})

test('curl and nghttp are served, with bodies both ways', async () => {
  const url = `http://127.0.0.1:${port}/`
  const written = '%{http_version} %{response_code} '
  assert.match(await curl('--http2-prior-knowledge', '-w', written, url), /2 200/)
  answerWith('HTTP/1.1 200 OK', 'Content-Length: 100000', '', 'y'.repeat(100_000))
  const big = await curl('--http2-prior-knowledge', '--data', 'x'.repeat(50_000), url)
  assert.equal(big, 'y'.repeat(100_000))
  assert.equal(upstream.requests.at(-1)?.body, 'x'.repeat(50_000))
  const { stdout, code } = await runProgram('nghttp', ['-nv', url])
  assert.equal(code, 0)
  assert.match(stdout, /:status: 200/)
})

test('an answer made here comes in one turn, larger than a window or not', async (t) => {
  assert.equal((await ask(connect(t, port), { ':path': '/local' })).body.length, 100_000)
  const small = connect(t, port, { settings: { initialWindowSize: 1000 } })
  assert.equal((await ask(small, { ':path': '/local' })).body.length, 100_000)
})

test('what Sluice itself has to say comes as it does over HTTP/1.1', async (t) => {
  const session = connect(t, port)
  const statusOf = async (headers: Record<string, string | string[]>, body?: string) => (await ask(session, headers, { body })).status
  assert.equal(await statusOf({ ':path': `/${'a'.repeat(2000)}` }), 414)
  assert.equal(await statusOf({ big: 'x'.repeat(9000) }), 431)
  assert.equal(await statusOf({ ':method': 'POST', 'content-length': '200000' }, ''), 413)
  assert.equal(await statusOf({ expect: 'a miracle' }), 417)
  assert.equal(await statusOf({ ':path': '/a%2fb' }), 400)
  assert.equal(await statusOf({}), 200)
})

test('an answer before the end of the request ends the upload, not the connection', async (t) => {
  const client = await openRaw(t, port)
  client.send(hello(), post(1, '/', ['content-length', '200000']))
  const head = await client.frame((one) => one.type === HEADERS && one.id === 1)
  assert.ok(head !== null)
  const end = await client.frame((one) => one.type === RST_STREAM && one.id === 1)
  assert.equal(codeOf(end!), 0)
  client.send(frame(0, 0, 1, 'on its way'), get(3))
  assert.ok((await client.frame((one) => one.type === HEADERS && one.id === 3)) !== null)
})

test('a body that is too long without saying so gets 413', async (t) => {
  const client = await openRaw(t, port)
  client.send(hello(), post(1), ...Array.from({ length: 8 }, () => frame(0, 0, 1, Buffer.alloc(16_000))))
  const end = await client.frame((one) => one.type === RST_STREAM && one.id === 1)
  assert.equal(codeOf(end!), 0)
  assert.ok(client.frames.some((one) => one.type === HEADERS && one.payload.includes('413')))
})

test('a response that breaks off breaks the stream, and only it', async (t) => {
  const session = connect(t, port)
  upstream.answer = (message, connection) => {
    if (message.start.includes('/ok')) return connection.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin')
    setTimeout(() => connection.socket.destroy(), 20)
  }
  const [broken, fine] = await Promise.allSettled([ask(session), ask(session, { ':path': '/ok' })])
  assert.equal(broken.status, 'rejected')
  assert.match(String((broken as PromiseRejectedResult).reason), /INTERNAL_ERROR/)
  assert.equal(fine.status, 'fulfilled')
  assert.equal((await ask(session, { ':path': '/ok' })).body, 'ok')
})

test('a client that resets a request ends its attempt', async (t) => {
  upstream.answer = () => {}
  const stream = connect(t, port).request({ ':path': '/' })
  stream.on('error', () => {})
  await waitFor('the request', () => upstream.requests.length === 1)
  stream.close(8)
  await waitFor('the end of the attempt', () => upstream.log[0]!.closedMs !== null)
})

test('requests that are malformed break their stream, as RFC 9113 section 8.1.1 says', async (t) => {
  const bad: [string, Buffer][] = [
    ['no path', Buffer.concat([field(':method', 'GET'), field(':scheme', 'http')])],
    ['an upper-case name', block('GET', '/', ['X-Big', '1'])],
    ['a connection field', block('GET', '/', ['connection', 'close'])],
    ['a line end in a value', block('GET', '/', ['x', 'a\r\nb: c'])],
    ['transfer-encoding', block('GET', '/', ['transfer-encoding', 'chunked'])],
    ['a pseudo field behind others', Buffer.concat([block('GET', '/', ['x', 'y']), field(':path', '/')])],
    ['a host that is not the authority', block('GET', '/', ['host', 'other.example'])],
    ['a content-length without a body', block('GET', '/', ['content-length', '5'])],
  ]
  const client = await openRaw(t, port)
  client.send(hello())
  for (const [i, [what, bytes]] of bad.entries()) {
    client.send(frame(HEADERS, 5, 1 + 2 * i, bytes))
    const reset = await client.frame((one) => one.type === RST_STREAM && one.id === 1 + 2 * i)
    assert.equal(codeOf(reset!), 1, what)
  }
  assert.equal(upstream.requests.length, 0)
  client.send(get(99))
  assert.ok((await client.frame((one) => one.type === HEADERS && one.id === 99)) !== null)
})

// ---- how HTTP/2 begins ----

test('the preface is known wherever it is split', async (t) => {
  const bytes = Buffer.concat([hello(), get(1)])
  for (let at = 1; at < 40; at++) {
    const client = await openRaw(t, port)
    client.send(bytes.subarray(0, at))
    await new Promise((resolve) => setTimeout(resolve, 3))
    client.send(bytes.subarray(at))
    assert.ok((await client.frame((one) => one.type === HEADERS)) !== null, `split at ${at}`)
    assert.equal(client.frames[0]?.type, SETTINGS)
    client.socket.destroy()
  }
})

test('what only begins like the preface is HTTP/1.1', async (t) => {
  for (const [first, rest] of [
    ['P', `OST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi`],
    ['PR', `OPFIND / HTTP/1.1\r\nHost: a\r\n\r\n`],
  ] as const) {
    const client = await openClient(t, port)
    client.send(first)
    await new Promise((resolve) => setTimeout(resolve, 20))
    client.send(rest)
    assert.match((await client.response()).start, /^HTTP\/1\.1 200/)
  }
  const wrong = await openClient(t, port)
  wrong.send('PRI * HTTP/2.0\r\n\r\nNO\r\n\r\n')
  assert.match((await wrong.response()).start, /^HTTP\/1\.1 (400|505)/)
  const late = await openClient(t, port)
  late.send(request())
  await late.response()
  late.send(hello())
  assert.match((await late.response()).start, /^HTTP\/1\.1 (400|505)/)
})

test('Upgrade: h2c is not taken up', async (t) => {
  const client = await openClient(t, port)
  client.send(request('GET', '/', ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA']))
  assert.match((await client.response()).start, /^HTTP\/1\.1 200/)
  assert.equal(upstream.requests[0]?.get('upgrade'), undefined)
})

test('a listener without HTTP/2 refuses it', async (t) => {
  const client = await openClient(t, gateway.port('old'))
  client.send(hello())
  assert.match((await client.response()).start, /^HTTP\/1\.1 (400|505)/)
})
