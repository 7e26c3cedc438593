import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { createSharedArea } from '../base/shared-area.ts'
import { interrupt, repeat } from '../base/shared-race.contract.ts'
import { type BreakerOutcome, errorPercent, outcomeOfStatus } from './breaker.ts'
import { CIRCUIT_BREAKER_DEFAULTS, CircuitBreaker, type CircuitBreakerConfig, circuitBreakerWords } from './circuit-breaker.ts'
import { fromHystrix } from './hystrix.ts'

const T = 1_700_000_000_000

/** One breaker as two workers see it. */
function setUp(config: Partial<CircuitBreakerConfig> = {}) {
  const area = createSharedArea(circuitBreakerWords(2), 2, 0)
  const complete = { ...CIRCUIT_BREAKER_DEFAULTS, ...config }
  return [new CircuitBreaker(area, complete), new CircuitBreaker({ ...area, worker: 1 }, complete)] as const
}

function send(breaker: CircuitBreaker, outcome: BreakerOutcome, nowMs: number, times = 1, latencyMs = 1): void {
  for (let i = 0; i < times; i++) breaker.record(breaker.allow(nowMs), outcome, latencyMs, nowMs)
}

describe('a closed circuit breaker', () => {
  it('opens for all workers at the share of errors, once there are enough requests', () => {
    const [one, two] = setUp()
    send(one, 'failure', T, 19)
    assert.equal(one.state(T), 'closed')
    assert.notEqual(two.allow(T), 0)
    send(two, 'success', T)
    assert.equal(one.state(T), 'open')
    assert.equal(two.allow(T), 0)
    assert.equal(two.retryAfterMs(T), 5000)
  })

  it('stays closed just below the share', () => {
    const [one, two] = setUp()
    send(one, 'success', T, 51)
    send(two, 'failure', T, 49)
    assert.equal(one.state(T), 'closed')
    send(two, 'failure', T, 2)
    assert.equal(one.state(T), 'open')
  })

  it('counts only what lies in the window', () => {
    const [one] = setUp()
    send(one, 'failure', T, 19)
    send(one, 'success', T + 10_000, 15)
    send(one, 'failure', T + 10_000, 4)
    assert.equal(one.state(T + 10_000), 'closed')
    // The failures alone are in the window again when the successes have left it.
    const [other] = setUp()
    send(other, 'success', T, 30)
    send(other, 'failure', T + 5000, 25)
    assert.equal(other.state(T + 5000), 'closed')
    send(other, 'success', T + 10_000)
    assert.equal(other.state(T + 10_000), 'open')
  })

  it('is never opened by what says nothing about the service, nor by what the client did wrong', () => {
    const [one] = setUp()
    send(one, 'neutral', T, 1000)
    for (let i = 0; i < 1000; i++) one.record(one.allow(T), outcomeOfStatus(404), 1, T)
    assert.equal(one.state(T), 'closed')
    assert.deepEqual([399, 400, 404, 429, 499, 500, 503, 599].map(outcomeOfStatus), [
      'success',
      'success',
      'success',
      'neutral',
      'success',
      'failure',
      'failure',
      'failure',
    ])
  })

  it('opens at the share of slow requests', () => {
    const [one] = setUp({ slowCallMs: 100, slowRateRatio: 0.8, minRequests: 10 })
    send(one, 'success', T, 3, 100)
    send(one, 'success', T, 11, 101)
    assert.equal(one.state(T), 'closed')
    send(one, 'success', T, 1, 101)
    assert.equal(one.state(T), 'open')
    assert.equal(one.statistics(T).openings, 1)
  })

  it('shows its numbers', () => {
    const [one, two] = setUp({ slowCallMs: 10 })
    send(one, 'success', T, 5, 11)
    send(two, 'failure', T, 3)
    assert.deepEqual(one.statistics(T), { state: 'closed', requests: 8, failures: 3, slow: 5, errorPercent: 38, openings: 0 })
  })
})

