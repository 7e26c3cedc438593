import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TimerWheel } from '../base/timers.ts'
import type { UpstreamEvents } from '../exchange/contracts.ts'
import type { Attempt } from '../exchange/exchange.ts'
import { WaitingLine } from './waiting-line.ts'

function createLine(maxPending = 10, pendingTimeoutMs = 1000) {
  const clock = { nowMs: 1, now: () => clock.nowMs, wallClock: () => clock.nowMs }
  const wheel = new TimerWheel(clock, { automatic: false })
  const failed: string[] = []
  const events = { onFailure: (attempt: Attempt, code: string) => failed.push(`${attempt.number} ${code}`) }
  const line = new WaitingLine({ maxPending, pendingTimeoutMs, wheel, now: clock.now, events: events as unknown as UpstreamEvents })
  const attempt = (number: number) => ({ number, waiting: null }) as unknown as Attempt
  const passTo = (nowMs: number) => {
    clock.nowMs = nowMs
    wheel.tick()
  }
  return { line, attempt, failed, passTo }
}

test('attempts leave in the order they came, those that were given up left out', () => {
  const { line, attempt, failed } = createLine()
  const all = [1, 2, 3, 4].map(attempt)
  for (const one of all) line.add(one)
  assert.equal(all[1]?.waiting, line)
  line.cancel(all[1] as Attempt)
  assert.equal(line.length, 3)
  assert.equal(all[1]?.waiting, null)
  assert.deepEqual([line.next(), line.next(), line.next(), line.next()], [all[0], all[2], all[3], null])
  assert.equal(all[0]?.waiting, null)
  assert.deepEqual(failed, [])
})

test('a full line takes nobody', () => {
  const { line, attempt, failed } = createLine(2)
  for (const number of [1, 2, 3]) line.add(attempt(number))
  assert.deepEqual(failed, ['3 pool_overflow'])
  assert.equal(line.length, 2)
})

test('who has waited too long fails, and the others keep their places', () => {
  const { line, attempt, failed, passTo } = createLine()
  line.add(attempt(1))
  line.add(attempt(2))
  passTo(600)
  for (const number of [3, 4]) line.add(attempt(number))
  passTo(1100)
  assert.deepEqual(failed, ['1 pool_overflow', '2 pool_overflow'])
  assert.deepEqual([line.next()?.number, line.length], [3, 1])
  passTo(1800)
  assert.deepEqual(failed.at(-1), '4 pool_overflow')
})
