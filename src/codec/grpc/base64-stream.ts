/** Base64 (RFC 4648 section 4) of a stream: pieces may be cut anywhere, and each may have been padded by itself. */

const INVALID = 255
const PADDING = 254
const VALUES = new Uint8Array(256).fill(INVALID)
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
for (let i = 0; i < ALPHABET.length; i++) VALUES[ALPHABET.charCodeAt(i)] = i
VALUES[61] = PADDING

/** Decodes a stream of base64. Keeps at most three characters between pieces. */
export class Base64Decoder {
  #bits = 0
  #count = 0
  #padding = 0

  /** Nothing is left over: the text may end here. */
  get isComplete(): boolean {
    return this.#count === 0
  }

  /** The bytes that [start, end) completes; null when it is not base64. */
  decode(bytes: Uint8Array, start: number, end: number): Buffer | null {
    const out = Buffer.allocUnsafe(((end - start + this.#count) >>> 2) * 3)
    let at = 0
    let bits = this.#bits
    let count = this.#count
    let padding = this.#padding
    for (let i = start; i < end; i++) {
      const value = VALUES[bytes[i] as number] as number
      if (value === INVALID) return null
      if (value === PADDING) {
        if (count < 2) return null
        padding++
        bits <<= 6
      } else {
        if (padding !== 0) return null
        bits = (bits << 6) | value
      }
      if (++count < 4) continue
      out[at++] = (bits >>> 16) & 0xff
      if (padding < 2) out[at++] = (bits >>> 8) & 0xff
      if (padding < 1) out[at++] = bits & 0xff
      bits = 0
      count = 0
      padding = 0
    }
    this.#bits = bits
    this.#count = count
    this.#padding = padding
    return out.subarray(0, at)
  }
}
