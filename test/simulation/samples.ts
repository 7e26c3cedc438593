/** Numbers that were seen, for quantiles. */
export class Samples {
  readonly #values: number[] = []
  #isSorted = true

  add(value: number): void {
    this.#values.push(value)
    this.#isSorted = false
  }

  get count(): number {
    return this.#values.length
  }

  get mean(): number {
    return this.#values.reduce((sum, value) => sum + value, 0) / this.#values.length
  }

  /** The value below or at which the share `q` lies; NaN without samples. */
  quantile(q: number): number {
    if (!this.#isSorted) this.#values.sort((a, b) => a - b)
    this.#isSorted = true
    return this.#values[Math.min(this.#values.length - 1, Math.ceil(q * this.#values.length) - 1)] ?? Number.NaN
  }
}

/** Counts for each piece of time since the start. */
export class TimeCounts {
  readonly counts: number[]
  readonly bucketMs: number

  constructor(totalMs: number, bucketMs: number) {
    this.counts = new Array<number>(Math.ceil(totalMs / bucketMs)).fill(0)
    this.bucketMs = bucketMs
  }

  add(elapsedMs: number, amount = 1): void {
    const bucket = Math.floor(elapsedMs / this.bucketMs)
    if (bucket < this.counts.length) this.counts[bucket]! += amount
  }

  /** Points of a line: seconds, and counts for each second. */
  perSecond(): [number, number][] {
    return this.counts.map((count, i) => [((i + 0.5) * this.bucketMs) / 1000, (count * 1000) / this.bucketMs])
  }

  /** The counts for each second between two times, in seconds. */
  meanPerSecond(fromS: number, toS: number): number {
    const from = Math.round((fromS * 1000) / this.bucketMs)
    const to = Math.round((toS * 1000) / this.bucketMs)
    return this.counts.slice(from, to).reduce((sum, count) => sum + count, 0) / (toS - fromS)
  }
}
