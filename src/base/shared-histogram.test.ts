import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { createSharedArea } from './shared-area.ts'
import { SharedHistogram, sharedHistogramWords } from './shared-histogram.ts'
import { repeat } from './shared-race.contract.ts'

const T = 1_700_000_000_000

function setUp(windowMs = 30_000) {
  const area = createSharedArea(sharedHistogramWords(2), 2, 0)
  return [new SharedHistogram(area, 0, windowMs), new SharedHistogram({ ...area, worker: 1 }, 0, windowMs)] as const
}

describe('a shared histogram', () => {
  it('has no quantile before it has enough samples', () => {
    const [one, two] = setUp()
    assert.equal(one.quantileMs(0.5, T), -1)
    one.record(10, T)
    assert.equal(one.quantileMs(0.5, T, 2), -1)
    two.record(10, T)
    assert(Math.abs(one.quantileMs(0.5, T, 2) - 10) < 1.25)
  })

  it('gives quantiles of all workers together', () => {
    const [one, two] = setUp()
    for (let i = 0; i < 90; i++) one.record(10, T)
    for (let i = 0; i < 10; i++) two.record(1000, T)
    assert(Math.abs(two.quantileMs(0.5, T) - 10) < 1.25)
    assert(Math.abs(one.quantileMs(0.95, T) - 1000) < 125)
  })

  it('forgets after its window', () => {
    const [one] = setUp()
    one.record(1000, T)
    one.record(10, T + 25_000)
    assert(one.quantileMs(1, T + 25_000) > 500)
    assert(one.quantileMs(1, T + 31_000) < 20)
    assert.equal(one.quantileMs(1, T + 60_000), -1)
  })

  it('is at most 12.5 % off, or a thousandth of a millisecond', () => {
    const property = fc.property(fc.array(fc.double({ min: 0, max: 200_000, noNaN: true }), { minLength: 1, maxLength: 60 }), (values) => {
      const [one] = setUp()
      for (const value of values) one.record(value, T)
      const sorted = values.toSorted((a, b) => a - b)
      for (const q of [0.01, 0.5, 0.9, 0.99, 1]) {
        const exact = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] as number
        const found = one.quantileMs(q, T)
        assert(Math.abs(found - exact) <= exact * 0.125 + 0.001, `${q}: ${found} for ${exact}`)
      }
    })
    fc.assert(property, { numRuns: repeat(500), seed: 2 })
  })

  it('counts what is beyond its range as its ends', () => {
    const [one] = setUp()
    one.record(1e12, T)
    assert(one.quantileMs(1, T) > 200_000)
    one.record(-1, T)
    one.record(Number.NaN, T)
    assert(one.quantileMs(0.5, T) < 0.002)
  })
})
