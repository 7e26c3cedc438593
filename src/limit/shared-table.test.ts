import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { createSeededRandom } from '../base/clock.ts'
import { repeat } from '../base/shared-race.contract.ts'
import { KeyHash } from './key-hash.ts'
import { createSharedTable, SharedTable, type SharedTableOptions } from './shared-table.ts'

const T = 1_700_000_000_000

/** One table as two workers see it. */
function setUp(options: Partial<SharedTableOptions> = {}) {
  const layout = createSharedTable({ ratePerSecond: 10, burst: 5, maxKeys: 1000, ...options }, T, createSeededRandom(15))
  return [new SharedTable(layout), new SharedTable(structuredClone(layout))] as const
}

describe('a table of token buckets', () => {
  it('has one bucket for each key, the same for all workers', () => {
    const [one, two] = setUp()
    for (let i = 0; i < 5; i++) assert((i % 2 === 0 ? one : two).take('alice', T).allowed)
    assert(!one.take('alice', T).allowed)
    assert(!two.take('alice', T).allowed)
    assert(two.take('bob', T).allowed)
    assert.equal(one.countKeys(T), 2)
    assert(one.take('alice', T + 100).allowed)
    assert.equal(one.countKeys(T + 10_000), 0)
  })

  it('tells what is left in one object that is used again', () => {
    const [one] = setUp()
    const result = one.take('alice', T, 3)
    assert.deepEqual({ ...result }, { allowed: true, remaining: 2, retryAfterMs: 0, resetMs: 300 })
    assert.equal(one.take('alice', T, 3), result)
    assert.deepEqual({ ...result }, { allowed: false, remaining: 2, retryAfterMs: 100, resetMs: 300 })
  })

  it('takes the empty key, long keys and any text', () => {
    const [one] = setUp({ burst: 1 })
    for (const key of ['', 'é', '\u{1f600}', 'x'.repeat(10_000), 'x'.repeat(10_001), '\0', '\0\0']) {
      assert(one.take(key, T).allowed)
      assert(!one.take(key, T).allowed)
    }
  })

  it('keeps apart as many keys as it was made for', () => {
    const [one] = setUp({ burst: 2, maxKeys: 20_000 })
    for (let i = 0; i < 20_000; i++) one.take(`10.${i >> 8}.${i & 255}.1`, T, 2)
    let kept = 0
    for (let i = 0; i < 20_000; i++) if (!one.take(`10.${i >> 8}.${i & 255}.1`, T).allowed) kept++
    assert(kept > 19_900, `${kept} of 20000`)
    assert(one.evictions < 200, `${one.evictions} evictions`)
  })

  it('forgets full buckets first, then those closest to full, and never the one that is over its limit', () => {
    const [one] = setUp({ burst: 100, maxKeys: 64, ratePerSecond: 1 })
    for (let i = 0; i < 100; i++) assert(one.take('greedy', T).allowed)
    for (let i = 0; i < 100_000; i++) one.take(`flood ${i}`, T + i / 1000)
    assert(!one.take('greedy', T + 100).allowed)
    assert(one.evictions > 90_000)
    // After the flood its buckets are full again within a second or so, and make room without an eviction.
    const before = one.evictions
    for (let i = 0; i < 100; i++) one.take(`later ${i}`, T + 10_000 + i * 2000)
    assert.equal(one.evictions, before)
  })

  it('goes on when the holder of a lock has died', () => {
    const layout = createSharedTable({ ratePerSecond: 10, burst: 5, maxKeys: 8 }, T, createSeededRandom(15))
    const table = new SharedTable(layout)
    // The lock of the only group.
    new Int32Array(layout.buffer)[16] = 1
    assert(table.take('alice', T).allowed)
    assert.equal(new Int32Array(layout.buffer)[16], 0)
  })

  it('gives every key exactly what a bucket of its own would', () => {
    const event = fc.record({
      key: fc.nat(30),
      worker: fc.nat(1),
      n: fc.integer({ min: 1, max: 3 }),
      waitMs: fc.constantFrom(0, 0, 0, 1, 100, 900),
    })
    const property = fc.property(fc.array(event, { minLength: 100, maxLength: 200 }), (events) => {
      const tables = setUp()
      const tokens = new Map<number, { tokens: number; atMs: number }>()
      let now = T
      for (const { key, worker, n, waitMs } of events) {
        now += waitMs
        const bucket = tokens.get(key) ?? { tokens: 5, atMs: now }
        const filled = Math.min(5, bucket.tokens + (now - bucket.atMs) / 100)
        const result = (tables[worker] as SharedTable).take(`key ${key}`, now, n)
        if (Math.abs(filled - n) > 0.01) assert.equal(result.allowed, filled > n)
        tokens.set(key, { tokens: result.allowed ? Math.max(0, filled - n) : filled, atMs: now })
      }
      assert.equal(tables[0].evictions, 0)
    })
    fc.assert(property, { numRuns: repeat(700), seed: 16 })
  })
})

describe('the hash of a key', () => {
  it('keeps a million similar keys apart, in either half nearly as well as chance', () => {
    const hash = new KeyHash(123, 456)
    const seen = new Set<bigint>()
    const highs = new Set<number>()
    const count = 1_000_000
    for (let i = 0; i < count; i++) {
      hash.update(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`)
      seen.add((BigInt(hash.high >>> 0) << 32n) | BigInt(hash.low >>> 0))
      highs.add(hash.high)
    }
    assert.equal(seen.size, count)
    // By chance about 116 of a million 32-bit values fall together.
    assert(highs.size > count - 400, `${count - highs.size} equal halves`)
  })

  it('depends on the seed, and is never 0 in its high half', () => {
    const one = new KeyHash(1, 2)
    const two = new KeyHash(1, 3)
    one.update('alice')
    two.update('alice')
    assert.notEqual(one.high, two.high)
    for (let i = 0; i < 100_000; i++) {
      one.update(String(i))
      assert.notEqual(one.high, 0)
    }
  })
})
