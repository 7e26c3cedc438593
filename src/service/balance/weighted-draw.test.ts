import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../../base/clock.ts'
import { createEndpoints, TestContext } from './picker.contract.ts'
import { UsableEndpoints } from './usable-endpoints.ts'
import { WeightedDraw } from './weighted-draw.ts'

function setUp(weights: readonly number[], random = createSeededRandom(1)) {
  const { endpoints, changes } = createEndpoints(weights)
  const usable = new UsableEndpoints(endpoints, { changes })
  usable.refresh(new TestContext())
  return new WeightedDraw(usable, random)
}

describe('a second draw', () => {
  it('is never the first one, and goes by the weights of the others', () => {
    for (const weights of [
      [4, 3, 2, 1],
      [1, 1, 1, 1],
      [1, 9, 1],
      [0.1, 0.7, 0.3],
    ]) {
      const draw = setUp(weights)
      const total = weights.reduce((sum, weight) => sum + weight)
      for (const [first, weight] of weights.entries()) {
        const counts = weights.map(() => 0)
        for (let i = 0; i < 20_000; i++) counts[draw.drawOther(first)]! += 1
        assert.equal(counts[first], 0)
        for (const [i, count] of counts.entries()) {
          if (i !== first) assert(Math.abs(count / 20_000 - weights[i]! / (total - weight)) < 0.02, `${weights}: ${counts}`)
        }
      }
    }
  })

  it('is the first one when there is no other', () => {
    assert.equal(setUp([3]).drawOther(0), 0)
  })

  it('stays in the set at both ends of chance', () => {
    for (const drawn of [0, 1 - 2 ** -53]) {
      const draw = setUp([0.1, 0.7, 0.3], () => drawn)
      for (const first of [0, 1, 2]) assert([0, 1, 2].includes(draw.drawOther(first)) && draw.drawOther(first) !== first)
    }
  })
})
