import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { WireBuffer } from '../base/wire.ts'
import { ReadTurns, type TurnReader } from './read-turns.ts'

/** Every byte 'h' is a head. */
class Reader implements TurnReader {
  readonly turns = new ReadTurns(this)
  text = ''
  turnsEnded = 0
  resumed = 0
  isOver = false

  receive(bytes: WireBuffer, start: number, end: number): void {
    const piece = bytes.toString('latin1', start, end)
    this.text += piece
    this.turns.heads += piece.split('h').length - 1
  }
  onReceived(): boolean {
    this.turnsEnded++
    return true
  }
  resumeReading(): void {
    this.resumed++
  }
}

const bytesOf = (text: string) => Buffer.from(text) as WireBuffer
const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve))

test('what holds only bodies is taken whole, and so is a first read', () => {
  const reader = new Reader()
  assert.equal(reader.turns.onData(bytesOf('b'.repeat(60_000)), 60_000), true)
  assert.equal(reader.turns.onData(bytesOf('h'.repeat(60_000)), 60_000), true)
  assert.equal(reader.turnsEnded, 2)
})

test('a flood of heads is worked off over turns, in order, with what comes meanwhile behind it', async () => {
  const reader = new Reader()
  reader.turns.onData(bytesOf('h'), 1)
  const flood = `${'h'.repeat(10_000)}1`
  assert.equal(reader.turns.onData(bytesOf(flood), flood.length), false)
  assert.equal(reader.text.length, 1 + 4096)
  assert.equal(reader.turns.isWaiting, true)
  // A reader that was resumed by somebody else.
  assert.equal(reader.turns.onData(bytesOf('h2'), 2), false)
  for (let i = 0; i < 4; i++) await nextTurn()
  assert.equal(reader.text, `h${flood}h2`)
  assert.equal(reader.resumed, 1)
  assert.equal(reader.turns.isWaiting, false)
})

test('nothing is received after the end', async () => {
  const reader = new Reader()
  reader.turns.onData(bytesOf('h'), 1)
  reader.turns.onData(bytesOf('h'.repeat(10_000)), 10_000)
  reader.isOver = true
  await nextTurn()
  await nextTurn()
  assert.equal(reader.text.length, 1 + 4096)
  assert.equal(reader.resumed, 0)
})
