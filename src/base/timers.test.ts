import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom, ManualClock } from './clock.ts'
import { Timed, TimerWheel } from './timers.ts'

class Probe extends Timed {
  firedAt: number[] = []
  action: (() => void) | null = null

  override onDeadline(nowMs: number): void {
    this.firedAt.push(nowMs)
    this.action?.()
  }
}

function createWheel(startMs = 1000): { clock: ManualClock; wheel: TimerWheel; run: (ms: number) => void } {
  const clock = new ManualClock(startMs)
  const wheel = new TimerWheel(clock, { automatic: false })
  const run = (ms: number): void => {
    for (let passed = 0; passed < ms; passed += 20) {
      clock.advance(20)
      wheel.tick()
    }
  }
  return { clock, wheel, run }
}

describe('TimerWheel', () => {
  it('fires once, never early and at most one tick late', () => {
    const random = createSeededRandom(7)
    const { clock, wheel, run } = createWheel()
    const probes = Array.from({ length: 500 }, () => {
      const probe = new Probe()
      const deadlineMs = clock.now() + random() * 30_000
      wheel.arm(probe, deadlineMs)
      return { probe, deadlineMs }
    })
    run(31_000)
    for (const { probe, deadlineMs } of probes) {
      assert.equal(probe.firedAt.length, 1)
      const late = (probe.firedAt[0] as number) - deadlineMs
      assert.ok(late >= 0 && late <= 40, `late by ${late}`)
    }
    assert.equal(wheel.size, 0)
  })

  it('moves a deadline later without firing at the old time', () => {
    const { clock, wheel, run } = createWheel()
    const probe = new Probe()
    wheel.arm(probe, clock.now() + 100)
    run(60)
    wheel.arm(probe, clock.now() + 1000)
    run(900)
    assert.deepEqual(probe.firedAt, [])
    run(200)
    assert.equal(probe.firedAt.length, 1)
  })

  it('moves a deadline earlier', () => {
    const { clock, wheel, run } = createWheel()
    const probe = new Probe()
    wheel.arm(probe, clock.now() + 75_000)
    wheel.arm(probe, clock.now() + 100)
    run(140)
    assert.equal(probe.firedAt.length, 1)
    assert.equal(wheel.size, 0)
  })

  it('does not fire a disarmed or removed entry', () => {
    const { clock, wheel, run } = createWheel()
    const [disarmed, removed] = [new Probe(), new Probe()]
    wheel.arm(disarmed, clock.now() + 100)
    wheel.arm(removed, clock.now() + 100)
    wheel.disarm(disarmed)
    wheel.remove(removed)
    run(500)
    assert.deepEqual([disarmed.firedAt, removed.firedAt], [[], []])
    assert.equal(wheel.size, 0)
  })

  it('allows a callback to remove, disarm and arm entries of the same slot', () => {
    const { clock, wheel, run } = createWheel()
    const probes = Array.from({ length: 4 }, () => new Probe())
    for (const probe of probes) wheel.arm(probe, clock.now() + 100)
    const [first, second, third, fourth] = probes as [Probe, Probe, Probe, Probe]
    first.action = () => {
      wheel.remove(second)
      wheel.disarm(third)
      wheel.arm(first, clock.now() + 50)
    }
    run(130)
    assert.deepEqual(
      [first, second, third, fourth].map((probe) => probe.firedAt.length),
      [1, 0, 0, 1],
    )
    first.action = null
    run(100)
    assert.equal(first.firedAt.length, 2)
    assert.equal(wheel.size, 0)
  })

  it('keeps its time over a standstill longer than a turn', () => {
    const { clock, wheel, run } = createWheel()
    const probe = new Probe()
    wheel.arm(probe, clock.now() + 40)
    run(100)
    clock.advance(3_600_000)
    wheel.arm(probe, clock.now() + 40)
    run(80)
    assert.equal(probe.firedAt.length, 2)
  })
})
