import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IdleWatch } from './idle-watch.ts'
import type { RelaySide } from './relay.ts'

function side(unsentBytes: number, throttledUntilMs: number | null = null): RelaySide {
  const throttle = throttledUntilMs === null ? null : { deadlineMs: throttledUntilMs }
  return { wire: { unsentBytes }, throttle } as unknown as RelaySide
}

test('a relay in which nothing waits is idle; one side without a wire has nothing waiting', () => {
  assert.equal(new IdleWatch().isMoving(1, side(0), side(0)), false)
  assert.equal(new IdleWatch().isMoving(1, { wire: null, throttle: null } as RelaySide, side(0)), false)
})

test('bytes that wait have one idle time to move, then as long as they do', () => {
  for (const sides of [(bytes: number) => [side(bytes), side(0)], (bytes: number) => [side(0), side(bytes)]]) {
    const watch = new IdleWatch()
    const look = (activeMs: number, bytes: number) => watch.isMoving(activeMs, ...(sides(bytes) as [RelaySide, RelaySide]))
    assert.equal(look(1, 100), true)
    assert.equal(look(1, 90), true)
    assert.equal(look(1, 10), true)
    assert.equal(look(1, 10), false)
    // More has come in since: what waits now is not what waited then.
    assert.equal(look(2, 500), true)
    assert.equal(look(2, 500), false)
    assert.equal(look(2, 0), false)
  }
})

test('who waits for the bandwidth limit is not idle', () => {
  assert.equal(new IdleWatch().isMoving(1, side(0, 50), side(0)), true)
  assert.equal(new IdleWatch().isMoving(1, side(0), side(0, 50)), true)
  assert.equal(new IdleWatch().isMoving(1, side(0, 0), side(0, 0)), false)
})
