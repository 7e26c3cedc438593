import type { Endpoint } from '../endpoint.ts'
import type { Picker, PickerOptions } from '../picker.ts'
import { LowestPicker } from './lowest.ts'

/**
 * The endpoint with the lowest mean response time of late, times the requests it has in flight. The mean is kept over all workers
 * and sinks while nothing is heard, so the slow ones are asked again now and then. Needs endpoints whose state keeps a mean.
 */
export function createFastestResponsePicker(endpoints: readonly Endpoint[], options: PickerOptions): Picker {
  return new LowestPicker(endpoints, options, 'latency')
}
