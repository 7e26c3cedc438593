import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { NOT_ASIDE } from './endpoint.ts'
import type { Ejection, SharedEndpointState } from './endpoint-state.ts'
import { EndpointStateStore } from './endpoint-state-store.ts'
import { EndpointStates } from './endpoint-states.ts'

const EJECTION = { maxFails: 3, failTimeoutMs: 10_000 }
const T = 5_000_000

/** One endpoint as two workers see it. */
function setUp(weight = 1, ejection: Ejection = EJECTION) {
  const store = new EndpointStateStore({ workers: 2 })
  const { layout } = store.retain([{ name: 'users', endpoints: [{ address: 'a:1' }] }], T)
  const states = [0, 1].map((worker) => new EndpointStates(layout, worker).state('users', 'a:1', weight, ejection))
  const changes = new EndpointStates(layout, 0).changes('users')
  return { store, layout, state: states[0]!, other: states[1]!, changes }
}

function fail(state: SharedEndpointState, nowMs: number, times = 1): void {
  for (let i = 0; i < times; i++) {
    state.begin()
    state.end('failure', nowMs)
  }
}

function succeed(state: SharedEndpointState, nowMs: number, times = 1): void {
  for (let i = 0; i < times; i++) {
    state.begin()
    state.end('success', nowMs)
  }
}

describe('requests in flight', () => {
  it('are summed over all workers, whatever their outcome', () => {
    const { state, other } = setUp()
    state.begin()
    state.begin()
    other.begin()
    assert.equal(state.inFlight, 3)
    assert.equal(other.inFlight, 3)
    state.end('neutral', T)
    state.end('failure', T)
    other.end('success', T)
    assert.equal(state.inFlight, 0)
  })
})

describe('failures', () => {
  it('put an endpoint aside for every worker when maxFails come in a row within failTimeout', () => {
    const { state, other } = setUp()
    fail(state, T)
    fail(other, T + 5000)
    assert(state.isAvailable(T + 9999))
    fail(state, T + 9999)
    assert(!state.isAvailable(T + 9999))
    assert(!other.isAvailable(T + 9999))
    assert.equal(other.asideMs(T + 9999), 10_000)
  })

  it('do not count together when the first is as old as failTimeout', () => {
    const { state } = setUp()
    fail(state, T, 2)
    fail(state, T + 10_000, 2)
    assert.equal(state.asideMs(T + 10_000), NOT_ASIDE)
    fail(state, T + 10_001)
    assert(!state.isAvailable(T + 10_001), 'the new window has its own three')
  })

  it('do not count together when a success comes in between, on any worker', () => {
    const { state, other } = setUp()
    fail(state, T, 2)
    succeed(other, T)
    fail(state, T, 2)
    assert(state.isAvailable(T))
    fail(state, T)
    assert(!state.isAvailable(T))
  })

  it('are not what a neutral end is', () => {
    const { state } = setUp(6)
    for (let i = 0; i < 100; i++) {
      state.begin()
      state.end('neutral', T)
    }
    assert.equal(state.asideMs(T), NOT_ASIDE)
    assert.equal(state.effectiveWeight, 6)
    fail(state, T, 2)
    state.begin()
    state.end('neutral', T)
    fail(state, T)
    assert(!state.isAvailable(T), 'a neutral end does not reset the count either')
  })

  it('change nothing when ejection is off, or switched off by a reload', () => {
    const { state } = setUp(6, null)
    fail(state, T, 100)
    assert.equal(state.asideMs(T), NOT_ASIDE)
    assert.equal(state.effectiveWeight, 6)
    const on = setUp(6)
    fail(on.state, T, 3)
    const off = new EndpointStates(on.layout, 0).state('users', 'a:1', 6, null)
    assert(off.isAvailable(T))
    assert(off.admit(T))
    assert.equal(off.effectiveWeight, 6)
  })

  it('put an endpoint aside at the first one when maxFails is 1', () => {
    const { state } = setUp(1, { maxFails: 1, failTimeoutMs: 1000 })
    fail(state, T)
    assert.equal(state.asideMs(T), 1000)
  })
})

