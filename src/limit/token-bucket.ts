import type { SharedArea } from '../base/shared-area.ts'
import { ALLOWED, Gcra, type GcraConfig, type TakeResult } from './gcra.ts'

/** Words of shared memory one bucket takes. */
export const TOKEN_BUCKET_WORDS = 16

const GUARD = 0
const TAT = 1
const TOUCHED = 2

/**
 * One token bucket, exact over all workers. A bucket that was never used is full. The three ways to take are those of a limiter with
 * Allow, Reserve and Wait; waiting itself is the caller's. What lies in the area means something only with the rate, burst and origin
 * it was written with: after a change of those, use another area.
 */
export class TokenBucket {
  readonly #words: Int32Array
  readonly #at: number
  readonly #gcra: Gcra

  constructor(area: SharedArea, config: GcraConfig) {
    this.#words = area.words
    this.#at = area.at
    this.#gcra = new Gcra(config)
  }

  /** What the last take found. */
  get result(): TakeResult {
    return this.#gcra.result
  }

  /** Allow: takes `n` tokens when all are there now. */
  take(nowMs: number, n = 1): boolean {
    return this.#take(nowMs, n, 0)
  }

  /**
   * Reserve: takes `n` tokens in any case, going into debt, and returns the milliseconds to wait before acting; -1 when it can never
   * be (`n` above the burst, or the debt has become as large as the bucket).
   */
  reserve(nowMs: number, n = 1): number {
    return this.reserveWithin(nowMs, n, Number.POSITIVE_INFINITY)
  }

  /** Wait: as `reserve`, but takes nothing and returns -1 when the wait would be longer than `maxWaitMs`. */
  reserveWithin(nowMs: number, n: number, maxWaitMs: number): number {
    if (n > this.#gcra.burst) return -1
    return this.#take(nowMs, n, maxWaitMs) ? this.#gcra.result.retryAfterMs : -1
  }

  #take(nowMs: number, n: number, maxWaitMs: number): boolean {
    const at = this.#at
    return this.#gcra.take(this.#words, at + TAT, at + TOUCHED, at + GUARD, 0, nowMs, n, maxWaitMs) === ALLOWED
  }
}
