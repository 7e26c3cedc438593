import assert from 'node:assert/strict'
import { test } from 'node:test'
import { median, pairedRatios, spread } from './statistics.ts'

test('the spread of figures does not depend on their order and leaves the list as it was', () => {
  const values = [10, 9, 100]
  assert.deepEqual(spread(values), { min: 9, median: 10, max: 100 })
  assert.deepEqual(values, [10, 9, 100])
})

test('the median of an even number of figures lies between the middle two', () => {
  assert.equal(median([4, 1, 2, 10]), 3)
})

test('one figure is its own spread, and none is refused', () => {
  assert.deepEqual(spread([7]), { min: 7, median: 7, max: 7 })
  assert.throws(() => spread([]), /no values/)
})

test('ratios are made round by round, so that a slow moment of the machine hits both sides of one ratio', () => {
  assert.deepEqual(pairedRatios([100, 50], [200, 100]), [0.5, 0.5])
  assert.throws(() => pairedRatios([1], [1, 2]), /1 rounds of ours, 2 of theirs/)
})
