import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../base/clock.ts'
import type { BalanceConfig, ServiceConfig } from '../config/types.ts'
import { stickyIdOf } from './balance/sticky.ts'
import { EndpointStateStore } from './endpoint-state-store.ts'
import { EndpointStates } from './endpoint-states.ts'
import { createPickKeyReader } from './pick-keys.ts'
import { createService } from './service.ts'

/** A request as balancing sees it. */
function createRequest(headers: Record<string, string> = {}) {
  return {
    path: '/p',
    query: 'g=blue',
    clientIp: '192.0.2.1',
    header: (name: string): string | undefined => headers[name],
    tried: null,
    nowMs: 1000,
    hashKey: null as string | null,
    stickyKey: null as string | null,
    subsetKey: null as string | null,
  }
}

function createUsers(balance: BalanceConfig) {
  const endpoints = ['blue', 'green', 'blue'].map((group, i) => {
    return { address: `127.0.0.1:${2003 + i}`, host: '127.0.0.1', port: 2003 + i, weight: 1, tags: { group } }
  })
  // Only what a service looks at.
  const config = { name: 'users', endpoints, balance, ejection: null } as unknown as ServiceConfig
  const { layout } = new EndpointStateStore({ workers: 1 }).retain([config], 0)
  return createService(config, new EndpointStates(layout, 0), { random: createSeededRandom(1) })
}

const header = { from: 'header', name: 'x-user' } as const

describe('the keys of a request', () => {
  it('are not looked for when balancing goes by none', () => {
    assert.equal(createPickKeyReader({ algorithm: 'round-robin', slowStartMs: 1000 }), null)
    assert.equal(createUsers({ algorithm: 'random' }).keys, null)
  })

  it('are read where the configuration says, each for its own purpose', () => {
    const sticky = { cookie: 'sid', ttlMs: null }
    const subset = { key: 'group', from: { from: 'query', name: 'g' }, fallback: 'any', absent: 'any' } as const
    const reader = createPickKeyReader({ algorithm: 'maglev', on: header, sticky, subset })
    const request = createRequest({ 'x-user': 'ann', cookie: 'sid=1' })
    reader?.read(request)
    assert.deepEqual([request.hashKey, request.stickyKey, request.subsetKey], ['ann', '1', 'blue'])
    const other = createRequest()
    createPickKeyReader({ algorithm: 'rendezvous', on: { from: 'path' } })?.read(other)
    assert.deepEqual([other.hashKey, other.stickyKey, other.subsetKey], ['/p', null, null])
  })

  it('lead to the same endpoint for the same key', () => {
    const users = createUsers({ algorithm: 'rendezvous', on: header })
    const ports = new Set<number>()
    for (let i = 0; i < 10; i++) {
      const request = createRequest({ 'x-user': 'ann' })
      users.keys?.read(request)
      const pick = users.picker.pick(request)
      if (pick.kind === 'endpoint') ports.add(pick.endpoint.port)
    }
    assert.equal(ports.size, 1)
  })

  it('keep a session within its subset, with the cookie of the response', () => {
    const subset = { key: 'group', from: header, fallback: 'none', absent: 'any' } as const
    const users = createUsers({ algorithm: 'round-robin', sticky: { cookie: 'sid', ttlMs: null }, subset })
    const pickFor = (headers: Record<string, string>) => {
      const request = createRequest(headers)
      users.keys?.read(request)
      const pick = users.picker.pick(request)
      assert(pick.kind === 'endpoint')
      return { endpoint: pick.endpoint, setCookie: users.sticky?.setCookie(pick.endpoint, request.stickyKey, false) }
    }
    const first = pickFor({ 'x-user': 'blue' })
    const cookie = `sid=${stickyIdOf(first.endpoint.address)}`
    assert(first.setCookie?.startsWith(cookie))
    for (let i = 0; i < 5; i++) assert.deepEqual(pickFor({ 'x-user': 'blue', cookie }), { endpoint: first.endpoint, setCookie: null })
    const moved = pickFor({ 'x-user': 'green', cookie })
    assert.equal(moved.endpoint.port, 2004)
    assert(moved.setCookie?.startsWith(`sid=${stickyIdOf('127.0.0.1:2004')}`))
  })
})

describe('a service that balances by latency', () => {
  it('has endpoints that keep it; others have not', () => {
    for (const [balance, expected] of [
      [{ algorithm: 'peak-ewma', decayMs: 1000 }, 7],
      [{ algorithm: 'fastest-response', decayMs: 1000 }, 7],
      [{ algorithm: 'round-robin' }, 0],
    ] as [BalanceConfig, number][]) {
      const state = createUsers(balance).endpoints[0]?.state
      state?.begin()
      state?.end('success', 1000, 7)
      assert.equal(state?.latencyMs(1000), expected)
    }
  })
})
