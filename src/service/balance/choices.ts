import type { Endpoint } from '../endpoint.ts'
import { NO_ENDPOINTS, type Pick, type PickContext, type Picker, type PickerOptions } from '../picker.ts'
import { type ScoreKind, scoreOf } from './score.ts'
import { UsableEndpoints } from './usable-endpoints.ts'
import { WeightedDraw } from './weighted-draw.ts'

/**
 * The power of a few random choices (Mitzenmacher 2001): of `choices` endpoints drawn by weight, the first two always different, the
 * one with the lowest score. Nearly as even as looking at all, in constant time; and where several gateways choose by numbers that
 * are a little old, they do not all run to the same endpoint.
 */
export class ChoicesPicker implements Picker {
  readonly #usable: UsableEndpoints
  readonly #draw: WeightedDraw
  readonly #choices: number
  readonly #kind: ScoreKind

  constructor(endpoints: readonly Endpoint[], options: PickerOptions, choices: number, kind: ScoreKind) {
    this.#usable = new UsableEndpoints(endpoints, options)
    this.#draw = new WeightedDraw(this.#usable, options.random)
    this.#choices = choices
    this.#kind = kind
  }

  pick(context: PickContext): Pick {
    const usable = this.#usable
    const trial = usable.refresh(context)
    if (trial >= 0) return usable.picks[trial]!
    if (usable.upCount === 0) return NO_ENDPOINTS
    const { tried, nowMs } = context
    const draw = this.#draw
    const kind = this.#kind
    const isRetry = tried !== null && usable.hasUntried(tried)
    const first = isRetry ? -1 : draw.draw()
    let best = isRetry ? draw.drawUntried(tried) : usable.up[first]!
    let lowest = scoreOf(kind, usable, best, nowMs)
    for (let n = 1; n < this.#choices; n++) {
      const other = isRetry ? draw.drawUntried(tried) : usable.up[n === 1 ? draw.drawOther(first) : draw.draw()]!
      const value = scoreOf(kind, usable, other, nowMs)
      if (value < lowest) {
        lowest = value
        best = other
      }
    }
    return usable.picks[best]!
  }
}
