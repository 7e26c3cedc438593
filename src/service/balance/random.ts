import type { Random } from '../../base/clock.ts'
import type { Endpoint } from '../endpoint.ts'
import { NO_ENDPOINTS, type Pick, type PickContext, type Picker, type PickerOptions } from '../picker.ts'
import { isTried, UsableEndpoints } from './usable-endpoints.ts'

/** Every usable endpoint with the same probability, whatever its weight; one with weight 0 is never chosen. */
export function createRandomPicker(endpoints: readonly Endpoint[], options: PickerOptions): Picker {
  return new RandomPicker(endpoints, options)
}

class RandomPicker implements Picker {
  readonly #usable: UsableEndpoints
  readonly #random: Random

  constructor(endpoints: readonly Endpoint[], options: PickerOptions) {
    this.#usable = new UsableEndpoints(endpoints, options)
    this.#random = options.random
  }

  pick(context: PickContext): Pick {
    const usable = this.#usable
    const trial = usable.refresh(context)
    if (trial >= 0) return usable.picks[trial]!
    if (usable.upCount === 0) return NO_ENDPOINTS
    if (context.tried !== null && usable.hasUntried(context.tried)) return this.#pickUntried(context.tried)
    return usable.picks[usable.up[Math.floor(this.#random() * usable.upCount)]!]!
  }

  #pickUntried(tried: readonly Endpoint[]): Pick {
    const { endpoints, up, upCount, picks } = this.#usable
    let untried = 0
    for (let k = 0; k < upCount; k++) if (!isTried(tried, endpoints[up[k]!]!)) untried++
    let left = Math.floor(this.#random() * untried)
    for (let k = 0; k < upCount; k++) {
      const index = up[k]!
      if (isTried(tried, endpoints[index]!)) continue
      if (left === 0) return picks[index]!
      left--
    }
    return NO_ENDPOINTS
  }
}
