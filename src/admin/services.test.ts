import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ServiceConfig } from '../config/types.ts'
import type { BreakerView } from '../service/breaker-watch.ts'
import type { EndpointStatistics } from '../service/endpoint-state-store.ts'
import type { EndpointHealth } from '../service/health/health-checks.ts'
import type { EndpointView, ServiceView } from '../service/service-watch.ts'
import { describeServices } from './services.ts'

const HEALTHY: EndpointHealth = { state: 'healthy', since: '2026-01-01T00:00:00.000Z', passedInARow: 1, failedInARow: 0, lastCheck: null }

const BREAKER: BreakerView = { state: 'open', requests: 20, failures: 15, slow: 0, errorPercent: 75, openings: 1, openForMs: 2500 }
const NOTHING: EndpointView = { aside: null, slowStartPercent: null, breaker: null }

function watchOf(view: Partial<EndpointView> = {}, service: ServiceView = { breaker: null, retryBudget: null }) {
  return { endpoint: () => ({ ...NOTHING, ...view }), service: () => service }
}

function service(name: string, change: Partial<ServiceConfig> = {}): ServiceConfig {
  return {
    name,
    balance: { algorithm: 'round-robin' },
    ejection: { maxFails: 3, failTimeoutMs: 10_000 },
    endpoints: [
      { address: 'a:1', host: 'a', port: 1, weight: 6, tags: { zone: 'x' } },
      { address: 'b:1', host: 'b', port: 1, weight: 0, tags: {} },
    ],
    ...change,
  } as ServiceConfig
}

function row(name: string, address: string, change: Partial<EndpointStatistics> = {}): EndpointStatistics {
  return { service: name, address, inFlight: 2, requests: 10, failures: 1, recentFailures: 1, penalty: 2, isAside: false, ...change }
}

describe('the services as the admin listener shows them', () => {
  it('are what the configuration says with what is known of each endpoint', () => {
    const shown = describeServices({
      services: [service('users')],
      statistics: [row('orders', 'a:1', { requests: 99 }), row('users', 'a:1'), row('users', 'gone:1')],
      healthOf: (name, address) => (name === 'users' && address === 'a:1' ? HEALTHY : null),
      watch: watchOf(),
      wallClockMs: 0,
    })
    const well = { ejected: null, slowStartPercent: null, breaker: null }
    const nothing = { inFlight: 0, requests: 0, failures: 0, recentFailures: 0, putAside: false, health: null }
    assert.deepEqual(shown, [
      {
        name: 'users',
        balance: 'round-robin',
        breaker: null,
        retryBudget: null,
        concurrency: null,
        endpoints: [
          {
            address: 'a:1',
            weight: 6,
            effectiveWeight: 4,
            tags: { zone: 'x' },
            state: 'in-use',
            why: null,
            ...well,
            inUse: true,
            inFlight: 2,
            requests: 10,
            failures: 1,
            recentFailures: 1,
            putAside: false,
            health: HEALTHY,
          },
          {
            address: 'b:1',
            weight: 0,
            effectiveWeight: 0,
            tags: {},
            state: 'drained',
            why: 'its weight is 0',
            inUse: false,
            ...well,
            ...nothing,
          },
        ],
      },
    ])
  })

  it('have their own concurrency limit, not that of a route with the same name', () => {
    const shown = describeServices({
      services: [service('users'), service('orders')],
      statistics: [],
      limits: [
        { scope: 'route', name: 'orders', limit: 1, inFlight: 1, waiting: 1 },
        { scope: 'service', name: 'users', limit: 10, inFlight: 7, waiting: 0 },
      ],
      healthOf: () => null,
      watch: watchOf(),
      wallClockMs: 0,
    })
    assert.deepEqual(
      shown.map(({ concurrency }) => concurrency),
      [{ limit: 10, inFlight: 7, waiting: 0 }, null],
    )
  })

  it('show an endpoint as not in use when it is put aside or unhealthy, and never below a weight of 1', () => {
    const endpoint = (change: Partial<EndpointStatistics>, health: EndpointHealth | null, config: Partial<ServiceConfig> = {}) =>
      describeServices({
        services: [service('users', config)],
        statistics: [row('users', 'a:1', change)],
        healthOf: () => health,
        watch: watchOf(),
        wallClockMs: 0,
      })[0]?.endpoints[0]
    assert.equal(endpoint({}, null)?.inUse, true)
    assert.equal(endpoint({ isAside: true }, HEALTHY)?.inUse, false)
    assert.equal(endpoint({ isAside: true }, HEALTHY)?.putAside, true)
    assert.equal(endpoint({}, { ...HEALTHY, state: 'unhealthy' })?.inUse, false)
    assert.equal(endpoint({}, { ...HEALTHY, state: 'unknown' })?.inUse, true)
    assert.equal(endpoint({ penalty: 100 }, null)?.effectiveWeight, 1)
    const off = endpoint({ isAside: true, penalty: 2 }, null, { ejection: null })
    assert.deepEqual([off?.inUse, off?.putAside, off?.effectiveWeight], [true, false, 6])
  })

  it('say in words why an endpoint is not in use', () => {
    const useOf = (view: Partial<EndpointView>, health: EndpointHealth | null = null) => {
      const rows = [row('users', 'a:1')]
      const [shown] = describeServices({
        services: [service('users')],
        statistics: rows,
        healthOf: () => health,
        watch: watchOf(view),
        wallClockMs: 0,
      })
      return shown!.endpoints[0]!
    }
    const aside = { reason: 'error-rate', isOnTrial: false, leftMs: 29_500, why: '52% errors, the others 1%' } as const
    const ejected = useOf({ aside })
    assert.deepEqual([ejected.state, ejected.why], ['ejected', '52% errors, the others 1%; tried again in 30 s'])
    assert.deepEqual(ejected.ejected, { reason: 'error-rate', until: '1970-01-01T00:00:29.500Z' })
    const trial = useOf({ aside: { ...aside, isOnTrial: true, leftMs: 0 } })
    assert.deepEqual([trial.state, trial.why], ['trial', '52% errors, the others 1%; one request tries it'])
    const open = useOf({ breaker: BREAKER })
    assert.deepEqual([open.state, open.why], ['breaker-open', 'its breaker is open: 15 of 20 requests failed; tried again in 2.5 s'])
    const slow = useOf({ slowStartPercent: 40 })
    assert.deepEqual([slow.state, slow.why], ['in-use', 'slow start: it has 40% of its weight'])
    const unhealthy = useOf({ aside }, { ...HEALTHY, state: 'unhealthy' })
    assert.deepEqual([unhealthy.state, unhealthy.why], ['unhealthy', 'health checks fail: not checked yet'])
  })
})
