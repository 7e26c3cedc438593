import type { Clock } from '../base/clock.ts'
import type { TimerWheel } from '../base/timers.ts'
import type { HeadLimits } from '../codec/http1/head.ts'
import type { ServiceConfig } from '../config/types.ts'
import type { UpstreamEvents } from '../exchange/contracts.ts'
import type { Gauge } from '../observe/metrics-types.ts'
import type { Endpoint } from '../service/endpoint.ts'
import { createConnectOptions, type LookupCache } from './connector.ts'
import { Pool } from './pool.ts'

export interface PoolSetOptions {
  readonly config: ServiceConfig
  /** Number of workers that share `maxConnections`. */
  readonly workers: number
  readonly clock: Clock
  readonly wheel: TimerWheel
  readonly lookups: LookupCache
  readonly events: UpstreamEvents
  readonly idle: Gauge
  readonly busy: Gauge
}

/** Response heads are bounded too: an endpoint gone wrong must not fill our memory. Beyond it: 502. */
const RESPONSE_LIMITS: HeadLimits = { headBytes: 64 * 1024, headers: 200, uriBytes: 64 * 1024 }

/** The pools of one service, by address. It outlives a reload as long as what concerns connections stays the same. */
export class PoolSet {
  readonly #options: PoolSetOptions
  readonly #pools = new Map<string, Pool>()

  constructor(options: PoolSetOptions) {
    this.#options = options
  }

  get(endpoint: Endpoint): Pool {
    return this.#pools.get(endpoint.address) ?? this.#create(endpoint)
  }

  /** Closes the pools of addresses that are no longer served. */
  keepOnly(addresses: ReadonlySet<string>): void {
    for (const [address, pool] of this.#pools) {
      if (addresses.has(address)) continue
      this.#pools.delete(address)
      pool.close()
    }
  }

  close(): void {
    this.keepOnly(new Set())
  }

  #create(endpoint: Endpoint): Pool {
    const { config, workers, clock, wheel, lookups, events, idle, busy } = this.#options
    const { pool } = config
    const created = new Pool({
      connect: createConnectOptions(endpoint.host, endpoint.port, lookups),
      connectTimeoutMs: pool.connectTimeoutMs,
      idleTimeoutMs: pool.idleTimeoutMs,
      hostHeader: config.hostHeader,
      limits: RESPONSE_LIMITS,
      maxConnections: Math.max(1, Math.ceil(pool.maxConnections / workers)),
      maxPending: pool.maxPending,
      pendingTimeoutMs: pool.pendingTimeoutMs,
      wheel,
      now: clock.now,
      events,
      idle,
      busy,
    })
    this.#pools.set(endpoint.address, created)
    return created
  }
}
