import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSharedArea } from '../base/shared-area.ts'
import { REJECTED } from '../breaker/breaker.ts'
import { CIRCUIT_BREAKER_DEFAULTS, CircuitBreaker, circuitBreakerWords } from '../breaker/circuit-breaker.ts'
import { createRoundRobinPicker } from '../service/balance/round-robin.ts'
import { createEndpoint, type Endpoint } from '../service/endpoint.ts'
import { EndpointStateStore } from '../service/endpoint-state-store.ts'
import { EndpointStates } from '../service/endpoint-states.ts'
import { EndpointBreakers } from './endpoint-breakers.ts'

const T = 1_700_000_000_000
const CONFIG = { ...CIRCUIT_BREAKER_DEFAULTS, minRequests: 1, openForMs: 5000 }

function setUp(count: number) {
  const addresses = Array.from({ length: count }, (_, i) => `e${i}:1`)
  const store = new EndpointStateStore({ workers: 1 })
  const { layout } = store.retain([{ name: 'up', endpoints: addresses.map((address) => ({ address })) }], T)
  const states = new EndpointStates(layout, 0)
  const endpoints = addresses.map((address) =>
    createEndpoint({ address, host: 'e', port: 1, weight: 1, tags: {} }, states.state('up', address, 1, null)),
  )
  const picker = createRoundRobinPicker(endpoints, { random: () => 0.5, changes: states.changes('up') })
  const circuits = addresses.map(() => new CircuitBreaker(createSharedArea(circuitBreakerWords(1)), CONFIG))
  const breakers = new EndpointBreakers(new Map(addresses.map((address, i) => [address, circuits[i]!])))
  const open = (i: number, nowMs = T) => circuits[i]!.record(circuits[i]!.allow(nowMs), 'failure', 1, nowMs)
  const pick = (nowMs = T, tried: Endpoint[] | null = null) => {
    const x = { tried, nowMs }
    const found = breakers.pick(x, picker)
    const address = found.kind === 'endpoint' && breakers.token !== REJECTED ? found.endpoint.address : null
    return { address, tried: x.tried?.map((endpoint) => endpoint.address) ?? null }
  }
  return { endpoints, breakers, open, pick }
}

describe('picking among endpoints that each have a breaker', () => {
  it('tries nothing twice while all are closed', () => {
    const { pick } = setUp(3)
    assert.deepEqual(
      [pick(), pick(), pick()],
      [0, 1, 2].map((i) => ({ address: `e${i}:1`, tried: null })),
    )
  })

  it('passes over those that are open, and remembers that for the request', () => {
    const { open, pick } = setUp(3)
    open(0)
    open(1)
    assert.deepEqual(pick(), { address: 'e2:1', tried: ['e0:1', 'e1:1'] })
    for (let i = 0; i < 10; i++) assert.equal(pick().address, 'e2:1')
  })

  it('finds none when all are open, and says when the first may be tried', () => {
    const { breakers, open, pick } = setUp(3)
    for (const i of [0, 1, 2]) open(i, T + i * 1000)
    assert.equal(pick(T + 3000).address, null)
    assert.equal(breakers.retryAfterMs(T + 3000), 2000)
    assert.equal(pick(T + 5000).address, 'e0:1')
    assert.equal(pick(T + 5000).address, null)
  })

  it('passes over 32 at most, however many there are', () => {
    const { open, pick } = setUp(200)
    for (let i = 0; i < 150; i++) open(i)
    const { address, tried } = pick()
    assert.deepEqual([address, tried?.length], [null, 32])
  })

  it('goes back to one that this request has tried before it gives up', () => {
    const { endpoints, open, pick } = setUp(2)
    open(1)
    assert.equal(pick(T, [endpoints[0]!]).address, 'e0:1')
  })
})
