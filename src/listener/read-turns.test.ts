import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { WireBuffer } from '../base/wire.ts'
import { FRAMES_PER_TURN, ReadTurns, type TurnReader } from './read-turns.ts'

/** Every byte 'f' is a frame. */
class Reader implements TurnReader {
  readonly turns = new ReadTurns(this)
  text = ''
  turnsEnded = 0
  resumed = 0
  isOver = false
  hasRoom = true
  readonly session = { budgetLeft: 0 }

  receive(bytes: WireBuffer, start: number, end: number, budget: number): number {
    this.session.budgetLeft = budget
    for (let at = start; at < end; at++) {
      const one = bytes.toString('latin1', at, at + 1)
      if (one === 'f' && this.session.budgetLeft-- <= 0) return at
      this.text += one
    }
    return end
  }
  onReceived(): boolean {
    this.turnsEnded++
    return this.hasRoom
  }
  resumeReading(): void {
    this.resumed++
  }
}

const READ_BYTES = 65_536
const room = Buffer.alloc(READ_BYTES) as WireBuffer
/** As a read leaves it: `text` at the start of a larger buffer that the next read overwrites. */
function read(reader: Reader, text: string): boolean {
  room.write(text, 'latin1')
  const proceed = reader.turns.onData(room, text.length)
  room.fill('?')
  return proceed
}
const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve))

test('what asks for little is taken whole, also when it fills the buffer', () => {
  const reader = new Reader()
  assert.equal(read(reader, 'b'.repeat(READ_BYTES)), true)
  assert.equal(read(reader, 'f'.repeat(FRAMES_PER_TURN)), true)
  assert.equal(reader.turnsEnded, 2)
  assert.equal(reader.resumed, 0)
})

test('a flood is worked off over turns, from its first read on, in order, with what comes meanwhile behind it', async () => {
  const reader = new Reader()
  const flood = `${'f'.repeat(10_000)}1`
  assert.equal(read(reader, flood), false)
  assert.equal(reader.text.length, FRAMES_PER_TURN)
  // A reader that was resumed by somebody else.
  assert.equal(read(reader, 'f2'), false)
  await nextTurn()
  assert.equal(reader.text.length, 2 * FRAMES_PER_TURN)
  assert.equal(read(reader, 'f3'), false)
  for (let i = 0; i < 10; i++) await nextTurn()
  assert.equal(reader.text, `${flood}f2f3`)
  assert.equal(reader.resumed, 1)
  assert.equal(read(reader, 'f'), true)
})

test('a read that fills the buffer and asks for much is the last of its turn', async () => {
  const reader = new Reader()
  assert.equal(read(reader, 'f'.repeat(500) + 'b'.repeat(READ_BYTES - 500)), false)
  assert.equal(reader.resumed, 0)
  await nextTurn()
  assert.equal(reader.resumed, 1)
  assert.equal(reader.turnsEnded, 1)
})

test('a reader without room is given nothing until it has some', async () => {
  const reader = new Reader()
  reader.hasRoom = false
  assert.equal(read(reader, 'f'.repeat(2500)), false)
  for (let i = 0; i < 3; i++) await nextTurn()
  assert.equal(reader.text.length, FRAMES_PER_TURN)
  reader.hasRoom = true
  reader.turns.resume()
  for (let i = 0; i < 3; i++) await nextTurn()
  assert.equal(reader.text.length, 2500)
  assert.equal(reader.resumed, 1)
  reader.turns.resume()
  assert.equal(reader.resumed, 2)
})

test('nothing is received after the end', async () => {
  const reader = new Reader()
  read(reader, 'f'.repeat(10_000))
  reader.isOver = true
  reader.turns.release()
  await nextTurn()
  await nextTurn()
  assert.equal(reader.text.length, FRAMES_PER_TURN)
  assert.equal(reader.resumed, 0)
})
