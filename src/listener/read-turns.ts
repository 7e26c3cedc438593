import type { WireBuffer } from '../base/wire.ts'
import { acquireScratch, releaseScratch } from '../codec/scratch-pool.ts'

/**
 * A read of 64 KiB can hold two thousand requests: one client that floods would keep all others of its thread waiting for as long as they
 * take (p99 of the others 139 ms instead of 2). After a hundred requests, or a thousand frames that ask for less, the rest waits for the next
 * turn.
 */
export const FRAMES_PER_TURN = 1000
/** The system hands out up to 32 full reads at once. One that took more than this is the last of its turn. */
const FRAMES_PER_FULL_READ = 100

/** The connection that reads. */
export interface TurnReader {
  /** Takes at most `budget` frames (see Http2Session). Returns where it stopped. */
  receive(bytes: WireBuffer, start: number, end: number, budget: number): number
  /** Knows what the last `receive` has left of its budget. */
  readonly session: { readonly budgetLeft: number }
  /** All of this turn was received. False: read no more for now. */
  onReceived(): boolean
  /** Nothing is read any more. */
  readonly isOver: boolean
  resumeReading(): void
}

/** Spreads what a client sends over turns of the event loop. */
export class ReadTurns {
  readonly #reader: TurnReader
  /** What waits: `#rest[#restStart, #restEnd)`. */
  #rest: WireBuffer | null = null
  #restStart = 0
  #restEnd = 0
  /** The next turn goes on with it, or with reading. */
  #isWaiting = false

  constructor(reader: TurnReader) {
    this.#reader = reader
  }

  /** What was read. False: read no more for now. */
  onData(bytes: WireBuffer, length: number): boolean {
    if (this.#rest !== null) {
      this.#append(this.#rest, bytes, length)
      return false
    }
    const reader = this.#reader
    const at = reader.receive(bytes, 0, length, FRAMES_PER_TURN)
    const proceed = reader.onReceived()
    if (reader.isOver) return proceed
    if (at < length) this.#keep(acquireScratch(length - at), bytes, at, length)
    else if (length < bytes.length || reader.session.budgetLeft > FRAMES_PER_TURN - FRAMES_PER_FULL_READ) return proceed
    if (proceed) this.#waitForTurn()
    return false
  }

  /** The reader had said to read no more, and has room again. */
  resume(): void {
    if (this.#rest !== null) this.#waitForTurn()
    else if (!this.#isWaiting) this.#reader.resumeReading()
  }

  #waitForTurn(): void {
    if (this.#isWaiting) return
    this.#isWaiting = true
    setImmediate(() => this.#onTurn())
  }

  #keep(room: WireBuffer, bytes: WireBuffer, start: number, end: number): void {
    bytes.copy(room, 0, start, end)
    this.#rest = room
    this.#restStart = 0
    this.#restEnd = end - start
  }

  /** Reading was resumed by somebody else. */
  #append(rest: WireBuffer, bytes: WireBuffer, length: number): void {
    const had = this.#restEnd - this.#restStart
    const room = acquireScratch(had + length)
    this.#keep(room, rest, this.#restStart, this.#restEnd)
    bytes.copy(room, had, 0, length)
    this.#restEnd = had + length
    releaseScratch(rest)
  }

  #onTurn(): void {
    this.#isWaiting = false
    const reader = this.#reader
    let proceed = true
    if (this.#rest !== null && !reader.isOver) {
      this.#restStart = reader.receive(this.#rest, this.#restStart, this.#restEnd, FRAMES_PER_TURN)
      proceed = reader.onReceived()
    }
    if (reader.isOver || this.#restStart === this.#restEnd) this.release()
    if (proceed && !reader.isOver) this.resume()
  }

  /** What waits is not wanted any more. */
  release(): void {
    if (this.#rest === null) return
    releaseScratch(this.#rest)
    this.#rest = null
  }
}
