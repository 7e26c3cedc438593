import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ServiceConfig } from '../config/types.ts'
import type { EndpointStatistics } from '../service/endpoint-state-store.ts'
import type { EndpointHealth } from '../service/health/health-checks.ts'
import { describeServices } from './services.ts'

const HEALTHY: EndpointHealth = { state: 'healthy', since: '2026-01-01T00:00:00.000Z', passedInARow: 1, failedInARow: 0, lastCheck: null }

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
    })
    const nothing = { inFlight: 0, requests: 0, failures: 0, recentFailures: 0, putAside: false, health: null }
    assert.deepEqual(shown, [
      {
        name: 'users',
        balance: 'round-robin',
        endpoints: [
          {
            address: 'a:1',
            weight: 6,
            effectiveWeight: 4,
            tags: { zone: 'x' },
            inUse: true,
            inFlight: 2,
            requests: 10,
            failures: 1,
            recentFailures: 1,
            putAside: false,
            health: HEALTHY,
          },
          { address: 'b:1', weight: 0, effectiveWeight: 0, tags: {}, inUse: false, ...nothing },
        ],
      },
    ])
  })

  it('show an endpoint as not in use when it is put aside or unhealthy, and never below a weight of 1', () => {
    const endpoint = (change: Partial<EndpointStatistics>, health: EndpointHealth | null, config: Partial<ServiceConfig> = {}) =>
      describeServices({ services: [service('users', config)], statistics: [row('users', 'a:1', change)], healthOf: () => health })[0]
        ?.endpoints[0]
    assert.equal(endpoint({}, null)?.inUse, true)
    assert.equal(endpoint({ isAside: true }, HEALTHY)?.inUse, false)
    assert.equal(endpoint({ isAside: true }, HEALTHY)?.putAside, true)
    assert.equal(endpoint({}, { ...HEALTHY, state: 'unhealthy' })?.inUse, false)
    assert.equal(endpoint({}, { ...HEALTHY, state: 'unknown' })?.inUse, true)
    assert.equal(endpoint({ penalty: 100 }, null)?.effectiveWeight, 1)
    const off = endpoint({ isAside: true, penalty: 2 }, null, { ejection: null })
    assert.deepEqual([off?.inUse, off?.putAside, off?.effectiveWeight], [true, false, 6])
  })
})
