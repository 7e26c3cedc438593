import assert from 'node:assert/strict'
import { test } from 'node:test'
import { atTurnEnd } from './turn-end.ts'

const nextTurn = () => new Promise((resolve) => setImmediate(resolve))

test('tasks run once, in order, at the end of the turn, and not before', async () => {
  const ran: string[] = []
  atTurnEnd({ onTurnEnd: () => ran.push('a') })
  atTurnEnd({ onTurnEnd: () => ran.push('b') })
  await null
  assert.deepEqual(ran, [])
  await nextTurn()
  assert.deepEqual(ran, ['a', 'b'])
  await nextTurn()
  assert.deepEqual(ran, ['a', 'b'])
})

test('what a task adds waits for the next turn', async () => {
  const ran: number[] = []
  const task = {
    count: 0,
    onTurnEnd() {
      ran.push(++this.count)
      if (this.count < 3) atTurnEnd(this)
    },
  }
  atTurnEnd(task)
  await nextTurn()
  assert.deepEqual(ran, [1])
  await nextTurn()
  await nextTurn()
  assert.deepEqual(ran, [1, 2, 3])
})
