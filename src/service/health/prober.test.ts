import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { HealthConfig } from '../../config/types.ts'
import type { Health } from '../endpoint-control.ts'
import type { ProbeOutcome, ProbeTarget, StartProbe } from './probe.ts'
import { type ProbeReport, Prober } from './prober.ts'
import { createTarget, HEALTH, TICK_MS, VirtualNetwork } from './virtual-network.contract.ts'

interface Change {
  address: string
  health: Health
  atMs: number
}

function setUp(targets: ProbeTarget[], { maxParallel = 256, start = 'unknown' as Health } = {}) {
  const network = new VirtualNetwork()
  const { clock, random, wheel, startProbe } = network
  const changes: Change[] = []
  const reports: ProbeReport[] = []
  const prober = new Prober({
    clock,
    random,
    wheel,
    startProbe,
    maxParallel,
    events: {
      onReport(endpoint, report, before) {
        reports.push(report)
        if (endpoint.health !== before) changes.push({ address: endpoint.target.address, health: endpoint.health, atMs: clock.now() })
      },
    },
  })
  const update = (next: ProbeTarget[]) => prober.update(next, () => start)
  update(targets)
  return { network, prober, changes, reports, update }
}

/** One endpoint that has been found healthy. */
function setUpHealthy(health: Partial<HealthConfig> = {}) {
  const all = setUp([createTarget('a:1', health)])
  all.network.pass(20_000)
  assert.equal(all.prober.get('users', 'a:1')?.health, 'healthy')
  return { ...all, health: () => all.prober.get('users', 'a:1')?.health }
}

function gaps(times: readonly number[]): number[] {
  return times.slice(1).map((time, i) => time - times[i]!)
}

describe('the pace of checks', () => {
  it('is within a tenth of the interval for each of 500 endpoints, over a thousand rounds, without drift', () => {
    const targets = Array.from({ length: 500 }, (_, i) => createTarget(`a:${i + 1}`))
    const { network } = setUp(targets, { maxParallel: 64 })
    const rounds = 1000
    network.pass(HEALTH.intervalMs * rounds)
    for (const { address } of targets) {
      const starts = network.startsOf(address)
      // The first comes soon, the second somewhere within the interval.
      assert(starts[0]! - 1_000_000 <= 500 + TICK_MS, `${address} first after ${starts[0]! - 1_000_000} ms`)
      for (const gap of gaps(starts.slice(1))) {
        assert(gap >= HEALTH.intervalMs * 0.9 - TICK_MS && gap <= HEALTH.intervalMs * 1.1 + TICK_MS, `${address} waited ${gap} ms`)
      }
      // The mean of 1,000 jittered intervals is within five standard errors of the interval.
      assert(Math.abs(starts.length - rounds) <= 10, `${address} was checked ${starts.length} times`)
    }
    assert(network.mostRunning <= 64)
  })

  it('spreads over the interval instead of coming in waves', () => {
    const targets = Array.from({ length: 500 }, (_, i) => createTarget(`a:${i + 1}`))
    const { network } = setUp(targets)
    network.pass(60_000)
    const inBuckets = new Array<number>(50).fill(0)
    for (const starts of network.starts.values()) {
      for (const at of starts) {
        const since = at - 1_000_000 - 30_000
        if (since >= 0 && since < 5000) inBuckets[Math.floor(since / 100)]!++
      }
    }
    // 10 on the average.
    assert(Math.max(...inBuckets) <= 30, inBuckets.join(' '))
  })

  it('does not slow down by how long a check takes', () => {
    const { network } = setUp([createTarget('a:1')])
    network.latencyMs = 1900
    network.pass(5000 * 200)
    assert(Math.abs(network.startsOf('a:1').length - 200) <= 5, `${network.startsOf('a:1').length} checks`)
  })

  it('never starts a check of an endpoint before the one before has ended', () => {
    const { network } = setUp([createTarget('a:1', { intervalMs: 100, downIntervalMs: 100, timeoutMs: 2000 })])
    network.behaviours.set('a:1', 'silent')
    network.pass(20_000)
    for (const gap of gaps(network.startsOf('a:1'))) assert(gap >= 2000, `${gap} ms`)
    assert.equal(network.mostRunning, 1)
  })

  it('does not make up for checks that a standstill left out', () => {
    const { network } = setUpHealthy()
    network.freeze(3_600_000)
    const before = network.startsOf('a:1').length
    network.pass(20_000)
    const checks = network.startsOf('a:1').length - before
    assert(checks >= 3 && checks <= 6, `${checks} checks`)
  })

  it('is the faster one while an endpoint is down or not yet known', () => {
    const { network, health } = setUpHealthy()
    network.behaviours.set('a:1', 'refused')
    network.pass(2.2 * HEALTH.intervalMs + 100)
    assert.equal(health(), 'unhealthy')
    const before = network.startsOf('a:1').length
    network.pass(10_000)
    const while10Seconds = network.startsOf('a:1').length - before
    assert(while10Seconds >= 9 && while10Seconds <= 12, `${while10Seconds} checks`)
    const unknown = setUp([createTarget('b:1')])
    unknown.network.behaviours.set('b:1', 'refused')
    unknown.network.pass(500 + 1000 + 100)
    assert.equal(unknown.prober.get('users', 'b:1')?.health, 'unhealthy', 'dead from the start is known soon')
  })
})

