import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { createSeededRandom, type Random } from '../base/clock.ts'
import { repeat } from '../base/shared-race.contract.ts'
import { EJECTION_DEFAULTS, type EjectionRules, type EndpointSample, maxEjectable, type Outlier, OutlierEjection } from './ejection.ts'

const RULES: EjectionRules = { ...EJECTION_DEFAULTS, latencyFactor: 3, minLatencyMs: 10 }
const WELL: EndpointSample = { results: 1000, errors: 0, latencyMs: 10, isInUse: true }

function names(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `10.0.0.1:${i}`)
}

function samples(count: number, changes: Record<number, Partial<EndpointSample>> = {}): EndpointSample[] {
  return Array.from({ length: count }, (_, i) => ({ ...WELL, ...changes[i] }))
}

/** The outliers that one sweep of a new service ejects. */
function sweepOnce(all: EndpointSample[], rules: Partial<EjectionRules> = {}): Outlier[] {
  const ejected: Outlier[] = []
  new OutlierEjection({ ...RULES, ...rules }).sweep(names(all.length), all, (outlier) => ejected.push(outlier) > 0)
  return ejected
}

function endpoints(outliers: readonly Outlier[]): number[] {
  return outliers.map(({ endpoint }) => endpoint)
}

describe('how many endpoints may be ejected', () => {
  it('is the share, but one at least and never all', () => {
    const at = (ratio: number) => [0, 1, 2, 3, 5, 9, 10, 20, 100].map((count) => maxEjectable(count, ratio))
    assert.deepEqual(at(0.1), [0, 0, 1, 1, 1, 1, 1, 2, 10])
    assert.deepEqual(at(0.5), [0, 0, 1, 1, 2, 4, 5, 10, 50])
    assert.deepEqual(at(1), [0, 0, 1, 2, 4, 8, 9, 19, 99])
    assert.equal(maxEjectable(100, 0.29), 29)
  })
})

describe('an outlier by its errors', () => {
  it('has the configured share of them while the others have less than half as many', () => {
    assert.deepEqual(sweepOnce(samples(4, { 2: { errors: 500 } })), [{ endpoint: 2, cause: 'error-rate', value: 0.5, others: 0 }])
    assert.deepEqual(sweepOnce(samples(4, { 2: { errors: 499 } })), [])
    assert.deepEqual(endpoints(sweepOnce(samples(2, { 0: { errors: 1000 } }))), [0])
    const halfAsMany = samples(4, { 0: { errors: 250 }, 1: { errors: 250 }, 2: { errors: 500 }, 3: { errors: 250 } })
    assert.deepEqual(sweepOnce(halfAsMany), [])
  })

  it('is none while all fail alike: the service is ill, not an endpoint', () => {
    for (const errors of [500, 700, 1000]) {
      assert.deepEqual(sweepOnce(samples(4, { 0: { errors }, 1: { errors }, 2: { errors }, 3: { errors } })), [])
      assert.deepEqual(sweepOnce(samples(4, { 0: { errors }, 1: { errors }, 2: { errors } })), [])
    }
  })

  it('is found when half of the endpoints are bad, the worst first', () => {
    assert.deepEqual(endpoints(sweepOnce(samples(4, { 1: { errors: 600 }, 3: { errors: 900 } }))), [3, 1])
  })

  it('needs enough requests, and enough endpoints to compare with', () => {
    assert.deepEqual(sweepOnce(samples(4, { 2: { errors: 99, results: 99 } })), [])
    assert.deepEqual(sweepOnce(samples(2, { 0: { errors: 1000 }, 1: { results: 99 } })), [])
    assert.deepEqual(sweepOnce(samples(4, { 2: { errors: 1000 } }), { minEndpoints: 5 }), [])
    assert.deepEqual(sweepOnce(samples(4, { 2: { errors: 1000, isInUse: false } })), [])
    assert.deepEqual(sweepOnce(samples(4, { 2: { errors: 1000 } }), { errorRateRatio: null }), [])
  })
})

describe('an outlier by its latency', () => {
  it('takes a multiple of what the others take, and not just a moment', () => {
    assert.deepEqual(sweepOnce(samples(2, { 0: { latencyMs: 30 } })), [])
    assert.deepEqual(sweepOnce(samples(2, { 0: { latencyMs: 31 } })), [{ endpoint: 0, cause: 'latency', value: 31, others: 10 }])
    assert.deepEqual(sweepOnce(samples(3, { 0: { latencyMs: 9.9 }, 1: { latencyMs: 1 }, 2: { latencyMs: 1 } })), [])
    assert.deepEqual(sweepOnce(samples(3, { 0: { latencyMs: 100 }, 1: { latencyMs: -1 }, 2: { latencyMs: -1 } })), [])
    assert.deepEqual(sweepOnce(samples(3, { 0: { latencyMs: 100 } }), { latencyFactor: null }), [])
  })

  it('comes after those that fail, and an endpoint that does both counts once', () => {
    const all = samples(6, { 0: { latencyMs: 100 }, 1: { errors: 800, latencyMs: 500 }, 2: { latencyMs: 200 } })
    assert.deepEqual(
      sweepOnce(all).map(({ endpoint, cause }) => [endpoint, cause]),
      [
        [1, 'error-rate'],
        [2, 'latency'],
        [0, 'latency'],
      ],
    )
  })
})

