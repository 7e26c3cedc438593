import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { WireBuffer } from '../../base/wire.ts'
import { CONTINUATION } from './frame.ts'
import { data, frame, HELLO, headers, openHeaders, TestSession } from './session.contract.ts'

const LARGE = 'abcdefghij'.repeat(1600)

test('header blocks that come in pieces at the same time stay apart, also when connections end in between', () => {
  for (let round = 0; round < 3; round++) {
    const sessions = Array.from({ length: 6 }, () => TestSession.server())
    const blocks = sessions.map((_, i) => `${i}${LARGE}${i}`)
    const whole = sessions.map((_, i) => Buffer.concat([headers(1, `${i}`, 1), frame(CONTINUATION, 4, 1, `${LARGE}${i}`)]))
    for (let at = 0; at < 17_000; at += 1000) {
      for (let i = 0; i < sessions.length; i++) sessions[i]!.receive((whole[i] as Buffer).subarray(at, at + 1000))
      if (at === 8000) {
        sessions[0]!.session.close()
        sessions[0]!.session.close()
      }
    }
    for (let i = 1; i < sessions.length; i++) assert.deepEqual(sessions[i]!.told(), [`headers 1 ${blocks[i]} end`])
  }
})

test('connections that flood with header blocks leave no garbage that a collection is due for', () => {
  const pieces = [headers(1, 'x', 1), ...Array.from({ length: 5 }, () => frame(CONTINUATION, 0, 1, LARGE))]
  const flood = (): void => {
    const attacker = TestSession.server()
    for (const piece of pieces) attacker.receive(piece.subarray(0, 9000), piece.subarray(9000))
    assert.match(attacker.output().join(), /GOAWAY .*ENHANCE_YOUR_CALM/)
  }
  flood()
  let least = process.memoryUsage().arrayBuffers
  let grown = 0
  for (let i = 0; i < 300; i++) {
    flood()
    const { arrayBuffers } = process.memoryUsage()
    least = Math.min(least, arrayBuffers)
    grown = Math.max(grown, arrayBuffers - least)
  }
  // What the test itself copies is a few hundred bytes each time; without the pool 100 KiB.
  assert.ok(grown < 3 * 1024 * 1024, `${grown} bytes`)
})

test('a receive stops before the frame that its budget does not reach, and goes on there', () => {
  const all = Buffer.concat([
    openHeaders(1),
    data(1, 'a'),
    data(1, ''),
    ...Array.from({ length: 30 }, (_, i) => headers(3 + 2 * i)),
    data(1, 'bc', true),
  ]) as WireBuffer
  const whole = TestSession.server()
  whole.receive(all)
  for (const budget of [1, 2, 7, 25, 1000]) {
    const test = TestSession.server()
    let most = 0
    let calls = 0
    for (let at = 0; at < all.length; calls++) {
      const before = test.byId.size
      const next = test.session.receive(all, at, all.length, 0, budget)
      assert.ok(next > at)
      assert.ok(next === all.length || test.session.budgetLeft <= 0)
      most = Math.max(most, test.byId.size - before)
      at = next
    }
    assert.deepEqual(test.told(), whole.events, `${budget}`)
    assert.ok(most <= Math.ceil(budget / 10), `${most} heads of ${budget}`)
    assert.equal(calls === 1, budget === 1000)
  }
})

test('the preface takes nothing of the budget, and what is behind it is bounded', () => {
  const test = new TestSession()
  const all = Buffer.concat([HELLO, ...Array.from({ length: 30 }, (_, i) => headers(1 + 2 * i))]) as WireBuffer
  assert.ok(test.session.receive(all, 0, all.length, 0, 20) < all.length)
  assert.equal(test.byId.size, 2)
})
