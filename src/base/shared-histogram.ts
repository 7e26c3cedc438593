import type { SharedArea } from './shared-area.ts'
import { SharedWindow, type SharedWindowShape, sharedWindowWords } from './shared-window.ts'

/**
 * Durations of the last few seconds over all threads, for quantiles: a log-linear histogram in a rolling window. Every power of
 * two is cut into eight parts, so a quantile is at most 12.5 % off; from 1/1024 ms to 262 s, beyond which all counts as the longest.
 */
const UNITS_PER_MS = 1024
const PART_BITS = 3
const PARTS = 1 << PART_BITS
/** Longest duration in units: 2^28 - 1. */
const MAX_UNITS = 2 ** 28 - 1
const COUNTERS = indexOf(MAX_UNITS) + 1

/** Values below 2 * PARTS have a bucket each; above, the top four bits choose it. */
function indexOf(units: number): number {
  const shift = Math.max(0, 31 - Math.clz32(units) - PART_BITS)
  return shift * PARTS + (units >>> shift)
}

/** The smallest value of a bucket, in units. */
function lowerEdge(index: number): number {
  if (index < 2 * PARTS) return index
  const shift = (index >> PART_BITS) - 1
  return ((index & (PARTS - 1)) + PARTS) * 2 ** shift
}

function shapeOf(buckets: number): SharedWindowShape {
  return { counters: COUNTERS, buckets }
}

/** Words of shared memory a histogram takes. `buckets`: pieces of its window. */
export function sharedHistogramWords(workers: number, buckets = 3): number {
  return sharedWindowWords(shapeOf(buckets), workers)
}

/** One worker's view. */
export class SharedHistogram {
  readonly #window: SharedWindow

  constructor(area: SharedArea, offset: number, windowMs: number, buckets = 3) {
    this.#window = new SharedWindow(area, offset, shapeOf(buckets), windowMs)
  }

  /** `era`: as in SharedWindow; another one begins anew. */
  record(durationMs: number, nowMs: number, era = 0): void {
    const units = durationMs > 0 ? Math.min(durationMs * UNITS_PER_MS, MAX_UNITS) >>> 0 : 0
    this.#window.add(indexOf(units), 1, nowMs, era)
  }

  /** Number of the piece of the window `nowMs` lies in. */
  pieceAt(nowMs: number): number {
    return this.#window.pieceAt(nowMs)
  }

  /**
   * The duration in milliseconds below which the share `q` (0 to 1) lies, interpolated inside its bucket; -1 with fewer than
   * `minSamples`. Reads all columns: for now and then, not for every request.
   */
  quantileMs(q: number, nowMs: number, minSamples = 1, era = 0): number {
    return quantileOf(this.#window.sum(nowMs, era), q, minSamples)
  }

  /** The same over the last complete piece of the window. */
  previousQuantileMs(q: number, nowMs: number, minSamples = 1): number {
    return quantileOf(this.#window.sumPrevious(nowMs), q, minSamples)
  }
}

function quantileOf(counts: Float64Array, q: number, minSamples: number): number {
  let total = 0
  for (let i = 0; i < COUNTERS; i++) total += counts[i]!
  if (total === 0 || total < minSamples) return -1
  const rank = Math.min(Math.max(q, 0), 1) * total
  let seen = 0
  for (let i = 0; i < COUNTERS; i++) {
    const count = counts[i]!
    if (count > 0 && seen + count >= rank) {
      const lower = lowerEdge(i)
      return (lower + ((lowerEdge(i + 1) - lower) * Math.max(0, rank - seen)) / count) / UNITS_PER_MS
    }
    seen += count
  }
  return MAX_UNITS / UNITS_PER_MS
}
