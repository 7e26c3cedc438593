import type { Endpoint } from '../endpoint.ts'
import type { Picker, PickerOptions } from '../picker.ts'
import { ChoicesPicker } from './choices.ts'
import { LowestPicker } from './lowest.ts'

export interface LeastRequestConfig {
  /** How many endpoints are drawn and compared, or `all`. */
  readonly choices: number | 'all'
}

/**
 * The endpoint with the fewest requests in flight for its weight, over all workers: of a few drawn at random, or of all. Among
 * equals the weights decide.
 */
export function createLeastRequestPicker(endpoints: readonly Endpoint[], options: PickerOptions, config: LeastRequestConfig): Picker {
  if (config.choices === 'all') return new LowestPicker(endpoints, options, 'in-flight')
  return new ChoicesPicker(endpoints, options, config.choices, 'in-flight')
}
