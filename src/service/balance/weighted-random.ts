import type { Random } from '../../base/clock.ts'
import type { Endpoint } from '../endpoint.ts'
import { NO_ENDPOINTS, type Pick, type PickContext, type Picker, type PickerOptions } from '../picker.ts'
import { isTried, UsableEndpoints } from './usable-endpoints.ts'

/** Every usable endpoint with a probability in proportion to its effective weight: one binary search over the running sums. */
export function createWeightedRandomPicker(endpoints: readonly Endpoint[], options: PickerOptions): Picker {
  return new WeightedRandomPicker(endpoints, options)
}

class WeightedRandomPicker implements Picker {
  readonly #usable: UsableEndpoints
  readonly #random: Random
  /** Entry k is the sum of the weights of the first k + 1 usable endpoints. */
  readonly #sums: Float64Array
  #revision = -1

  constructor(endpoints: readonly Endpoint[], options: PickerOptions) {
    this.#usable = new UsableEndpoints(endpoints, options.changes)
    this.#random = options.random
    this.#sums = new Float64Array(endpoints.length)
  }

  pick(context: PickContext): Pick {
    const usable = this.#usable
    const trial = usable.refresh(context)
    if (trial >= 0) return usable.picks[trial]!
    if (usable.upCount === 0) return NO_ENDPOINTS
    if (context.tried !== null && usable.hasUntried(context.tried)) return this.#pickUntried(context.tried)
    if (usable.revision !== this.#revision) this.#addUp()
    return usable.picks[usable.up[this.#search(this.#random() * usable.totalWeight)]!]!
  }

  #addUp(): void {
    const { up, upCount, weights, revision } = this.#usable
    let sum = 0
    for (let k = 0; k < upCount; k++) {
      sum += weights[up[k]!]!
      this.#sums[k] = sum
    }
    this.#revision = revision
  }

  /** The first entry above `point`; the last one when rounding has put `point` on the total. */
  #search(point: number): number {
    const sums = this.#sums
    let low = 0
    let high = this.#usable.upCount - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (sums[middle]! > point) high = middle
      else low = middle + 1
    }
    return low
  }

  #pickUntried(tried: readonly Endpoint[]): Pick {
    const { endpoints, up, upCount, weights, picks } = this.#usable
    let total = 0
    for (let k = 0; k < upCount; k++) if (!isTried(tried, endpoints[up[k]!]!)) total += weights[up[k]!]!
    const point = this.#random() * total
    let sum = 0
    let last = NO_ENDPOINTS
    for (let k = 0; k < upCount; k++) {
      const index = up[k]!
      if (isTried(tried, endpoints[index]!)) continue
      sum += weights[index]!
      last = picks[index]!
      if (sum > point) break
    }
    return last
  }
}
