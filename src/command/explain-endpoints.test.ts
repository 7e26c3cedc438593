import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createFakeIo, makeFolder } from '../../test/support/command-io.ts'
import { freePort } from '../../test/support/port.ts'
import { startUpstream } from '../../test/support/upstream.ts'
import { explainCommand } from './explain.ts'

function configFor(admin: string): string {
  return `
admin: { address: "${admin}", token: a-token-of-some-length }
listeners: { web: { address: "127.0.0.1:8080" } }
services:
  users:
    endpoints:
      - { address: "127.0.0.1:1", tags: { group: vip } }
      - { address: "127.0.0.1:2", weight: 3, tags: { group: vip } }
      - { address: "127.0.0.1:3" }
      - { address: "127.0.0.1:4", weight: 0 }
    balance: { algorithm: round-robin, subset: { key: group, from: "header:x-group", fallback: none, absent: default } }
routes: { users: { to: users } }
`
}

const ENDPOINT = { state: 'in-use', why: null, inFlight: 0, effectiveWeight: 1 }
const LIVE = {
  services: [
    {
      name: 'users',
      breaker: { state: 'open', requests: 20, failures: 15, slow: 0, errorPercent: 75, openings: 1, openForMs: 2510 },
      retryBudget: { requests: 4, retries: 1, recentRequests: 100, recentRetries: 7 },
      endpoints: [
        { ...ENDPOINT, address: '127.0.0.1:1', state: 'ejected', why: '52% errors, the others 1%; tried again in 30 s' },
        { ...ENDPOINT, address: '127.0.0.1:2', inFlight: 2, effectiveWeight: 2 },
      ],
    },
  ],
}

async function explain(t: TestContext, config: string, ...argv: string[]) {
  const folder = makeFolder(t, { 'sluice.yaml': config })
  const io = createFakeIo(folder)
  const code = await explainCommand(['-c', join(folder, 'sluice.yaml'), 'GET', '/', ...argv], io)
  return { code, out: io.out() }
}

async function startAdmin(t: TestContext, status = 200) {
  const seen: (string | undefined)[] = []
  const admin = await startUpstream(t, (request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.authorization}`)
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(LIVE))
  })
  return { address: admin.address, seen }
}

test('the states of endpoints are asked from the running gateway', async (t) => {
  const { address, seen } = await startAdmin(t)
  const { code, out } = await explain(t, configFor(address), '--live', '-H', 'x-group: vip')
  assert.equal(code, 0)
  assert.deepEqual(seen, ['GET /services Bearer a-token-of-some-length'])
  const lines = out.split('balanced by round-robin over\n')[1]!.trimEnd().split('\n')
  assert.deepEqual(lines, [
    '    127.0.0.1:1: ejected: 52% errors, the others 1%; tried again in 30 s',
    '    127.0.0.1:2 (weight 3): in-use; 2 in flight; weight 2 after failures',
    '    127.0.0.1:3: outside the subset group=vip',
    '    127.0.0.1:4 (weight 0): its weight is 0',
    '    breaker open: 15 of 20 requests failed; tried again in 2.6 s',
    '    retry budget: 7 retries for 100 requests in the last 10 s',
  ])
})

test('an endpoint that the running gateway does not have is told from one in use', async (t) => {
  const { address } = await startAdmin(t)
  const { out } = await explain(t, configFor(address), '--live')
  assert.match(out, /\n {4}127\.0\.0\.1:3: the running gateway does not have it\n/)
  assert.match(out, /\n {4}127\.0\.0\.1:1: the request names no subset, and this one is tagged\n/)
})

test('without a running gateway the route is explained all the same', async (t) => {
  const { code, out } = await explain(t, configFor(`127.0.0.1:${await freePort()}`), '--live', '-H', 'x-group: vip')
  assert.equal(code, 0)
  assert.match(out, /\nroute users\n/)
  assert.match(out, /\n {4}127\.0\.0\.1:1\n/)
  assert.match(out, /\n {4}\(states are not known: the gateway is not running, or not there: no answer from http:\/\/127\.0\.0\.1:\d+: /)
  const { address } = await startAdmin(t, 401)
  assert.match((await explain(t, configFor(address), '--live')).out, /states are not known: http:\/\/127\.0\.0\.1:\d+ answered 401\)/)
})

test('nothing is asked without --live, and --admin names another place', async (t) => {
  const { address, seen } = await startAdmin(t)
  const config = configFor('127.0.0.1:0')
  const { out } = await explain(t, config)
  assert.match(out, /\n {4}127\.0\.0\.1:3\n/)
  assert.match((await explain(t, config, '-H', 'x-group: none')).out, /127\.0\.0\.1:3: the subset group=none has no endpoint\n/)
  assert.deepEqual(seen, [])
  const { out: asked } = await explain(t, config, '--admin', address, '--json', '-H', 'x-group: vip')
  const { destination } = JSON.parse(asked) as { destination: { services: { endpoints: { live: unknown }[] }[] } }
  assert.deepEqual(destination.services[0]!.endpoints[1]!.live, { state: 'in-use', why: null, inFlight: 2, effectiveWeight: 2 })
})
