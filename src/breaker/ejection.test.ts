import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { createSharedArea } from '../base/shared-area.ts'
import { repeat } from '../base/shared-race.contract.ts'
import { EJECTION_DEFAULTS, type EjectionConfig, type EndpointSample, maxEjectable, OutlierEjection } from './ejection.ts'
import { EjectionGate } from './ejection-gate.ts'

const T = 1_000_000
const WELL: EndpointSample = { requests: 1000, failures: 0, consecutiveFailures: 0, latencyMs: 10 }

function names(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `10.0.0.1:${i}`)
}

function samples(count: number, changes: Record<number, Partial<EndpointSample>> = {}): EndpointSample[] {
  return Array.from({ length: count }, (_, i) => ({ ...WELL, ...changes[i] }))
}

function setUp(config: Partial<EjectionConfig> = {}) {
  return new OutlierEjection({ ...EJECTION_DEFAULTS, ...config })
}

describe('how many endpoints may be ejected', () => {
  it('is the share, but one at least and never all', () => {
    const at = (ratio: number) => [0, 1, 2, 3, 5, 9, 10, 20, 100].map((count) => maxEjectable(count, ratio))
    assert.deepEqual(at(0.1), [0, 0, 1, 1, 1, 1, 1, 2, 10])
    assert.deepEqual(at(0.5), [0, 0, 1, 1, 2, 4, 5, 10, 50])
    assert.deepEqual(at(1), [0, 0, 1, 2, 4, 8, 9, 19, 99])
    assert.equal(maxEjectable(100, 0.29), 29)
  })

  it('is kept by a gate', () => {
    const gate = new EjectionGate(createSharedArea(16), 3, 0.5)
    assert(gate.tryEnter())
    assert(!gate.tryEnter())
    gate.leave()
    assert(gate.tryEnter())
    assert.equal(gate.ejected, 1)
    assert(!new EjectionGate(createSharedArea(16), 1, 1).tryEnter())
  })
})