describe('an open circuit breaker', () => {
  it('admits exactly the configured number of probes when its time has passed, over all workers', () => {
    const [one, two] = setUp({ probes: 3 })
    send(one, 'failure', T, 20)
    assert.equal(two.allow(T + 4999), 0)
    assert.equal(two.state(T + 4999), 'open')
    assert.equal(two.state(T + 5000), 'half-open')
    const tokens = Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? one : two).allow(T + 5000)).filter((token) => token !== 0)
    assert.equal(tokens.length, 3)
    assert.equal(new Set(tokens).size, 3)
  })

  it('closes when all probes succeeded, and begins to count from nothing', () => {
    const [one, two] = setUp({ probes: 2 })
    send(one, 'failure', T, 20)
    const first = one.allow(T + 5000)
    const second = two.allow(T + 5000)
    two.record(first, 'success', 1, T + 5001)
    assert.equal(one.state(T + 5001), 'half-open')
    one.record(second, 'success', 1, T + 5002)
    assert.equal(one.state(T + 5002), 'closed')
    assert.equal(one.statistics(T + 5002).requests, 0)
    send(one, 'failure', T + 5002, 19)
    assert.equal(one.state(T + 5002), 'closed')
  })

  it('opens for twice as long with each failed probe, up to its maximum, and for the first time again after it was closed', () => {
    const [one] = setUp({ openForMs: 1000, maxOpenForMs: 5000 })
    send(one, 'failure', T, 20)
    let now = T
    for (const openMs of [1000, 2000, 4000, 5000, 5000]) {
      assert.equal(one.retryAfterMs(now), openMs)
      assert.equal(one.allow(now + openMs - 1), 0)
      now += openMs
      send(one, 'failure', now)
    }
    now += 5000
    send(one, 'success', now)
    assert.equal(one.state(now), 'closed')
    send(one, 'failure', now, 20)
    assert.equal(one.retryAfterMs(now), 1000)
    assert.equal(one.statistics(now).openings, 7)
  })

  it('ignores late results of an earlier era', () => {
    const [one, two] = setUp()
    const closedEra = Array.from({ length: 40 }, () => two.allow(T))
    send(one, 'failure', T, 20)
    for (const token of closedEra.slice(0, 10)) two.record(token, 'success', 1, T + 100)
    assert.equal(one.state(T + 100), 'open')
    const probe = one.allow(T + 5000)
    for (const token of closedEra.slice(10, 20)) two.record(token, 'success', 1, T + 5000)
    assert.equal(one.state(T + 5000), 'half-open')
    for (const token of closedEra.slice(20, 30)) two.record(token, 'failure', 1, T + 5000)
    assert.equal(one.state(T + 5000), 'half-open')
    one.record(probe, 'success', 1, T + 5100)
    for (const token of closedEra.slice(30)) two.record(token, 'failure', 1, T + 5100)
    assert.equal(one.statistics(T + 5100).requests, 0)
    one.record(probe, 'failure', 1, T + 5100)
    assert.equal(one.state(T + 5100), 'closed')
  })

  it('gives the place of a cancelled probe to the next', () => {
    const [one, two] = setUp()
    send(one, 'failure', T, 20)
    const probe = one.allow(T + 5000)
    assert.equal(two.allow(T + 5000), 0)
    one.record(probe, 'neutral', 1, T + 5001)
    assert.equal(one.state(T + 5001), 'half-open')
    const next = two.allow(T + 5001)
    assert.notEqual(next, 0)
    assert.equal(one.allow(T + 5001), 0)
    two.record(next, 'success', 1, T + 5002)
    assert.equal(one.state(T + 5002), 'closed')
  })

  it('gives the place of a lost probe to another after its timeout, and then no longer listens to the first', () => {
    const [one, two] = setUp({ probeTimeoutMs: 1000 })
    send(one, 'failure', T, 20)
    const lost = one.allow(T + 5000)
    assert.equal(two.allow(T + 6999), 0)
    const next = two.allow(T + 7000)
    assert.notEqual(next, 0)
    assert.equal(one.allow(T + 7000), 0)
    one.record(lost, 'failure', 1, T + 7001)
    assert.equal(one.state(T + 7001), 'half-open')
    two.record(next, 'success', 1, T + 7002)
    assert.equal(one.state(T + 7002), 'closed')
  })

  it('sends no probe in place of one that failed, in the moment before it is open again', () => {
    const [one, two] = setUp()
    send(one, 'failure', T, 20)
    const probe = one.allow(T + 5000)
    let second = -1
    const ask = () => {
      second = two.allow(T + 5001)
    }
    interrupt('compareExchange', 0, ask, () => one.record(probe, 'failure', 1, T + 5001))
    assert.equal(second, 0)
    assert.equal(two.state(T + 5001), 'open')
  })

  it('takes back a probe that was claimed while the era ended', () => {
    const [one, two] = setUp({ probes: 2 })
    send(one, 'failure', T, 20)
    const probe = one.allow(T + 5000)
    // The second place, while the first probe fails.
    const fail = () => one.record(probe, 'failure', 1, T + 5001)
    interrupt('compareExchange', 17, fail, () => assert.equal(two.allow(T + 5001), 0))
    assert.equal(two.state(T + 5001), 'open')
  })

  it('treats a probe that is slow as failed', () => {
    const [one] = setUp({ slowCallMs: 100 })
    send(one, 'failure', T, 20)
    send(one, 'success', T + 5000, 1, 200)
    assert.equal(one.state(T + 5000), 'open')
  })
})

