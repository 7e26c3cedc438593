import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { REJECTED } from '../breaker/breaker.ts'
import { CIRCUIT_BREAKER_DEFAULTS } from '../breaker/circuit-breaker.ts'
import type { GatewayConfig, RateLimitFilterConfig } from '../config/types.ts'
import { Governance, GovernanceStore } from './governance.ts'

const LIMIT: RateLimitFilterConfig = { kind: 'rate-limit', name: null, ratePerSecond: 1, burst: 2, by: null, maxKeys: 1 }

function config(filters: readonly RateLimitFilterConfig[]): GatewayConfig {
  return { services: { up: {} }, routes: { all: { name: 'all', filters } } } as unknown as GatewayConfig
}

function take(store: ReturnType<GovernanceStore['retain']>): boolean {
  return new Governance(store.layout, 0).rateLimit(LIMIT, 'all', 0).take('', 1000).allowed
}

describe('what governs services over all workers', () => {
  it('keeps the buckets of a rate limit over a reload that does not change it', () => {
    const store = new GovernanceStore(1, () => 0.5)
    const first = store.retain(config([LIMIT]), 1000)
    assert.deepEqual([take(first), take(first)], [true, true])
    const second = store.retain(config([LIMIT]), 1000)
    first.release(1000)
    assert.equal(take(second), false)
  })

  it('keeps them also when a reload in between, which had taken the limit away, was refused', () => {
    const store = new GovernanceStore(1, () => 0.5)
    const first = store.retain(config([LIMIT]), 1000)
    assert.deepEqual([take(first), take(first)], [true, true])
    store.retain(config([]), 1000).release(1000)
    const third = store.retain(config([LIMIT]), 1000)
    first.release(1000)
    assert.equal(take(third), false)
  })

  it('forgets them when no configuration names them any more', () => {
    const store = new GovernanceStore(1, () => 0.5)
    const first = store.retain(config([LIMIT]), 1000)
    assert.deepEqual([take(first), take(first)], [true, true])
    const second = store.retain(config([]), 1000)
    first.release(1000)
    const third = store.retain(config([LIMIT]), 1000)
    second.release(1000)
    assert.equal(take(third), true)
  })

  it('does not give the place of a breaker probe away while its request may still be running', () => {
    const store = new GovernanceStore(1, () => 0.5)
    const lease = store.retain(config([]), 0)
    const settings = { ...CIRCUIT_BREAKER_DEFAULTS, minRequests: 1 }
    const breaker = new Governance(lease.layout, 0).breaker('up', settings, 60_000)
    breaker.record(breaker.allow(1000), 'failure', 1, 1000)
    assert.notEqual(breaker.allow(7000), REJECTED)
    // 50 s later the probe has still 10 s to answer.
    assert.equal(breaker.allow(57_000), REJECTED)
  })
})
