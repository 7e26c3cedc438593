import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { backoffCeilingMs, backoffMs } from './backoff.ts'
import { createSeededRandom } from './clock.ts'

const BACKOFF = { baseMs: 25, maxMs: 250 }

describe('backoff', () => {
  it('waits below 25, 75, 175 and then 250 ms', () => {
    assert.deepEqual(
      [1, 2, 3, 4, 5, 1000, 1e9].map((n) => backoffCeilingMs(BACKOFF, n)),
      [25, 75, 175, 250, 250, 250, 250],
    )
    assert.equal(backoffCeilingMs(BACKOFF, 0), 25)
  })

  it('is spread evenly from zero to its ceiling', () => {
    const random = createSeededRandom(1)
    const waits = Array.from({ length: 20_000 }, () => backoffMs(BACKOFF, 4, random))
    assert(waits.every((wait) => wait >= 0 && wait < 250))
    const mean = waits.reduce((sum, wait) => sum + wait, 0) / waits.length
    assert(Math.abs(mean - 125) < 2, `${mean}`)
  })

  it('never leaves its bounds', () => {
    const property = fc.property(
      fc.nat(1e6),
      fc.nat(1e6),
      fc.nat(100),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (baseMs, maxMs, n, r) => {
        const wait = backoffMs({ baseMs, maxMs }, n, () => r)
        assert(wait >= 0 && wait <= maxMs)
      },
    )
    fc.assert(property, { numRuns: 5000, seed: 4 })
  })
})
