import type { Random } from '../../base/clock.ts'
import type { Endpoint } from '../endpoint.ts'
import { NO_ENDPOINTS, type Pick, type PickContext, type Picker, type PickerOptions } from '../picker.ts'
import { isTried, UsableEndpoints } from './usable-endpoints.ts'

export interface FirstConfig {
  /** The share of a tier's endpoints that must be in use for it to take everything. Above 0, at most 1. */
  readonly spilloverRatio: number
}

/**
 * Tiers by `priority`, the lowest first; within a tier by weight. A tier takes all requests that the ones before it leave, as long as
 * `spilloverRatio` of its endpoints (by number, those with weight 0 left out) are in use. Below that it takes a share that sinks in
 * proportion, and the rest goes on to the next tier. When that is too little in all tiers together, they share everything in the
 * same proportion.
 */
export function createFirstPicker(endpoints: readonly Endpoint[], options: PickerOptions, config: FirstConfig): Picker {
  return new FirstPicker(endpoints, options, config)
}

class FirstPicker implements Picker {
  readonly #usable: UsableEndpoints
  readonly #random: Random
  readonly #spilloverRatio: number
  /** The tier of each endpoint, from 0. */
  readonly #tiers: Int32Array
  /** Endpoints in each tier that may ever be picked. */
  readonly #sizes: Int32Array
  readonly #upInTier: Int32Array
  readonly #weightOfTier: Float64Array
  readonly #shares: Float64Array
  /** The chance of each endpoint, and the running sums of them. */
  readonly #chances: Float64Array
  readonly #sums: Float64Array
  #revision = -1

  constructor(endpoints: readonly Endpoint[], options: PickerOptions, config: FirstConfig) {
    this.#usable = new UsableEndpoints(endpoints, options)
    this.#random = options.random
    this.#spilloverRatio = config.spilloverRatio
    const priorities = [...new Set(endpoints.map((endpoint) => endpoint.priority))].sort((a, b) => a - b)
    this.#tiers = Int32Array.from(endpoints, (endpoint) => priorities.indexOf(endpoint.priority))
    this.#sizes = new Int32Array(priorities.length)
    for (let i = 0; i < endpoints.length; i++) if (endpoints[i]!.weight > 0) this.#sizes[this.#tiers[i]!]!++
    this.#upInTier = new Int32Array(priorities.length)
    this.#weightOfTier = new Float64Array(priorities.length)
    this.#shares = new Float64Array(priorities.length)
    this.#chances = new Float64Array(endpoints.length)
    this.#sums = new Float64Array(endpoints.length)
  }

  pick(context: PickContext): Pick {
    const usable = this.#usable
    const trial = usable.refresh(context)
    if (trial >= 0) return usable.picks[trial]!
    if (usable.upCount === 0) return NO_ENDPOINTS
    if (usable.revision !== this.#revision) this.#adapt()
    if (context.tried !== null && usable.hasUntried(context.tried)) return usable.picks[this.#drawUntried(context.tried)]!
    return usable.picks[this.#search(this.#random() * this.#sums[this.#sums.length - 1]!)]!
  }

  #adapt(): void {
    const { up, upCount, weights, revision } = this.#usable
    this.#revision = revision
    this.#upInTier.fill(0)
    this.#weightOfTier.fill(0)
    for (let k = 0; k < upCount; k++) {
      const index = up[k]!
      const tier = this.#tiers[index]!
      this.#upInTier[tier]! += 1
      this.#weightOfTier[tier]! += weights[index]!
    }
    this.#share()
    let sum = 0
    for (let i = 0; i < weights.length; i++) {
      const tier = this.#tiers[i]!
      this.#chances[i] = weights[i] === 0 ? 0 : (this.#shares[tier]! * weights[i]!) / this.#weightOfTier[tier]!
      sum += this.#chances[i]!
      this.#sums[i] = sum
    }
  }

  /** What each tier takes of what the ones before it leave. The sum may stay below 1: a draw is made from the sum. */
  #share(): void {
    let left = 1
    for (let tier = 0; tier < this.#shares.length; tier++) {
      const size = this.#sizes[tier]!
      const upRatio = size === 0 ? 0 : this.#upInTier[tier]! / size
      this.#shares[tier] = Math.min(left, upRatio / this.#spilloverRatio)
      left -= this.#shares[tier]!
    }
  }

  /** The first endpoint whose sum is above `point`; when rounding has put `point` on the total, the last that has a chance. */
  #search(point: number): number {
    const sums = this.#sums
    let low = 0
    let high = sums.length - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (sums[middle]! > point) high = middle
      else low = middle + 1
    }
    while (this.#chances[low] === 0) low--
    return low
  }

  /** Among the untried that have a chance; when there is none, in the first tier that has an untried one. */
  #drawUntried(tried: readonly Endpoint[]): number {
    const { endpoints, up, upCount, weights } = this.#usable
    let total = 0
    let firstTier = this.#shares.length
    for (let k = 0; k < upCount; k++) {
      const index = up[k]!
      if (isTried(tried, endpoints[index]!)) continue
      total += this.#chances[index]!
      if (this.#tiers[index]! < firstTier) firstTier = this.#tiers[index]!
    }
    const isByChance = total > 0
    if (!isByChance) total = this.#untriedWeight(tried, firstTier)
    const point = this.#random() * total
    let sum = 0
    let last = up[0]!
    for (let k = 0; k < upCount; k++) {
      const index = up[k]!
      const part = isByChance ? this.#chances[index]! : this.#tiers[index] === firstTier ? weights[index]! : 0
      if (part === 0 || isTried(tried, endpoints[index]!)) continue
      sum += part
      last = index
      if (sum > point) break
    }
    return last
  }

  #untriedWeight(tried: readonly Endpoint[], tier: number): number {
    const { endpoints, up, upCount, weights } = this.#usable
    let total = 0
    for (let k = 0; k < upCount; k++) {
      const index = up[k]!
      if (this.#tiers[index] === tier && !isTried(tried, endpoints[index]!)) total += weights[index]!
    }
    return total
  }
}
