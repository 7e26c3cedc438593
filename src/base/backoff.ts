import type { Random } from './clock.ts'

/**
 * Exponential backoff with full jitter: a random wait in [0, min(max, base * (2^n - 1))) before retry n = 1, 2, ... Full jitter
 * spreads callers that failed together better than a fixed wait with a little noise.
 */
export interface Backoff {
  /** Upper end of the first wait. */
  readonly baseMs: number
  readonly maxMs: number
}

/** Upper end of the wait before retry `n`, counted from 1. */
export function backoffCeilingMs({ baseMs, maxMs }: Backoff, n: number): number {
  // 2^31 times anything is beyond every maximum; a larger exponent could overflow to Infinity.
  return Math.min(maxMs, baseMs * (2 ** Math.min(Math.max(n, 1), 31) - 1))
}

export function backoffMs(backoff: Backoff, n: number, random: Random): number {
  return random() * backoffCeilingMs(backoff, n)
}