describe('a worker that dies while it has a probe', () => {
  it('gives the place back, and its late result counts nowhere', () => {
    const [one, two] = setUp({ minRequests: 1, probes: 2, openForMs: 1000 })
    send(one, 'failure', T)
    const [lost, kept] = [one.allow(T + 1000), two.allow(T + 1000)]
    assert.notEqual(lost, 0)
    assert.notEqual(kept, 0)
    assert.equal(two.allow(T + 1000), 0)
    two.clearWorker(0)
    const again = two.allow(T + 1001)
    assert.notEqual(again, 0)
    assert.equal(two.allow(T + 1001), 0, 'the probe of the other worker is still under way')
    two.record(kept, 'success', 1, T + 1002)
    assert.equal(two.state(T + 1002), 'half-open')
    two.record(again, 'success', 1, T + 1003)
    assert.equal(two.state(T + 1003), 'closed')
  })

  it('changes nothing while it is closed or open, nor what has succeeded', () => {
    const [one, two] = setUp({ minRequests: 1, probes: 2, openForMs: 1000 })
    two.clearWorker(0)
    assert.equal(one.state(T), 'closed')
    send(one, 'failure', T)
    two.clearWorker(0)
    assert.equal(one.state(T), 'open')
    one.record(one.allow(T + 1000), 'success', 1, T + 1000)
    two.clearWorker(0)
    two.record(two.allow(T + 1001), 'success', 1, T + 1001)
    assert.equal(one.state(T + 1001), 'closed')
  })
})

describe('the parameters of Hystrix', () => {
  it('open at int(errors / requests * 100 + 0.5) >= threshold, for every threshold and number', () => {
    for (let percent = 1; percent <= 100; percent++) {
      const { errorRateRatio } = fromHystrix({ errorThresholdPercentage: percent })
      for (let requests = 1; requests <= 250; requests++) {
        for (let errors = 1; errors <= requests; errors++) {
          const expected = Math.trunc((errors / requests) * 100 + 0.5) >= percent
          assert.equal(errorPercent(errors, requests) / 100 >= errorRateRatio - 1e-12, expected, `${errors}/${requests} at ${percent}`)
        }
      }
    }
  })

  it('have its defaults', () => {
    const config = fromHystrix()
    assert.deepEqual(
      [config.minRequests, config.openForMs, config.maxOpenForMs, config.probes, config.windowMs],
      [20, 5000, 5000, 1, 10_000],
    )
    const [one] = setUp(config)
    // 99 of 199 are 49.7 percent, which is 50 when rounded.
    send(one, 'success', T, 100)
    send(one, 'failure', T, 98)
    assert.equal(one.state(T), 'closed')
    send(one, 'failure', T)
    assert.equal(one.state(T), 'open')
  })

  it('trip at the first error with the seed values of the notes, but not at a 404', () => {
    const seed = fromHystrix({ requestVolumeThreshold: 1, errorThresholdPercentage: 1 })
    const [one] = setUp(seed)
    send(one, outcomeOfStatus(404), T, 10)
    assert.equal(one.state(T), 'closed')
    const [other] = setUp(seed)
    send(other, outcomeOfStatus(500), T)
    assert.equal(other.state(T), 'open')
  })
})

/** The same breaker for one thread, written for clarity. */
class Model {
  kind: 'closed' | 'open' | 'half-open' = 'closed'
  era = 0
  #config: CircuitBreakerConfig
  #log: { piece: number; isFailure: boolean; isSlow: boolean }[] = []
  #untilMs = 0
  #sinceMs = 0
  #level = 0
  #probes: ({ era: number; round: number; isTaken: boolean } | null)[] = []

  constructor(config: CircuitBreakerConfig) {
    this.#config = config
  }