describe('an endpoint that is put aside', () => {
  it('may be tried when failTimeout has passed since it was put aside, not since its first failure', () => {
    const { state } = setUp()
    fail(state, T)
    fail(state, T + 9000, 2)
    assert(!state.isAvailable(T + 18_999))
    assert(!state.admit(T + 18_999))
    assert(state.isAvailable(T + 19_000))
    assert.equal(state.asideMs(T + 19_000), 0)
  })

  it('admits one request over all workers, then again none for failTimeout', () => {
    const { state, other } = setUp()
    fail(state, T, 3)
    assert(state.admit(T + 10_000))
    assert(!other.admit(T + 10_000))
    assert(!state.admit(T + 10_000))
    assert(!other.isAvailable(T + 19_999))
  })

  it('comes back with the first success of a trial, and counts from zero', () => {
    const { state, other, store } = setUp()
    fail(state, T, 3)
    assert(other.admit(T + 10_000))
    succeed(other, T + 10_500)
    assert.equal(store.statistics()[0]?.recentFailures, 0)
    assert.equal(state.asideMs(T + 10_500), NOT_ASIDE)
    fail(state, T + 10_500, 2)
    assert(state.isAvailable(T + 10_500))
  })

  it('is put aside again at once, for a whole failTimeout, when the trial fails', () => {
    const { state, other } = setUp()
    fail(state, T, 3)
    assert(state.admit(T + 10_000))
    fail(state, T + 12_000)
    assert.equal(other.asideMs(T + 12_000), 10_000)
    assert(!state.admit(T + 21_999))
    assert(state.admit(T + 22_000))
  })

  it('admits another trial when the first never reports or ends neutral', () => {
    const { state, other } = setUp()
    fail(state, T, 3)
    assert(state.admit(T + 10_000))
    state.begin()
    state.end('neutral', T + 10_001)
    assert(!other.admit(T + 19_999))
    assert(other.admit(T + 20_000))
  })

  it('is not moved by the answers to requests sent before', () => {
    const { state } = setUp()
    for (let i = 0; i < 10; i++) state.begin()
    for (let i = 0; i < 3; i++) state.end('failure', T)
    state.end('success', T + 1000)
    assert.equal(state.asideMs(T + 1000), 9000, 'a late success does not bring it back')
    state.end('failure', T + 2000)
    assert.equal(state.asideMs(T + 2000), 8000, 'a late failure does not keep it longer')
  })

  it('may be tried however long nobody asked', () => {
    for (const idleDays of [1, 6, 7, 12, 13, 20, 24.9, 40, 49.8, 1000]) {
      const { state } = setUp()
      fail(state, T, 3)
      const nowMs = T + idleDays * 86_400_000
      // Time is kept modulo twelve days: at worst it waits one failTimeout more.
      assert(state.isAvailable(nowMs) || state.isAvailable(nowMs + 10_000), `${idleDays} days`)
    }
  })

  it('stays aside for a thread whose clock reading is a little older', () => {
    const { state } = setUp()
    fail(state, T, 3)
    assert(!state.isAvailable(T - 50))
    assert(!state.admit(T - 50))
    assert(!state.admit(T - 300_000))
  })

  it('works with epoch milliseconds and fractions', () => {
    const now = 1_795_000_000_000.75
    const { state } = setUp()
    fail(state, now, 3)
    assert.equal(state.asideMs(now), 10_000)
    assert(!state.admit(now + 9999))
    assert(state.admit(now + 10_000))
  })
})

describe('effective weight', () => {
  it('falls by a part of the weight with each failure and rises by 1 with each success', () => {
    const { state, other } = setUp(12)
    fail(state, T)
    assert.equal(other.effectiveWeight, 8)
    fail(other, T)
    assert.equal(state.effectiveWeight, 4)
    for (const expected of [5, 6, 7, 8, 9, 10, 11, 12, 12]) {
      succeed(state, T)
      assert.equal(state.effectiveWeight, expected)
    }
  })

  it('does not fall below 1, so that the endpoint gets the successes it needs', () => {
    const { state } = setUp(4)
    for (let i = 0; i < 20; i++) fail(state, T + i * 10_000)
    assert.equal(state.effectiveWeight, 1)
  })

  it('leaves weight 1 and weight 0 as they are', () => {
    for (const weight of [0, 1]) {
      const { state } = setUp(weight)
      fail(state, T, 2)
      assert.equal(state.effectiveWeight, weight)
    }
  })

  it('keeps within a weight that a reload has lowered', () => {
    const { state, layout } = setUp(100)
    fail(state, T, 2)
    assert.equal(state.effectiveWeight, 32)
    const lowered = new EndpointStates(layout, 0).state('users', 'a:1', 5, EJECTION)
    assert.equal(lowered.effectiveWeight, 1)
    succeed(lowered, T)
    assert.equal(lowered.effectiveWeight, 2)
  })
})

