import type { WireBuffer } from '../../base/wire.ts'
import { growScratch, releaseScratch } from '../scratch-pool.ts'
import { HEAD_INCOMPLETE, type HeadLimits, type RequestHead, readRequestHead } from './head.ts'

const LF = 10

/** What a head that comes in pieces has so far, with the next piece behind it. The bytes are copied. */
export function joinPartialHead(partial: WireBuffer | null, bytes: WireBuffer, start: number, end: number): WireBuffer {
  const piece = bytes.subarray(start, end)
  return (partial === null ? Buffer.from(piece) : Buffer.concat([partial, piece])) as WireBuffer
}

/**
 * Whether reading a head again from its start can say more than before, when `had` of its bytes were known already: only when a line
 * was completed or a limit is passed. So the work for a head that trickles in stays linear in its lines, not in its bytes.
 */
export function isWorthReading(partial: WireBuffer, had: number, limits: HeadLimits): boolean {
  if (partial.length > limits.headBytes || partial.indexOf(LF, had) !== -1) return true
  if (partial.length <= limits.uriBytes) return false
  const firstLine = partial.indexOf(LF)
  return firstLine === -1 || firstLine >= had
}

/**
 * Reads request heads that may come in pieces. What there is of one is kept in memory that doubles: a client may send 60 KiB byte by byte,
 * and each byte must not cost a copy of those before it.
 */
export class HeadReader {
  /** What the present head has so far; null while it is in one piece. Valid until the next call. */
  partial: WireBuffer | null = null
  #room: WireBuffer | null = null

  /** How many bytes from `start` on belong to the head, HEAD_INCOMPLETE (they are kept), or one of the errors of `readRequestHead`. */
  read(bytes: WireBuffer, start: number, end: number, head: RequestHead, limits: HeadLimits): number {
    if (this.partial === null) {
      const length = readRequestHead(bytes, start, end, head, limits)
      if (length === HEAD_INCOMPLETE) this.keep(bytes, start, end)
      return length
    }
    const had = this.partial.length
    const joined = this.keep(bytes, start, end)
    if (!isWorthReading(joined, had, limits)) return HEAD_INCOMPLETE
    const length = readRequestHead(joined, 0, joined.length, head, limits)
    if (length === HEAD_INCOMPLETE) return length
    this.clear()
    return length > 0 ? length - had : length
  }

  /** Puts a piece behind what there is. */
  keep(bytes: WireBuffer, start: number, end: number): WireBuffer {
    const had = this.partial?.length ?? 0
    const length = had + end - start
    this.#room = growScratch(this.#room, had, length)
    bytes.copy(this.#room, had, start, end)
    this.partial = this.#room.subarray(0, length) as WireBuffer
    return this.partial
  }

  clear(): void {
    if (this.#room === null) return
    releaseScratch(this.#room)
    this.#room = null
    this.partial = null
  }
}
