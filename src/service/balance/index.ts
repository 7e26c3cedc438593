import type { BalanceConfig } from '../../config/types.ts'
import type { Endpoint } from '../endpoint.ts'
import type { LatencyTracking } from '../endpoint-state.ts'
import type { Picker, PickerOptions } from '../picker.ts'
import { SubsetPicker } from '../subset.ts'
import { createConsistentHashPicker } from './consistent-hash.ts'
import { createFastestResponsePicker } from './fastest-response.ts'
import { createFirstPicker } from './first.ts'
import { createLeastConnectionsPicker } from './least-connections.ts'
import { createLeastRequestPicker } from './least-request.ts'
import { createMaglevPicker } from './maglev.ts'
import { createPeakEwmaPicker } from './peak-ewma.ts'
import { createRandomPicker } from './random.ts'
import { createRendezvousPicker } from './rendezvous.ts'
import { createRoundRobinPicker } from './round-robin.ts'
import { StickyPicker } from './sticky.ts'
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
  'least-request': createLeastRequestPicker,
  'least-connections': createLeastConnectionsPicker,
  'fastest-response': createFastestResponsePicker,
  'peak-ewma': createPeakEwmaPicker,
  'consistent-hash': createConsistentHashPicker,
  maglev: createMaglevPicker,
  rendezvous: createRendezvousPicker,
  first: createFirstPicker,
}

/** The picker of a service: the algorithm, within sticky sessions, within subsets, as far as each is configured. */
export function createPicker(config: BalanceConfig, endpoints: readonly Endpoint[], options: PickerOptions): Picker {
  // The table's type pairs each name with its own block; TypeScript cannot follow that through a union.
  const create = BALANCERS[config.algorithm] as PickerFactory<Algorithm>
  const { slowStartMs = 0, panicRatio = 0, sticky, subset } = config
  const createAlgorithm = (members: readonly Endpoint[], previous: Picker | null): Picker => {
    const before = previous instanceof StickyPicker ? previous.inner : previous
    const picker = create(members, { ...options, slowStartMs, panicRatio, previous: before }, config)
    return sticky === undefined ? picker : new StickyPicker(picker, members)
  }
  const previous = options.previous ?? null
  if (subset !== undefined) return new SubsetPicker(endpoints, subset, createAlgorithm, previous)
  return createAlgorithm(endpoints, previous)
}

/** What the endpoints' states must keep for this configuration. */
export function latencyTrackingOf(config: BalanceConfig): LatencyTracking {
  if (config.algorithm === 'peak-ewma') return { kind: 'peak', decayMs: config.decayMs }
  if (config.algorithm === 'fastest-response') return { kind: 'mean', decayMs: config.decayMs }
  return null
}