describe('the change count', () => {
  it('rises when availability or weight changes, and only then', () => {
    const { state, other, changes } = setUp(6)
    const rises = (run: () => void): boolean => {
      const before = changes.count
      run()
      return changes.count !== before
    }
    assert(!rises(() => succeed(state, T, 10)))
    assert(
      rises(() => fail(other, T)),
      'weight 6 to 4',
    )
    assert(
      rises(() => succeed(state, T)),
      'to 5',
    )
    assert(
      rises(() => succeed(state, T)),
      'to 6',
    )
    assert(!rises(() => succeed(state, T)))
    fail(state, T, 2)
    assert(
      rises(() => fail(state, T)),
      'put aside',
    )
    assert(!rises(() => state.isAvailable(T + 10_000)))
    assert(
      rises(() => other.admit(T + 10_000)),
      'a trial',
    )
    assert(!rises(() => state.admit(T + 10_000)))
    assert(
      rises(() => succeed(other, T + 10_000)),
      'back',
    )
  })
})

describe('the change count of an endpoint with weight 1', () => {
  it('does not rise with failures that take no weight and put nothing aside', () => {
    const { state, changes } = setUp(1)
    fail(state, T, 2)
    assert.equal(changes.count, 0)
    fail(state, T)
    assert.equal(changes.count, 1)
  })
})

/** The same rules written down naively, for one thread. */
class Model {
  inFlight = 0
  fails = 0
  windowAt = 0
  lost = 0
  status: 'up' | 'aside' | 'trial' = 'up'
  since = 0
  readonly weight: number

  constructor(weight: number) {
    this.weight = weight
  }

  isDue(now: number): boolean {
    return now - this.since >= EJECTION.failTimeoutMs
  }

  admit(now: number): boolean {
    if (this.status === 'up') return true
    if (!this.isDue(now)) return false
    this.status = 'trial'
    this.since = now
    return true
  }

  end(outcome: string, now: number): void {
    this.inFlight--
    if (outcome === 'success' && this.status !== 'aside') {
      this.status = 'up'
      this.fails = 0
      this.lost = Math.max(0, this.lost - 1)
    }
    if (outcome !== 'failure' || this.status === 'aside') return
    if (this.status === 'up') {
      this.lost = Math.min(Math.max(0, this.weight - 1), this.lost + Math.ceil(this.weight / EJECTION.maxFails))
      if (this.fails === 0 || now - this.windowAt >= EJECTION.failTimeoutMs) {
        this.fails = 0
        this.windowAt = now
      }
      if (++this.fails < EJECTION.maxFails) return
    }
    this.status = 'aside'
    this.since = now
  }
}

describe('any sequence of events', () => {
  it('agrees with the plain model, and the weight stays within its bounds', () => {
    const event = fc.record({
      kind: fc.constantFrom('begin', 'success', 'failure', 'failure', 'neutral', 'admit'),
      worker: fc.integer({ min: 0, max: 1 }),
      waitMs: fc.constantFrom(0, 0, 0, 1, 2000, 9999, 10_000, 25_000),
    })
    const property = fc.property(fc.integer({ min: 0, max: 20 }), fc.array(event, { maxLength: 200 }), (weight, events) => {
      const { state, other } = setUp(weight)
      const model = new Model(weight)
      let now = T
      for (const { kind, worker, waitMs } of events) {
        now += waitMs
        const view = worker === 0 ? state : other
        if (kind === 'admit') {
          assert.equal(view.admit(now), model.admit(now))
        } else if (kind === 'begin') {
          view.begin()
          model.inFlight++
        } else {
          view.end(kind as 'success', now)
          model.end(kind, now)
        }
        assert.equal(view.inFlight, model.inFlight)
        assert.equal(view.effectiveWeight, weight - model.lost)
        assert(view.effectiveWeight >= Math.min(1, weight) && view.effectiveWeight <= weight)
        assert.equal(view.isAvailable(now), model.status === 'up' || model.isDue(now))
        assert.equal(view.asideMs(now) === NOT_ASIDE, model.status === 'up')
      }
    })
    fc.assert(property, { numRuns: 300, seed: 42 })
  })
})
