import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ManualClock } from '../base/clock.ts'
import { TimerWheel } from '../base/timers.ts'
import { Throttle } from './throttle.ts'

function setUp(bytesPerSecond: number) {
  const clock = new ManualClock(10_000)
  const wheel = new TimerWheel(clock, { tickMs: 10, automatic: false })
  let paid = 0
  const throttle = new Throttle(bytesPerSecond, clock.now(), wheel, () => paid++)
  return {
    take: (bytes: number) => throttle.take(bytes, clock.now()),
    /** Lets time pass; returns how often the throttle opened. */
    pass(ms: number): number {
      const before = paid
      for (let i = 0; i < ms; i += 10) {
        clock.advance(10)
        wheel.tick()
      }
      return paid - before
    },
    close: () => throttle.close(),
    wheel,
  }
}

describe('a throttle', () => {
  it('lets a tenth of a second pass at once, then asks to wait as long as the debt takes', () => {
    const { take, pass } = setUp(1000)
    assert.equal(take(100), true)
    assert.equal(take(500), false)
    assert.equal(pass(490), 0)
    assert.equal(pass(20), 1)
    assert.equal(take(1), true)
  })

  it('keeps to its rate over a long time', () => {
    const { take, pass } = setUp(10_000)
    let bytes = 0
    for (let ms = 0; ms < 10_000; ) {
      bytes += 700
      if (take(700)) continue
      while (pass(10) === 0) ms += 10
      ms += 10
    }
    assert.ok(Math.abs(bytes - 100_000) < 3000, `${bytes} bytes in 10 s`)
  })

  it('saves no more than a tenth of a second', () => {
    const { take, pass } = setUp(1000)
    assert.equal(pass(60_000), 0)
    assert.equal(take(101), false)
  })

  it('does nothing any more once it is closed', () => {
    const { take, pass, close, wheel } = setUp(1000)
    take(5000)
    close()
    assert.equal(wheel.size, 0)
    assert.equal(pass(10_000), 0)
  })
})
