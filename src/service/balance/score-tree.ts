import type { Random } from '../../base/clock.ts'

/**
 * The lowest of many scores, found and kept in a number of steps that grows with the logarithm of their number. A tournament in two
 * arrays: the leaves are the scores, every inner place holds the lower of the two below it and how much weight shares that score,
 * so that a draw among equals goes by weight.
 */
export class ScoreTree {
  readonly #leaves: number
  readonly #lowest: Float64Array
  readonly #shared: Float64Array

  constructor(count: number) {
    let leaves = 1
    while (leaves < count) leaves *= 2
    this.#leaves = leaves
    this.#lowest = new Float64Array(2 * leaves).fill(Number.POSITIVE_INFINITY)
    this.#shared = new Float64Array(2 * leaves)
  }

  score(index: number): number {
    return this.#lowest[this.#leaves + index]!
  }

  /** Infinity takes the index out. */
  set(index: number, score: number, weight: number): void {
    let at = this.#leaves + index
    if (this.#lowest[at] === score && this.#shared[at] === weight) return
    this.#lowest[at] = score
    this.#shared[at] = weight
    for (at >>>= 1; at > 0; at >>>= 1) this.#combine(at)
  }

  /** An index with the lowest score. Only while one is below Infinity. */
  draw(random: Random): number {
    const lowest = this.#lowest
    const shared = this.#shared
    let point = random() * shared[1]!
    let at = 1
    while (at < this.#leaves) {
      const left = 2 * at
      const right = left + 1
      at = left
      if (lowest[left]! < lowest[right]!) continue
      if (lowest[left] === lowest[right]) {
        if (point < shared[left]!) continue
        point -= shared[left]!
      }
      at = right
    }
    return at - this.#leaves
  }

  #combine(at: number): void {
    const left = 2 * at
    const right = left + 1
    const a = this.#lowest[left]!
    const b = this.#lowest[right]!
    this.#lowest[at] = Math.min(a, b)
    this.#shared[at] = a < b ? this.#shared[left]! : b < a ? this.#shared[right]! : this.#shared[left]! + this.#shared[right]!
  }
}
