import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { EndpointStateStore, type ServiceAddresses } from './endpoint-state-store.ts'
import { type EndpointStateLayout, EndpointStates } from './endpoint-states.ts'

const EJECTION = { maxFails: 3, failTimeoutMs: 10_000 }

function service(name: string, ...addresses: string[]): ServiceAddresses {
  return { name, endpoints: addresses.map((address) => ({ address })) }
}

function view(layout: EndpointStateLayout, name: string, address: string, worker = 0) {
  return new EndpointStates(layout, worker).state(name, address, 1, EJECTION)
}

describe('EndpointStateStore', () => {
  it('gives every service and address its own state', () => {
    const store = new EndpointStateStore({ workers: 2 })
    const { layout } = store.retain([service('users', 'a:1', 'b:1'), service('orders', 'a:1')], 0)
    view(layout, 'users', 'a:1').begin()
    view(layout, 'users', 'a:1', 1).begin()
    view(layout, 'orders', 'a:1').begin()
    assert.equal(view(layout, 'users', 'a:1').inFlight, 2)
    assert.equal(view(layout, 'users', 'b:1').inFlight, 0)
    assert.equal(view(layout, 'orders', 'a:1').inFlight, 1)
  })

  it('shows an address that is named twice as one state, which both share', () => {
    const store = new EndpointStateStore({ workers: 1, graceMs: 0 })
    const lease = store.retain([service('users', 'a:1', 'a:1')], 0)
    view(lease.layout, 'users', 'a:1').begin()
    assert.equal(store.statistics().length, 1)
    lease.release(0)
    assert.equal(store.statistics().length, 0)
  })

  it('hands out a layout that crosses threads by structured clone and stays the same memory', () => {
    const store = new EndpointStateStore({ workers: 1 })
    const { layout } = store.retain([service('users', 'a:1'), service('__proto__', 'constructor')], 0)
    const copy = structuredClone(layout)
    view(copy, 'users', 'a:1').begin()
    view(copy, '__proto__', 'constructor').begin()
    assert.equal(view(layout, 'users', 'a:1').inFlight, 1)
    assert.equal(view(layout, '__proto__', 'constructor').inFlight, 1)
  })

  it('says which endpoint has no state, and does not take an inherited name for one', () => {
    const store = new EndpointStateStore({ workers: 1 })
    const { layout } = store.retain([service('users', 'a:1')], 0)
    assert.throws(() => view(layout, 'users', 'b:1'), /no state slot for endpoint "b:1" of service "users"/)
    assert.throws(() => view(structuredClone(layout), 'users', 'toString'), /no state slot/)
    assert.throws(() => view(structuredClone(layout), 'valueOf', 'a:1'), /no state slot/)
  })

  it('refuses worker numbers it has no place for', () => {
    for (const workers of [0, 65, 1.5, Number.NaN]) assert.throws(() => new EndpointStateStore({ workers }), RangeError)
    const store = new EndpointStateStore({ workers: 2 })
    const { layout } = store.retain([service('users', 'a:1')], 0)
    assert.throws(() => new EndpointStates(layout, 2), RangeError)
    assert.throws(() => new EndpointStates(layout, -1), RangeError)
    assert.throws(() => store.resetWorker(2), RangeError)
  })

  it('grows by segments, while the views on earlier ones stay good', () => {
    const store = new EndpointStateStore({ workers: 3, slotsPerSegment: 4 })
    const first = store.retain([service('users', 'a:1')], 0)
    const early = view(first.layout, 'users', 'a:1')
    early.begin()
    const addresses = Array.from({ length: 50 }, (_, i) => `b:${i}`)
    const second = store.retain([service('users', 'a:1', ...addresses)], 0)
    assert(second.layout.segments.length > first.layout.segments.length)
    for (const [i, address] of addresses.entries()) for (let n = 0; n <= i; n++) view(second.layout, 'users', address, 2).begin()
    for (const [i, address] of addresses.entries()) assert.equal(view(second.layout, 'users', address).inFlight, i + 1)
    early.begin()
    assert.equal(view(second.layout, 'users', 'a:1').inFlight, 2)
  })

  it('keeps live state across reloads, also when the old configuration is released', () => {
    const store = new EndpointStateStore({ workers: 1, graceMs: 0 })
    const before = store.retain([service('users', 'a:1', 'b:1')], 0)
    const state = view(before.layout, 'users', 'b:1')
    for (let i = 0; i < 3; i++) {
      state.begin()
      state.end('failure', 1000)
    }
    state.begin()
    const after = store.retain([service('users', 'b:1', 'c:1')], 2000)
    before.release(2000)
    before.release(2000)
    assert.deepEqual(
      store.statistics().map((row) => row.address),
      ['b:1', 'c:1'],
      'a second release takes nothing from the others',
    )
    store.retain([], 1_000_000)
    const later = view(after.layout, 'users', 'b:1')
    assert.equal(later.inFlight, 1)
    assert(!later.isAvailable(2000))
  })

  it('gives an endpoint its state back when it returns within the grace time', () => {
    const store = new EndpointStateStore({ workers: 1, graceMs: 1000 })
    const lease = store.retain([service('users', 'a:1')], 0)
    const state = view(lease.layout, 'users', 'a:1')
    for (let i = 0; i < 3; i++) {
      state.begin()
      state.end('failure', 0)
    }
    lease.release(0)
    const again = store.retain([service('users', 'a:1')], 999)
    assert(!view(again.layout, 'users', 'a:1').isAvailable(999))
  })

  it('empties and reuses a slot only after the grace time', () => {
    const store = new EndpointStateStore({ workers: 1, graceMs: 1000, slotsPerSegment: 2 })
    const lease = store.retain([service('users', 'a:1')], 0)
    const state = view(lease.layout, 'users', 'a:1')
    for (let i = 0; i < 3; i++) {
      state.begin()
      state.end('failure', 0)
    }
    lease.release(500)
    const early = store.retain([service('orders', 'b:1')], 1499)
    assert.equal(early.layout.segments.length, 2, 'not reused yet')
    const late = store.retain([service('users', 'a:1')], 1500)
    assert.equal(late.layout.segments.length, 2, 'reused')
    assert(view(late.layout, 'users', 'a:1').isAvailable(0), 'and empty')
    assert.equal(store.statistics().find((row) => row.address === 'a:1')?.requests, 0)
  })

  it('does not reuse a slot while a request is still in flight on it', () => {
    const store = new EndpointStateStore({ workers: 1, graceMs: 0, slotsPerSegment: 2 })
    const lease = store.retain([service('users', 'a:1')], 0)
    const stream = view(lease.layout, 'users', 'a:1')
    stream.begin()
    lease.release(0)
    // The service's own slot is free again, the endpoint's is not.
    const next = store.retain([service('orders', 'b:1')], 1_000_000)
    assert.equal(next.layout.segments.length, 2)
    stream.end('success', 1_000_000)
    assert.equal(view(next.layout, 'orders', 'b:1').inFlight, 0)
    const last = store.retain([service('carts', 'c:1')], 2_000_000)
    assert.equal(last.layout.segments.length, 2, 'now it is')
  })

  it('does not grow over a thousand reloads', () => {
    const store = new EndpointStateStore({ workers: 4, graceMs: 5000, slotsPerSegment: 8 })
    let lease = store.retain([service('users', 'a:0', 'b:0')], 0)
    let segments = 0
    for (let i = 1; i <= 1000; i++) {
      const next = store.retain([service('users', `a:${i}`, `b:${i}`)], i * 1000)
      lease.release(i * 1000)
      lease = next
      if (i === 10) segments = next.layout.segments.length
    }
    assert.equal(lease.layout.segments.length, segments)
  })

  it('takes back what a dead worker had in flight, and nothing else', () => {
    const store = new EndpointStateStore({ workers: 3, slotsPerSegment: 2 })
    const { layout } = store.retain([service('users', 'a:1', 'b:1', 'c:1')], 0)
    for (const address of ['a:1', 'b:1', 'c:1']) {
      view(layout, 'users', address, 0).begin()
      view(layout, 'users', address, 1).begin()
      view(layout, 'users', address, 1).begin()
    }
    store.resetWorker(1)
    for (const address of ['a:1', 'b:1', 'c:1']) assert.equal(view(layout, 'users', address, 2).inFlight, 1)
    const rows = store.statistics()
    assert.deepEqual(
      rows.map((row) => row.requests),
      [3, 3, 3],
    )
  })

  it('reports the statistics of every endpoint', () => {
    const store = new EndpointStateStore({ workers: 2 })
    const { layout } = store.retain([service('users', 'a:1')], 0)
    const states = [0, 1].map((worker) => new EndpointStates(layout, worker).state('users', 'a:1', 9, EJECTION))
    for (const state of states) {
      state.begin()
      state.begin()
      state.end('failure', 0)
    }
    assert.deepEqual(store.statistics(), [
      { service: 'users', address: 'a:1', inFlight: 2, requests: 4, failures: 2, recentFailures: 2, penalty: 6, isAside: false },
    ])
    states[0]?.end('failure', 0)
    assert.equal(store.statistics()[0]?.isAside, true)
  })
})
