import type { WireBuffer } from '../base/wire.ts'

/**
 * Buffers for what has to be kept of a read: frames, header blocks and heads that come in pieces, requests sent ahead. They go round:
 * as garbage, their bytes would make the collector mark the whole heap again and again, and a client that sends large header blocks over and
 * over would keep everybody of its thread waiting (p99 of a bystander 14 ms in place of 2.5 with 200 such connections a second). One list per
 * size and thread.
 */
const SIZES = 4
const FIRST_BYTES = 16 * 1024
/** Below it, Node.js cuts pieces from a slab of its own; and what is announced by little costs little. */
const SMALL_BYTES = 4096
const BYTES_KEPT_PER_SIZE = 1024 * 1024
const free: WireBuffer[][] = Array.from({ length: SIZES }, () => [])

/** At least so many bytes, with anything in them. */
export function acquireScratch(bytes: number): WireBuffer {
  if (bytes < SMALL_BYTES) return Buffer.allocUnsafe(bytes) as WireBuffer
  let size = FIRST_BYTES
  for (let i = 0; i < SIZES; i++, size *= 2) {
    if (bytes <= size) return (free[i] as WireBuffer[]).pop() ?? (Buffer.allocUnsafeSlow(size) as WireBuffer)
  }
  return Buffer.allocUnsafeSlow(bytes) as WireBuffer
}

/** Room for `bytes`: `buffer`, or a larger one with the first `used` bytes of it, which is released then. It at least doubles. */
export function growScratch(buffer: WireBuffer | null, used: number, bytes: number): WireBuffer {
  if (buffer !== null && buffer.length >= bytes) return buffer
  const larger = acquireScratch(Math.max(bytes, used * 2))
  if (buffer === null) return larger
  buffer.copy(larger, 0, 0, used)
  releaseScratch(buffer)
  return larger
}

/** Nobody reads it any more. Also for those that are not kept. */
export function releaseScratch(buffer: WireBuffer): void {
  let size = FIRST_BYTES
  for (let i = 0; i < SIZES; i++, size *= 2) {
    if (buffer.length !== size) continue
    const list = free[i] as WireBuffer[]
    if (list.length * size < BYTES_KEPT_PER_SIZE) list.push(buffer)
    return
  }
}