describe('the health of an endpoint', () => {
  it('becomes unhealthy within two intervals after it died, and healthy within one downInterval after it came back', () => {
    for (let i = 0; i < 50; i++) {
      const { network, changes, health } = setUpHealthy()
      network.pass(i * 100)
      const diedMs = network.clock.now()
      network.behaviours.set('a:1', 'refused')
      network.pass(HEALTH.intervalMs * 2 + HEALTH.timeoutMs)
      assert.equal(health(), 'unhealthy')
      assert.equal(changes.length, 2)
      assert(changes[1]!.atMs - diedMs <= HEALTH.intervalMs * 2.2 + network.latencyMs + 2 * TICK_MS)
      // The worst moment: a check has just begun, and will fail.
      const checks = network.startsOf('a:1').length
      for (let tick = 0; tick < 200 && network.startsOf('a:1').length === checks; tick++) network.pass(TICK_MS)
      network.behaviours.set('a:1', 'ok')
      network.pass(HEALTH.downIntervalMs + network.latencyMs + TICK_MS)
      assert.equal(health(), 'healthy')
      assert.equal(changes.length, 3)
    }
  })

  it('falls by the timeout when nothing answers, and says what it waited for', () => {
    const { network, prober, health } = setUpHealthy()
    network.behaviours.set('a:1', 'silent')
    network.pass(HEALTH.intervalMs * 2.2 + HEALTH.timeoutMs + 100)
    assert.equal(health(), 'unhealthy')
    const last = prober.get('users', 'a:1')?.last
    assert.equal(last?.error, 'no success within 2s, while connecting')
    assert(last.durationMs >= 2000 && last.durationMs <= 2000 + 2 * TICK_MS)
  })

  it('does not fall because the gateway itself could not check', () => {
    const { network, prober, health } = setUpHealthy()
    network.behaviours.set('a:1', 'local')
    network.pass(60_000)
    assert.equal(health(), 'healthy')
    assert.equal(prober.get('users', 'a:1')?.last?.result, 'inconclusive')
    assert.equal(prober.get('users', 'a:1')?.failedInARow, 0)
  })

  it('does not fall because a check could not even be started', () => {
    const network = new VirtualNetwork()
    const { clock, random, wheel } = network
    const results: string[] = []
    const startProbe = (): never => {
      throw new Error('no memory')
    }
    const events = { onReport: (_: unknown, report: ProbeReport) => void results.push(`${report.result}: ${report.error}`) }
    const prober = new Prober({ clock, random, wheel, startProbe, events })
    prober.update([createTarget('a:1')], () => 'healthy')
    network.pass(12_000)
    assert.equal(results[0], 'inconclusive: no memory')
    assert.equal(prober.get('users', 'a:1')?.health, 'healthy')
    assert.equal(prober.running, 0)
  })

  it('counts each check once, whatever it reports and when', () => {
    const network = new VirtualNetwork()
    const { clock, random, wheel } = network
    const pending: ((outcome: ProbeOutcome) => void)[] = []
    let reports = 0
    const startProbe: StartProbe = (_, done) => {
      pending.push(done)
      return { stage: 'connecting', cancel() {} }
    }
    const prober = new Prober({ clock, random, wheel, startProbe, events: { onReport: () => void reports++ } })
    prober.update([createTarget('a:1')], () => 'healthy')
    network.pass(600)
    assert.equal(pending.length, 1)
    pending[0]!({ result: 'pass' })
    pending[0]!({ result: 'fail', error: 'again' })
    assert.equal(reports, 1)
    network.pass(5600 + HEALTH.timeoutMs)
    const { length } = pending
    assert(length >= 2)
    const known = reports
    for (const done of pending.slice(0, -1)) done({ result: 'fail', error: 'too late' })
    assert.equal(reports, known)
    assert(prober.running <= 1)
  })

  it('does not fall because the gateway stood still while answers came', () => {
    const { network, reports } = setUpHealthy()
    let frozen = 0
    for (let i = 0; i < 100_000 && frozen < 20; i++) {
      network.pass(TICK_MS)
      if (network.running === 0) continue
      network.freeze(8000)
      frozen++
    }
    assert.equal(frozen, 20)
    assert(reports.every((report) => report.result === 'pass'))
  })

  it('still falls when nothing answers after the standstill either', () => {
    const { network, health } = setUpHealthy()
    network.behaviours.set('a:1', 'silent')
    let frozen = 0
    for (let i = 0; i < 10_000 && frozen < 2; i++) {
      network.pass(TICK_MS)
      if (network.running === 0) continue
      network.freeze(8000)
      network.pass(HEALTH.timeoutMs + 2 * TICK_MS)
      frozen++
    }
    assert.equal(frozen, 2)
    assert.equal(health(), 'unhealthy')
  })
})

