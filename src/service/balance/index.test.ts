import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../../base/clock.ts'
import type { AlgorithmConfig, BalanceConfig } from '../../config/types.ts'
import { BALANCERS, createPicker, latencyTrackingOf } from './index.ts'
import { bytesPerCall, createEndpoints, pickEndpoint, report, START_MS, TestContext } from './picker.contract.ts'
import { RoundRobinPicker } from './round-robin.ts'
import { StickyPicker } from './sticky.ts'

const on = { from: 'header', name: 'x-user' } as const
const CONFIGS: { readonly [A in AlgorithmConfig['algorithm']]: Extract<AlgorithmConfig, { algorithm: A }> } = {
  random: { algorithm: 'random' },
  'weighted-random': { algorithm: 'weighted-random' },
  'round-robin': { algorithm: 'round-robin' },
  'least-request': { algorithm: 'least-request', choices: 2 },
  'least-connections': { algorithm: 'least-connections' },
  'fastest-response': { algorithm: 'fastest-response', decayMs: 10_000 },
  'peak-ewma': { algorithm: 'peak-ewma', decayMs: 10_000 },
  'consistent-hash': { algorithm: 'consistent-hash', on, hash: 'fnv1a', virtualNodes: 160, loadFactor: 1.25 },
  maglev: { algorithm: 'maglev', on },
  rendezvous: { algorithm: 'rendezvous', on },
  first: { algorithm: 'first', spilloverRatio: 0.7 },
}

describe('the table of balancers', () => {
  for (const algorithm of Object.keys(BALANCERS) as BalanceConfig['algorithm'][]) {
    it(`builds ${algorithm} from its configuration`, () => {
      const { endpoints, changes } = createEndpoints([1, 2])
      const picker = createPicker(CONFIGS[algorithm], endpoints, { random: createSeededRandom(1), changes })
      assert(endpoints.includes(pickEndpoint(picker, new TestContext())))
    })
  }

  it('allocates nothing for a pick, also when all algorithms run in one process', () => {
    const pickers = Object.values(CONFIGS).map((config) => {
      const { endpoints, changes } = createEndpoints([1, 2, 3, 2, 1], undefined, latencyTrackingOf(config))
      for (const [i, endpoint] of endpoints.entries()) report(endpoint, 'success', START_MS, 10 + i)
      return createPicker(config, endpoints, { random: () => 0.6, changes })
    })
    const context = new TestContext()
    context.hashKey = 'somebody'
    for (let i = 0; i < 20_000; i++) for (const picker of pickers) picker.pick(context)
    for (const [i, picker] of pickers.entries()) {
      const bytes = bytesPerCall(() => picker.pick(context))
      assert(bytes < 24, `${Object.keys(CONFIGS)[i]}: ${bytes} bytes for each pick`)
    }
  })
})

describe('a picker of several layers', () => {
  const sticky = { cookie: 'sid', ttlMs: null }
  const subset = { key: 'group', from: on, fallback: 'none', absent: 'any' } as const

  it('continues turn-taking through a reload within sticky sessions and subsets', () => {
    const { endpoints, changes } = createEndpoints([1, 1, 1])
    const random = createSeededRandom(1)
    for (const options of [{}, { sticky }, { subset }, { sticky, subset }]) {
      const config: BalanceConfig = { algorithm: 'round-robin', ...options }
      const before = createPicker(config, endpoints, { random, changes })
      assert.equal(pickEndpoint(before, new TestContext()).port, 2003)
      const after = createPicker(config, endpoints, { random, changes, previous: before })
      assert.equal(pickEndpoint(after, new TestContext()).port, 2004)
    }
  })

  it('continues when sticky sessions are switched on by the reload', () => {
    const { endpoints, changes } = createEndpoints([1, 1, 1])
    const random = createSeededRandom(1)
    const before = createPicker({ algorithm: 'round-robin' }, endpoints, { random, changes })
    pickEndpoint(before, new TestContext())
    const after = createPicker({ algorithm: 'round-robin', sticky }, endpoints, { random, changes, previous: before })
    assert(after instanceof StickyPicker && after.inner instanceof RoundRobinPicker)
    assert.equal(pickEndpoint(after, new TestContext()).port, 2004)
  })
})
