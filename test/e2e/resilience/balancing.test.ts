import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { type SluiceProcess, startSluice } from '../../support/sluice.ts'
import { startUpstream } from '../../support/upstream.ts'

/** Endpoints that answer with their number, after a delay of their own. */
async function startEndpoints(t: TestContext, delaysMs: readonly number[]): Promise<string[]> {
  const started = delaysMs.map((delayMs, index) =>
    startUpstream(t, (_request, response) => {
      if (delayMs === 0) response.end(String(index))
      else setTimeout(() => response.end(String(index)), delayMs)
    }),
  )
  return (await Promise.all(started)).map(({ address }) => address)
}

function start(t: TestContext, endpoints: unknown[], balance: unknown): Promise<SluiceProcess> {
  return startSluice(t, {
    workers: 2,
    accessLog: null,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: { up: { endpoints, balance } },
    routes: { all: { to: 'up' } },
  })
}

async function ask(
  gateway: SluiceProcess,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: string; cookie: string | null }> {
  // A connection each: the workers must agree.
  const response = await fetch(gateway.url, { headers: { connection: 'close', ...headers } })
  return { status: response.status, body: await response.text(), cookie: response.headers.get('set-cookie') }
}

describe('balancing through the gateway', () => {
  it('sends a key to the same endpoint on every worker, and different keys to different ones', async (t) => {
    const endpoints = await startEndpoints(t, [0, 0, 0])
    const gateway = await start(t, endpoints, { algorithm: 'consistent-hash', on: 'header:x-user' })
    const chosen = new Set<string>()
    for (let user = 0; user < 12; user++) {
      const first = await ask(gateway, { 'x-user': `user-${user}` })
      for (let i = 0; i < 4; i++) assert.equal((await ask(gateway, { 'x-user': `user-${user}` })).body, first.body)
      chosen.add(first.body)
    }
    assert.equal(chosen.size, 3)
  })

  it('takes a key from a template without quoting its expressions', async (t) => {
    const endpoints = await startEndpoints(t, [0, 0, 0])
    const gateway = await start(t, endpoints, { algorithm: 'maglev', on: 'template:${header.x-tenant}-${path}' })
    const first = await ask(gateway, { 'x-tenant': 'a' })
    for (let i = 0; i < 6; i++) assert.equal((await ask(gateway, { 'x-tenant': 'a' })).body, first.body)
  })

  it('ties a session to its endpoint by a cookie', async (t) => {
    const endpoints = await startEndpoints(t, [0, 0, 0])
    const gateway = await start(t, endpoints, { algorithm: 'round-robin', sticky: { cookie: 'route' } })
    const first = await ask(gateway)
    assert.match(first.cookie ?? '', /^route=[^;]+;.*HttpOnly/i)
    const cookie = (first.cookie as string).split(';')[0] as string
    for (let i = 0; i < 6; i++) {
      const next = await ask(gateway, { cookie })
      assert.deepEqual([next.body, next.cookie], [first.body, null])
    }
  })

  it('keeps to the subset a request asks for, and says so when it is empty', async (t) => {
    const [a, b, c] = (await startEndpoints(t, [0, 0, 0])) as [string, string, string]
    const endpoints = [
      { address: a, tags: { group: 'b' } },
      { address: b, tags: { group: 'a' } },
      { address: c, tags: { group: 'b' } },
    ]
    const gateway = await start(t, endpoints, { algorithm: 'round-robin', subset: { key: 'group', from: 'header:x-group' } })
    for (let i = 0; i < 5; i++) assert.equal((await ask(gateway, { 'x-group': 'a' })).body, '1')
    const empty = await ask(gateway, { 'x-group': 'z' })
    assert.equal(empty.status, 503)
    assert.match(empty.body, /subset/)
  })

  it('peak-ewma leaves the slow one of three nearly alone', async (t) => {
    const endpoints = await startEndpoints(t, [0, 60, 0])
    const gateway = await start(t, endpoints, 'peak-ewma')
    const counts = [0, 0, 0]
    for (let i = 0; i < 90; i++) counts[Number((await ask(gateway)).body)]!++
    assert.ok(counts[1]! <= 18, `the slow endpoint got ${counts[1]} of 90`)
  })
})
