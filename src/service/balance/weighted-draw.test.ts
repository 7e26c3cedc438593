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

describe('a draw', () => {
  it('finds what a search through all sums finds, at every point and for very different weights', () => {
    const random = createSeededRandom(3)
    for (const weights of [[1], [1, 2, 3], [1, 1_000_000, 1], [0.1, 0.2, 0.3, 5], Array.from({ length: 100 }, (_, i) => 1 + (i % 5))]) {
      let point = 0
      const draw = setUp(weights, () => point)
      const sums = weights.map((_, k) => weights.slice(0, k + 1).reduce((sum, weight) => sum + weight))
      const total = sums.at(-1) as number
      const edges = sums.map((sum) => sum / total)
      for (const at of [0, 1 - 2 ** -53, ...edges, ...edges.map((edge) => edge - 2 ** -50), ...Array.from({ length: 1000 }, random)]) {
        point = Math.min(Math.max(at, 0), 1 - 2 ** -53)
        if (weights.length === 1) assert.equal(draw.draw(), 0)
        else {
          const expected = sums.findIndex((sum) => sum > point * total)
          assert.equal(draw.draw(), expected === -1 ? weights.length - 1 : expected, `${weights.slice(0, 5)} at ${point}`)
        }
      }
    }
  })
})

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
