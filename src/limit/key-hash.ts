/**
 * A 64-bit hash of a key in two halves, without allocation. The seed is chosen at start, so that a client cannot search beforehand
 * for keys that fall together. Not cryptographic.
 */
export class KeyHash {
  /** Never 0. */
  high = 1
  low = 0
  readonly #seedHigh: number
  readonly #seedLow: number

  constructor(seedHigh: number, seedLow: number) {
    this.#seedHigh = seedHigh | 0
    this.#seedLow = seedLow | 0
  }

  /** Sets `high` and `low`. */
  update(key: string): void {
    let a = this.#seedHigh ^ key.length
    let b = this.#seedLow ^ 0x2545f491
    for (let i = 0; i < key.length; i++) {
      const code = key.charCodeAt(i)
      a = Math.imul(a ^ code, 0x9e3779b1)
      a ^= a >>> 15
      b = Math.imul(b ^ code, 0x85ebca77)
      b ^= b >>> 13
    }
    // Each half sees the other, so that the two do not fall together for the same reason.
    const high = mix(a ^ Math.imul(b, 0xc2b2ae3d))
    this.low = mix(b ^ Math.imul(high, 0x27d4eb2f))
    this.high = high === 0 ? 1 : high
  }
}

/** Spreads every bit over the whole word (the finalizer of MurmurHash3, which is in the public domain). */
function mix(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}
