import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { LatencyTracking } from './endpoint-state.ts'
import { EndpointStateStore } from './endpoint-state-store.ts'
import { EndpointStates } from './endpoint-states.ts'

const EJECTION = { maxFails: 3, failTimeoutMs: 10_000 }
const T = 5_000_000
const SERVICE = [{ name: 'users', endpoints: [{ address: 'a:1' }] }]

/** One endpoint as two workers see it. */
function setUp(latency: LatencyTracking) {
  const store = new EndpointStateStore({ workers: 2, graceMs: 100_000 })
  const lease = store.retain(SERVICE, T)
  const [state, other] = [0, 1].map((worker) => new EndpointStates(lease.layout, worker).state('users', 'a:1', 1, EJECTION, latency))
  assert(state !== undefined && other !== undefined)
  const end = (outcome: 'success' | 'failure' | 'neutral', nowMs: number, latencyMs?: number) => {
    state.begin()
    state.end(outcome, nowMs, latencyMs)
  }
  return { store, lease, state, other, end }
}

function near(actual: number, expected: number): void {
  assert(Math.abs(actual - expected) < 1e-6 * Math.max(1, expected), `${actual}, expected ${expected}`)
}

describe('the latency estimate', () => {
  it('begins with the first sample and is the same for all workers', () => {
    const { state, other, end } = setUp({ kind: 'mean', decayMs: 1000 })
    assert.equal(state.latencyMs(T), 0)
    end('success', T, 40)
    assert.equal(state.latencyMs(T), 40)
    assert.equal(other.latencyMs(T), 40)
  })

  it('of the mean kind moves to a sample by as much as has been forgotten meanwhile', () => {
    const { state, end } = setUp({ kind: 'mean', decayMs: 1000 })
    end('success', T, 40)
    end('success', T + 1000, 80)
    near(state.latencyMs(T + 1000), 40 * Math.exp(-1) + 80 * (1 - Math.exp(-1)))
  })

  it('of the peak kind takes a higher sample at once and comes down slowly', () => {
    const { state, end } = setUp({ kind: 'peak', decayMs: 1000 })
    end('success', T, 40)
    end('success', T + 1, 500)
    assert.equal(state.latencyMs(T + 1), 500)
    end('success', T + 1001, 40)
    near(state.latencyMs(T + 1001), 500 * Math.exp(-1) + 40 * (1 - Math.exp(-1)))
  })

  it('sinks while nothing is heard', () => {
    const { state, end } = setUp({ kind: 'peak', decayMs: 1000 })
    end('success', T, 500)
    near(state.latencyMs(T + 3000), 500 * Math.exp(-3))
  })

  it('is raised by failures but never lowered: failing at once is not being fast', () => {
    for (const kind of ['mean', 'peak'] as const) {
      const { state, end } = setUp({ kind, decayMs: 1000 })
      end('success', T, 100)
      end('failure', T + 500, 1)
      near(state.latencyMs(T + 500), 100 * Math.exp(-0.5) * (1 + 4 * (1 - Math.exp(-0.5))))
      const beforeMs = state.latencyMs(T + 500)
      end('failure', T + 500, 5000)
      assert(state.latencyMs(T + 500) >= beforeMs)
      if (kind === 'peak') assert.equal(state.latencyMs(T + 500), 5000)
    }
  })

  it('of an endpoint that only fails rises from what it is for others up to 10 s, whatever the failures took', () => {
    for (const kind of ['mean', 'peak'] as const) {
      const { state, end } = setUp({ kind, decayMs: 1000 })
      end('success', T, 5)
      for (let ms = 1; ms <= 1000; ms++) end('failure', T + ms, ms % 2 === 0 ? 0.1 : -1)
      assert(state.latencyMs(T + 1000) > 50, `${state.latencyMs(T + 1000)}`)
      for (let ms = 1000; ms <= 60_000; ms++) end('failure', T + ms, 0.1)
      assert(state.latencyMs(T + 60_000) > 9900 && state.latencyMs(T + 60_000) < 10_100, `${state.latencyMs(T + 60_000)}`)
    }
  })

  it('counts an answer of 500 and above as a failure, and one of which nothing else is known as slow', () => {
    const { state } = setUp({ kind: 'mean', decayMs: 1000 })
    state.begin()
    state.end('success', T, 0.1, true)
    assert.equal(state.latencyMs(T), 100)
    const other = setUp({ kind: 'mean', decayMs: 1000 })
    other.end('failure', T)
    assert.equal(other.state.latencyMs(T), 100)
  })

  it('is moved by few failures only by a little', () => {
    const { state, end } = setUp({ kind: 'peak', decayMs: 1000 })
    for (let ms = 0; ms < 10_000; ms++) end(ms % 10 === 0 ? 'failure' : 'success', T + ms, ms % 10 === 0 ? 0.1 : 5)
    assert(state.latencyMs(T + 10_000) > 6 && state.latencyMs(T + 10_000) < 9, `${state.latencyMs(T + 10_000)}`)
  })

  it('is raised, never lowered, by a request that was overtaken', () => {
    const { state } = setUp({ kind: 'peak', decayMs: 1000 })
    state.overtaken(50, T)
    assert.equal(state.latencyMs(T), 50)
    state.overtaken(20, T + 1)
    near(state.latencyMs(T + 1), 50 * Math.exp(-0.001))
    state.overtaken(80, T + 1)
    assert.equal(state.latencyMs(T + 1), 80)
  })

  it('is not touched by neutral ends, by ends without a time, or when nobody asked for it', () => {
    const { state, end } = setUp({ kind: 'mean', decayMs: 1000 })
    end('neutral', T, 100)
    end('success', T)
    assert.equal(state.latencyMs(T), 0)
    const off = setUp(null)
    off.end('success', T, 100)
    assert.equal(off.state.latencyMs(T), 0)
  })

  it('is above 0 after any sample, and believes a clock reading that is a little older', () => {
    const { state, end } = setUp({ kind: 'mean', decayMs: 1000 })
    end('success', T, 0)
    assert(state.latencyMs(T) > 0)
    end('success', T, 40)
    end('success', T - 5, 80)
    assert(state.latencyMs(T - 10) > 0 && state.latencyMs(T - 10) <= 80)
  })
})

