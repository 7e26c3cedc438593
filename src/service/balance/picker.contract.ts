import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../../base/clock.ts'
import type { EndpointConfig } from '../../config/types.ts'
import { createEndpoint, type Endpoint, type Outcome } from '../endpoint.ts'
import type { Ejection, LatencyTracking } from '../endpoint-state.ts'
import { EndpointStateStore } from '../endpoint-state-store.ts'
import { EndpointStates } from '../endpoint-states.ts'
import type { ChangeCount, PickContext, Picker, PickerOptions } from '../picker.ts'

export const START_MS = 1_000_000
export const EJECTION: Exclude<Ejection, null> = { maxFails: 3, failTimeoutMs: 10_000 }

/** A context whose fields a test may set. */
export class TestContext implements PickContext {
  tried: Endpoint[] | null = null
  nowMs = START_MS
  hashKey: string | null = null
  stickyKey: string | null = null
  subsetKey: string | null = null
}

/** A context of which every pick sees another hash key. */
export class KeyedContext implements PickContext {
  tried: Endpoint[] | null = null
  nowMs = START_MS
  #count = 0

  get hashKey(): string {
    return `key${this.#count++}`
  }
}

export interface EndpointFixture {
  endpoints: Endpoint[]
  changes: ChangeCount
  store: EndpointStateStore
}

/** Real endpoints on real shared memory: 127.0.0.1:2003, 2004 and so on, one for each weight. */
export function createEndpoints(
  weights: readonly number[],
  ejection: Ejection = EJECTION,
  latency: LatencyTracking = null,
  change: (i: number) => Partial<EndpointConfig> = () => ({}),
): EndpointFixture {
  const configs = weights.map((weight, i) => {
    const port = 2003 + i
    return { address: `127.0.0.1:${port}`, host: '127.0.0.1', port, weight, tags: {}, ...change(i) }
  })
  const store = new EndpointStateStore({ workers: 2 })
  const { layout } = store.retain([{ name: 'users', endpoints: configs }], START_MS)
  const states = new EndpointStates(layout, 0)
  return {
    endpoints: configs.map((config) => createEndpoint(config, states.state('users', config.address, config.weight, ejection, latency))),
    changes: states.changes('users'),
    store,
  }
}

export function report(endpoint: Endpoint | undefined, outcome: Outcome, nowMs: number, latencyMs?: number): void {
  assert(endpoint !== undefined)
  endpoint.state.begin()
  endpoint.state.end(outcome, nowMs, latencyMs)
}

export function putAside(endpoint: Endpoint | undefined, nowMs: number): void {
  for (let i = 0; i < EJECTION.maxFails; i++) report(endpoint, 'failure', nowMs)
}

export function pickEndpoint(picker: Picker, context: PickContext): Endpoint {
  const pick = picker.pick(context)
  assert(pick.kind === 'endpoint', 'expected an endpoint')
  return pick.endpoint
}

/** How often each address was chosen. */
export function countPicks(picker: Picker, context: PickContext, picks: number): Map<string, number> {
  const counts = new Map<string, number>()
  for (let i = 0; i < picks; i++) {
    const { address } = pickEndpoint(picker, context)
    counts.set(address, (counts.get(address) ?? 0) + 1)
  }
  return counts
}

/**
 * Heap bytes for each call of `run`: the least of many rounds, as code that is not compiled yet makes numbers on the heap, and a
 * busy machine compiles late. Stops at the first round below 1; a call that makes one object shows at least 16.
 */
export function bytesPerCall(run: () => void): number {
  const calls = 10_000
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < 1000 && least >= 1; round++) {
    const before = process.memoryUsage().heapUsed
    for (let i = 0; i < calls; i++) run()
    const used = process.memoryUsage().heapUsed - before
    if (used >= 0) least = Math.min(least, used / calls)
  }
  return least
}

export interface PickerTraits {
  /** How picks spread while every endpoint is in normal use. */
  spread: 'weight' | 'equal'
  /** The largest difference from the share expected. Default 0.01. */
  tolerance?: number
  /** What the picks are made with. Default a TestContext, which has no key. */
  createContext?: () => TestContext | KeyedContext
}

