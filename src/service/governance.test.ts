import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../base/clock.ts'
import { ADAPTIVE_THROTTLE_DEFAULTS } from '../breaker/adaptive-throttle.ts'
import { type Breaker, REJECTED } from '../breaker/breaker.ts'
import { CIRCUIT_BREAKER_DEFAULTS } from '../breaker/circuit-breaker.ts'
import type { BreakerConfig, GatewayConfig, RateLimitFilterConfig, ServiceConfig } from '../config/types.ts'
import { Governance, GovernanceStore } from './governance.ts'

const random = createSeededRandom(1)
const BREAKER: BreakerConfig = { ...CIRCUIT_BREAKER_DEFAULTS, kind: 'circuit', per: 'service', roundsToPercent: false, minRequests: 1 }
const UP = { name: 'up', breaker: BREAKER, endpoints: [{ address: 'a:1' }, { address: 'b:1' }] }
const LIMIT: RateLimitFilterConfig = { kind: 'rate-limit', name: null, ratePerSecond: 1, burst: 2, by: null, maxKeys: 1 }

function config(filters: readonly RateLimitFilterConfig[]): GatewayConfig {
  return { services: { up: UP }, routes: { all: { name: 'all', filters } } } as unknown as GatewayConfig
}

function take(store: ReturnType<GovernanceStore['retain']>): boolean {
  return new Governance(store.layout, 0, random).rateLimit(LIMIT, 'all', 0).take('', 1000).allowed
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
    const breaker = new Governance(lease.layout, 0, random).breaker('up', null, BREAKER, 60_000)
    breaker.record(breaker.allow(1000), 'failure', 1, 1000)
    assert.notEqual(breaker.allow(7000), REJECTED)
    // 50 s later the probe has still 10 s to answer.
    assert.equal(breaker.allow(57_000), REJECTED)
  })

  it('gives each endpoint a breaker of its own that every worker sees, where breakers are per endpoint', () => {
    const store = new GovernanceStore(2, random)
    const perEndpoint: BreakerConfig = { ...BREAKER, per: 'endpoint' }
    const up = { ...UP, breaker: perEndpoint } as unknown as ServiceConfig
    const lease = store.retain({ ...config([]), services: { up } }, 0)
    const breaker = (worker: number, address: string) => new Governance(lease.layout, worker, random).breaker('up', address, perEndpoint, 0)
    const first = breaker(0, 'a:1')
    first.record(first.allow(1000), 'failure', 1, 1000)
    assert.equal(breaker(1, 'a:1').allow(1000), REJECTED)
    assert.notEqual(breaker(1, 'b:1').allow(1000), REJECTED)
  })

  it('gives the probe of a worker that died to another, and leaves breakers of other kinds alone', () => {
    const store = new GovernanceStore(2, random)
    const throttle: BreakerConfig = { ...ADAPTIVE_THROTTLE_DEFAULTS, kind: 'adaptive-throttle', per: 'service' }
    const other = { ...UP, name: 'other', breaker: throttle } as unknown as ServiceConfig
    const lease = store.retain({ ...config([]), services: { ...config([]).services, other } }, 0)
    const breakers = [0, 1].map((worker) => new Governance(lease.layout, worker, random).breaker('up', null, BREAKER, 0))
    const [one, two] = breakers as [Breaker, Breaker]
    one.record(one.allow(0), 'failure', 1, 0)
    assert.notEqual(one.allow(6000), REJECTED)
    assert.equal(two.allow(6001), REJECTED)
    store.resetWorker(0)
    assert.notEqual(two.allow(6002), REJECTED)
  })

  it('keeps a breaker over a reload, unless its kind changes', () => {
    const store = new GovernanceStore(1, random)
    const governanceOf = (lease: ReturnType<GovernanceStore['retain']>) => new Governance(lease.layout, 0, random)
    const before = governanceOf(store.retain(config([]), 0)).breaker('up', null, BREAKER, 0)
    before.record(before.allow(1000), 'failure', 1, 1000)
    assert.equal(
      governanceOf(store.retain(config([]), 0))
        .breaker('up', null, BREAKER, 0)
        .allow(1000),
      REJECTED,
    )
    const throttle: BreakerConfig = { ...ADAPTIVE_THROTTLE_DEFAULTS, kind: 'adaptive-throttle', per: 'service' }
    const services = { up: { ...UP, breaker: throttle } as unknown as ServiceConfig }
    const after = governanceOf(store.retain({ ...config([]), services }, 0)).breaker('up', null, throttle, 0)
    assert.equal(after.state(1000), 'closed')
    assert.notEqual(after.allow(1000), REJECTED)
    // A time whose piece, in the words of the one kind, is an open breaker in those of the other.
    const other = new GovernanceStore(1, random)
    const first = governanceOf(other.retain({ ...config([]), services }, 0)).breaker('up', null, throttle, 0)
    first.record(first.allow(1500), 'failure', 1, 1500)
    assert.equal(
      governanceOf(other.retain(config([]), 0))
        .breaker('up', null, BREAKER, 0)
        .state(1500),
      'closed',
    )
  })
})
