import { type Backoff, backoffMs } from '../base/backoff.ts'
import type { Random } from '../base/clock.ts'

/** 25 ms for the first wait at most, 250 ms for any. */
export const RETRY_BACKOFF_DEFAULTS: Backoff = { baseMs: 25, maxMs: 250 }

/** What the wait asked for by a server is stretched by at most, so that those who were refused together do not return together. */
const SERVER_DELAY_JITTER = 0.5

/**
 * Milliseconds to wait before retry `n` (1 is the first). A server's own wait is kept, never shortened, and spread upwards by half of
 * it; `isExact` (gRPC push-back) keeps it to the millisecond. Otherwise exponential with full jitter.
 */
export function retryDelayMs(backoff: Backoff, n: number, serverDelayMs: number, isExact: boolean, random: Random): number {
  if (serverDelayMs < 0) return backoffMs(backoff, n, random)
  return isExact ? serverDelayMs : serverDelayMs * (1 + SERVER_DELAY_JITTER * random())
}
