import type { Endpoint } from '../endpoint.ts'
import type { Picker, PickerOptions } from '../picker.ts'
import { LowestPicker } from './lowest.ts'

/**
 * The endpoint with the fewest busy connections for its weight. A connection of HTTP/1.1 carries one request at a time and an upgraded
 * one stays in flight for its whole life, so what is counted is requests in flight; idle connections in the pool are no load.
 */
export function createLeastConnectionsPicker(endpoints: readonly Endpoint[], options: PickerOptions): Picker {
  return new LowestPicker(endpoints, options, 'in-flight')
}
