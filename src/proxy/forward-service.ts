import type { Clock } from '../base/clock.ts'
import type { Wire, WireOwner } from '../base/wire.ts'
import type { EndpointConfig, ServiceConfig } from '../config/types.ts'
import type { ServiceMetrics } from '../observe/service-metrics.ts'
import { createEndpoint, type Endpoint, type EndpointState, NOT_ASIDE, type Outcome } from '../service/endpoint.ts'
import { NO_ENDPOINTS, type Pick, type PickContext, type Picker } from '../service/picker.ts'
import type { Service } from '../service/service.ts'
import type { EndpointPool } from '../upstream/endpoint-pool.ts'
import type { PoolSet } from '../upstream/pool-set.ts'
import type { ServiceRuntime } from './runtime.ts'

/** An address on the Internet is nobody's to balance over or to put aside: all that is known of it is what runs there. */
class DestinationState implements EndpointState {
  inFlight = 0
  usedMs: number
  failedMs = Number.NEGATIVE_INFINITY
  readonly effectiveWeight = 1

  constructor(nowMs: number) {
    this.usedMs = nowMs
  }

  asideMs(): number {
    return NOT_ASIDE
  }

  isAvailable(): boolean {
    return true
  }

  admit(): boolean {
    return true
  }

  upForMs(): number {
    return Number.POSITIVE_INFINITY
  }

  latencyMs(): number {
    return 0
  }

  overtaken(): void {}

  begin(): void {
    this.inFlight++
  }

  end(outcome: Outcome, nowMs: number): void {
    this.inFlight--
    this.settle(outcome, nowMs)
  }

  settle(outcome: Outcome, nowMs: number): void {
    this.failedMs = outcome === 'failure' ? nowMs : Number.NEGATIVE_INFINITY
  }
}

/** Of several addresses, one that failed is not the first choice for this long. */
const FAILED_MS = 30_000

interface Known {
  readonly endpoint: Endpoint
  readonly state: DestinationState
}

export interface ForwardServiceOptions {
  readonly config: ServiceConfig
  readonly clock: Clock
  readonly metrics: ServiceMetrics
  readonly pools: PoolSet
  readonly maxDestinations: number
}

/**
 * The service behind a forward proxy: its endpoints are the addresses that requests went to lately, one connection pool each. Which one
 * a request goes to is decided before it is picked (forward-route.ts), so there is nothing to balance: the address is its hash key.
 */
export class ForwardService implements Service, Picker, ServiceRuntime {
  readonly config: ServiceConfig
  readonly metrics: ServiceMetrics
  readonly keys = null
  readonly sticky = null
  // What a service of the configuration may have, and this one does not.
  readonly tracksLatency = false
  readonly retry = null
  readonly breaker = null
  readonly breakers = null
  readonly hedge = null
  readonly limit = null
  readonly announcer = null
  readonly #clock: Clock
  readonly #pools: PoolSet
  readonly #maxDestinations: number
  /** By `host:port`; the one that was not used for longest is the first. */
  readonly #known = new Map<string, Known>()

  constructor(options: ForwardServiceOptions) {
    this.config = options.config
    this.metrics = options.metrics
    this.#clock = options.clock
    this.#pools = options.pools
    this.#maxDestinations = options.maxDestinations
  }

  get name(): string {
    return this.config.name
  }

  get service(): Service {
    return this
  }

  get picker(): Picker {
    return this
  }

  get endpoints(): readonly Endpoint[] {
    return [...this.#known.values()].map(({ endpoint }) => endpoint)
  }

  /** Endpoints come with requests. */
  rebuild(_endpoints: readonly EndpointConfig[]): void {}

  /** The key for a request that may go to any of these addresses: the first, unless it failed lately and another did not. */
  use(hosts: readonly string[], port: number): string {
    const nowMs = this.#clock.now()
    for (const host of hosts) {
      const failedMs = this.#known.get(formatAddress(host, port))?.state.failedMs ?? Number.NEGATIVE_INFINITY
      if (nowMs - failedMs >= FAILED_MS) return this.#use(host, port)
    }
    return this.#use(hosts[0] as string, port)
  }

  #use(host: string, port: number): string {
    const address = formatAddress(host, port)
    const nowMs = this.#clock.now()
    const known = this.#known.get(address)
    if (known !== undefined) {
      known.state.usedMs = nowMs
      this.#known.delete(address)
      this.#known.set(address, known)
      return address
    }
    if (this.#known.size >= this.#maxDestinations) this.#makeRoom()
    const state = new DestinationState(nowMs)
    const endpoint = createEndpoint({ address, host, port, weight: 1, tags: {} }, state)
    this.#known.set(address, { endpoint, state })
    return address
  }

  /** Forgets addresses nobody has used for as long as connections are kept. Called now and then. */
  sweep(): void {
    const nowMs = this.#clock.now()
    const before = this.#known.size
    for (const [address, { state }] of this.#known) {
      if (nowMs - state.usedMs < this.config.pool.idleTimeoutMs) break
      if (state.inFlight === 0) this.#known.delete(address)
    }
    if (this.#known.size < before) this.#closeForgotten()
  }

  /** The one that was not used for longest and has no requests; when all have, the first: its requests end as they are. */
  #makeRoom(): void {
    let oldest: string | null = null
    for (const [address, { state }] of this.#known) {
      oldest ??= address
      if (state.inFlight > 0) continue
      oldest = address
      break
    }
    if (oldest !== null) this.#known.delete(oldest)
    this.#closeForgotten()
  }

  #closeForgotten(): void {
    this.#pools.keepOnly(new Set(this.#known.keys()))
  }

  pick(context: PickContext): Pick {
    const known = this.#known.get(context.hashKey ?? '')
    return known === undefined ? NO_ENDPOINTS : { kind: 'endpoint', endpoint: known.endpoint }
  }

  pool(endpoint: Endpoint): EndpointPool {
    return this.#pools.get(endpoint)
  }

  open(endpoint: Endpoint, owner: WireOwner, onConnected: () => void): Wire {
    return this.#pools.open(endpoint, owner, onConnected)
  }

  close(): void {
    this.#known.clear()
    this.#pools.close()
  }
}

function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
