/** How a request ended for the breaker. `neutral` says nothing about the service: a client that left, a local limit, a full pool. */
export type BreakerOutcome = 'success' | 'failure' | 'neutral'

/** `half-open`: only a part of the requests passes. */
export type BreakerState = 'closed' | 'half-open' | 'open'

/** Returned by `allow` when the request must not be sent. */
export const REJECTED = 0

/** What a service or endpoint asks before it sends. All workers see the same breaker, through views of their own. */
export interface Breaker {
  /** A token to hand back to `record`, or REJECTED (0). */
  allow(nowMs: number): number
  /**
   * The request ended. Call exactly once for each token that is not 0, also when the request was cancelled (`neutral`). Results of
   * an earlier era of the breaker are ignored.
   */
  record(token: number, outcome: BreakerOutcome, latencyMs: number, nowMs: number): void
  state(nowMs: number): BreakerState
  /** Milliseconds until a request may pass again, for Retry-After; 0 when one may pass now. */
  retryAfterMs(nowMs: number): number
  /** For the admin listener and the Hystrix stream. Allocates. */
  statistics(nowMs: number): BreakerStatistics
}

export interface BreakerStatistics {
  readonly state: BreakerState
  /** Requests, failures and slow requests in the window. */
  readonly requests: number
  readonly failures: number
  readonly slow: number
  /** Failures of requests, rounded to whole percent as Hystrix does. */
  readonly errorPercent: number
  /** How often it opened since it was made. */
  readonly openings: number
}

const TOO_MANY_REQUESTS = 429

/**
 * What a status says about the health of the service. Every 4xx is the client's doing and so a success, but 429 says nothing: the
 * service is well and refuses.
 */
export function outcomeOfStatus(status: number): BreakerOutcome {
  if (status >= 500) return 'failure'
  return status === TOO_MANY_REQUESTS ? 'neutral' : 'success'
}

/** Failures of requests in whole percent, a half rounded up; 0 without requests. */
export function errorPercent(failures: number, requests: number): number {
  return requests === 0 ? 0 : Math.floor((failures / requests) * 100 + 0.5)
}
