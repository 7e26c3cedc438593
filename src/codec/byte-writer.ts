import type { WireBuffer } from '../base/wire.ts'

/** Up to this many bytes a loop is faster than the call into the engine. */
const LOOP_BYTES = 24
/** A buffer that one large message made larger than this is given back at the next `reset`. */
const KEPT_BYTES = 64 * 1024

/** What `write(text, 'latin1')` ends in; called directly it costs less. Node's types do not list it. */
type WritableBuffer = WireBuffer & { latin1Write(text: string, at: number, count: number): number }

/**
 * A growing output buffer for binary protocols. `bytes[0, at)` is what was written; both are there to be read and patched by the
 * owner. Numbers are big-endian. `bytes` is replaced when it grows, so nobody may hold on to it across a write.
 *
 * Every write makes room for itself. A caller that has called `reserve` may also store into `bytes` directly and move `at`.
 */
export class ByteWriter {
  bytes: WireBuffer
  at = 0
  readonly #initialBytes: number

  /** `initialBytes`: the size to begin with, and after `reset` of a buffer grown beyond 64 KiB. */
  constructor(initialBytes = 4096) {
    this.#initialBytes = initialBytes
    this.bytes = Buffer.allocUnsafeSlow(initialBytes) as WireBuffer
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    if (this.at + count > this.bytes.length) this.#grow(count)
  }

  #grow(count: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.at + count)) as WireBuffer
    this.bytes.copy(grown, 0, 0, this.at)
    this.bytes = grown
  }

  u8(value: number): void {
    if (this.at === this.bytes.length) this.#grow(1)
    this.bytes[this.at++] = value
  }

  u16(value: number): void {
    this.reserve(2)
    const { bytes, at } = this
    bytes[at] = value >>> 8
    bytes[at + 1] = value
    this.at = at + 2
  }

  u24(value: number): void {
    this.reserve(3)
    const { bytes, at } = this
    bytes[at] = value >>> 16
    bytes[at + 1] = value >>> 8
    bytes[at + 2] = value
    this.at = at + 3
  }

  u32(value: number): void {
    this.reserve(4)
    const { bytes, at } = this
    bytes[at] = value >>> 24
    bytes[at + 1] = value >>> 16
    bytes[at + 2] = value >>> 8
    bytes[at + 3] = value
    this.at = at + 4
  }

  /** Characters above 255 are cut to their low byte: the caller has checked that there are none. */
  latin1(text: string): void {
    const { length } = text
    this.reserve(length)
    const { bytes, at } = this
    if (length > LOOP_BYTES) (bytes as WritableBuffer).latin1Write(text, at, length)
    else for (let i = 0; i < length; i++) bytes[at + i] = text.charCodeAt(i)
    this.at = at + length
  }

  /** Copies `source[start, end)`. */
  copy(source: Buffer, start: number, end: number): void {
    const count = end - start
    this.reserve(count)
    const { bytes, at } = this
    if (count > LOOP_BYTES) source.copy(bytes, at, start, end)
    else for (let i = 0; i < count; i++) bytes[at + i] = source[start + i] as number
    this.at = at + count
  }

  /** Forgets what was written. */
  reset(): void {
    this.at = 0
    if (this.bytes.length > KEPT_BYTES && this.bytes.length > this.#initialBytes)
      this.bytes = Buffer.allocUnsafeSlow(this.#initialBytes) as WireBuffer
  }
}
