import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../base/clock.ts'
import { createSharedArea } from '../base/shared-area.ts'
import { repeat } from '../base/shared-race.contract.ts'
import { BBR_DEFAULTS, BbrLimit, bbrBound } from './bbr.ts'
import { GRADIENT_DEFAULTS, GradientLimit, gradientWords, nextGradientLimit } from './gradient.ts'
import { priorityLevel } from './priority.ts'

const T = 1_700_000_000_000

/**
 * A service that works on `width` requests at a time, each for `serviceMs`; the others wait. Driven as hard as the limit allows, in
 * steps of a millisecond. Returns the mean limit and the mean latency of the second half.
 */
function drive(limits: readonly GradientLimit[], width: number, serviceMs: number, durationMs: number) {
  let running: { since: number; until: number }[] = []
  const waiting: number[] = []
  const random = createSeededRandom(20)
  const limit = limits[0] as GradientLimit
  let [limitSum, latencySum, done, ended] = [0, 0, 0, 0]
  for (let step = 0; step < durationMs; step++) {
    const now = T + step
    const isCounted = step >= durationMs / 2
    for (const { since } of running.filter(({ until }) => until <= now)) {
      ;(limits[done++ % limits.length] as GradientLimit).record(now - since, now)
      if (!isCounted) continue
      latencySum += now - since
      ended++
    }
    running = running.filter(({ until }) => until > now)
    while (running.length + waiting.length < limit.limit) waiting.push(now)
    while (running.length < width && waiting.length > 0) {
      running.push({ since: waiting.shift() as number, until: now + serviceMs * (0.9 + 0.2 * random()) })
    }
    if (isCounted) limitSum += limit.limit
  }
  return { limit: limitSum / (durationMs / 2), latencyMs: latencySum / ended }
}

function createGradients(config = {}) {
  const area = createSharedArea(gradientWords(2), 2, 0)
  const complete = { ...GRADIENT_DEFAULTS, ...config }
  return [new GradientLimit(area, complete, () => 0), new GradientLimit({ ...area, worker: 1 }, complete, () => 0)] as const
}

describe('the gradient limit', () => {
  it('follows gradient * limit + sqrt(limit), with the gradient within 0.5 and 2', () => {
    assert.equal(nextGradientLimit(100, 10, 12.5, 0.25), 110)
    assert.equal(nextGradientLimit(100, 10, 25, 0.25), 60)
    assert.equal(nextGradientLimit(100, 10, 1000, 0.25), 60)
    assert.equal(nextGradientLimit(100, 10, 1, 0.25), 210)
    assert.equal(nextGradientLimit(4, 10, 0, 0.25), 10)
  })

  it('measures with few requests first, from the start of the measurement on only', () => {
    const [one, two] = createGradients()
    assert.equal(one.limit, 20)
    assert(one.record(10, T))
    assert(two.isMeasuring)
    assert.equal(two.limit, 3)
    // These began before.
    for (let i = 0; i < 100; i++) assert(!two.record(5000, T + 1000))
    for (let i = 0; i < 49; i++) assert(!(i % 2 === 0 ? one : two).record(10, T + 1000))
    assert(two.record(10, T + 1000))
    assert(!one.isMeasuring)
    assert(Math.abs(one.minRttMs - 10) < 1.25, `${one.minRttMs}`)
    assert.equal(one.limit, 20)
  })

  it('gives up a measurement that gets no samples, and keeps what it knew', () => {
    const [one] = createGradients({ minRttSamples: 5 })
    one.record(10, T)
    for (let i = 0; i < 5; i++) one.record(20, T + 100)
    const known = one.minRttMs
    one.record(20, T + 61_000)
    assert(one.isMeasuring)
    assert(one.record(60_000, T + 66_100))
    assert(!one.isMeasuring)
    assert.equal(one.minRttMs, known)
  })

  it('finds what a service can take, and keeps its latency low', () => {
    for (const width of [8, 32, 128]) {
      const { limit, latencyMs } = drive(createGradients(), width, 20, 30_000)
      assert(limit > width * 0.9 && limit < width * 2.5, `${limit} for ${width}`)
      assert(latencyMs < 20 * 2.2, `${latencyMs} ms at width ${width}`)
    }
  })

  it('never leaves its bounds', () => {
    const random = createSeededRandom(21)
    const limits = createGradients({ minLimit: 5, maxLimit: 50 })
    let now = T
    for (let i = 0; i < repeat(100_000); i++) {
      now += random() * 10
      const each = limits[i % 2] as GradientLimit
      each.record(random() < 0.1 ? random() * 10_000 : random() * 20, now)
      assert(each.isMeasuring ? each.limit === 3 : each.limit >= 5 && each.limit <= 50)
    }
  })
})

describe('BBR-like shedding', () => {
  it('bounds by the most completed times the least latency', () => {
    assert.equal(bbrBound(10, 50, 100), 5)
    assert.equal(bbrBound(1, 10, 100), 1)
    assert.equal(bbrBound(3, 50, 100), 2)
    assert.equal(bbrBound(0, 50, 100), Number.POSITIVE_INFINITY)
  })

  /** 100 requests per second of 100 ms each: ten fit. */
  function setUp() {
    const limit = new BbrLimit(BBR_DEFAULTS)
    let now = T
    for (let i = 0; i < 200; i++) {
      assert(limit.tryEnter(1, now))
      limit.leave(100, now)
      now += 10
    }
    return { limit, now }
  }

  function fill(limit: BbrLimit, priority: number, now: number): number {
    let entered = 0
    while (entered < 1000 && limit.tryEnter(priority, now)) entered++
    return entered
  }

  it('lets everything pass while the event loop is on time', () => {
    const { limit, now } = setUp()
    assert.equal(limit.maxInFlight(now), 10)
    assert.equal(fill(limit, 1, now), 1000)
  })

  it('keeps to the bound when the event loop is late, core routes longest', () => {
    const { limit, now } = setUp()
    limit.reportLoopDelay(60, now)
    const levels = ['background', 'low', 'normal', 'core'] as const
    assert.deepEqual(
      levels.map((priority) => fill(limit, priorityLevel(priority), now)),
      [6, 2, 2, 1000],
    )
    limit.reportLoopDelay(1e6, now + 1)
    assert(!limit.tryEnter(priorityLevel('core'), now + 1))
    assert.equal(limit.shed, 4)
    assert.equal(limit.inFlight, 1010)
  })

  it('keeps to it for a second after the last request shed under load, and no longer', () => {
    const { limit, now } = setUp()
    limit.reportLoopDelay(60, now)
    fill(limit, 1, now)
    limit.reportLoopDelay(0, now + 5000)
    const calm = now + 999
    assert(!limit.tryEnter(1, calm))
    assert(limit.tryEnter(1, now + 1000))
  })

  it('knows nothing at first, and so sheds nothing', () => {
    const limit = new BbrLimit(BBR_DEFAULTS)
    limit.reportLoopDelay(1000, T)
    assert.equal(fill(limit, 3, T), 1000)
    for (let i = 0; i < 1000; i++) limit.leave(-1, T)
    assert.equal(limit.inFlight, 0)
  })
})
