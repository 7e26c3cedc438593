import type { WireBuffer } from '../base/wire.ts'

/**
 * A read of 64 KiB can hold two thousand requests: one client that floods would keep all others of its thread waiting for as long as they
 * take (p99 of the others 139 ms instead of 2). After this many the rest waits for the next turn.
 */
const HEADS_PER_TURN = 100
/** Reads are taken in pieces of this size while they hold heads; what only holds bodies is taken whole. */
const PIECE_BYTES = 4096

/** The connection that reads. */
export interface TurnReader {
  receive(bytes: WireBuffer, start: number, end: number): void
  /** All of this turn was received. False: read no more for now. */
  onReceived(): boolean
  /** Nothing is read any more. */
  readonly isOver: boolean
  resumeReading(): void
}

/** Spreads what a client sends over turns of the event loop. */
export class ReadTurns {
  readonly #reader: TurnReader
  /** Counted up by the reader: heads since the turn began. */
  heads = 0
  #rest: WireBuffer | null = null

  constructor(reader: TurnReader) {
    this.#reader = reader
  }

  get isWaiting(): boolean {
    return this.#rest !== null
  }

  /** What was read. False: read no more for now. */
  onData(bytes: WireBuffer, length: number): boolean {
    if (this.#rest === null) return this.#take(bytes, length)
    this.#rest = Buffer.concat([this.#rest, bytes.subarray(0, length)]) as WireBuffer
    return false
  }

  #take(bytes: WireBuffer, length: number): boolean {
    const reader = this.#reader
    const piece = this.heads > 0 ? PIECE_BYTES : length
    this.heads = 0
    let at = 0
    while (at < length && this.heads < HEADS_PER_TURN) {
      const end = Math.min(length, at + piece)
      reader.receive(bytes, at, end)
      at = end
    }
    const proceed = reader.onReceived()
    if (at === length || reader.isOver) return proceed
    this.#rest = Buffer.from(bytes.subarray(at, length)) as WireBuffer
    setImmediate(() => this.#takeRest())
    return false
  }

  #takeRest(): void {
    const rest = this.#rest
    this.#rest = null
    if (rest === null || this.#reader.isOver) return
    if (this.#take(rest, rest.length) && !this.#reader.isOver) this.#reader.resumeReading()
  }
}
