import type { Random } from '../base/clock.ts'
import { Gcra, GONE, type TakeResult } from './gcra.ts'
import { KeyHash } from './key-hash.ts'

/**
 * Token buckets for millions of keys in memory of a fixed size, exact over all workers. A key is known by 64 bits of its hash, which
 * choose a group of 16 entries and are compared there; nothing else is searched, so a take costs the same however full it is.
 *
 *   header 16 words | one lock word for each group | groups of 64 words: 16 high halves, 16 low halves, 16 TATs, 16 touched
 *
 * A known key is found and charged without a lock. A new key is entered under the lock of its group, in an empty entry, or in one
 * whose bucket is full again (to forget it changes nothing), or else in the one that is closest to full: so a flood of new keys
 * pushes out those that have taken little, never those that are over their limit while others are not.
 */
export interface SharedTableLayout {
  readonly buffer: SharedArrayBuffer
  readonly groups: number
  readonly ratePerSecond: number
  readonly burst: number
  readonly originMs: number
  readonly seedHigh: number
  readonly seedLow: number
}

export interface SharedTableOptions {
  readonly ratePerSecond: number
  readonly burst: number
  /** Keys to keep apart at the same time. Default 65536. */
  readonly maxKeys?: number
}

const HEADER_WORDS = 16
const EVICTIONS = 0
const WAYS = 16
const GROUP_WORDS = WAYS * 4
const LOW = WAYS
const TAT = WAYS * 2
const TOUCHED = WAYS * 3
/** Entries for each key asked for: at this filling about one group in 250 has to evict a bucket in use. */
const SPARE_FACTOR = 2
const MAX_GROUPS = 2 ** 24
/** The holder of a lock needs some hundred steps. When that does not suffice it was interrupted, and needs the processor more than we do. */
const MAX_SPINS = 1000
const NAP_MS = 1
/** After so many naps it is taken for dead. */
const MAX_NAPS = 50
/** A key that is thrown out as soon as it is entered, this often, is refused to be fought for. */
const MAX_TRIES = 8

/** Makes the memory of a table, on the main thread. About 32 bytes for each key, and 2.6 % more. */
export function createSharedTable(options: SharedTableOptions, nowMs: number, random: Random): SharedTableLayout {
  const { ratePerSecond, burst, maxKeys = 65_536 } = options
  const groups = Math.min(MAX_GROUPS, Math.max(1, Math.ceil((maxKeys * SPARE_FACTOR) / WAYS)))
  const words = HEADER_WORDS + Math.ceil(groups / 16) * 16 + groups * GROUP_WORDS
  const buffer = new SharedArrayBuffer(words * 4)
  const seedHigh = (random() * 2 ** 32) | 0
  const seedLow = (random() * 2 ** 32) | 0
  return { buffer, groups, ratePerSecond, burst, originMs: nowMs, seedHigh, seedLow }
}

/** One worker's view. */
export class SharedTable {
  readonly #words: Int32Array
  readonly #groups: number
  readonly #groupsAt: number
  readonly #gcra: Gcra
  readonly #hash: KeyHash

  /** Throws RangeError on a rate or burst out of range. */
  constructor(layout: SharedTableLayout) {
    this.#words = new Int32Array(layout.buffer)
    this.#groups = layout.groups
    this.#groupsAt = HEADER_WORDS + Math.ceil(layout.groups / 16) * 16
    this.#gcra = new Gcra(layout)
    this.#hash = new KeyHash(layout.seedHigh, layout.seedLow)
  }

  get burst(): number {
    return this.#gcra.burst
  }

  get ratePerSecond(): number {
    return this.#gcra.ratePerSecond
  }

