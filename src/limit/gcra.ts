/**
 * The token bucket as one number: the theoretical arrival time (TAT) of the generic cell rate algorithm (ITU-T I.371), the moment at
 * which the bucket is full again. Taking n tokens moves it n token times ahead; that is allowed while it stays within `burst` token
 * times from now. So there is nothing to refill, and one compare-and-swap takes tokens, exactly, over all threads.
 *
 * The TAT is kept in ticks modulo 2^32, in one 32-bit word: with BigInt atomics on a 64-bit word a take allocates 70 bytes and costs
 * half as much again (bench/micro/resilience/token-word.ts). What the modulus hides is told by a second word, `touched`: the coarse time (in units of
 * 2^28 ticks) at which tokens were last taken. Once it is six units old the TAT lies in the past for certain and is set to now
 * before it could come round. The order of these steps makes it exact: `touched` is always written before the TAT that goes with
 * it, and read after it.
 */
export interface GcraConfig {
  /** Tokens that flow in; may be a fraction, as 20 a day is. More than 0. */
  readonly ratePerSecond: number
  /** Tokens the bucket holds: 1 to 2^28. */
  readonly burst: number
  /** A moment not after the first use, the same on all threads: times are counted from here. */
  readonly originMs: number
}

/** What the last take found. One object for each view, overwritten by the next take. */
export class TakeResult {
  allowed = false
  /** Whole tokens that could be taken now. */
  remaining = 0
  /** Allowed: how long to wait before using the tokens (0 unless reserved). Refused: until as many are there; Infinity for never. */
  retryAfterMs = 0
  /** Until the bucket is full. */
  resetMs = 0
}

/** The entry has gone to another key while it was looked at. */
export const GONE = -1
export const REFUSED = 0
export const ALLOWED = 1
export type TakeOutcome = typeof GONE | typeof REFUSED | typeof ALLOWED

const UNIT_TICKS = 2 ** 28
const STALE_UNITS = 6
/** How far the TAT may lie ahead: the bucket and the debt of reservations together. */
const MAX_AHEAD_TICKS = 2 ** 30
const MAX_BURST_TICKS = 2 ** 29
const MAX_TICKS_PER_TOKEN = 4096
const MAX_BURST = 2 ** 28
/** More failed swaps in a row than this would mean that others took thousands of tokens in between. */
const MAX_TRIES = 10_000

/** The arithmetic for one rate, shared by all buckets that have it. */
export class Gcra {
  readonly burst: number
  readonly ratePerSecond: number
  readonly result = new TakeResult()
  readonly #tickMs: number
  readonly #ticksPerToken: number
  readonly #burstTicks: number
  readonly #originMs: number

  /** Throws RangeError on a rate or burst out of range. */
  constructor({ ratePerSecond, burst, originMs }: GcraConfig) {
    if (!(ratePerSecond > 0 && Number.isFinite(ratePerSecond))) throw new RangeError(`rate must be more than 0, not ${ratePerSecond}`)
    if (!(Number.isInteger(burst) && burst >= 1 && burst <= MAX_BURST))
      throw new RangeError(`burst must be 1 to ${MAX_BURST}, not ${burst}`)
    this.burst = burst
    this.ratePerSecond = ratePerSecond
    // A token is a whole number of ticks, so no rounding adds up however many are taken.
    this.#ticksPerToken = Math.max(1, Math.min(MAX_TICKS_PER_TOKEN, Math.floor(MAX_BURST_TICKS / burst)))
    this.#burstTicks = burst * this.#ticksPerToken
    this.#tickMs = 1000 / ratePerSecond / this.#ticksPerToken
    this.#originMs = originMs
  }

  /**
   * Takes `n` tokens when they are there within `maxWaitMs` (0: now). The details are in `result`. `guard` is a word that must hold
   * `expected` as long as the two others belong to the key meant; for a bucket of its own, any word that never changes.
   */
  take(
    words: Int32Array,
    tatAt: number,
    touchedAt: number,
    guardAt: number,
    expected: number,
    nowMs: number,
    n: number,
    maxWaitMs: number,
  ): TakeOutcome {
    const ticks = this.ticksAt(nowMs)
    const now = ticks | 0
    const unit = Math.floor(ticks / UNIT_TICKS) | 0
    const cost = n * this.#ticksPerToken
    // A wait that is exactly as long as allowed must not fail by the last digit.
    const maxWaitTicks = maxWaitMs === 0 ? 0 : maxWaitMs / this.#tickMs + 1e-3
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const tat = Atomics.load(words, tatAt)
      const touched = Atomics.load(words, touchedAt)
      if (Atomics.load(words, guardAt) !== expected) return GONE
      if (((unit - touched) | 0) >= STALE_UNITS) {
        if (Atomics.compareExchange(words, tatAt, tat, now) === tat) Atomics.compareExchange(words, touchedAt, touched, unit)
        continue
      }
      const ahead = Math.max(0, (tat - now) | 0)
      const over = ahead + cost - this.#burstTicks
      if (over > maxWaitTicks || ahead + cost > MAX_AHEAD_TICKS) {
        this.#report(false, ahead, n > this.burst ? Number.POSITIVE_INFINITY : over * this.#tickMs)
        return REFUSED
      }
      if (touched !== unit) Atomics.compareExchange(words, touchedAt, touched, unit)
      if (Atomics.compareExchange(words, tatAt, tat, (now + ahead + cost) | 0) === tat) {
        this.#report(true, ahead + cost, Math.max(0, over) * this.#tickMs)
        return ALLOWED
      }
    }
    this.#report(false, this.#burstTicks, 0)
    return REFUSED
  }

  /** The time in ticks since the origin. */
  ticksAt(nowMs: number): number {
    return Math.floor((nowMs - this.#originMs) / this.#tickMs)
  }

  /** How far the TAT lies ahead of the time `ticks`; 0 for a full bucket. */
  aheadTicks(tat: number, touched: number, ticks: number): number {
    const ahead = (tat - (ticks | 0)) | 0
    return ahead <= 0 || (((Math.floor(ticks / UNIT_TICKS) | 0) - touched) | 0) >= STALE_UNITS ? 0 : ahead
  }

  /** Makes the two words a full bucket. Only for an entry nobody else may use yet. */
  fill(words: Int32Array, tatAt: number, touchedAt: number, ticks: number): void {
    Atomics.store(words, touchedAt, Math.floor(ticks / UNIT_TICKS) | 0)
    Atomics.store(words, tatAt, ticks | 0)
  }

  #report(allowed: boolean, aheadTicks: number, waitMs: number): void {
    const { result } = this
    result.allowed = allowed
    result.remaining = Math.max(0, Math.floor((this.#burstTicks - aheadTicks) / this.#ticksPerToken))
    result.retryAfterMs = waitMs
    result.resetMs = aheadTicks * this.#tickMs
  }
}
