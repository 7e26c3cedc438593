import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Liveness } from './http2-liveness.ts'

test('an endpoint is asked after a silence, and dead when it does not answer', () => {
  const liveness = new Liveness(30_000, 0)
  assert.equal(liveness.isPingDue(29_999), false)
  assert.equal(liveness.dueMs(0), 30_000)
  assert.equal(liveness.isPingDue(30_000), true)
  liveness.pinged(30_000)
  assert.equal(liveness.isPingDue(35_000), false)
  assert.equal(liveness.dueMs(35_000), 40_000)
  assert.equal(liveness.isDead(39_999), false)
  assert.equal(liveness.isDead(40_000), true)
})

test('any byte is an answer', () => {
  const liveness = new Liveness(30_000, 0)
  liveness.pinged(30_000)
  liveness.heard(30_001)
  assert.equal(liveness.isDead(50_000), false)
})

test('while nothing but PINGs moves there is one in five minutes', () => {
  const liveness = new Liveness(30_000, 0)
  liveness.pinged(30_000)
  liveness.heard(30_001)
  assert.equal(liveness.isPingDue(70_000), false)
  // It is looked at often all the same: something may have begun.
  assert.equal(liveness.dueMs(70_000), 100_000)
  assert.equal(liveness.isPingDue(330_000), false)
  assert.equal(liveness.isPingDue(340_000), true)
  liveness.isBusy = true
  assert.equal(liveness.isPingDue(70_000), true)
})

test('a request given up without a byte since it began is reason to ask at once, but not again and again', () => {
  const liveness = new Liveness(30_000, 0)
  liveness.heard(1000)
  assert.equal(liveness.isSuspect(500, 2000), false)
  assert.equal(liveness.isSuspect(1500, 2000), true)
  liveness.pinged(2000)
  assert.equal(liveness.isSuspect(1500, 3000), false)
  liveness.heard(3000)
  assert.equal(liveness.isSuspect(4000, 5000), false)
  assert.equal(liveness.isSuspect(4000, 32_000), true)
})

test('0 never asks', () => {
  const liveness = new Liveness(0, 0)
  assert.equal(liveness.dueMs(1e9), Number.POSITIVE_INFINITY)
  assert.equal(liveness.isPingDue(1e9), false)
  assert.equal(liveness.isSuspect(1, 1e9), false)
  assert.equal(liveness.isDead(1e9), false)
})