describe('how long an endpoint has been up', () => {
  it('counts from its first lease, through reloads', () => {
    const { store, lease, state } = setUp(null)
    assert.equal(state.upForMs(T), 0)
    assert.equal(state.upForMs(T - 5), 0, 'for a clock reading that is a little older')
    const next = store.retain(SERVICE, T + 1000)
    lease.release(T + 1000)
    assert.equal(new EndpointStates(next.layout, 1).state('users', 'a:1', 1, EJECTION).upForMs(T + 5000), 5000)
  })

  it('counts anew when it was gone from all configurations for a time', () => {
    const { store, lease, state } = setUp(null)
    lease.release(T + 1000)
    store.retain(SERVICE, T + 9000)
    assert.equal(state.upForMs(T + 9500), 500)
  })

  it('counts anew when a trial brought it back', () => {
    const { state, end } = setUp(null)
    for (let i = 0; i < 3; i++) end('failure', T + 1000)
    assert(state.admit(T + 11_000))
    end('success', T + 11_200)
    assert.equal(state.upForMs(T + 12_000), 800)
  })

  it('is long ago once it was long ago, also after the numbers came round', () => {
    for (const days of [13, 24, 25, 40, 49]) {
      const { state } = setUp(null)
      assert.equal(state.upForMs(T + days * 86_400_000), Number.POSITIVE_INFINITY, `${days} days`)
      assert.equal(state.upForMs(T + 2 ** 32 + 1000), Number.POSITIVE_INFINITY)
    }
  })

  it('works with epoch milliseconds and fractions', () => {
    const now = 1_795_000_000_000.75
    const store = new EndpointStateStore({ workers: 1 })
    const { layout } = store.retain(SERVICE, now)
    const ageMs = new EndpointStates(layout, 0).state('users', 'a:1', 1, EJECTION).upForMs(now + 1000)
    assert(ageMs >= 1000 && ageMs <= 1001, `${ageMs}`)
  })
})
