import type { Random } from '../base/clock.ts'
import { roundUpToLine, type SharedArea } from '../base/shared-area.ts'
import { SharedWindow, sharedWindowWords } from '../base/shared-window.ts'
import { type Breaker, type BreakerOutcome, type BreakerState, type BreakerStatistics, errorPercent, REJECTED } from './breaker.ts'

/**
 * Client-side throttling as in the Google SRE book, "Handling Overload": with `total` requests in the window of which the service
 * accepted `accepts`, a request is refused here with the probability max(0, (total - K * accepts) / (total + 1)). Requests refused
 * here count in `total`, so the share that passes follows what the service can take, with no open and no closed time.
 */
export interface AdaptiveThrottleConfig {
  /** Time over which requests are counted, in ten pieces. Default 3 s. */
  readonly windowMs: number
  /** Larger is more patient: refusing begins when less than 1/K of the requests is accepted. Default 1/0.6. At least 1. */
  readonly k: number
  /** Requests in the window below which nothing is refused. Default 100. */
  readonly minRequests: number
  /** One request passes in each such time, over all workers, so that a recovery is seen at low rates too. Default 1 s; 0 is off. */
  readonly passEveryMs: number
}

export const ADAPTIVE_THROTTLE_DEFAULTS: AdaptiveThrottleConfig = { windowMs: 3000, k: 1 / 0.6, minRequests: 100, passEveryMs: 1000 }

const LAST_BAD = 0
const LAST_PASS = 1
const WINDOW = 16

const TOTAL = 0
const ACCEPTS = 1
/** Results other than success; refusals are the rest of the total. */
const FAILURES = 2
const WINDOW_SHAPE = { counters: 3 }
const PASSED = 1

/** Words of shared memory one throttle takes. */
export function adaptiveThrottleWords(workers: number): number {
  return roundUpToLine(WINDOW + sharedWindowWords(WINDOW_SHAPE, workers))
}

/** The share of requests to refuse, 0 to below 1. */
export function rejectRatio(total: number, accepts: number, k: number): number {
  return Math.max(0, (total - k * accepts) / (total + 1))
}

/** One worker's view. */
export class AdaptiveThrottle implements Breaker {
  readonly #words: Int32Array
  readonly #at: number
  readonly #window: SharedWindow
  readonly #config: AdaptiveThrottleConfig
  readonly #random: Random

  constructor(area: SharedArea, config: AdaptiveThrottleConfig, random: Random) {
    this.#words = area.words
    this.#at = area.at
    this.#config = config
    this.#random = random
    this.#window = new SharedWindow(area, WINDOW, WINDOW_SHAPE, config.windowMs)
  }

  allow(nowMs: number): number {
    // Nothing failed within the window: the share to refuse is 0, and no other worker's memory is read.
    if (!this.#window.isRecent(Atomics.load(this.#words, this.#at + LAST_BAD), nowMs)) return PASSED
    const ratio = this.rejectRatio(nowMs)
    if (ratio === 0 || this.#random() >= ratio || this.#mayPassAnyway(nowMs)) return PASSED
    this.#window.add(TOTAL, 1, nowMs)
    Atomics.store(this.#words, this.#at + LAST_BAD, this.#window.pieceAt(nowMs))
    return REJECTED
  }

  record(token: number, outcome: BreakerOutcome, _latencyMs: number, nowMs: number): void {
    if (token === REJECTED || outcome === 'neutral') return
    const at = this.#window.bucketAt(nowMs)
    if (at === -1) return
    Atomics.add(this.#words, at + (outcome === 'success' ? ACCEPTS : FAILURES), 1)
    Atomics.add(this.#words, at + TOTAL, 1)
    if (outcome === 'failure') Atomics.store(this.#words, this.#at + LAST_BAD, this.#window.pieceAt(nowMs))
  }

  state(nowMs: number): BreakerState {
    return this.rejectRatio(nowMs) > 0 ? 'half-open' : 'closed'
  }

  retryAfterMs(nowMs: number): number {
    return this.rejectRatio(nowMs) > 0 ? this.#window.bucketMs : 0
  }

  /** The share of requests refused now. */
  rejectRatio(nowMs: number): number {
    const totals = this.#window.sum(nowMs)
    const total = totals[TOTAL]!
    return total < this.#config.minRequests ? 0 : rejectRatio(total, totals[ACCEPTS]!, this.#config.k)
  }

  statistics(nowMs: number): BreakerStatistics {
    const state = this.state(nowMs)
    const totals = this.#window.sum(nowMs)
    const failures = totals[FAILURES]!
    const requests = totals[ACCEPTS]! + failures
    return { state, requests, failures, slow: 0, errorPercent: errorPercent(failures, requests), openings: 0 }
  }

  /** One thread wins in each `passEveryMs`. */
  #mayPassAnyway(nowMs: number): boolean {
    const { passEveryMs } = this.#config
    if (passEveryMs <= 0) return false
    const index = this.#at + LAST_PASS
    const lastMs = Atomics.load(this.#words, index)
    const ageMs = ((nowMs | 0) - lastMs) | 0
    if (ageMs >= 0 && ageMs < passEveryMs) return false
    // A clock read a little earlier than another thread's is no reason to pass.
    if (ageMs < 0 && ageMs > -passEveryMs) return false
    return Atomics.compareExchange(this.#words, index, lastMs, nowMs | 0) === lastMs
  }
}
