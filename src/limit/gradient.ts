import type { Random } from '../base/clock.ts'
import { roundUpToLine, type SharedArea } from '../base/shared-area.ts'
import { SharedHistogram, sharedHistogramWords } from '../base/shared-histogram.ts'

/**
 * A concurrency limit that finds itself, after Envoy's gradient controller. Now and then the limit is lowered for a moment, to
 * measure how fast the service answers when little waits (minRTT). In between each interval compares the median latency with that:
 *
 *   gradient = (minRTT + buffer) / sampleRTT        within 0.5 and 2
 *   limit    = gradient * limit + sqrt(limit)
 *
 * so the limit falls when latency grows, and otherwise feels its way upwards. All workers share the samples and the limit; the first
 * that records in a new interval does the calculation.
 */
export interface GradientConfig {
  readonly initialLimit: number
  readonly minLimit: number
  readonly maxLimit: number
  /** How often the limit is calculated. Default 100 ms. */
  readonly intervalMs: number
  /** Samples an interval needs to count. Default 10. */
  readonly minSamples: number
  /** Time between two measurements of minRTT; spread by up to 15 % more. Default 60 s. */
  readonly minRttEveryMs: number
  /** The limit while minRTT is measured. Default 3. */
  readonly minRttConcurrency: number
  /** Samples for a measurement of minRTT. Default 50. */
  readonly minRttSamples: number
  /** Share of minRTT that latency may grow without being called growth. Default 0.25. */
  readonly bufferRatio: number
}

export const GRADIENT_DEFAULTS: GradientConfig = {
  initialLimit: 20,
  minLimit: 3,
  maxLimit: 1000,
  intervalMs: 100,
  minSamples: 10,
  minRttEveryMs: 60_000,
  minRttConcurrency: 3,
  minRttSamples: 50,
  bufferRatio: 0.25,
}

const LIMIT = 0
const MIN_RTT = 1
const INTERVAL = 2
/** Samples still missing in a measurement of minRTT; 0: not measuring. */
const MEASURING = 3
const MEASURE_AT = 4
/** Number of the measurement, so that each begins with an empty histogram. */
const MEASUREMENT = 5
const HISTOGRAM = 16

/** The limit and minRTT are kept in thousandths and in microseconds. */
const LIMIT_SCALE = 1000
const RTT_SCALE = 1000
const MAX_RTT_MS = 2_000_000
const JITTER_RATIO = 0.15
/** Intervals in the histogram: the complete one, the current, and one for threads that lag. */
const BUCKETS = 3
/** A measurement that finds too few requests ends after this time, with what it has. */
const MAX_MEASURE_MS = 5000
const MAX_LATE_INTERVALS = 1000
/** Longer than any process runs. */
const EVER_MS = 2 ** 50

/** Words of shared memory one gradient limit takes. */
export function gradientWords(workers: number): number {
  return roundUpToLine(HISTOGRAM + sharedHistogramWords(workers, BUCKETS) + sharedHistogramWords(workers, 1))
}

/** The next limit, before its bounds. */
export function nextGradientLimit(limit: number, minRttMs: number, sampleRttMs: number, bufferRatio: number): number {
  const gradient = sampleRttMs <= 0 ? 2 : (minRttMs * (1 + bufferRatio)) / sampleRttMs
  return Math.min(2, Math.max(0.5, gradient)) * limit + Math.sqrt(limit)
}

/** One worker's view. The caller hands `limit` to ConcurrencyLimit.setLimit when `record` returned true. */
export class GradientLimit {
  readonly #words: Int32Array
  readonly #at: number
  readonly #config: GradientConfig
  readonly #random: Random
  readonly #histogram: SharedHistogram
  /** Of the measurement of minRTT. */
  readonly #unloaded: SharedHistogram

  constructor(area: SharedArea, config: GradientConfig, random: Random) {
    this.#words = area.words
    this.#at = area.at
    this.#config = config
    this.#random = random
    this.#histogram = new SharedHistogram(area, HISTOGRAM, config.intervalMs * BUCKETS, BUCKETS)
    const offset = HISTOGRAM + sharedHistogramWords(area.workers, BUCKETS)
    // One bucket that holds everything since the era began: whatever time a measurement starts at, it must not be cut in two.
    this.#unloaded = new SharedHistogram(area, offset, EVER_MS, 1)
  }

