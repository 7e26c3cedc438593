import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { createSeededRandom } from '../base/clock.ts'
import { createSharedArea } from '../base/shared-area.ts'
import { repeat } from '../base/shared-race.contract.ts'
import { ADAPTIVE_THROTTLE_DEFAULTS, AdaptiveThrottle, adaptiveThrottleWords, rejectRatio } from './adaptive-throttle.ts'

const T = 1_700_000_000_000

function setUp(config = {}) {
  const area = createSharedArea(adaptiveThrottleWords(2), 2, 0)
  const complete = { ...ADAPTIVE_THROTTLE_DEFAULTS, ...config }
  const random = createSeededRandom(7)
  return [new AdaptiveThrottle(area, complete, random), new AdaptiveThrottle({ ...area, worker: 1 }, complete, random)] as const
}

describe('adaptive throttling', () => {
  it('refuses with the probability (total - K * accepts) / (total + 1)', () => {
    assert.equal(rejectRatio(100, 100, 2), 0)
    assert.equal(rejectRatio(100, 50, 2), 0)
    assert.equal(rejectRatio(99, 0, 2), 0.99)
    assert.equal(rejectRatio(199, 50, 2), 99 / 200)
    assert.equal(rejectRatio(0, 0, 2), 0)
  })

  it('refuses nothing below its number of requests, and nothing from a service that is well', () => {
    const [one, two] = setUp()
    for (let i = 0; i < 99; i++) one.record(two.allow(T), 'failure', 1, T)
    assert.equal(one.rejectRatio(T), 0)
    const [well] = setUp()
    for (let i = 0; i < 1000; i++) well.record(well.allow(T), i % 4 === 0 ? 'failure' : 'success', 1, T)
    assert.equal(well.state(T), 'closed')
  })

  it('ignores what says nothing about the service', () => {
    const [one] = setUp()
    for (let i = 0; i < 1000; i++) one.record(one.allow(T), 'neutral', 1, T)
    assert.equal(one.statistics(T).requests, 0)
  })

  it('lets pass about K times what the service takes', () => {
    const [one, two] = setUp({ k: 2 })
    let passed = 0
    // 1,000 requests per second; the service takes 100 of them.
    for (let i = 0; i < 30_000; i++) {
      const now = T + i
      const throttle = i % 2 === 0 ? one : two
      const token = throttle.allow(now)
      if (token === 0) continue
      if (i >= 10_000) passed++
      throttle.record(token, i % 10 === 0 ? 'success' : 'failure', 1, now)
    }
    // In the steady state 1 in 10 of those that pass is accepted, so nearly all are refused; the forced passes keep it alive.
    assert(passed > 0 && passed < 20_000, `${passed}`)
    const [steady] = setUp({ k: 2 })
    let sent = 0
    let budget = 0
    for (let i = 0; i < 60_000; i++) {
      const now = T + i
      budget = Math.min(20, budget + 0.1)
      const token = steady.allow(now)
      if (token === 0) continue
      if (i >= 30_000) sent++
      const isTaken = budget >= 1
      if (isTaken) budget--
      steady.record(token, isTaken ? 'success' : 'failure', 1, now)
    }
    // The service takes 3,000 of the last 30,000; twice that passes, give or take.
    assert(sent > 5000 && sent < 7000, `${sent}`)
  })

  it('lets one request pass in each second from a service that takes none, and recovers', () => {
    const [one, two] = setUp({ minRequests: 10 })
    for (let i = 0; i < 100_000; i++) one.record(one.allow(T), 'failure', 1, T)
    let passed = 0
    for (let i = 0; i < 2000; i++) if ((i % 2 === 0 ? one : two).allow(T + 500 + i) !== 0) passed++
    assert(passed >= 2 && passed <= 4, `${passed}`)
    assert.equal(one.state(T + 20_000), 'closed')
    assert.notEqual(one.allow(T + 20_000), 0)
  })

  it('never refuses with a probability outside 0 to 1', () => {
    const event = fc.record({ outcome: fc.constantFrom('success', 'failure', 'neutral' as const), waitMs: fc.constantFrom(0, 1, 50, 400) })
    const property = fc.property(fc.array(event, { minLength: 50, maxLength: 150 }), (events) => {
      const [one, two] = setUp({ minRequests: 1 })
      let now = T
      events.forEach(({ outcome, waitMs }, i) => {
        now += waitMs
        const throttle = i % 2 === 0 ? one : two
        throttle.record(throttle.allow(now), outcome as 'success', 1, now)
        const ratio = throttle.rejectRatio(now)
        assert(ratio >= 0 && ratio < 1)
      })
    })
    fc.assert(property, { numRuns: repeat(1000), seed: 6 })
  })
})