describe('outlier ejection', () => {
  it('ejects after failures in a row, for a time that grows with each ejection in a row', () => {
    const ejection = setUp()
    const addresses = names(3)
    let now = T
    for (const lastsMs of [30_000, 60_000, 90_000]) {
      const changes = ejection.sweep(addresses, samples(3, { 1: { consecutiveFailures: 5 } }), now)
      assert.deepEqual(changes, [{ kind: 'ejected', endpoint: 1, cause: 'consecutive-failures', untilMs: now + lastsMs }])
      assert(ejection.isEjected(addresses[1] as string))
      assert.deepEqual(ejection.sweep(addresses, samples(3), now + lastsMs - 1), [])
      now += lastsMs
      assert.deepEqual(ejection.sweep(addresses, samples(3), now), [{ kind: 'returned', endpoint: 1 }])
    }
  })

  it('never ejects for longer than the maximum, and forgets an ejection with each interval that went well', () => {
    const ejection = setUp({ baseEjectionMs: 100, maxEjectionMs: 250 })
    const failing = samples(2, { 0: { consecutiveFailures: 5 } })
    let now = T
    const until: number[] = []
    for (let i = 0; i < 4; i++) {
      for (const change of ejection.sweep(names(2), failing, now)) if (change.kind === 'ejected') until.push(change.untilMs - now)
      now += 250
      ejection.sweep(names(2), samples(2), now)
    }
    assert.deepEqual(until, [100, 200, 250, 250])
    for (let i = 0; i < 10; i++) ejection.sweep(names(2), samples(2), now)
    const [change] = ejection.sweep(names(2), failing, now)
    assert(change?.kind === 'ejected' && change.untilMs === now + 100)
  })

  it('does not take the failures from before for new ones when an endpoint returns', () => {
    const ejection = setUp({ baseEjectionMs: 100 })
    const failing = samples(2, { 0: { consecutiveFailures: 5 } })
    ejection.sweep(names(2), failing, T)
    assert.deepEqual(ejection.sweep(names(2), failing, T + 100), [{ kind: 'returned', endpoint: 0 }])
  })

  it('ejects a success rate 1.9 standard deviations below the mean', () => {
    const ejection = setUp({ maxEjectedRatio: 1 })
    // Mean 0.9, standard deviation 0.2 (five endpoints): the threshold is 0.52.
    const [change, ...more] = ejection.sweep(names(5), samples(5, { 4: { failures: 500 } }), T)
    assert.deepEqual(change, { kind: 'ejected', endpoint: 4, cause: 'success-rate', untilMs: T + 30_000 })
    assert.deepEqual(more, [])
    // Two of five: mean 0.8, deviation 0.245, threshold 0.33: none is an outlier.
    assert.deepEqual(setUp().sweep(names(5), samples(5, { 3: { failures: 500 }, 4: { failures: 500 } }), T), [])
    assert.deepEqual(setUp().sweep(names(5), samples(5), T), [])
  })

  it('compares only endpoints with enough requests, and only when they are enough', () => {
    const bad = { 4: { failures: 90, requests: 99 } }
    assert.deepEqual(setUp().sweep(names(6), samples(6, bad), T), [])
    assert.deepEqual(setUp().sweep(names(4), samples(4, { 3: { failures: 999 } }), T), [])
  })

  it('ejects a latency that is a multiple of the median', () => {
    const ejection = setUp({ latencyFactor: 3, minEndpoints: 2 })
    assert.deepEqual(ejection.sweep(names(2), samples(2, { 0: { latencyMs: 30 } }), T), [])
    const [change] = ejection.sweep(names(2), samples(2, { 0: { latencyMs: 31 } }), T)
    assert(change?.kind === 'ejected' && change.cause === 'latency' && change.endpoint === 0)
    const fast = samples(5, { 0: { latencyMs: 9 }, 1: { latencyMs: 1 }, 2: { latencyMs: 1 }, 3: { latencyMs: 1 }, 4: { latencyMs: -1 } })
    assert.deepEqual(setUp({ latencyFactor: 3, minEndpoints: 2 }).sweep(names(5), fast, T), [])
  })

  it('ejects the worst first, and says what it had to keep', () => {
    const ejection = setUp({ maxEjectedRatio: 0.1 })
    const both = samples(5, { 0: { consecutiveFailures: 6 }, 1: { consecutiveFailures: 9 }, 2: { consecutiveFailures: 5 } })
    assert.deepEqual(ejection.sweep(names(5), both, T), [
      { kind: 'ejected', endpoint: 1, cause: 'consecutive-failures', untilMs: T + 30_000 },
      { kind: 'kept', endpoint: 0, cause: 'consecutive-failures' },
      { kind: 'kept', endpoint: 2, cause: 'consecutive-failures' },
    ])
  })

  it('brings endpoints back when the set has shrunk to those ejected, and forgets those that left', () => {
    const ejection = setUp({ maxEjectedRatio: 0.5 })
    const addresses = names(4)
    ejection.sweep(addresses, samples(4, { 0: { consecutiveFailures: 5 }, 1: { consecutiveFailures: 6 } }), T)
    const changes = ejection.sweep(addresses.slice(0, 2), samples(2), T + 1)
    assert.deepEqual(changes, [{ kind: 'returned', endpoint: 0 }])
    ejection.sweep(addresses.slice(2), samples(2), T + 2)
    assert(!ejection.isEjected(addresses[1] as string))
  })

  it('lets an active check bring one back', () => {
    const ejection = setUp()
    ejection.sweep(names(2), samples(2, { 0: { consecutiveFailures: 5 } }), T)
    ejection.readmit('10.0.0.1:0')
    assert(!ejection.isEjected('10.0.0.1:0'))
  })

  it('never ejects all, nor more than its share beyond the one that always may go', () => {
    const sample = fc.record({
      requests: fc.integer({ min: 0, max: 1000 }),
      failures: fc.constantFrom(0, 0, 100, 900),
      consecutiveFailures: fc.constantFrom(0, 0, 0, 5, 100),
      latencyMs: fc.constantFrom(-1, 1, 10, 1000),
    })
    const step = fc.record({
      samples: fc.array(sample, { minLength: 12, maxLength: 12 }),
      count: fc.integer({ min: 1, max: 12 }),
      waitMs: fc.nat(100_000),
    })
    const ratio = fc.constantFrom(0, 0.1, 0.3, 0.5, 1)
    const property = fc.property(ratio, fc.array(step, { maxLength: 12 }), (maxEjectedRatio, steps) => {
      const ejection = setUp({ maxEjectedRatio, latencyFactor: 3, minRequests: 50, minEndpoints: 2 })
      let now = T
      for (const { samples: all, count, waitMs } of steps) {
        now += waitMs
        const addresses = names(count)
        const changes = ejection.sweep(addresses, all.slice(0, count), now)
        const ejected = addresses.filter((address) => ejection.isEjected(address)).length
        assert(ejected <= maxEjectable(count, maxEjectedRatio))
        assert(ejected < count)
        for (const change of changes) if (change.kind === 'ejected') assert(change.untilMs > now && change.untilMs <= now + 300_000)
      }
    })
    fc.assert(property, { numRuns: repeat(1500), seed: 8 })
  })
})
