import type { SecureContext } from 'node:tls'
import type { Clock } from '../base/clock.ts'
import type { TimerWheel } from '../base/timers.ts'
import type { Wire, WireOwner } from '../base/wire.ts'
import type { HeadLimits } from '../codec/http1/head.ts'
import type { TlsTexts } from '../config/tls-types.ts'
import type { ServiceConfig } from '../config/types.ts'
import type { UpstreamEvents } from '../exchange/contracts.ts'
import type { Log } from '../observe/log.ts'
import type { Gauge } from '../observe/metrics-types.ts'
import type { Endpoint } from '../service/endpoint.ts'
import { createServiceContext } from '../service/service-tls.ts'
import { createConnectOptions, type LookupCache } from './connector.ts'
import type { EndpointPool } from './endpoint-pool.ts'
import { Pool } from './pool.ts'
import { Http2Pool } from './pool-http2.ts'
import { EndpointTls, openWire } from './tls.ts'

export interface PoolSetOptions {
  readonly config: ServiceConfig
  /** Number of workers that share `maxConnections`. */
  readonly workers: number
  readonly clock: Clock
  readonly wheel: TimerWheel
  readonly lookups: LookupCache
  /** What stands in the files of TLS. */
  readonly texts: TlsTexts
  readonly log: Log
  readonly events: UpstreamEvents
  readonly idle: Gauge
  readonly busy: Gauge
}

/** Response heads are bounded too: an endpoint gone wrong must not fill our memory. Beyond it: 502. */
const RESPONSE_LIMITS: HeadLimits = { headBytes: 64 * 1024, headers: 200, uriBytes: 64 * 1024 }

const SAY_AGAIN_MS = 60_000

/** The pools of one service, by address. It outlives a reload as long as what concerns connections stays the same. */
export class PoolSet {
  readonly #options: PoolSetOptions
  readonly #pools = new Map<string, EndpointPool>()
  /** Of connections without a pool. */
  readonly #tls = new Map<string, EndpointTls | null>()
  /** What was said of an endpoint, and until when it is not said again. */
  readonly #saidUntilMs = new Map<string, number>()
  /** null: without TLS. */
  readonly #context: SecureContext | null

  constructor(options: PoolSetOptions) {
    this.#options = options
    const { tls } = options.config
    this.#context = tls === null ? null : createServiceContext(tls, options.texts, { isHttp2: options.config.http2 !== null })
  }

  get(endpoint: Endpoint): EndpointPool {
    return this.#pools.get(endpoint.address) ?? this.#create(endpoint)
  }

  /** Closes the pools of addresses that are no longer served. */
  keepOnly(addresses: ReadonlySet<string>): void {
    for (const address of this.#tls.keys()) if (!addresses.has(address)) this.#tls.delete(address)
    for (const [address, pool] of this.#pools) {
      if (addresses.has(address)) continue
      this.#pools.delete(address)
      pool.close()
    }
  }

  close(): void {
    this.keepOnly(new Set())
  }

  /** A thousand requests that fail for the same reason are one thing to know. */
  #logFailure(message: string, endpoint: string, reason: string): void {
    const { clock, config, log } = this.#options
    const nowMs = clock.now()
    const key = `${endpoint} ${message} ${reason}`
    if (nowMs < (this.#saidUntilMs.get(key) ?? 0)) return
    this.#saidUntilMs.set(key, nowMs + SAY_AGAIN_MS)
    log.warn(message, { service: config.name, endpoint, reason })
  }

  /** A connection that no pool knows of. As `Wire.connect`. */
  open(endpoint: Endpoint, owner: WireOwner, onConnected: () => void): Wire {
    let tls = this.#tls.get(endpoint.address)
    if (tls === undefined) {
      tls = this.#createTls(endpoint, null)
      this.#tls.set(endpoint.address, tls)
    }
    return openWire(createConnectOptions(endpoint.host, endpoint.port, this.#options.lookups), tls, owner, onConnected)
  }

  /** `alpn`: what is offered instead of what is configured. */
  #createTls({ host }: Endpoint, alpn: ['h2'] | null): EndpointTls | null {
    const { tls, hostHeader } = this.#options.config
    if (tls === null) return null
    return new EndpointTls(alpn === null ? tls : { ...tls, alpn }, this.#context as SecureContext, hostHeader, host)
  }

  #create(endpoint: Endpoint): EndpointPool {
    const { config, workers, clock, wheel, lookups, events, idle, busy } = this.#options
    const { pool } = config
    const { http2 } = config
    const options = {
      connect: createConnectOptions(endpoint.host, endpoint.port, lookups),
      tls: this.#createTls(endpoint, http2 === null ? null : ['h2']),
      onTlsFailure: (reason: string) => this.#logFailure('TLS with an endpoint failed', endpoint.address, reason),
      onNoHttp2: (reason: string) => this.#logFailure('an endpoint does not speak HTTP/2', endpoint.address, reason),
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
    }
    const created = http2 === null ? new Pool(options) : new Http2Pool({ ...options, http2 })
    this.#pools.set(endpoint.address, created)
    return created
  }
}
