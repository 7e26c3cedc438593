import type { Random } from '../base/clock.ts'
import type { EndpointConfig, ServiceConfig } from '../config/types.ts'
import { createPicker } from './balance/index.ts'
import { createEndpoint, type Endpoint, type EndpointState } from './endpoint.ts'
import type { Ejection } from './endpoint-state.ts'
import type { ChangeCount, Picker } from './picker.ts'

/** Where a service finds the live state of its endpoints: `EndpointStates` of this thread. */
export interface EndpointStateSource {
  state(service: string, address: string, weight: number, ejection: Ejection): EndpointState
  changes(service: string): ChangeCount
}

/** A named set of endpoints and its policies, in one worker. */
export interface Service {
  readonly name: string
  readonly config: ServiceConfig
  readonly endpoints: readonly Endpoint[]
  readonly picker: Picker
  /** Replaces the set of endpoints in one step: a pick sees the old set or the new one, never anything between. */
  rebuild(endpoints: readonly EndpointConfig[]): void
}

export interface ServiceOptions {
  random: Random
  /** Index of this worker, so that round robin starts at a different endpoint in each. Default 0. */
  worker?: number
  /** The service of the same name in the snapshot this one replaces: balancing continues where it stood. Default null. */
  previous?: Service | null
}

/** Throws when `states` has no slot for one of the endpoints (see EndpointStates). */
export function createService(config: ServiceConfig, states: EndpointStateSource, options: ServiceOptions): Service {
  return new EndpointService(config, states, options)
}

interface EndpointSet {
  readonly endpoints: readonly Endpoint[]
  readonly picker: Picker
}

class EndpointService implements Service {
  readonly name: string
  readonly config: ServiceConfig
  readonly #states: EndpointStateSource
  readonly #random: Random
  readonly #worker: number
  #set: EndpointSet

  constructor(config: ServiceConfig, states: EndpointStateSource, options: ServiceOptions) {
    this.name = config.name
    this.config = config
    this.#states = states
    // `options` itself is not kept: it holds the previous service, which held the one before it.
    this.#random = options.random
    this.#worker = options.worker ?? 0
    this.#set = this.#build(config.endpoints, options.previous?.picker ?? null)
  }

  get endpoints(): readonly Endpoint[] {
    return this.#set.endpoints
  }

  get picker(): Picker {
    return this.#set.picker
  }

  rebuild(endpoints: readonly EndpointConfig[]): void {
    this.#set = this.#build(endpoints, this.#set.picker)
  }

  #build(configs: readonly EndpointConfig[], previous: Picker | null): EndpointSet {
    const { name, balance, ejection } = this.config
    const endpoints = Object.freeze(
      configs.map((endpoint) => createEndpoint(endpoint, this.#states.state(name, endpoint.address, endpoint.weight, ejection))),
    )
    const changes = this.#states.changes(name)
    const picker = createPicker(balance, endpoints, { random: this.#random, changes, startOffset: this.#worker, previous })
    return { endpoints, picker }
  }
}
