import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../../base/clock.ts'
import type { Endpoint } from '../endpoint.ts'
import type { Picker } from '../picker.ts'
import { createLeastRequestPicker } from './least-request.ts'
import { countPicks, createEndpoints, describePicker, pickEndpoint, putAside, START_MS, TestContext } from './picker.contract.ts'

describePicker('least-request of two', (endpoints, options) => createLeastRequestPicker(endpoints, options, { choices: 2 }), {
  spread: 'weight',
})
describePicker('least-request of five', (endpoints, options) => createLeastRequestPicker(endpoints, options, { choices: 5 }), {
  spread: 'weight',
})
describePicker('least-request of all', (endpoints, options) => createLeastRequestPicker(endpoints, options, { choices: 'all' }), {
  spread: 'weight',
})

function setUp(weights: readonly number[], choices: number | 'all', seed = 1) {
  const fixture = createEndpoints(weights)
  const picker = createLeastRequestPicker(fixture.endpoints, { random: createSeededRandom(seed), changes: fixture.changes }, { choices })
  return { ...fixture, picker, context: new TestContext() }
}

function begin(endpoint: Endpoint | undefined, times: number): void {
  for (let i = 0; i < times; i++) endpoint?.state.begin()
}

/** Picks and begins that many requests, none of which ends. */
function fill(picker: Picker, context: TestContext, requests: number): void {
  for (let i = 0; i < requests; i++) pickEndpoint(picker, context).state.begin()
}

describe('least-request', () => {
  for (const choices of [2, 'all'] as const) {
    it(`fills endpoints in proportion to their weights, with choices: ${choices}`, () => {
      const { picker, context, endpoints } = setUp([6, 3, 1], choices)
      fill(picker, context, 1000)
      const load = endpoints.map((endpoint) => endpoint.state.inFlight)
      for (const [i, expected] of [600, 300, 100].entries()) assert(Math.abs(load[i]! - expected) <= 0.05 * expected, `${load}`)
    })
  }

  it('never chooses the busier of two', () => {
    const { picker, context, endpoints } = setUp([1, 1], 2)
    begin(endpoints[0], 1)
    assert.deepEqual([...countPicks(picker, context, 1000).keys()], ['127.0.0.1:2004'])
  })

  it('finds the only free one of fifty when it looks at all, within as many picks as it takes to read them', () => {
    const { picker, context, endpoints } = setUp(new Array(50).fill(1), 'all')
    fill(picker, context, 500)
    assert(endpoints.every((endpoint) => endpoint.state.inFlight === 10))
    for (let i = 0; i < 10; i++) endpoints[33]?.state.end('success', START_MS)
    const picks = countPicks(picker, context, 25 + 100)
    assert((picks.get('127.0.0.1:2036') ?? 0) >= 100, `${picks.get('127.0.0.1:2036')}`)
  })

  it('looks again, when it looks at all, before it chooses one that has more in flight than was known', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const { picker, context, endpoints } = setUp([1, 1, 1, 1, 1, 1, 1, 1], 'all', seed)
      countPicks(picker, context, 10)
      for (const endpoint of endpoints.slice(0, 2)) begin(endpoint, 5)
      for (let i = 0; i < 3; i++) assert(!endpoints.slice(0, 2).includes(pickEndpoint(picker, context)), `seed ${seed}`)
    }
  })

  it('keeps to weights while some are put aside', () => {
    const { picker, context, endpoints } = setUp([2, 2, 4, 8], 'all')
    putAside(endpoints[3], START_MS)
    fill(picker, context, 800)
    assert.deepEqual(
      endpoints.map((endpoint) => endpoint.state.inFlight),
      [200, 200, 400, 0],
    )
  })
})

/**
 * Gateways that do not share memory know the load of the endpoints only as it was at the start of a round. Each sends some requests
 * in the round; what counts is the fullest endpoint at its end.
 */
function herd(choices: number | 'all', gateways: number, seed: number): number {
  const endpoints = 50
  const random = createSeededRandom(seed)
  const total = new Array<number>(endpoints).fill(0)
  for (let i = 0; i < 500; i++) total[Math.floor(random() * endpoints)]! += 1
  const sent = new Array<number>(endpoints).fill(0)
  for (let gateway = 0; gateway < gateways; gateway++) {
    const fixture = createEndpoints(new Array(endpoints).fill(1))
    for (const [i, endpoint] of fixture.endpoints.entries()) begin(endpoint, total[i]!)
    const picker = createLeastRequestPicker(fixture.endpoints, { random, changes: fixture.changes }, { choices })
    const context = new TestContext()
    // Stale: its own requests of this round are not counted either.
    for (let i = 0; i < 5; i++) sent[pickEndpoint(picker, context).port - 2003]! += 1
  }
  return Math.max(...sent)
}

describe('many gateways with old counts', () => {
  it('do not all run to the same endpoint when they compare two, as they do when they compare all', () => {
    const gateways = 100
    const even = (gateways * 5) / 50
    for (let seed = 1; seed <= 3; seed++) {
      const two = herd(2, gateways, seed)
      const all = herd('all', gateways, seed)
      assert(two < 4 * even, `two choices: ${two} where ${even} would be even`)
      assert(all > 10 * even, `all: ${all}; if this fails, the comparison says nothing`)
    }
  })
})