  /** Buckets in use that had to make room. Above 0 the table is too small: those keys got their burst anew. */
  get evictions(): number {
    return Atomics.load(this.#words, EVICTIONS)
  }

  /** Takes `n` tokens of the bucket of `key`. The result is one object, overwritten by the next take. */
  take(key: string, nowMs: number, n = 1): TakeResult {
    const hash = this.#hash
    hash.update(key)
    const { high, low } = hash
    const group = (Math.imul(high ^ (low >>> 16), 0x9e3779b1) >>> 0) % this.#groups
    const base = this.#groupsAt + group * GROUP_WORDS
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      let entry = this.#find(base, high, low)
      if (entry === -1) entry = this.#insert(group, base, high, low, nowMs)
      const outcome = this.#gcra.take(this.#words, entry + TAT, entry + TOUCHED, entry, high, nowMs, n, 0)
      if (outcome !== GONE) return this.#gcra.result
    }
    const { result } = this.#gcra
    result.allowed = false
    result.remaining = 0
    result.retryAfterMs = 0
    result.resetMs = 0
    return result
  }

  /** Keys whose bucket is not full. Looks at the whole table: for statistics now and then. */
  countKeys(nowMs: number): number {
    const ticks = this.#gcra.ticksAt(nowMs)
    let keys = 0
    for (let group = 0; group < this.#groups; group++) {
      const base = this.#groupsAt + group * GROUP_WORDS
      for (let entry = base; entry < base + WAYS; entry++) {
        if (this.#words[entry] !== 0 && this.#aheadTicks(entry, ticks) > 0) keys++
      }
    }
    return keys
  }

  /**
   * Index of the entry's first word, or -1. Reads plainly, which costs a tenth of an Atomics call: a key that is missed because it is
   * being entered is found under the lock, and one that is found is looked at again by `Gcra.take`, with Atomics.
   */
  #find(base: number, high: number, low: number): number {
    const words = this.#words
    for (let entry = base; entry < base + WAYS; entry++) {
      if (words[entry] === high && words[entry + LOW] === low) return entry
    }
    return -1
  }

  #insert(group: number, base: number, high: number, low: number, nowMs: number): number {
    const words = this.#words
    const lock = HEADER_WORDS + group
    this.#lock(lock)
    // Another thread may have entered it before we had the lock.
    let entry = this.#find(base, high, low)
    if (entry === -1) {
      const ticks = this.#gcra.ticksAt(nowMs)
      entry = this.#choose(base, ticks)
      // Whoever still looks at the old key must not take the new one's halves for it: the high half goes first and comes last.
      Atomics.store(words, entry, 0)
      Atomics.store(words, entry + LOW, low)
      this.#gcra.fill(words, entry + TAT, entry + TOUCHED, ticks)
      Atomics.store(words, entry, high)
    }
    Atomics.store(words, lock, 0)
    return entry
  }

  /** When its holder has died in there we go on as if we had it. */
  #lock(lock: number): void {
    for (let spins = 0; spins < MAX_SPINS; spins++) {
      if (Atomics.compareExchange(this.#words, lock, 0, 1) === 0) return
    }
    for (let naps = 0; naps < MAX_NAPS; naps++) {
      Atomics.wait(this.#words, lock, 1, NAP_MS)
      if (Atomics.compareExchange(this.#words, lock, 0, 1) === 0) return
    }
  }

  /** An empty entry, else one with a full bucket, else the one that is closest to full. */
  #choose(base: number, ticks: number): number {
    let chosen = base
    let least = Number.POSITIVE_INFINITY
    for (let entry = base; entry < base + WAYS; entry++) {
      if (this.#words[entry] === 0) return entry
      const ahead = this.#aheadTicks(entry, ticks)
      if (ahead < least) {
        least = ahead
        chosen = entry
      }
    }
    if (least > 0) Atomics.add(this.#words, EVICTIONS, 1)
    return chosen
  }

  #aheadTicks(entry: number, ticks: number): number {
    return this.#gcra.aheadTicks(this.#words[entry + TAT]!, this.#words[entry + TOUCHED]!, ticks)
  }
}
