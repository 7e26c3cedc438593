import type { WireBuffer } from '../base/wire.ts'
import { acquireScratch, releaseScratch } from '../codec/scratch-pool.ts'

/**
 * How many requests that are answered at once, without an endpoint, one connection of HTTP/1.1 gets in a turn of the event loop. Each of them
 * is a write: fewer than over HTTP/2 (read-turns.ts), where a hundred share one.
 */
export const HEADS_PER_TURN = 32
/** The system hands out up to 32 full reads at once. One with more heads than this is the last of its turn. */
export const HEADS_PER_FULL_READ = 2

/** What a client has sent behind the request that is being answered (pipelining): `bytes[start, end)`, in memory that goes round. */
export class Ahead {
  readonly bytes: WireBuffer
  start = 0
  readonly end: number

  private constructor(bytes: WireBuffer, end: number) {
    this.bytes = bytes
    this.end = end
  }

  static copy(bytes: WireBuffer, start: number, end: number): Ahead {
    const room = acquireScratch(end - start)
    bytes.copy(room, 0, start, end)
    return new Ahead(room, end - start)
  }

  /** What is left of it from there on. */
  from(start: number): this {
    this.start = start
    return this
  }

  /** The memory is the caller's from now on. */
  give(): Buffer {
    return this.bytes.subarray(this.start, this.end)
  }

  /** Once, when nobody reads it any more. */
  release(): void {
    releaseScratch(this.bytes)
  }
}