/** What every balancer must do, whatever else it does. `create` is its factory. */
export function describePicker(
  name: string,
  create: (endpoints: readonly Endpoint[], options: PickerOptions) => Picker,
  traits: PickerTraits,
): void {
  function setUp(weights: readonly number[], random = createSeededRandom(1)) {
    const fixture = createEndpoints(weights)
    const picker = create(fixture.endpoints, { random, changes: fixture.changes })
    return { ...fixture, picker, context: traits.createContext?.() ?? new TestContext() }
  }
  const tolerance = traits.tolerance ?? 0.01

  describe(`${name} keeps the picker contract`, () => {
    it('finds no endpoint in an empty set', () => {
      const { picker, context } = setUp([])
      assert.deepEqual(picker.pick(context), { kind: 'none', reason: 'empty' })
    })

    it('finds no endpoint when all weights are 0', () => {
      const { picker, context, endpoints } = setUp([0, 0])
      assert.deepEqual(picker.pick(context), { kind: 'none', reason: 'empty' })
      context.tried = [...endpoints]
      assert.deepEqual(picker.pick(context), { kind: 'none', reason: 'empty' })
    })

    it('always chooses the only endpoint, also when it was tried or is put aside', () => {
      const { picker, context, endpoints } = setUp([1])
      assert.equal(pickEndpoint(picker, context), endpoints[0])
      context.tried = [...endpoints]
      assert.equal(pickEndpoint(picker, context), endpoints[0])
      putAside(endpoints[0], context.nowMs)
      assert.equal(pickEndpoint(picker, context), endpoints[0])
      context.tried = null
      assert.equal(pickEndpoint(picker, context), endpoints[0])
    })

    it('never chooses an endpoint with weight 0, even when all others are tried or put aside', () => {
      const { picker, context, endpoints } = setUp([2, 0, 1])
      const drained = '127.0.0.1:2004'
      assert(!countPicks(picker, context, 1000).has(drained))
      context.tried = [endpoints[0]!, endpoints[2]!]
      assert(!countPicks(picker, context, 1000).has(drained))
      context.tried = null
      putAside(endpoints[0], context.nowMs)
      putAside(endpoints[2], context.nowMs)
      assert(!countPicks(picker, context, 1000).has(drained))
      putAside(endpoints[1], context.nowMs)
      context.nowMs += EJECTION.failTimeoutMs
      assert(!countPicks(picker, context, 1000).has(drained))
    })

    it('skips an endpoint that is put aside, at once and until failTimeout has passed', () => {
      const { picker, context, endpoints } = setUp([4, 3, 2])
      countPicks(picker, context, 10)
      putAside(endpoints[0], context.nowMs)
      assert(!countPicks(picker, context, 1000).has('127.0.0.1:2003'))
      context.nowMs += EJECTION.failTimeoutMs - 1
      assert(!countPicks(picker, context, 1000).has('127.0.0.1:2003'))
    })

    it('sends one trial request in each failTimeout to an endpoint that was put aside, until one succeeds', () => {
      const { picker, context, endpoints } = setUp([1, 1, 1])
      putAside(endpoints[1], context.nowMs)
      for (let round = 0; round < 3; round++) {
        context.nowMs += EJECTION.failTimeoutMs
        assert.equal(countPicks(picker, context, 500).get('127.0.0.1:2004'), 1)
      }
      context.nowMs += EJECTION.failTimeoutMs
      assert.equal(pickEndpoint(picker, context), endpoints[1])
      report(endpoints[1], 'success', context.nowMs)
      const count = countPicks(picker, context, 3000).get('127.0.0.1:2004') ?? 0
      assert(count > 800 && count < 1200, `${count} of 3000`)
    })

    it('does not risk a request that already failed once on a trial', () => {
      const { picker, context, endpoints } = setUp([1, 1, 1])
      putAside(endpoints[1], context.nowMs)
      context.nowMs += EJECTION.failTimeoutMs
      context.tried = [endpoints[0]!]
      assert.deepEqual([...countPicks(picker, context, 100).keys()], ['127.0.0.1:2005'])
      context.tried = [endpoints[0]!, endpoints[2]!]
      assert.equal(pickEndpoint(picker, context), endpoints[1], 'nothing else is left')
    })

    it('uses all endpoints again when every one is put aside', () => {
      const { picker, context, endpoints } = setUp([4, 3, 2])
      for (const endpoint of endpoints) putAside(endpoint, context.nowMs)
      const counts = countPicks(picker, context, 900)
      assert.equal(counts.size, 3)
      for (const [address, count] of counts) assert(count > 100, `${address} only ${count} of 900`)
    })

    it('leaves that emergency as soon as one endpoint works', () => {
      const { picker, context, endpoints } = setUp([1, 1, 1])
      for (const endpoint of endpoints) putAside(endpoint, context.nowMs)
      context.nowMs += EJECTION.failTimeoutMs
      const trial = pickEndpoint(picker, context)
      report(trial, 'success', context.nowMs)
      for (const endpoint of endpoints) if (endpoint !== trial) endpoint.state.admit(context.nowMs)
      assert.deepEqual([...countPicks(picker, context, 100).keys()], [trial.address])
    })

    it('chooses a tried endpoint only when nothing else is left', () => {
      const { picker, context, endpoints } = setUp([4, 3, 2])
      context.tried = [endpoints[0]!]
      assert(!countPicks(picker, context, 1000).has('127.0.0.1:2003'))
      context.tried = [endpoints[0]!, endpoints[2]!]
      assert.deepEqual([...countPicks(picker, context, 1000).keys()], ['127.0.0.1:2004'])
      context.tried = [...endpoints]
      assert.equal(countPicks(picker, context, 1000).size, 3)
    })

    it('prefers a tried endpoint to one that is put aside', () => {
      const { picker, context, endpoints } = setUp([1, 1])
      putAside(endpoints[0], context.nowMs)
      context.tried = [endpoints[1]!]
      assert.deepEqual([...countPicks(picker, context, 100).keys()], ['127.0.0.1:2004'])
      context.nowMs += EJECTION.failTimeoutMs
      context.tried = [...endpoints]
      assert.deepEqual([...countPicks(picker, context, 100).keys()], ['127.0.0.1:2004'], 'both are tried, one may not even be a trial')
    })

    it('knows a tried endpoint by its address after the set was rebuilt', () => {
      const { picker, context, endpoints } = setUp([1, 1])
      context.tried = [createEndpoint({ ...endpoints[0]!, tags: {} }, endpoints[0]!.state)]
      assert.deepEqual([...countPicks(picker, context, 100).keys()], ['127.0.0.1:2004'])
    })

    it('spreads 100,000 picks as it should', () => {
      const weights = [4, 3, 2, 1]
      const { picker, context } = setUp(weights)
      const counts = countPicks(picker, context, 100_000)
      weights.forEach((weight, i) => {
        const share = (counts.get(`127.0.0.1:${2003 + i}`) ?? 0) / 100_000
        const expected = traits.spread === 'equal' ? 1 / weights.length : weight / 10
        assert(Math.abs(share - expected) < tolerance, `endpoint ${i} got ${share}, expected ${expected}`)
      })
    })

    it('spreads the traffic of an endpoint that is put aside over the others', () => {
      const { picker, context, endpoints } = setUp([1, 1, 1, 1])
      putAside(endpoints[2], context.nowMs)
      const counts = countPicks(picker, context, 30_000)
      assert.equal(counts.size, 3)
      for (const [address, count] of counts) assert(Math.abs(count - 10_000) < 30_000 * Math.max(tolerance, 1 / 60), `${address} ${count}`)
    })

    it('spreads what is left when a request has tried one endpoint', () => {
      const weights = traits.spread === 'equal' ? [1, 1, 1] : [5, 2, 1]
      const { picker, context, endpoints } = setUp(weights)
      context.tried = [endpoints[0]!]
      const share = (countPicks(picker, context, 30_000).get('127.0.0.1:2004') ?? 0) / 30_000
      assert(Math.abs(share - (traits.spread === 'equal' ? 1 / 2 : 2 / 3)) < tolerance, `${share}`)
    })

    it('always answers with an endpoint of the set while failures, successes and time pass at random', () => {
      for (let seed = 1; seed <= 20; seed++) {
        const random = createSeededRandom(seed)
        const weights: number[] = Array.from({ length: 1 + Math.floor(random() * 6) }, () => Math.floor(random() * 5))
        if (!weights.some((weight) => weight > 0)) weights[0] = 1
        const { picker, context, endpoints } = setUp(weights, random)
        for (let i = 0; i < 2000; i++) {
          const endpoint = pickEndpoint(picker, context)
          assert(endpoints.includes(endpoint) && endpoint.weight > 0)
          report(endpoint, random() < 0.5 ? 'failure' : random() < 0.9 ? 'success' : 'neutral', context.nowMs)
          context.nowMs += Math.floor(random() * 2000)
          context.tried = random() < 0.2 ? [endpoint] : null
        }
      }
    })

    it('allocates nothing', () => {
      // A constant, because the seeded generator keeps its state in a number on the heap.
      const { picker, endpoints } = setUp([1, 2, 3, 2, 1], () => 0.6)
      const context = new TestContext()
      if (traits.createContext !== undefined) context.hashKey = 'somebody'
      const first = bytesPerCall(() => picker.pick(context))
      context.tried = [endpoints[1]!]
      const retried = bytesPerCall(() => picker.pick(context))
      putAside(endpoints[2], context.nowMs)
      const without = bytesPerCall(() => picker.pick(context))
      // On a busy machine V8 sometimes settles on code that boxes a score: 16 bytes now and then. An object would be 40 for each pick.
      const most = Math.max(first, retried, without)
      assert(most < 24, `${first}, ${retried}, ${without} bytes for each pick`)
    })
  })
}
