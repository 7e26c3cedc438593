import type { Random } from '../../base/clock.ts'
import type { Endpoint } from '../endpoint.ts'
import { isTried, type UsableEndpoints } from './usable-endpoints.ts'

/**
 * Draws usable endpoints with a probability in proportion to their weight: a step or two over the running sums from where a table
 * says (Chen and Asau 1974), or none while all weights are equal. Answers are places in `usable.up`. Only while `usable.upCount` is above 0.
 */
export class WeightedDraw {
  readonly #usable: UsableEndpoints
  readonly #random: Random
  /** Entry k is the sum of the weights of the first k + 1 usable endpoints. */
  readonly #sums: Float64Array
  /** Of as many equal parts of the total as there are usable endpoints: the first entry above the beginning of each. */
  readonly #starts: Int32Array
  #revision = -1

  constructor(usable: UsableEndpoints, random: Random) {
    this.#usable = usable
    this.#random = random
    this.#sums = new Float64Array(usable.endpoints.length)
    this.#starts = new Int32Array(usable.endpoints.length)
  }

  draw(): number {
    const { isEqual, upCount, totalWeight, revision } = this.#usable
    if (isEqual) return Math.floor(this.#random() * upCount)
    if (revision !== this.#revision) this.#addUp()
    return this.#search(this.#random() * totalWeight)
  }

  /** Another than the one in place `k`, as if that one were not there; the same when it is the only one. */
  drawOther(k: number): number {
    const { isEqual, upCount, totalWeight, weights, up, revision } = this.#usable
    if (upCount === 1) return k
    if (isEqual) {
      const other = Math.floor(this.#random() * (upCount - 1))
      return other >= k ? other + 1 : other
    }
    if (revision !== this.#revision) this.#addUp()
    const weight = weights[up[k]!]!
    const point = this.#random() * (totalWeight - weight)
    const other = this.#search(point < this.#sums[k]! - weight ? point : point + weight)
    // Sums of fractions may put the point back on the edge of the one left out.
    return other !== k ? other : k === 0 ? 1 : k - 1
  }

  /** One that is not among these, as an index of an endpoint. Only when there is one (`UsableEndpoints.hasUntried`). */
  drawUntried(tried: readonly Endpoint[]): number {
    const { endpoints, up, upCount, weights } = this.#usable
    let total = 0
    for (let k = 0; k < upCount; k++) if (!isTried(tried, endpoints[up[k]!]!)) total += weights[up[k]!]!
    const point = this.#random() * total
    let sum = 0
    let last = up[0]!
    for (let k = 0; k < upCount; k++) {
      const index = up[k]!
      if (isTried(tried, endpoints[index]!)) continue
      sum += weights[index]!
      last = index
      if (sum > point) break
    }
    return last
  }

  #addUp(): void {
    const { up, upCount, weights, revision } = this.#usable
    let sum = 0
    for (let k = 0; k < upCount; k++) {
      sum += weights[up[k]!]!
      this.#sums[k] = sum
    }
    this.#revision = revision
    for (let slot = 0, k = 0; slot < upCount; slot++) {
      while (k + 1 < upCount && this.#sums[k]! <= (slot * sum) / upCount) k++
      this.#starts[slot] = k
    }
  }

  /** The first entry above `point`; the last one when rounding has put `point` on the total. */
  #search(point: number): number {
    const sums = this.#sums
    const { upCount, totalWeight } = this.#usable
    let k = this.#starts[Math.min(upCount - 1, Math.floor((point / totalWeight) * upCount))]!
    while (k + 1 < upCount && sums[k]! <= point) k++
    // The start may be one too far where the quotient was rounded up.
    while (k > 0 && sums[k - 1]! > point) k--
    return k
  }
}
