import type { Histogram, HistogramScale } from './metrics-types.ts'

/**
 * A log-linear histogram over a slice of a Float64Array. Every power of two is cut into four equal parts, and a value lies in
 * the bucket (lower, upper], as `le` of the Prometheus text format means it, so the published edges are exact.
 *
 *   slot   0     1            2                          ...  2 + 4n - 1                   2 + 4n
 *          sum   <= 2^min     (2^min, 1.25 * 2^min]           (1.75 * 2^(max-1), 2^max]    > 2^max
 *
 * There is no slot for the count: it is the sum of the buckets, so a reader on another thread never sees the two disagree.
 */

/** 61 microseconds to 128 s. */
export const SECONDS_SCALE: HistogramScale = { minExponent: -14, maxExponent: 7 }

/** 64 B to 1 GiB. */
export const BYTES_SCALE: HistogramScale = { minExponent: 6, maxExponent: 30 }

const PARTS_PER_POWER = 4
/** A double has 20 bits of its mantissa in the upper word; the top two of them choose the part. */
const PART_SHIFT = 18
const EXPONENT_BIAS = 1023
const SUM_SLOT = 0
const FIRST_BUCKET_SLOT = 1

// One value passes through here to be read as bits. Nothing is kept between calls.
const scratch = new Float64Array(1)
const words = new Int32Array(scratch.buffer)
scratch[0] = 1
const HIGH_WORD = words[0] === 0 ? 1 : 0
const LOW_WORD = 1 - HIGH_WORD

/** Number of buckets, with the one below the scale and the one above it. */
export function bucketCount(scale: HistogramScale): number {
  return (scale.maxExponent - scale.minExponent) * PARTS_PER_POWER + 2
}

/** Number of Float64 slots one histogram takes. */
export function histogramSlotCount(scale: HistogramScale): number {
  return FIRST_BUCKET_SLOT + bucketCount(scale)
}

/** The upper edge of a bucket, inclusive; Infinity for the last one. */
export function bucketUpperEdge(scale: HistogramScale, bucket: number): number {
  if (bucket >= bucketCount(scale) - 1) return Number.POSITIVE_INFINITY
  if (bucket === 0) return 2 ** scale.minExponent
  const part = bucket - 1
  const power = Math.floor(part / PARTS_PER_POWER)
  return 2 ** (scale.minExponent + power) * (1 + ((part % PARTS_PER_POWER) + 1) / PARTS_PER_POWER)
}

/** Adds all slots of one histogram to another of the same scale. */
export function mergeHistogram(
  into: Float64Array,
  intoOffset: number,
  from: Float64Array,
  fromOffset: number,
  scale: HistogramScale,
): void {
  const slots = histogramSlotCount(scale)
  for (let i = 0; i < slots; i++) into[intoOffset + i]! += from[fromOffset + i]!
}

/** Reads and writes the slice of `slots` that starts at `offset` and is `histogramSlotCount(scale)` long. */
export class LogLinearHistogram implements Histogram {
  readonly #slots: Float64Array
  readonly #offset: number
  readonly #scale: HistogramScale
  readonly #firstBucket: number
  readonly #lastBucket: number
  readonly #bias: number

  constructor(slots: Float64Array, offset: number, scale: HistogramScale) {
    this.#slots = slots
    this.#offset = offset
    this.#scale = scale
    this.#firstBucket = offset + FIRST_BUCKET_SLOT
    this.#lastBucket = this.#firstBucket + bucketCount(scale) - 1
    this.#bias = (EXPONENT_BIAS + scale.minExponent) * PARTS_PER_POWER - 1
  }

  record(value: number): void {
    if (!(value > 0)) {
      this.#slots[this.#firstBucket]! += 1
      return
    }
    scratch[0] = value
    const high = words[HIGH_WORD]!
    // A value that is exactly an edge belongs to the bucket below it: look at the next smaller double, which has another upper
    // word only when the lower word is zero.
    const part = (words[LOW_WORD] === 0 ? high - 1 : high) >> PART_SHIFT
    let slot = this.#firstBucket + part - this.#bias
    if (slot < this.#firstBucket) slot = this.#firstBucket
    else if (slot >= this.#lastBucket) {
      slot = this.#lastBucket
      // One infinity would spoil the sum for ever.
      if (value === Number.POSITIVE_INFINITY) value = 0
    }
    this.#slots[slot]! += 1
    this.#slots[this.#offset]! += value
  }

  count(): number {
    let count = 0
    for (let slot = this.#firstBucket; slot <= this.#lastBucket; slot++) count += this.#slots[slot]!
    return count
  }

  sum(): number {
    return this.#slots[this.#offset + SUM_SLOT]!
  }

  /** How many values fell into one bucket (0 is below the scale). */
  bucket(index: number): number {
    return this.#slots[this.#firstBucket + index] ?? 0
  }

  /**
   * The value below which the share `q` (0 to 1) of all values lies, by linear interpolation inside its bucket: at most 25 %
   * off within the scale. NaN when nothing was recorded; the last edge when the answer lies beyond the scale.
   */
  quantile(q: number): number {
    const total = this.count()
    if (total === 0) return Number.NaN
    const rank = Math.min(Math.max(q, 0), 1) * total
    const buckets = bucketCount(this.#scale)
    let seen = 0
    for (let i = 0; i < buckets - 1; i++) {
      const inBucket = this.bucket(i)
      if (inBucket > 0 && seen + inBucket >= rank) {
        const lower = i === 0 ? 0 : bucketUpperEdge(this.#scale, i - 1)
        return lower + (bucketUpperEdge(this.#scale, i) - lower) * Math.max(0, (rank - seen) / inBucket)
      }
      seen += inBucket
    }
    return 2 ** this.#scale.maxExponent
  }
}