describe('the time of an ejection', () => {
  it('grows with each in a row to a maximum, and falls with each interval in use that went well', () => {
    const ejection = new OutlierEjection({ ...RULES, ejectionMs: 100, maxEjectionMs: 250 })
    const sweep = (change: Partial<EndpointSample>) => {
      let lasts = 0
      ejection.sweep(names(3), samples(3, { 1: change }), (_outlier, durationMs) => {
        lasts = durationMs
        return true
      })
      return lasts
    }
    const times: number[] = []
    for (let i = 0; i < 4; i++) {
      times.push(sweep({ errors: 900 }))
      assert.equal(sweep({ isInUse: false }), 0)
    }
    assert.deepEqual(times, [100, 200, 250, 250])
    // The first interval after it came back does not count, because it was not in use for all of it.
    sweep({})
    sweep({})
    sweep({})
    sweep({})
    assert.equal(sweep({ errors: 900 }), 200)
  })

  it('does not grow when nothing was ejected', () => {
    const ejection = new OutlierEjection(RULES)
    const times: number[] = []
    for (let i = 0; i < 3; i++) {
      ejection.sweep(names(3), samples(3, { 1: { errors: 900 } }), (_outlier, durationMs) => {
        times.push(durationMs)
        return false
      })
    }
    assert.deepEqual(times, [30_000, 30_000, 30_000])
  })
})

describe('any samples at all', () => {
  it('give outliers that are in use, each once, and never all of them for one cause', () => {
    const sample = fc.record({
      results: fc.integer({ min: 0, max: 1000 }),
      errors: fc.constantFrom(0, 0, 100, 900),
      latencyMs: fc.constantFrom(-1, 1, 10, 1000),
      isInUse: fc.boolean(),
    })
    const property = fc.property(fc.array(sample, { minLength: 1, maxLength: 12 }), (all) => {
      const valid = all.map((one) => ({ ...one, errors: Math.min(one.errors, one.results) }))
      const outliers = sweepOnce(valid, { minRequests: 50 })
      const found = endpoints(outliers)
      assert.equal(new Set(found).size, found.length)
      for (const endpoint of found) assert(valid[endpoint]!.isInUse)
      const inUse = valid.filter(({ isInUse }) => isInUse).length
      for (const cause of ['error-rate', 'latency']) {
        const count = outliers.filter((outlier) => outlier.cause === cause).length
        assert(count < Math.max(1, inUse), `${count} of ${inUse}`)
      }
    })
    fc.assert(property, { numRuns: repeat(1500), seed: 8 })
  })
})

/** Intervals of `n` requests to each of `count` endpoints that all fail at the same rate, by chance. */
function countFalseEjections(count: number, n: number, rate: number, random: Random): number {
  let ejected = 0
  for (let interval = 0; interval < 2000; interval++) {
    const all = Array.from({ length: count }, () => {
      let errors = 0
      for (let i = 0; i < n; i++) if (random() < rate) errors++
      return { ...WELL, results: n, errors }
    })
    ejected += sweepOnce(all).length
  }
  return ejected
}

// Why `errorRate` is off by default: chance never ejects, but requests that fail wherever they go do, where they go to one endpoint.
describe('the default rule in a simulation', () => {
  it('ejects nobody by chance, however often the service fails', () => {
    const random = createSeededRandom(11)
    for (const rate of [0.01, 0.1, 0.3, 0.4, 0.5, 0.7]) assert.equal(countFalseEjections(4, 100, rate, random), 0, `at ${rate}`)
  })

  it('ejects one endpoint after another when the requests of one key fail everywhere and are balanced by key', () => {
    const ejection = new OutlierEjection(RULES)
    const count = 10
    const out = new Set<number>()
    for (let interval = 0; interval < 20; interval++) {
      // The key belongs to the first endpoint in use, and brings twice what that has otherwise.
      const holder = [...Array(count).keys()].find((i) => !out.has(i))
      const all = samples(count).map((sample, i) => ({ ...sample, isInUse: !out.has(i), errors: i === holder ? 667 : 0 }))
      ejection.sweep(names(count), all, ({ endpoint }) => {
        if (out.size >= maxEjectable(count, 0.5)) return false
        out.add(endpoint)
        return true
      })
    }
    assert.equal(out.size, 5)
  })
})
