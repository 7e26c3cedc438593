/**
 * Values of the last few seconds of one thread: for each piece of time their number, sum, least and greatest. Nothing is allocated
 * after the start. For counts over all threads see shared-window.ts.
 */
export class RollingWindow {
  readonly #pieces: Float64Array
  readonly #counts: Float64Array
  readonly #sums: Float64Array
  readonly #minima: Float64Array
  readonly #buckets: number
  readonly #bucketMs: number

  constructor(windowMs: number, buckets = 10) {
    this.#buckets = buckets
    this.#bucketMs = windowMs / buckets
    this.#pieces = new Float64Array(buckets).fill(Number.NEGATIVE_INFINITY)
    this.#counts = new Float64Array(buckets)
    this.#sums = new Float64Array(buckets)
    this.#minima = new Float64Array(buckets)
  }

  get bucketMs(): number {
    return this.#bucketMs
  }

  /** A value whose time lies more than a window behind the newest is dropped. */
  add(value: number, nowMs: number): void {
    const piece = this.pieceAt(nowMs)
    const i = modulo(piece, this.#buckets)
    const held = this.#pieces[i]!
    if (held > piece) return
    if (held < piece) {
      this.#pieces[i] = piece
      this.#counts[i] = 0
      this.#sums[i] = 0
      this.#minima[i] = Number.POSITIVE_INFINITY
    }
    this.#counts[i]! += 1
    this.#sums[i]! += value
    if (value < this.#minima[i]!) this.#minima[i] = value
  }

  pieceAt(nowMs: number): number {
    return Math.floor(nowMs / this.#bucketMs)
  }

  count(nowMs: number): number {
    const piece = this.pieceAt(nowMs)
    let count = 0
    for (let i = 0; i < this.#buckets; i++) if (this.#isIn(i, piece)) count += this.#counts[i]!
    return count
  }

  sum(nowMs: number): number {
    const piece = this.pieceAt(nowMs)
    let sum = 0
    for (let i = 0; i < this.#buckets; i++) if (this.#isIn(i, piece)) sum += this.#sums[i]!
    return sum
  }

  /** The greatest number of values in one complete piece; the current, unfinished one does not count. 0 when there are none. */
  maxCompleteCount(nowMs: number): number {
    const piece = this.pieceAt(nowMs)
    let max = 0
    for (let i = 0; i < this.#buckets; i++) {
      if (this.#isIn(i, piece) && this.#pieces[i] !== piece && this.#counts[i]! > max) max = this.#counts[i]!
    }
    return max
  }

  /** The least mean of one complete piece; Infinity when there are none. */
  minCompleteMean(nowMs: number): number {
    const piece = this.pieceAt(nowMs)
    let min = Number.POSITIVE_INFINITY
    for (let i = 0; i < this.#buckets; i++) {
      if (!this.#isIn(i, piece) || this.#pieces[i] === piece) continue
      const mean = this.#sums[i]! / this.#counts[i]!
      if (mean < min) min = mean
    }
    return min
  }

  /** The least value; Infinity when there are none. */
  min(nowMs: number): number {
    const piece = this.pieceAt(nowMs)
    let min = Number.POSITIVE_INFINITY
    for (let i = 0; i < this.#buckets; i++) if (this.#isIn(i, piece) && this.#minima[i]! < min) min = this.#minima[i]!
    return min
  }

  #isIn(i: number, piece: number): boolean {
    const held = this.#pieces[i]!
    return held <= piece && held > piece - this.#buckets
  }
}

/** Never negative, unlike `%`. */
function modulo(value: number, by: number): number {
  const rest = value % by
  return rest < 0 ? rest + by : rest
}