  /** Requests that may run at the same time now. */
  get limit(): number {
    if (this.#load(MEASURING) > 0) return this.#config.minRttConcurrency
    const scaled = this.#load(LIMIT)
    return scaled === 0 ? this.#config.initialLimit : Math.floor(scaled / LIMIT_SCALE)
  }

  /** Milliseconds; 0 before the first measurement. */
  get minRttMs(): number {
    return this.#load(MIN_RTT) / RTT_SCALE
  }

  get isMeasuring(): boolean {
    return this.#load(MEASURING) > 0
  }

  /** A request ended well. True: the limit may have changed. */
  record(latencyMs: number, nowMs: number): boolean {
    if (this.#load(MEASURING) > 0) return this.#measure(latencyMs, nowMs)
    this.#histogram.record(latencyMs, nowMs)
    const interval = this.#histogram.pieceAt(nowMs)
    const last = this.#load(INTERVAL)
    const isFirst = this.#load(MEASUREMENT) === 0
    const ahead = (interval - last) | 0
    // A thread that read its clock a little earlier must not turn the interval back.
    if (!isFirst && ahead <= 0 && ahead > -MAX_LATE_INTERVALS) return false
    if (!this.#swap(INTERVAL, last, interval)) return false
    if (isFirst || this.#leftMs(nowMs) <= 0) this.#startMeasuring(nowMs)
    else this.#recalculate(nowMs)
    return true
  }

  #recalculate(nowMs: number): void {
    const { minSamples, minLimit, maxLimit, bufferRatio } = this.#config
    const sampleMs = this.#histogram.previousQuantileMs(0.5, nowMs, minSamples)
    if (sampleMs < 0 || this.#load(MIN_RTT) === 0) return
    const scaled = this.#load(LIMIT)
    const limit = scaled === 0 ? this.#config.initialLimit : scaled / LIMIT_SCALE
    const next = Math.min(maxLimit, Math.max(minLimit, nextGradientLimit(limit, this.minRttMs, sampleMs, bufferRatio)))
    Atomics.store(this.#words, this.#at + LIMIT, Math.round(next * LIMIT_SCALE))
  }

  #startMeasuring(nowMs: number): void {
    // The word serves both: when to measure next, and, while measuring, when to stop at the latest.
    Atomics.store(this.#words, this.#at + MEASURE_AT, (nowMs + MAX_MEASURE_MS) | 0)
    Atomics.add(this.#words, this.#at + MEASUREMENT, 1)
    Atomics.store(this.#words, this.#at + MEASURING, this.#config.minRttSamples)
  }

  #measure(latencyMs: number, nowMs: number): boolean {
    const measurement = this.#load(MEASUREMENT)
    const leftMs = this.#leftMs(nowMs)
    // Requests that began before the limit was lowered waited behind others.
    if (latencyMs <= MAX_MEASURE_MS - leftMs) {
      this.#unloaded.record(latencyMs, nowMs, measurement)
      if (Atomics.sub(this.#words, this.#at + MEASURING, 1) !== 1 && leftMs > 0) return false
    } else if (leftMs > 0) return false
    this.#stopMeasuring(measurement, nowMs)
    return true
  }

  #stopMeasuring(measurement: number, nowMs: number): void {
    const minRttMs = this.#unloaded.quantileMs(0.5, nowMs, 1, measurement)
    // Without a sample the last measurement stays.
    if (minRttMs >= 0) Atomics.store(this.#words, this.#at + MIN_RTT, Math.max(1, Math.round(Math.min(minRttMs, MAX_RTT_MS) * RTT_SCALE)))
    const spread = 1 + JITTER_RATIO * this.#random()
    Atomics.store(this.#words, this.#at + MEASURE_AT, (nowMs + this.#config.minRttEveryMs * spread) | 0)
    Atomics.store(this.#words, this.#at + MEASURING, 0)
  }

  /** Until the next measurement, or until the end of this one. */
  #leftMs(nowMs: number): number {
    return (this.#load(MEASURE_AT) - (nowMs | 0)) | 0
  }

  #load(word: number): number {
    return Atomics.load(this.#words, this.#at + word)
  }

  #swap(word: number, from: number, to: number): boolean {
    return Atomics.compareExchange(this.#words, this.#at + word, from, to) === from
  }
}
