import type { WireBuffer } from '../../base/wire.ts'
import type { HeadLimits } from './head.ts'

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
