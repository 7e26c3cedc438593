/** Routes and filters at work: configured ones, and a user's own from a sluice.config.ts. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, beforeEach, test } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import { startSluice } from '../../support/sluice.ts'
import { waitFor } from '../../support/wait.ts'
import { type Message, openClient, problem, request, sleep, startScript, statusOf } from './kit.ts'

const scope = { after }
const upstream = await startScript(scope)
const second = await startScript(scope)

const index = join(import.meta.dirname, '../../../src/index.ts')
const config = `
import { defineConfig, type FilterFunction } from ${JSON.stringify(index)}

const stamp: FilterFunction = async (x, next) => {
  x.request.headers.set('x-stamp', x.request.method + x.request.path + '?' + x.request.query)
  await next()
  x.response.headers.set('x-status', String(x.response.status))
}
const slow: FilterFunction = async (x, next) => {
  await new Promise((resolve) => setTimeout(resolve, 20))
  await next()
  await new Promise((resolve) => setTimeout(resolve, 20))
  x.response.headers.add('x-slow', 'yes')
}
const teapot: FilterFunction = (x) => x.respond({ status: 418, headers: { 'x-a': 'b' }, body: 'short and stout' })
const upper: FilterFunction = async (x, next) => {
  x.request.setBody((await x.request.text()).toUpperCase())
  await next()
  x.response.setBody('hello ' + (await x.response.text(100_000)))
}
const broken: FilterFunction = () => { throw new Error('of the filter') }
const late: FilterFunction = async (x, next) => { await next(); throw new Error('too late') }
const refuse: FilterFunction = async (x, next) => { await next(); if (x.response.status === 200) x.respond({ status: 451, body: 'no' }) }
const hangs: FilterFunction = () => new Promise(() => {})
const small: FilterFunction = async (x, next) => { await x.request.body(10); await next() }

const up = ${JSON.stringify(upstream.address)}
const route = (path: string, filters: (FilterFunction | object)[], more: object = {}) => ({ match: { prefix: path }, filters, to: 'up', ...more })

export default defineConfig({
  workers: 1,
  accessLog: null,
  admin: { address: '127.0.0.1:0' },
  listeners: { web: { address: '127.0.0.1:0' } },
  services: {
    up: { endpoints: [up], ejection: null },
    second: { endpoints: [${JSON.stringify(second.address)}], ejection: null },
    brief: { endpoints: [up], ejection: null, timeouts: { request: '400ms', idle: '5s' } },
  },
  policies: { tagged: [{ headers: { request: { set: { 'x-policy': 'yes' } } } }] },
  routes: {
    all: { to: 'up' },
    headers: route('/headers', ['tagged', { headers: {
      request: { set: { 'x-set': 'new', 'user-agent': 'sluice' }, add: { 'x-add': '\${clientIp}' }, remove: ['cookie'] },
      response: { set: { 'x-from': 'gateway', server: 'hidden' }, add: { 'x-multi': 'two' }, remove: ['x-secret', 'set-cookie'] },
    } }]),
    rewrite: route('/rewrite', [{ rewrite: { from: '^/rewrite/(\\\\w+)/(.*)$', to: '/new/$2/$1' } }]),
    rewritePrefix: route('/old', [{ rewrite: { prefix: '/old', to: '/new' } }]),
    strip: route('/strip/me', [{ 'strip-prefix': '/strip/me' }]),
    redirect: { match: { prefix: '/redirect' }, redirect: { host: 'new.example', scheme: 'https', status: 308, stripPrefix: '/redirect' } },
    respond: { match: { path: '/respond' }, respond: { status: 201, headers: { 'x-a': 'b' }, body: { json: true } } },
    weighted: { match: { prefix: '/weighted' }, to: [{ service: 'up', weight: 90 }, { service: 'second', weight: 10 }] },
    template: { match: { path: '/users/{id}/**', methods: ['GET'] }, respond: { body: 'template' } },
    canary: { match: { prefix: '/users', headers: { 'x-env': 'canary' } }, respond: { body: 'canary' } },
    stamp: route('/stamp', [stamp]),
    slow: route('/slow', [slow, stamp]),
    teapot: route('/teapot', [stamp, teapot]),
    upper: route('/upper', [upper]),
    broken: route('/broken', [broken]),
    late: route('/late', [late]),
    refuse: route('/refuse', [stamp, refuse]),
    hangs: route('/hangs', [hangs], { timeouts: { request: '300ms' } }),
    small: route('/small', [small]),
    stream: route('/stream', [slow], { to: 'brief' }),
  },
})
`
const gateway = await startSluice(scope, config, { fileName: 'sluice.config.ts' })
const port = gateway.port()

beforeEach(() => {
  upstream.reset()
  second.reset()
})

async function ask(
  t: { after(fn: () => void): void },
  target: string,
  fields: string[] = [],
  body = '',
  method = body === '' ? 'GET' : 'POST',
) {
  const client = await openClient(t, port)
  client.send(request(method, target, fields, body))
  const response: Message = await client.response({ bodyless: method === 'HEAD' })
  client.socket.destroy()
  return { response, status: statusOf(response), seen: upstream.requests.at(-1) }
}
const answer = (head: string, body = '') => {
  upstream.answer = (_, connection) => connection.write(`HTTP/1.1 200 OK\r\n${head}Content-Length: ${body.length}\r\n\r\n${body}`)
}

test('headers: set, added and removed in both directions, by policy and in place', async (t) => {
  answer('Server: nginx\r\nX-Secret: 1\r\nSet-Cookie: a=b\r\nX-Multi: one\r\n', 'ok')
  const { response, seen } = await ask(t, '/headers', ['User-Agent: curl', 'Cookie: a=b', 'X-Set: old', 'X-Add: mine'])
  assert.deepEqual(
    ['x-policy', 'x-set', 'user-agent', 'x-add', 'cookie'].map((name) => seen!.all(name)),
    [['yes'], ['new'], ['sluice'], ['mine', '127.0.0.1'], []],
  )
  assert.deepEqual(
    ['x-from', 'server', 'x-multi', 'x-secret', 'set-cookie'].map((name) => response.all(name)),
    [['gateway'], ['hidden'], ['one', 'two'], [], []],
  )
  assert.equal(response.body, 'ok')
})

test('rewrite and strip-prefix change the path the upstream sees, whole segments only, and keep the query', async (t) => {
  const target = async (path: string) => (await ask(t, path)).seen!.start.split(' ')[1]
  assert.equal(await target('/rewrite/a/b/c?x=1'), '/new/b/c/a?x=1')
  assert.equal(await target('/old/a?b'), '/new/a?b')
  assert.equal(await target('/old'), '/new')
  assert.equal(await target('/older'), '/older')
  assert.equal(await target('/strip/me/x?y'), '/x?y')
  assert.equal(await target('/strip/me'), '/')
  assert.equal(await target('/strip/men'), '/strip/men')
  assert.equal(await target('/strip/%6de/%41'), '/A')
})

test('redirect and respond answer without an upstream', async (t) => {
  const redirect = await ask(t, '/redirect/a?b=c')
  assert.deepEqual([redirect.status, redirect.response.get('location')], [308, 'https://new.example/a?b=c'])
  const respond = await ask(t, '/respond')
  assert.deepEqual(
    [respond.status, respond.response.body, respond.response.get('x-a'), respond.response.get('content-type')],
    [201, '{"json":true}', 'b', 'application/json'],
  )
  const head = await ask(t, '/respond', [], '', 'HEAD')
  assert.equal(head.response.get('content-length'), '13')
  assert.equal(upstream.received(), '')
})

test('the most specific route wins', async (t) => {
  assert.equal((await ask(t, '/users/7/x')).response.body, 'template')
  assert.equal((await ask(t, '/users/7/x', [], 'x')).response.body, 'ok')
  assert.equal((await ask(t, '/users', ['X-Env: canary'])).response.body, 'canary')
})

test('weighted destinations share as their weights say', async (t) => {
  const client = await openClient(t, port)
  client.send(request('GET', '/weighted').repeat(1000))
  await waitFor('all requests', () => upstream.requests.length + second.requests.length === 1000)
  // 10 % of 1,000: beyond four standard deviations in one of 15,000 runs.
  assert.ok(second.requests.length > 60 && second.requests.length < 140, `${second.requests.length}`)
})

test('a filter of the user changes the request and the response head', async (t) => {
  const { response, seen } = await ask(t, '/stamp/a?b')
  assert.equal(seen!.get('x-stamp'), 'GET/stamp/a?b')
  assert.equal(response.get('x-status'), '200')
  const slow = await ask(t, '/slow', [], 'x'.repeat(100_000))
  assert.deepEqual([slow.response.get('x-slow'), slow.response.get('x-status'), slow.seen!.body.length], ['yes', '200', 100_000])
})

test('a filter of the user answers itself; filters before it see the answer', async (t) => {
  const { response, status } = await ask(t, '/teapot')
  assert.deepEqual([status, response.body, response.get('x-a'), response.get('x-status')], [418, 'short and stout', 'b', '418'])
  assert.equal(upstream.received(), '')
  answer('X-Upstream: yes\r\n', 'the body')
  const refused = await ask(t, '/refuse')
  assert.deepEqual([refused.status, refused.response.body, refused.response.get('x-upstream')], [451, 'no', undefined])
})

test('a filter of the user reads and replaces bodies, of any framing and coding', async (t) => {
  answer('', 'world')
  const posted = await ask(t, '/upper', [], 'shout')
  assert.deepEqual([posted.seen!.body, posted.response.body, posted.response.get('content-length')], ['SHOUT', 'hello world', '11'])
  const zipped = gzipSync('zipped').toString('latin1')
  upstream.answer = (_, connection) =>
    connection.write(
      `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n${zipped.length.toString(16)}\r\n${zipped}\r\n0\r\n\r\n`,
    )
  const client = await openClient(t, port)
  client.send('POST /upper HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n')
  assert.equal(statusOf(await client.response()), 100)
  client.send('3\r\nabc\r\n')
  await sleep(20)
  client.send('3\r\ndef\r\n0\r\n\r\n')
  const response = await client.response()
  assert.equal(upstream.requests.at(-1)!.body, 'ABCDEF')
  assert.equal(
    response.get('content-encoding') === 'gzip' ? gunzipSync(Buffer.from(response.body, 'latin1')).toString() : response.body,
    'hello zipped',
  )
  // The connection is as good as before.
  client.send(request())
  upstream.reset()
  assert.ok(await client.response())
})

test('a filter that fails is 500 and in the log, one that never ends 504, a body over its limit 413', async (t) => {
  for (const path of ['/broken', '/late']) {
    const { status, response } = await ask(t, path)
    assert.deepEqual([status, problem(response).code], [500, 'internal'])
    assert.equal(response.body.includes('of the filter'), false)
  }
  await waitFor('the log', () => gateway.logs.some((line) => line.includes('of the filter')))
  assert.equal((await ask(t, '/hangs')).status, 504)
  assert.equal((await ask(t, '/small', [], 'x'.repeat(11))).status, 413)
  assert.equal((await ask(t, '/small', [], 'x'.repeat(10))).status, 200)
})

test('behind an asynchronous filter events still stream, longer than the request timeout', async (t) => {
  upstream.answer = async (_, connection) => {
    connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    await sleep(700)
    connection.write('5\r\nevent\r\n')
    await sleep(700)
    connection.write('5\r\nevent\r\n0\r\n\r\n')
  }
  const { response } = await ask(t, '/stream')
  assert.deepEqual([response.body, response.get('x-slow')], ['eventevent', 'yes'])
})

test('a client that leaves while filters wait leaves nothing behind', async (t) => {
  upstream.answer = () => {}
  const client = await openClient(t, port)
  client.send(request('GET', '/slow'))
  await waitFor('the request', () => upstream.requests.length === 1)
  await sleep(150)
  client.socket.destroy()
  await waitFor('the upstream to see the close', () => upstream.log[0]!.closedMs !== null)
  const early = await openClient(t, port)
  early.send(request('GET', '/slow'))
  early.socket.resetAndDestroy()
  await sleep(100)
  assert.equal((await ask(t, '/respond')).status, 201)
})
