import type { Endpoint } from '../endpoint.ts'
import type { Picker, PickerOptions } from '../picker.ts'
import { ChoicesPicker } from './choices.ts'

/**
 * Of two endpoints drawn by weight, the one with the lower cost: its latency estimate times (requests in flight + 1). The estimate
 * jumps up to a slow answer at once and comes down slowly, so a fault is felt with the first answer that shows it. Needs endpoints
 * whose state keeps peaks; they are shared by all workers.
 */
export function createPeakEwmaPicker(endpoints: readonly Endpoint[], options: PickerOptions): Picker {
  return new ChoicesPicker(endpoints, options, 2, 'latency')
}
