import { roundUpToLine, type SharedArea } from './shared-area.ts'

/**
 * Counts of the last few seconds, over all threads. Time is cut into buckets; each worker has a column of its own, written by
 * nobody else, so no count is lost and counting touches no cache line of another worker. A reader adds up all columns.
 *
 *   column   era | stamp counters... | stamp counters... | ...      one group for each bucket
 *
 * The stamp says which piece of time a bucket holds: the number of the piece, modulo 2^32. The era is a number the user may change
 * to begin anew: columns of another era count nothing, and each worker clears its own when it next counts.
 *
 * An Atomics call costs some 10 ns where a plain read costs less than one (bench/micro/resilience). So a worker reads its own column
 * plainly, as nobody else writes there, and a sum reads one word of each column with Atomics, which orders the plain reads after it.
 */
export interface SharedWindowShape {
  /** Counters in each bucket. */
  readonly counters: number
  /** Pieces the window is cut into. Default 10. */
  readonly buckets?: number
}

const DEFAULT_BUCKETS = 10
/** A count this many windows behind the newest bucket is late and dropped; one further behind means the clock began anew. */
const MAX_LATE_WINDOWS = 64

function strideOf({ counters, buckets = DEFAULT_BUCKETS }: SharedWindowShape): number {
  return roundUpToLine(1 + buckets * (counters + 1))
}

/** Words of shared memory a window takes. */
export function sharedWindowWords(shape: SharedWindowShape, workers: number): number {
  return strideOf(shape) * workers
}

/** One worker's view of a window. */
export class SharedWindow {
  /** What `sum` found; overwritten by its next call. */
  readonly totals: Float64Array
  readonly #words: Int32Array
  readonly #columns: number
  readonly #column: number
  readonly #stride: number
  readonly #end: number
  readonly #buckets: number
  readonly #counters: number
  readonly #bucketMs: number

  /** `offset`: words between the start of the area and the window. `windowMs`: the length of all buckets together. */
  constructor(area: SharedArea, offset: number, shape: SharedWindowShape, windowMs: number) {
    const { counters, buckets = DEFAULT_BUCKETS } = shape
    this.totals = new Float64Array(counters)
    this.#words = area.words
    this.#stride = strideOf(shape)
    this.#columns = area.at + offset
    this.#column = this.#columns + area.worker * this.#stride
    this.#end = this.#columns + area.workers * this.#stride
    this.#buckets = buckets
    this.#counters = counters
    this.#bucketMs = Math.max(windowMs / buckets, 1)
  }

  get bucketMs(): number {
    return this.#bucketMs
  }

  /** Number of the piece of time `nowMs` lies in, modulo 2^32. */
  pieceAt(nowMs: number): number {
    return Math.floor(nowMs / this.#bucketMs) | 0
  }

  /** Whether the piece lies in the window that ends now. */
  isRecent(piece: number, nowMs: number): boolean {
    const age = (this.pieceAt(nowMs) - piece) | 0
    return age < this.#buckets && age > -this.#buckets
  }

  add(counter: number, amount: number, nowMs: number, era = 0): void {
    const at = this.bucketAt(nowMs, era)
    if (at !== -1) Atomics.add(this.#words, at + counter, amount)
  }

  /**
   * Index of the first counter of this worker's bucket for `nowMs`, ready to be added to with Atomics; -1 when `nowMs` lies so far
   * back that its bucket has been used again. For callers that count several things at once.
   */
  bucketAt(nowMs: number, era = 0): number {
    const words = this.#words
    if (words[this.#column] !== era) this.#clear(era)
    const piece = this.pieceAt(nowMs)
    const at = this.#column + 1 + ((piece >>> 0) % this.#buckets) * (this.#counters + 1)
    const age = (piece - words[at]!) | 0
    if (age === 0) return at + 1
    if (age < 0 && age > -MAX_LATE_WINDOWS * this.#buckets) return -1
    // Counters first: a reader must never take old counts for new ones.
    for (let i = at + 1; i <= at + this.#counters; i++) Atomics.store(words, i, 0)
    Atomics.store(words, at, piece)
    return at + 1
  }

  /** Adds up the window that ends now into `totals`, which is also returned. */
  sum(nowMs: number, era = 0): Float64Array {
    return this.#sum(this.pieceAt(nowMs), -this.#buckets, this.#buckets, era)
  }

  /** Adds up only the piece of time before the current one: complete, and not yet overwritten. Needs at least two buckets. */
  sumPrevious(nowMs: number, era = 0): Float64Array {
    return this.#sum((this.pieceAt(nowMs) - 1) | 0, -1, 1, era)
  }

  /** Buckets whose age lies between the bounds, both excluded. A bucket may be ahead: another thread's clock was read later. */
  #sum(piece: number, minAge: number, maxAge: number, era: number): Float64Array {
    const words = this.#words
    const totals = this.totals
    const counters = this.#counters
    const step = counters + 1
    const length = this.#buckets * step
    for (let i = 0; i < counters; i++) totals[i] = 0
    for (let column = this.#columns; column < this.#end; column += this.#stride) {
      if (Atomics.load(words, column) !== era) continue
      for (let at = column + 1; at <= column + length; at += step) {
        const age = (piece - words[at]!) | 0
        if (age >= maxAge || age <= minAge) continue
        for (let i = 0; i < counters; i++) totals[i]! += words[at + 1 + i]!
      }
    }
    return totals
  }

  #clear(era: number): void {
    const words = this.#words
    const step = this.#counters + 1
    for (let bucket = 0; bucket < this.#buckets; bucket++) {
      const at = this.#column + 1 + bucket * step
      for (let i = 1; i < step; i++) Atomics.store(words, at + i, 0)
    }
    Atomics.store(words, this.#column, era)
  }
}