  allow(nowMs: number): { era: number; probe: number; round: number } | null {
    if (this.kind === 'closed') return { era: this.era, probe: -1, round: 0 }
    if (this.kind === 'open') {
      if (nowMs < this.#untilMs) return null
      this.kind = 'half-open'
      this.era++
      this.#sinceMs = nowMs
      this.#probes = new Array(this.#config.probes).fill(null)
    }
    const round = Math.floor((nowMs - this.#sinceMs) / this.#config.probeTimeoutMs)
    const probe = this.#probes.findIndex((place) => place === null || (place.isTaken && round - place.round >= 2))
    if (probe === -1) return null
    this.#probes[probe] = { era: this.era, round, isTaken: true }
    return { era: this.era, probe, round }
  }

  record(token: { era: number; probe: number; round: number }, outcome: BreakerOutcome, latencyMs: number, nowMs: number): void {
    if (token.era !== this.era) return
    const { slowCallMs, windowMs, minRequests, errorRateRatio, slowRateRatio } = this.#config
    const isSlow = latencyMs > (slowCallMs ?? Number.POSITIVE_INFINITY)
    if (this.kind === 'closed') {
      if (outcome === 'neutral') return
      const piece = Math.floor(nowMs / (windowMs / 10))
      this.#log.push({ piece, isFailure: outcome === 'failure', isSlow })
      const recent = this.#log.filter((entry) => piece - entry.piece < 10)
      const failures = recent.filter((entry) => entry.isFailure).length
      const slow = recent.filter((entry) => entry.isSlow).length
      if (recent.length < minRequests) return
      if ((failures > 0 && failures / recent.length >= errorRateRatio) || (slow > 0 && slow / recent.length >= slowRateRatio)) {
        this.#open(0, nowMs)
      }
      return
    }
    const place = this.#probes[token.probe]
    if (place === null || place === undefined || place.round !== token.round || !place.isTaken) return
    if (outcome === 'neutral') this.#probes[token.probe] = null
    else if (outcome === 'failure' || isSlow) this.#open(this.#level + 1, nowMs)
    else {
      place.isTaken = false
      if (this.#probes.every((each) => each !== null && !each.isTaken)) {
        this.kind = 'closed'
        this.era++
        this.#log = []
      }
    }
  }

  #open(level: number, nowMs: number): void {
    this.kind = 'open'
    this.era++
    this.#level = level
    this.#untilMs = nowMs + Math.min(this.#config.openForMs * 2 ** level, this.#config.maxOpenForMs)
  }
}

describe('any run of a circuit breaker', () => {
  it('is that of the model', () => {
    const seen = { closed: 0, open: 0, 'half-open': 0 }
    const event = fc.record({
      kind: fc.constantFrom('allow', 'allow', 'allow', 'record', 'record'),
      worker: fc.nat(1),
      which: fc.nat(1000),
      outcome: fc.constantFrom<BreakerOutcome>('success', 'success', 'failure', 'neutral'),
      latencyMs: fc.constantFrom(1, 1, 1, 500),
      waitMs: fc.constantFrom(0, 0, 0, 0, 1, 20, 100, 250, 1000),
    })
    const config = fc.record({
      windowMs: fc.constantFrom(100, 1000, 10_000),
      minRequests: fc.integer({ min: 1, max: 8 }),
      errorRateRatio: fc.constantFrom(0.01, 0.25, 0.5, 1),
      slowCallMs: fc.constantFrom(null, 100),
      slowRateRatio: fc.constantFrom(0.5, 1),
      openForMs: fc.constantFrom(1, 50, 300),
      probes: fc.integer({ min: 1, max: 4 }),
      probeTimeoutMs: fc.constantFrom(100, 1000),
    })
    const property = fc.property(config, fc.array(event, { minLength: 200, maxLength: 300, size: 'max' }), (partial, events) => {
      const complete = { ...partial, maxOpenForMs: 1000 }
      const breakers = setUp(complete)
      const model = new Model(complete)
      const open: { token: number; twin: { era: number; probe: number; round: number } }[] = []
      let now = T
      for (const { kind, worker, which, outcome, latencyMs, waitMs } of events) {
        now += waitMs
        const breaker = breakers[worker] as CircuitBreaker
        if (kind === 'allow') {
          const token = breaker.allow(now)
          const twin = model.allow(now)
          assert.equal(token !== 0, twin !== null)
          if (twin !== null) open.push({ token, twin })
        } else if (open.length > 0) {
          const [{ token, twin }] = open.splice(which % open.length, 1) as [(typeof open)[0]]
          breaker.record(token, outcome, latencyMs, now)
          model.record(twin, outcome, latencyMs, now)
        }
        const state = breaker.state(now)
        seen[state]++
        assert(state === model.kind || (state === 'half-open' && model.kind === 'open'), `${state} ${model.kind}`)
      }
    })
    fc.assert(property, { numRuns: repeat(400), seed: 5 })
    assert(seen.closed > 5000 && seen.open > 5000 && seen['half-open'] > 5000, JSON.stringify(seen))
  })
})
