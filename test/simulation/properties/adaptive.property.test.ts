import { describe, it } from 'node:test'
import { createSharedArea } from '../../../src/base/shared-area.ts'
import { AdaptiveThrottle, adaptiveThrottleWords } from '../../../src/breaker/adaptive-throttle.ts'
import { REJECTED } from '../../../src/breaker/breaker.ts'
import { BBR_DEFAULTS, BbrLimit } from '../../../src/limit/bbr.ts'
import { GRADIENT_DEFAULTS, GradientLimit, gradientWords } from '../../../src/limit/gradient.ts'
import { forDecisions, LIMITS, must } from './decisions.ts'

const STEPS = 500

describe('an adaptive limit', () => {
  it('stays within its bounds whatever latencies it is told, and is the least one only while it measures', LIMITS, () => {
    forDecisions(({ random, int, pick }) => {
      const workers = int(1, 4)
      const minLimit = int(1, 20)
      const maxLimit = minLimit + int(0, 200)
      const config = {
        ...GRADIENT_DEFAULTS,
        initialLimit: int(minLimit, maxLimit),
        minLimit,
        maxLimit,
        minRttConcurrency: minLimit,
        minRttEveryMs: 2000,
      }
      const { buffer } = createSharedArea(gradientWords(workers), workers).words
      const views = Array.from(
        { length: workers },
        (_, worker) => new GradientLimit(createSharedArea(0, workers, worker, buffer as SharedArrayBuffer), config, random),
      )
      let nowMs = 1_000_000 + random() * 1e9
      let usualMs = 10
      for (let step = 0; step < STEPS; step++) {
        nowMs += pick([0, 1, 10, 100]) * random()
        if (random() < 0.02) usualMs = pick([0, 0.001, 1, 10, 1000, 1e9])
        const view = pick(views)
        view.record(usualMs * random(), nowMs)
        const { limit } = view
        must(Number.isInteger(limit) && limit >= minLimit && limit <= maxLimit, () => `a limit of ${limit}, not ${minLimit} to ${maxLimit}`)
      }
      return STEPS
    })
  })
})

describe('an adaptive throttle', () => {
  it('refuses nothing while nothing fails, and never everything for longer than a second', LIMITS, () => {
    forDecisions(({ random, int, pick, chance }) => {
      const workers = int(1, 4)
      const config = { windowMs: pick([1000, 3000]), k: pick([1, 1.67, 2]), minRequests: int(0, 50), passEveryMs: 1000 }
      const { buffer } = createSharedArea(adaptiveThrottleWords(workers), workers).words
      const views = Array.from(
        { length: workers },
        (_, worker) => new AdaptiveThrottle(createSharedArea(0, workers, worker, buffer as SharedArrayBuffer), config, random),
      )
      const failsFrom = int(0, STEPS)
      let nowMs = 1_000_000 + random() * 1e9
      let passedAtMs = nowMs
      for (let step = 0; step < STEPS; step++) {
        nowMs += pick([0, 1, 50]) * random()
        const view = pick(views)
        const token = view.allow(nowMs)
        must(token !== REJECTED || step > failsFrom, () => 'a request was refused though nothing had failed')
        must(token !== REJECTED || nowMs - passedAtMs <= config.passEveryMs + 1, () => `nothing passed for ${nowMs - passedAtMs} ms`)
        if (token === REJECTED) continue
        passedAtMs = nowMs
        view.record(token, step >= failsFrom && chance(0.9) ? 'failure' : 'success', 1, nowMs)
      }
      return STEPS
    })
  })
})

describe('the limit of a worker', () => {
  it('refuses nothing while the loop is quick, and always leaves room for one', LIMITS, () => {
    forDecisions(({ random, int, pick, chance }) => {
      const limit = new BbrLimit(BBR_DEFAULTS)
      const isQuick = chance(0.5)
      const running: number[] = []
      let nowMs = 1_000_000
      for (let step = 0; step < STEPS; step++) {
        nowMs += pick([0, 1, 20]) * random()
        if (chance(0.1)) limit.reportLoopDelay(isQuick ? random() : 500 * random(), nowMs)
        if (chance(0.5) && running.length > 0) limit.leave(chance(0.9) ? nowMs - running.shift()! : -1 * running.shift()!, nowMs)
        else {
          const isAdmitted = limit.tryEnter(int(0, 3), nowMs)
          must(isAdmitted || (!isQuick && running.length > 1), () => `refused with ${running.length} requests in flight`)
          if (isAdmitted) running.push(nowMs)
        }
        must(limit.inFlight === running.length, () => `${limit.inFlight} in flight, not ${running.length}`)
      }
      return STEPS
    })
  })
})
