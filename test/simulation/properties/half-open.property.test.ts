import { describe, it } from 'node:test'
import { createSharedArea } from '../../../src/base/shared-area.ts'
import { type BreakerOutcome, REJECTED } from '../../../src/breaker/breaker.ts'
import { CircuitBreaker, circuitBreakerWords } from '../../../src/breaker/circuit-breaker.ts'
import { fromHystrix } from '../../../src/breaker/hystrix.ts'
import { type Episode, forDecisions, LIMITS, must } from './decisions.ts'

const STEPS = 800

interface Passed {
  readonly token: number
  readonly atMs: number
  /** Number of the half-open time it is a probe of; -1: it passed while the breaker was closed. */
  readonly era: number
}

function configOf({ int, pick, chance }: Episode) {
  const openForMs = int(10, 500)
  if (chance(0.2))
    return { ...fromHystrix({ requestVolumeThreshold: int(1, 20), sleepWindowMs: openForMs }), probeTimeoutMs: pick([20, int(100, 2000)]) }
  return {
    windowMs: pick([100, 1000, 10_000]),
    minRequests: int(1, 20),
    errorRateRatio: pick([0.1, 0.5, 1]),
    slowCallMs: pick([null, 20]),
    slowRateRatio: pick([0.5, 1]),
    openForMs,
    maxOpenForMs: openForMs * pick([1, 8]),
    probes: pick([1, 1, 2, 3, 10, 32]),
    probeTimeoutMs: pick([20, int(100, 2000)]),
  }
}

describe('a circuit breaker', () => {
  it('lets nothing through while open, and in half-open never more than the probes, over all workers', LIMITS, () => {
    forDecisions((episode) => {
      const { random, int, pick, chance } = episode
      const workers = int(1, 4)
      const config = configOf(episode)
      const { buffer } = createSharedArea(circuitBreakerWords(workers), workers).words
      const views = Array.from(
        { length: workers },
        (_, worker) => new CircuitBreaker(createSharedArea(0, workers, worker, buffer as SharedArrayBuffer), config),
      )
      const running: Passed[] = []
      let era = 0
      let succeeded = 0
      let isHalfOpen = false
      let failRatio = 0.5
      let nowMs = 1_000_000 + random() * 1e9
      let decisions = 0
      for (let step = 0; step < STEPS; step++) {
        nowMs += pick([0, 0, 1, 10, 300]) * random()
        if (chance(0.02)) failRatio = pick([0, 0.2, 0.9, 1])
        const breaker = pick(views)
        if (chance(0.5) && running.length > 0) {
          const { token, atMs, era: of } = running.splice(int(0, running.length - 1), 1)[0]!
          const outcome: BreakerOutcome = chance(0.1) ? 'neutral' : chance(failRatio) ? 'failure' : 'success'
          breaker.record(token, outcome, nowMs - atMs, nowMs)
          // Older ones may have lost their place.
          const isYoung = nowMs - atMs < config.probeTimeoutMs
          if (of === era && isHalfOpen && isYoung && outcome === 'success' && breaker.state(nowMs) === 'half-open') succeeded++
        } else {
          decisions++
          const before = breaker.state(nowMs)
          const token = breaker.allow(nowMs)
          must(before !== 'open' || token === REJECTED, () => 'a request passed while it was open')
          must(before !== 'closed' || token !== REJECTED, () => 'a request was refused while it was closed')
          if (before === 'half-open' && !isHalfOpen) {
            isHalfOpen = true
            era++
            succeeded = 0
          }
          if (token === REJECTED) continue
          running.push({ token, atMs: nowMs, era: before === 'half-open' ? era : -1 })
          if (before !== 'half-open') continue
          const young = running.reduce((sum, one) => sum + (one.era === era && nowMs - one.atMs < config.probeTimeoutMs ? 1 : 0), 0)
          must(young + succeeded <= config.probes, () => `${young} probes run and ${succeeded} succeeded, of ${config.probes}`)
        }
        if (breaker.state(nowMs) !== 'half-open') isHalfOpen = false
      }
      return decisions
    })
  })
})
