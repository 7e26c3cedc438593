import type { Endpoint } from '../endpoint.ts'
import { NO_ENDPOINTS, type Pick, type PickContext, type Picker, type PickerOptions } from '../picker.ts'
import { UsableEndpoints } from './usable-endpoints.ts'
import { WeightedDraw } from './weighted-draw.ts'

/** Every usable endpoint with a probability in proportion to its effective weight. */
export function createWeightedRandomPicker(endpoints: readonly Endpoint[], options: PickerOptions): Picker {
  return new WeightedRandomPicker(endpoints, options)
}

class WeightedRandomPicker implements Picker {
  readonly #usable: UsableEndpoints
  readonly #draw: WeightedDraw

  constructor(endpoints: readonly Endpoint[], options: PickerOptions) {
    this.#usable = new UsableEndpoints(endpoints, options)
    this.#draw = new WeightedDraw(this.#usable, options.random)
  }

  pick(context: PickContext): Pick {
    const usable = this.#usable
    const trial = usable.refresh(context)
    if (trial >= 0) return usable.picks[trial]!
    if (usable.upCount === 0) return NO_ENDPOINTS
    if (context.tried !== null && usable.hasUntried(context.tried)) return usable.picks[this.#draw.drawUntried(context.tried)]!
    return usable.picks[usable.up[this.#draw.draw()]!]!
  }
}
