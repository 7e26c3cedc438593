import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { createSeededRandom } from '../../base/clock.ts'
import { ScoreTree } from './score-tree.ts'

describe('ScoreTree', () => {
  it('always draws one with the lowest score', () => {
    const change = fc.record({
      index: fc.nat(36),
      score: fc.constantFrom(0, 1, 1.5, 2, 3, Number.POSITIVE_INFINITY),
      weight: fc.integer({ min: 1, max: 9 }),
    })
    const property = fc.property(fc.integer({ min: 1, max: 37 }), fc.array(change, { maxLength: 100 }), (count, changes) => {
      const tree = new ScoreTree(count)
      const scores = new Array<number>(count).fill(Number.POSITIVE_INFINITY)
      const random = createSeededRandom(count)
      for (const { index, score, weight } of changes) {
        tree.set(index % count, score, score === Number.POSITIVE_INFINITY ? 0 : weight)
        scores[index % count] = score
        const lowest = Math.min(...scores)
        if (lowest < Number.POSITIVE_INFINITY) assert.equal(scores[tree.draw(random)], lowest)
      }
    })
    fc.assert(property, { seed: 5, numRuns: 300 })
  })

  it('draws among equals by weight', () => {
    const tree = new ScoreTree(5)
    const weights = [1, 2, 3, 4, 10]
    for (const [i, weight] of weights.entries()) tree.set(i, i === 4 ? 1 : 0, weight)
    const random = createSeededRandom(1)
    const counts = [0, 0, 0, 0, 0]
    for (let i = 0; i < 10_000; i++) counts[tree.draw(random)]! += 1
    assert.equal(counts[4], 0)
    for (const [i, weight] of weights.slice(0, 4).entries()) assert(Math.abs(counts[i]! / 10_000 - weight / 10) < 0.02, `${counts}`)
  })
})
