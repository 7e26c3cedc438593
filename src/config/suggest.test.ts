import assert from 'node:assert/strict'
import { test } from 'node:test'
import { didYouMean, editDistance, suggest } from './suggest.ts'

test('distance counts insertions, deletions, replacements and swapped neighbours', () => {
  assert.equal(editDistance('balance', 'balance', 3), 0)
  assert.equal(editDistance('balanse', 'balance', 3), 1)
  assert.equal(editDistance('blance', 'balance', 3), 1)
  assert.equal(editDistance('abc', 'acb', 3), 1)
  assert.equal(editDistance('', 'abc', 3), 3)
  assert.equal(editDistance('kitten', 'sitting', 9), 3)
})

test('distance gives up beyond the limit', () => {
  assert.equal(editDistance('aaaa', 'bbbb', 2), 3)
  assert.equal(editDistance('a', 'abcdef', 2), 3)
})

test('the nearest candidate is suggested, a far one is not', () => {
  assert.equal(suggest('usres', ['orders', 'users', 'user-s']), 'users')
  assert.equal(suggest('orders', ['users']), null)
  assert.equal(suggest('a', ['bc']), null)
  assert.equal(suggest('x', []), null)
})

test('case, dashes and underscores are spelling habits, not slips', () => {
  assert.equal(suggest('strip_prefix', ['strip-prefix']), 'strip-prefix')
  assert.equal(suggest('MAXCONNECTIONS', ['maxConnections']), 'maxConnections')
})

test('the question is empty when there is nothing to ask', () => {
  assert.equal(didYouMean('user', ['users']), '; did you mean "users"?')
  assert.equal(didYouMean('zebra', ['users']), '')
})
