import { Ewma } from '../base/ewma.ts'
import { RollingWindow } from '../base/rolling-window.ts'
import { PRIORITY_LEVELS } from './priority.ts'

/**
 * Load shedding of one worker, after the BBR-like limiters of Kratos and go-zero. How many requests fit into the worker follows from
 * Little's law: the most that were completed in one piece of time, times the least time one takes. That bound holds only while
 * the worker is overloaded, which a single thread shows best by the delay of its event loop: while that is small, everything passes.
 */
export interface BbrConfig {
  /** Time over which throughput and latency are seen. Default 10 s in 100 pieces. */
  readonly windowMs: number
  readonly buckets: number
  /** Delay of the event loop at which normal requests begin to be shed. Default 50 ms. */
  readonly maxLoopDelayMs: number
  /** After the last request shed under load the bound holds for this long even without delay. Default 1 s. */
  readonly coolOffMs: number
  /** Loop delay each priority bears, as a multiple of `maxLoopDelayMs`, core first. Default 2, 1, 0.75, 0.5. */
  readonly delayShares?: readonly number[]
  /** Share of the bound each priority may fill, core first. Default 1, 0.9, 0.75, 0.5. */
  readonly boundShares?: readonly number[]
}

export const BBR_DEFAULTS: BbrConfig = { windowMs: 10_000, buckets: 100, maxLoopDelayMs: 50, coolOffMs: 1000 }

const DELAY_SHARES: readonly number[] = [2, 1, 0.75, 0.5]
const BOUND_SHARES: readonly number[] = [1, 0.9, 0.75, 0.5]
/** Half-life of the smoothed delay: a single collection of garbage is no overload. */
const DELAY_HALF_LIFE_MS = 500

/** One worker's own. */
export class BbrLimit {
  readonly #config: BbrConfig
  readonly #latencies: RollingWindow
  readonly #delay = new Ewma(DELAY_HALF_LIFE_MS)
  readonly #delayShares: Float64Array
  readonly #boundShares: Float64Array
  readonly #lastShedAtMs = new Float64Array(PRIORITY_LEVELS).fill(Number.NEGATIVE_INFINITY)
  #inFlight = 0
  #bound = Number.POSITIVE_INFINITY
  #boundPiece = Number.NaN
  #shed = 0

  constructor(config: BbrConfig) {
    this.#config = config
    this.#latencies = new RollingWindow(config.windowMs, config.buckets)
    const sharesOf = (given: readonly number[]) => Float64Array.from({ length: PRIORITY_LEVELS }, (_, level) => given[level] ?? 1)
    this.#delayShares = sharesOf(config.delayShares ?? DELAY_SHARES)
    this.#boundShares = sharesOf(config.boundShares ?? BOUND_SHARES)
  }

  get inFlight(): number {
    return this.#inFlight
  }

  /** Requests refused since the start. */
  get shed(): number {
    return this.#shed
  }

  /** Smoothed delay of the event loop; 0 before the first report. */
  get loopDelayMs(): number {
    return Number.isNaN(this.#delay.value) ? 0 : this.#delay.value
  }

  /** A timer of the worker was late by so much. Report at regular intervals. */
  reportLoopDelay(delayMs: number, nowMs: number): void {
    this.#delay.add(delayMs, nowMs)
  }

  /** True: the request runs; call `leave` exactly once at its end. */
  tryEnter(priority: number, nowMs: number): boolean {
    const isOverloaded = this.loopDelayMs >= this.#config.maxLoopDelayMs * this.#delayShares[priority]!
    const isBound = isOverloaded || nowMs - this.#lastShedAtMs[priority]! < this.#config.coolOffMs
    if (!isBound || this.#inFlight <= 1 || this.#inFlight <= this.maxInFlight(nowMs) * this.#boundShares[priority]!) {
      this.#inFlight++
      return true
    }
    // Only what is shed under load prolongs the bound, or shedding would keep itself going.
    if (isOverloaded) this.#lastShedAtMs[priority] = nowMs
    this.#shed++
    return false
  }

  /** A request ended. `latencyMs`: negative when it did not end well, and so says nothing about what the worker can do. */
  leave(latencyMs: number, nowMs: number): void {
    this.#inFlight--
    if (latencyMs >= 0) this.#latencies.add(latencyMs, nowMs)
  }

  /** Requests that fit, at least 1; Infinity while nothing is known. Calculated once in each piece of time. */
  maxInFlight(nowMs: number): number {
    const piece = this.#latencies.pieceAt(nowMs)
    if (piece !== this.#boundPiece) {
      this.#boundPiece = piece
      this.#bound = bbrBound(this.#latencies.maxCompleteCount(nowMs), this.#latencies.minCompleteMean(nowMs), this.#latencies.bucketMs)
    }
    return this.#bound
  }
}

/** The most completed in one piece of time, times the pieces the fastest takes, rounded; at least 1. */
export function bbrBound(maxCompleted: number, minLatencyMs: number, bucketMs: number): number {
  if (maxCompleted === 0) return Number.POSITIVE_INFINITY
  return Math.max(1, Math.round((maxCompleted * minLatencyMs) / bucketMs))
}