describe('many endpoints', () => {
  it('never have more checks under way than allowed, and those that die are found although 300 others do not answer', () => {
    const targets = Array.from({ length: 500 }, (_, i) => createTarget(`a:${i + 1}`))
    const { network, prober, changes } = setUp(targets, { maxParallel: 64 })
    for (let i = 1; i <= 300; i++) network.behaviours.set(`a:${i}`, 'silent')
    network.pass(60_000)
    assert.equal(network.mostRunning, 64)
    assert.equal(targets.filter(({ address }) => prober.get('users', address)?.health === 'unhealthy').length, 300)
    for (let i = 301; i <= 500; i++) {
      const late = gaps(network.startsOf(`a:${i}`).slice(3)).filter((gap) => gap > HEALTH.intervalMs * 1.1 + HEALTH.timeoutMs)
      assert.deepEqual(late, [], `a:${i}`)
    }
    const diedMs = network.clock.now()
    for (let i = 301; i <= 310; i++) network.behaviours.set(`a:${i}`, 'refused')
    network.pass(HEALTH.intervalMs * 2 + HEALTH.timeoutMs)
    const found = changes.filter((change) => change.atMs > diedMs)
    assert.equal(found.length, 10)
    assert(found.every((change) => change.health === 'unhealthy'))
  })
})

describe('a reload', () => {
  it('keeps the health of endpoints that stay, also when they are checked in another way', () => {
    const { network, prober, update } = setUp([createTarget('a:1'), createTarget('b:1')])
    network.behaviours.set('b:1', 'refused')
    network.pass(20_000)
    const since = prober.get('users', 'b:1')?.sinceEpochMs
    const running = network.startsOf('a:1').length
    update([createTarget('a:1'), createTarget('b:1', { intervalMs: 9000, unhealthyAfter: 5 }), createTarget('c:1')])
    assert.equal(prober.get('users', 'a:1')?.health, 'healthy')
    assert.equal(prober.get('users', 'b:1')?.health, 'unhealthy')
    assert.equal(prober.get('users', 'b:1')?.sinceEpochMs, since)
    assert.equal(prober.get('users', 'b:1')?.failedInARow, 0)
    assert.equal(prober.get('users', 'c:1')?.health, 'unknown')
    network.pass(600)
    assert(network.startsOf('a:1').length <= running + 1, 'what did not change keeps its pace')
    assert.equal(prober.get('users', 'c:1')?.health, 'healthy')
  })

  it('soon checks what it changed', () => {
    const { network, update } = setUpHealthy({ intervalMs: 600_000 })
    const before = network.startsOf('a:1').length
    update([createTarget('a:1', { intervalMs: 500_000 })])
    network.pass(500 + 2 * TICK_MS)
    assert.equal(network.startsOf('a:1').length, before + 1)
  })

  it('stops checking what it removed, and hears nothing of a check that was under way', () => {
    const { network, prober, reports, update } = setUp([createTarget('a:1')])
    for (let i = 0; i < 100 && network.running === 0; i++) network.pass(TICK_MS)
    assert.equal(network.running, 1)
    update([])
    assert.equal(network.running, 0)
    assert.equal(prober.get('users', 'a:1'), null)
    network.pass(60_000)
    assert.deepEqual(reports, [])
    assert.equal(network.startsOf('a:1').length, 1)
    assert.equal(network.wheel.size, 0)
  })

  it('takes what it removed out of the queue, too', () => {
    const targets = Array.from({ length: 50 }, (_, i) => createTarget(`a:${i + 1}`))
    const { network, update } = setUp(targets, { maxParallel: 4 })
    for (const { address } of targets) network.behaviours.set(address, 'silent')
    network.pass(700)
    const started = network.starts.size
    update([])
    assert.equal(network.running, 0)
    assert.equal(network.starts.size, started)
  })

  it('is of no effect on what is checked the same', () => {
    const target = createTarget('a:1')
    const { network, update } = setUp([target])
    for (let i = 0; i < 1000; i++) {
      network.pass(100)
      update([createTarget('a:1')])
    }
    assert(Math.abs(network.startsOf('a:1').length - 21) <= 2, `${network.startsOf('a:1').length} checks in 100 s`)
  })

  it('keeps services apart that have an address in common', () => {
    const { network, prober, update } = setUp([createTarget('a:1', {}, 'users'), createTarget('a:1', { intervalMs: 1000 }, 'orders')])
    network.pass(5000)
    update([createTarget('a:1', {}, 'users')])
    assert.equal(prober.get('orders', 'a:1'), null)
    assert.equal(prober.get('users', 'a:1')?.health, 'healthy')
  })
})

describe('the end', () => {
  it('cancels what is under way, what waits, and what is planned', () => {
    const targets = Array.from({ length: 50 }, (_, i) => createTarget(`a:${i + 1}`))
    const { network, prober, reports } = setUp(targets, { maxParallel: 4 })
    for (const { address } of targets) network.behaviours.set(address, 'silent')
    network.pass(700)
    assert.equal(network.running, 4)
    prober.stop()
    assert.equal(network.running, 0)
    assert.equal(prober.running, 0)
    assert.equal(network.wheel.size, 0)
    const { length } = reports
    network.pass(60_000)
    assert.equal(reports.length, length)
  })
})
