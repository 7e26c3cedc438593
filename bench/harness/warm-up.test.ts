import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasSettled } from './warm-up.ts'

test('a warm-up ends after two turns that are hardly better than the best before', () => {
  assert.equal(hasSettled([]), false)
  assert.equal(hasSettled([100, 101]), false)
  assert.equal(hasSettled([100, 101, 102]), true)
})

test('progress after a slow turn keeps the warm-up going', () => {
  assert.equal(hasSettled([100, 50, 120]), false)
  assert.equal(hasSettled([100, 50, 120, 90, 122]), true)
})

test('a warm-up ends when turns are used up, even while there is progress', () => {
  const growing = Array.from({ length: 12 }, (_, turn) => 2 ** turn)
  assert.equal(hasSettled(growing.slice(1)), false)
  assert.equal(hasSettled(growing), true)
})
