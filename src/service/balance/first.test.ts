import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../../base/clock.ts'
import { createFirstPicker } from './first.ts'
import { countPicks, createEndpoints, describePicker, EJECTION, pickEndpoint, putAside, TestContext } from './picker.contract.ts'

describePicker('first', (endpoints, options) => createFirstPicker(endpoints, options, { spilloverRatio: 0.7 }), { spread: 'weight' })

/** Endpoints with these priorities; all weights are 1 unless given. */
function setUp(priorities: readonly number[], spilloverRatio = 0.7, weights = priorities.map(() => 1)) {
  const fixture = createEndpoints(weights, EJECTION, null, (i) => ({ priority: priorities[i]! }))
  const picker = createFirstPicker(fixture.endpoints, { random: createSeededRandom(1), changes: fixture.changes }, { spilloverRatio })
  const context = new TestContext()
  /** Share of each tier, in the order of priorities. */
  const shares = (): number[] => {
    const counts = countPicks(picker, context, 20_000)
    const tiers = [...new Set(priorities)].sort((a, b) => a - b)
    return tiers.map(
      (tier) => fixture.endpoints.reduce((sum, e) => sum + (e.priority === tier ? (counts.get(e.address) ?? 0) : 0), 0) / 20_000,
    )
  }
  return { ...fixture, picker, context, shares }
}

function assertShares(actual: number[], expected: number[]): void {
  for (const [i, share] of expected.entries()) assert(Math.abs(actual[i]! - share) < 0.02, `${actual}, expected ${expected}`)
}

describe('first', () => {
  it('uses the tier with the lowest priority only, wherever it stands in the list', () => {
    assertShares(setUp([5, 1, 5, 1]).shares(), [1, 0])
  })

  it('takes the next tier when the first is put aside, and the one after it then', () => {
    const { endpoints, shares, context } = setUp([0, 1, 2])
    putAside(endpoints[0], context.nowMs)
    assertShares(shares(), [0, 1, 0])
    putAside(endpoints[1], context.nowMs)
    assertShares(shares(), [0, 0, 1])
  })

  it('spills over in proportion when less than the spillover share of a tier is in use', () => {
    const { endpoints, shares, context } = setUp([0, 0, 0, 0, 1, 1])
    putAside(endpoints[0], context.nowMs)
    assertShares(shares(), [1, 0])
    putAside(endpoints[1], context.nowMs)
    assertShares(shares(), [0.5 / 0.7, 1 - 0.5 / 0.7])
    putAside(endpoints[2], context.nowMs)
    assertShares(shares(), [0.25 / 0.7, 1 - 0.25 / 0.7])
  })

  it('spreads everything in the same proportion when all tiers together are too weak', () => {
    const { endpoints, shares, context } = setUp([0, 0, 0, 0, 1, 1, 1, 1], 1)
    for (const i of [0, 1, 2, 4, 5, 6]) putAside(endpoints[i], context.nowMs)
    assertShares(shares(), [0.5, 0.5])
  })

  it('does not count drained endpoints to their tier', () => {
    const { shares } = setUp([0, 0, 0, 1], 0.7, [0, 0, 1, 1])
    assertShares(shares(), [1, 0])
  })

  it('tries the other endpoints of the tier first, then the next tier', () => {
    const { endpoints, picker, context } = setUp([0, 0, 1, 2])
    context.tried = [endpoints[0]!]
    assert.deepEqual([...countPicks(picker, context, 200).keys()], [endpoints[1]!.address])
    context.tried = [endpoints[0]!, endpoints[1]!]
    assert.deepEqual([...countPicks(picker, context, 200).keys()], [endpoints[2]!.address])
    context.tried = endpoints.slice(0, 3)
    assert.equal(pickEndpoint(picker, context), endpoints[3])
  })
})
