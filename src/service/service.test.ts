import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../base/clock.ts'
import type { EndpointConfig, ServiceConfig } from '../config/types.ts'
import { EndpointStateStore } from './endpoint-state-store.ts'
import { EndpointStates } from './endpoint-states.ts'
import type { Picker } from './picker.ts'
import { createService } from './service.ts'

const random = createSeededRandom(1)
const CONTEXT = { tried: null, nowMs: 1000 }

function endpoint(port: number, weight = 1): EndpointConfig {
  return { address: `127.0.0.1:${port}`, host: '127.0.0.1', port, weight, tags: { zone: 'a' } }
}

function config(endpoints: EndpointConfig[], change: Partial<ServiceConfig> = {}): ServiceConfig {
  return {
    name: 'users',
    endpoints,
    protocol: 'http1',
    http2: null,
    tls: null,
    proxyProtocol: null,
    hostHeader: 'preserve',
    balance: { algorithm: 'round-robin' },
    pool: { idleTimeoutMs: 90_000, connectTimeoutMs: 1000, maxConnections: 1024, maxPending: 1024, pendingTimeoutMs: 1000 },
    timeouts: { requestMs: 15_000, perTryMs: null, idleMs: 60_000, propagate: true },
    health: null,
    ejection: { maxFails: 3, failTimeoutMs: 10_000, outliers: null },
    retry: null,
    breaker: null,
    hedge: null,
    concurrency: null,
    fallback: null,
    ...change,
  }
}

function setUp(all: EndpointConfig[]) {
  const store = new EndpointStateStore({ workers: 2 })
  const { layout } = store.retain([config(all)], 0)
  return { store, states: new EndpointStates(layout, 0) }
}

function ports(picker: Picker, picks: number): number[] {
  return Array.from({ length: picks }, () => {
    const pick = picker.pick(CONTEXT)
    return pick.kind === 'endpoint' ? pick.endpoint.port : 0
  })
}

describe('Service', () => {
  it('has its endpoints as configured and picks among them', () => {
    const { states } = setUp([endpoint(2003), endpoint(2004, 3)])
    const service = createService(config([endpoint(2003), endpoint(2004, 3)]), states, { random })
    assert.equal(service.name, 'users')
    assert.deepEqual(
      service.endpoints.map(({ address, host, port, weight, tags }) => ({ address, host, port, weight, tags })),
      [endpoint(2003), endpoint(2004, 3)],
    )
    assert.deepEqual(ports(service.picker, 4), [2004, 2003, 2004, 2004])
  })

  it('answers "empty" when it has no endpoints, and works again when it gets one', () => {
    const { states } = setUp([endpoint(2003)])
    const service = createService(config([]), states, { random })
    assert.deepEqual(service.picker.pick(CONTEXT), { kind: 'none', reason: 'empty' })
    service.rebuild([endpoint(2003)])
    assert.deepEqual(ports(service.picker, 1), [2003])
  })

  it('swaps the set in one step: an old picker goes on with the old set', () => {
    const all = [2003, 2004, 2005].map((port) => endpoint(port))
    const { states } = setUp(all)
    const service = createService(config(all.slice(0, 2)), states, { random })
    const before = service.picker
    const endpointsBefore = service.endpoints
    assert.deepEqual(ports(before, 1), [2003])
    service.rebuild(all)
    assert.notEqual(service.picker, before)
    assert.deepEqual(ports(service.picker, 4), [2004, 2005, 2003, 2004], 'it goes on where the old one stood')
    assert.deepEqual(ports(before, 2), [2004, 2003])
    assert.equal(endpointsBefore.length, 2)
  })

  it('keeps failures and requests in flight through a rebuild and a reload', () => {
    const all = [endpoint(2003), endpoint(2004)]
    const { states } = setUp(all)
    const service = createService(config(all), states, { random })
    const failing = service.endpoints[0]?.state
    for (let i = 0; i < 3; i++) {
      failing?.begin()
      failing?.end('failure', 1000)
    }
    service.endpoints[1]?.state.begin()
    service.rebuild([endpoint(2003), endpoint(2004, 2)])
    assert.deepEqual(ports(service.picker, 3), [2004, 2004, 2004])
    assert.equal(service.endpoints[1]?.state.inFlight, 1)
    const reloaded = createService(config(all), states, { random, previous: service })
    assert.deepEqual(ports(reloaded.picker, 3), [2004, 2004, 2004])
  })

  it('continues turn-taking after a reload, and starts it at another endpoint in another worker', () => {
    const all = [2003, 2004, 2005].map((port) => endpoint(port))
    const { states } = setUp(all)
    const service = createService(config(all), states, { random })
    assert.deepEqual(ports(service.picker, 2), [2003, 2004])
    const reloaded = createService(config(all), states, { random, previous: service })
    assert.deepEqual(ports(reloaded.picker, 2), [2005, 2003])
    const other = createService(config(all), states, { random, worker: 1 })
    assert.deepEqual(ports(other.picker, 2), [2004, 2005])
  })

  it('changes the algorithm on a reload', () => {
    const all = [endpoint(2003), endpoint(2004, 0)]
    const { states } = setUp(all)
    const service = createService(config(all), states, { random })
    const reloaded = createService(config(all, { balance: { algorithm: 'random' } }), states, { random, previous: service })
    assert.deepEqual(ports(reloaded.picker, 3), [2003, 2003, 2003])
  })

  it('never puts an endpoint aside when ejection is off', () => {
    const all = [endpoint(2003), endpoint(2004)]
    const { states } = setUp(all)
    const service = createService(config(all, { ejection: null }), states, { random })
    for (let i = 0; i < 100; i++) {
      service.endpoints[0]?.state.begin()
      service.endpoints[0]?.state.end('failure', 1000)
    }
    assert.deepEqual(ports(service.picker, 4), [2003, 2004, 2003, 2004])
  })
})
