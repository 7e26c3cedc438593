import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type EndpointState, NOT_ASIDE } from './endpoint.ts'
import type { Ejection } from './endpoint-state.ts'
import { EndpointStateStore } from './endpoint-state-store.ts'
import { EndpointStates } from './endpoint-states.ts'

const EJECTION = { maxFails: 3, failTimeoutMs: 10_000 }
const T = 5_000_000

/** One endpoint as two workers and the main thread see it. */
function setUp(ejection: Ejection = EJECTION) {
  const store = new EndpointStateStore({ workers: 2 })
  const lease = store.retain([{ name: 'users', endpoints: [{ address: 'a:1' }] }], T)
  const states = [0, 1].map((worker) => new EndpointStates(lease.layout, worker).state('users', 'a:1', 1, ejection))
  const changes = new EndpointStates(lease.layout, 0).changes('users')
  const control = store.control('users', 'a:1')
  assert(control !== null)
  return { store, lease, control, state: states[0]!, other: states[1]!, changes }
}

function putAside(state: EndpointState, nowMs: number): void {
  for (let i = 0; i < EJECTION.maxFails; i++) {
    state.begin()
    state.end('failure', nowMs)
  }
}

describe('an unhealthy endpoint', () => {
  it('is out of use for every worker until it is healthy again, and nobody tries it out', () => {
    for (const ejection of [EJECTION, null]) {
      const { control, state, other } = setUp(ejection)
      control.setHealth('unhealthy', T)
      for (const one of [state, other]) {
        assert(!one.isAvailable(T))
        assert(!one.isAvailable(T + 1_000_000))
        assert.equal(one.asideMs(T + 1_000_000), Number.POSITIVE_INFINITY)
        assert(!one.admit(T + 1_000_000))
      }
      control.setHealth('healthy', T)
      assert.equal(state.asideMs(T), NOT_ASIDE)
      assert(other.admit(T))
    }
  })

  it('is announced to the pickers, once for each change that matters to them', () => {
    const { control, changes } = setUp()
    const count = () => changes.count
    const start = count()
    control.setHealth('healthy', T)
    assert.equal(count(), start, 'unknown and healthy are the same to them')
    control.setHealth('unhealthy', T)
    control.setHealth('unhealthy', T)
    assert.equal(count(), start + 1)
    assert(control.isUnhealthy)
    control.setHealth('unknown', T)
    assert.equal(count(), start + 2)
  })

  it('counts as new when it comes back, for slow start', () => {
    const { control, state } = setUp()
    control.setHealth('unhealthy', T + 1_000_000)
    control.setHealth('healthy', T + 2_000_000)
    assert.equal(state.upForMs(T + 2_000_500), 500)
    control.setHealth('healthy', T + 2_001_000)
    assert.equal(state.upForMs(T + 2_001_500), 1500)
  })
})

describe('an endpoint that was put aside', () => {
  it('is reinstated by what was asked after that, with its failures forgotten', () => {
    const { control, state, other, changes } = setUp()
    putAside(state, T)
    const before = changes.count
    assert(control.reinstate(T + 1, T + 20))
    assert.equal(changes.count, before + 1)
    assert.equal(other.asideMs(T + 20), NOT_ASIDE)
    assert.equal(state.upForMs(T + 25), 5)
    other.begin()
    other.end('failure', T + 30)
    assert.equal(state.asideMs(T + 30), NOT_ASIDE, 'the count begins anew')
    assert(!control.reinstate(T + 40, T + 40), 'there is nothing to take back')
  })

  it('is not reinstated by what was asked before that', () => {
    const { control, state } = setUp()
    putAside(state, T + 100)
    assert(!control.reinstate(T, T + 200))
    assert(!state.isAvailable(T + 200))
  })

  it('is reinstated also while a request is trying it out', () => {
    const { control, state, other } = setUp()
    putAside(state, T)
    assert(state.admit(T + 10_000))
    state.begin()
    assert(control.reinstate(T + 10_001, T + 10_005))
    assert.equal(other.asideMs(T + 10_005), NOT_ASIDE)
    state.end('failure', T + 10_010)
    assert.equal(other.asideMs(T + 10_010), NOT_ASIDE, 'one failure is one failure')
  })
})

describe('the control of an endpoint', () => {
  it('is only given while a lease holds the endpoint', () => {
    const { store, lease } = setUp()
    assert.equal(store.control('users', 'b:1'), null)
    assert.equal(store.control('orders', 'a:1'), null)
    const other = store.retain([{ name: 'users', endpoints: [{ address: 'c:1' }] }], T)
    lease.release(T)
    assert.equal(store.control('users', 'a:1'), null)
    assert.notEqual(store.control('users', 'c:1'), null)
    other.release(T)
    assert.equal(store.control('users', 'c:1'), null)
  })
})
