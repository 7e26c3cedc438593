import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createFakeIo, makeFolder } from '../../test/support/command-io.ts'
import { UsageError } from './arguments.ts'
import { explainCommand } from './explain.ts'

const CONFIG = `
listeners:
  web: { address: "127.0.0.1:8080" }
  raw: { address: "127.0.0.1:8081", path: { mergeSlashes: false } }
services:
  users: { endpoints: ["127.0.0.1:1", { address: "127.0.0.1:2", weight: 3 }] }
  canary: { endpoints: ["127.0.0.1:3"], balance: random }
policies:
  public: [{ headers: { response: { set: { x-gw: sluice } } } }]
routes:
  all: { match: { prefix: / }, respond: { status: 204 } }
  users: { match: { host: api.example.com, path: "/users/{id}" }, filters: [public, { strip-prefix: /users }], to: users }
  vip: { match: { prefix: /users, headers: { x-group: vip }, clientIp: 10.0.0.0/8 }, to: [{ service: users, weight: 9 }, canary] }
  old: { match: { path: /old }, redirect: { path: /new, status: 308 } }
`

function explain(t: TestContext, ...argv: string[]) {
  const folder = makeFolder(t, { 'sluice.yaml': CONFIG })
  const io = createFakeIo(folder)
  return explainCommand(['-c', join(folder, 'sluice.yaml'), ...argv], io).then((code) => ({ code, out: io.out(), err: io.err() }))
}

test('the winner is told with its filters in order, its service, balancing and endpoints', async (t) => {
  const { code, out } = await explain(t, 'GET', 'http://api.example.com/users/7?full=1')
  assert.equal(code, 0)
  assert.match(out, /^GET \/users\/7\?full=1 for host api\.example\.com from 127\.0\.0\.1 on listener web\n/)
  assert.match(out, /\nroute users\n {2}\{id\} is 7\n/)
  assert.match(out, /\n {2}1\. headers .*x-gw.*\n {2}2\. strip-prefix {"prefix":"\/users"}\n/)
  assert.match(out, /service users, balanced by round-robin over\n {4}127\.0\.0\.1:1\n {4}127\.0\.0\.1:2 \(weight 3\)\n/)
})

test('every other route says why it lost', async (t) => {
  const { out } = await explain(t, 'GET', 'http://api.example.com/users/7')
  const considered = out.split('most specific first\n')[1]!.split('\n\n')[0]!.split('\n')
  assert.equal(considered.length, 4)
  assert.match(considered.find((line) => line.includes('users'))!, /^ {2}won {3}users {2}the most specific match/)
  assert.match(considered.find((line) => line.includes(' all '))!, /^ {2}also {2}all/)
  assert.match(considered.find((line) => line.includes(' vip '))!, /^ {2}lost {2}vip .*(x-group|client)/)
  assert.match(considered.find((line) => line.includes(' old '))!, /^ {2}lost {2}old .*path \/users\/7 does not match/)
})

test('headers and the client address count, and weighted services show their shares', async (t) => {
  const { out } = await explain(t, 'GET', '/users/7/x', '-H', 'X-Group: vip', '--client', '10.1.2.3')
  assert.match(out, /\nroute vip\n/)
  assert.match(out, /service users \(90% of the requests\)/)
  assert.match(out, /service canary \(10% of the requests\), balanced by random over/)
  assert.match((await explain(t, 'GET', '/users/7/x', '-H', 'x-group:vip')).out, /\nroute all\n/)
})

test('the host may come from a header, and is needed only by routes that ask for it', async (t) => {
  assert.match((await explain(t, 'GET', '/users/7', '-H', 'Host: API.example.com:80')).out, /host api\.example\.com .*\n\nroute users\n/)
  assert.match((await explain(t, 'GET', '/users/7')).out, /\nroute all\n/)
})

test('the path is normalised as the listener does it', async (t) => {
  const merged = await explain(t, 'GET', 'http://api.example.com//users/./%37')
  assert.match(merged.out, /the path \/\/users\/\.\/%37 is normalised to \/users\/7\n\nroute users/)
  assert.match((await explain(t, 'GET', 'http://api.example.com//users/7', '--listener', 'raw')).out, /on listener raw\n\nroute all/)
  const refused = await explain(t, 'GET', '/a%2fb')
  assert.equal(refused.code, 1)
  assert.match(refused.err, /refused with 400 before any route is looked at/)
})

test('fixed answers and redirects are told as such', async (t) => {
  assert.match((await explain(t, 'GET', '/')).out, /a fixed answer with status 204/)
  assert.match((await explain(t, 'GET', '/old')).out, /a redirect with status 308/)
})

test('--json has all of it for programs', async (t) => {
  const { out } = await explain(t, '--json', 'GET', 'http://api.example.com/users/7')
  const answer = JSON.parse(out)
  assert.equal(answer.winner, 'users')
  assert.deepEqual(answer.params, { id: '7' })
  assert.deepEqual(
    answer.filters.map((filter: { kind: string }) => filter.kind),
    ['headers', 'strip-prefix'],
  )
  assert.deepEqual(answer.destination.services[0].endpoints[1], { address: '127.0.0.1:2', weight: 3, excluded: null })
  assert.equal(answer.considered.length, 4)
})

test('a request that no route takes is 404, and that is an answer too', async (t) => {
  const folder = makeFolder(t, {
    'sluice.yaml': 'listeners: { web: { address: ":1" } }\nroutes: { a: { match: { path: /a }, respond: {} } }\n',
  })
  const io = createFakeIo(folder)
  assert.equal(await explainCommand(['GET', '/b'], io), 0)
  assert.match(io.out(), /no route matches: the answer is 404/)
  assert.doesNotMatch(io.out(), /destination/)
})

test('a question that makes no sense is wrong usage', async (t) => {
  for (const argv of [
    ['GET', '/', '-H', 'no colon'],
    ['GET', 'example.com/x'],
    ['GET', '/', '--listener', 'nope'],
  ]) {
    await assert.rejects(explain(t, ...argv), UsageError)
  }
})
