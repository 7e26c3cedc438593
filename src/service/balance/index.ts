import type { BalanceConfig } from '../../config/types.ts'
import type { Endpoint } from '../endpoint.ts'
import type { Picker, PickerOptions } from '../picker.ts'
import { createRandomPicker } from './random.ts'
import { createRoundRobinPicker } from './round-robin.ts'
import { createWeightedRandomPicker } from './weighted-random.ts'

type Algorithm = BalanceConfig['algorithm']

/** Builds one algorithm's picker. `config` is that algorithm's own block, for those that have settings. */
type PickerFactory<A extends Algorithm> = (
  endpoints: readonly Endpoint[],
  options: PickerOptions,
  config: Extract<BalanceConfig, { algorithm: A }>,
) => Picker

/** Every balancer there is. A new one is a file in this folder, a line here, and its block in BalanceConfig. */
export const BALANCERS: { readonly [A in Algorithm]: PickerFactory<A> } = {
  random: createRandomPicker,
  'weighted-random': createWeightedRandomPicker,
  'round-robin': createRoundRobinPicker,
}

export function createPicker(config: BalanceConfig, endpoints: readonly Endpoint[], options: PickerOptions): Picker {
  // The table's type pairs each name with its own block; TypeScript cannot follow that through a union.
  const create = BALANCERS[config.algorithm] as PickerFactory<Algorithm>
  return create(endpoints, options, config)
}
