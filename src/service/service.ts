import type { Random } from '../base/clock.ts'
import type { EndpointConfig, ServiceConfig } from '../config/types.ts'
import { createPicker, latencyTrackingOf } from './balance/index.ts'
import { StickyCookie } from './balance/sticky.ts'
import { createEndpoint, type Endpoint, type EndpointState } from './endpoint.ts'
import type { Ejection, LatencyTracking } from './endpoint-state.ts'
import { createPickKeyReader, type PickKeyReader } from './pick-keys.ts'
import type { ChangeCount, Picker } from './picker.ts'

/** Where a service finds the live state of its endpoints: `EndpointStates` of this thread. */
export interface EndpointStateSource {
  state(service: string, address: string, weight: number, ejection: Ejection, latency?: LatencyTracking): EndpointState
  changes(service: string): ChangeCount
}

/** A named set of endpoints and its policies, in one worker. */
export interface Service {
  readonly name: string
  readonly config: ServiceConfig
  readonly endpoints: readonly Endpoint[]
  readonly picker: Picker
  /** Reads from a request what the picker goes by; null when it goes by nothing in it. */
  readonly keys: PickKeyReader | null
  /** Ties a session to the endpoint that answered; null when sessions are not sticky. */
  readonly sticky: StickyCookie | null
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
  readonly keys: PickKeyReader | null
  readonly sticky: StickyCookie | null
  readonly #states: EndpointStateSource
  readonly #random: Random
  readonly #worker: number
  #set: EndpointSet

  constructor(config: ServiceConfig, states: EndpointStateSource, options: ServiceOptions) {
    this.name = config.name
    this.config = config
    this.keys = createPickKeyReader(config.balance)
    this.sticky = config.balance.sticky === undefined ? null : new StickyCookie(config.balance.sticky)
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
    const latency = latencyTrackingOf(balance)
    const endpoints = Object.freeze(
      configs.map((endpoint) => createEndpoint(endpoint, this.#states.state(name, endpoint.address, endpoint.weight, ejection, latency))),
    )
    const changes = this.#states.changes(name)
    const picker = createPicker(balance, endpoints, { random: this.#random, changes, startOffset: this.#worker, previous })
    return { endpoints, picker }
  }
}
