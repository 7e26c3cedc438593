import assert from 'node:assert/strict'
import { test } from 'node:test'
import { acquireScratch, releaseScratch } from './scratch-pool.ts'

test('a buffer that was released serves again, one that was not does not', () => {
  const first = acquireScratch(5000)
  const second = acquireScratch(16_000)
  assert.equal(first.length, 16 * 1024)
  assert.notEqual(first.buffer, second.buffer)
  releaseScratch(second)
  assert.equal(acquireScratch(16 * 1024), second)
})

test('no more is kept than the thread can use', () => {
  const buffers = Array.from({ length: 100 }, () => acquireScratch(100 * 1024))
  for (const buffer of buffers) releaseScratch(buffer)
  const again = new Set(Array.from({ length: 100 }, () => acquireScratch(100 * 1024)))
  assert.equal(buffers.filter((one) => again.has(one)).length, 8)
})

test('sizes that are not kept are what was asked for', () => {
  assert.equal(acquireScratch(100).length, 100)
  assert.equal(acquireScratch(300_000).length, 300_000)
  releaseScratch(acquireScratch(100))
  releaseScratch(acquireScratch(300_000))
})
