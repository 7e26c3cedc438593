import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Ewma } from './ewma.ts'
import { RollingWindow } from './rolling-window.ts'
import { repeat } from './shared-race.contract.ts'

describe('a rolling window', () => {
  it('knows number, sum and least of the last pieces, and the best complete piece', () => {
    const window = new RollingWindow(1000, 10)
    for (const value of [5, 3]) window.add(value, 0)
    window.add(10, 150)
    assert.deepEqual([window.count(150), window.sum(150), window.min(150)], [3, 18, 3])
    assert.equal(window.maxCompleteCount(150), 2)
    assert.equal(window.minCompleteMean(150), 4)
    assert.equal(window.maxCompleteCount(50), 0)
    assert.deepEqual([window.count(1000), window.min(1000)], [1, 10])
    assert.deepEqual([window.count(2000), window.min(2000)], [0, Number.POSITIVE_INFINITY])
  })

  it('agrees with a list of everything that was added', () => {
    const event = fc.record({ value: fc.integer({ min: 0, max: 100 }), waitMs: fc.constantFrom(0, 1, 50, 100, 300, 1100) })
    const property = fc.property(fc.array(event, { maxLength: 100 }), (events) => {
      const window = new RollingWindow(1000, 10)
      const log: { value: number; piece: number }[] = []
      let now = -2000
      for (const { value, waitMs } of events) {
        now += waitMs
        window.add(value, now)
        log.push({ value, piece: Math.floor(now / 100) })
        const recent = log.filter(({ piece }) => Math.floor(now / 100) - piece < 10).map((entry) => entry.value)
        assert.equal(window.count(now), recent.length)
        assert.equal(
          window.sum(now),
          recent.reduce((sum, each) => sum + each, 0),
        )
        assert.equal(window.min(now), Math.min(...recent))
      }
    })
    fc.assert(property, { numRuns: repeat(1000), seed: 3 })
  })
})

describe('a mean that forgets', () => {
  it('takes the first value as it is, and half of the difference in each half-life', () => {
    const mean = new Ewma(100)
    assert(Number.isNaN(mean.value))
    mean.add(10, 0)
    assert.equal(mean.value, 10)
    mean.add(20, 100)
    assert(Math.abs(mean.value - 15) < 1e-9)
    mean.set(100, 200)
    assert.equal(mean.value, 100)
  })

  it('does not depend on how often the same value comes, nor go back in time', () => {
    const rare = new Ewma(100)
    const often = new Ewma(100)
    rare.add(0, 0)
    often.add(0, 0)
    for (let now = 1; now <= 50; now++) often.add(8, now)
    rare.add(8, 50)
    assert(Math.abs(rare.value - often.value) < 1e-9)
    const before = often.value
    often.add(1000, 10)
    assert(Math.abs(often.value - before) < 1e-9)
  })
})
