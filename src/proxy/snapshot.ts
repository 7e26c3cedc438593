import { isDeepStrictEqual } from 'node:util'
import { createAddressSet } from '../base/cidr.ts'
import type { Clock, Random } from '../base/clock.ts'
import type { TimerWheel } from '../base/timers.ts'
import type { Wire, WireOwner } from '../base/wire.ts'
import type { Breaker } from '../breaker/breaker.ts'
import type { CustomFunction } from '../config/filter-schema.ts'
import type {
  BreakerConfig,
  FunctionRef,
  GatewayConfig,
  HttpListenerConfig,
  ListenerConfig,
  OverloadConfig,
  RetryConfig,
  RouteConfig,
  ServiceConfig,
} from '../config/types.ts'
import type { UpstreamEvents } from '../exchange/contracts.ts'
import { createRedirectAnswer, createRespondAnswer } from '../filter/answer.ts'
import { createFilters } from '../filter/order.ts'
import { priorityLevel } from '../limit/priority.ts'
import type { Log } from '../observe/log.ts'
import type { MetricsRegistry } from '../observe/metrics-types.ts'
import { createListenerMetrics, createRouteMetrics, type ListenerMetrics, type RouteMetrics } from '../observe/request-metrics.ts'
import { ServiceMetrics } from '../observe/service-metrics.ts'
import { createWebSocketMetrics } from '../observe/websocket-metrics.ts'
import type { Hedge } from '../retry/hedge.ts'
import { RETRY_POLICY_DEFAULTS, RetryPolicy } from '../retry/policy.ts'
import { createRouteTable } from '../route/table.ts'
import { latencyTrackingOf } from '../service/balance/index.ts'
import type { Endpoint } from '../service/endpoint.ts'
import type { Governance } from '../service/governance.ts'
import { reflectService } from '../service/reflect.ts'
import { createService, type EndpointStateSource, type Service } from '../service/service.ts'
import { LookupCache } from '../upstream/connector.ts'
import type { EndpointPool } from '../upstream/endpoint-pool.ts'
import { PoolSet } from '../upstream/pool-set.ts'
import { EndpointBreakers } from './endpoint-breakers.ts'
import { createFallback, type FallbackRuntime } from './fallback.ts'
import { withOwnName } from './forward-loop.ts'
import { createForwardRuntime } from './forward-runtime.ts'
import { type LimitRuntime, LimitSet, type LoadListener, type PreparedLimits, Shedder } from './limits.ts'
import { createHttpsRedirect, subjectHeadersOf } from './listener-entry.ts'
import type { ListenerTls } from './listener-tls.ts'
import { ListenerTlsSet, type TlsMaterial } from './listener-tls-set.ts'
import type {
  AnyListenerRuntime,
  CompiledRoute,
  ListenerRuntime,
  RetryRuntime,
  ServiceRuntime,
  Snapshot,
  WeightedService,
} from './runtime.ts'
import { createTcpRuntime } from './tcp-runtime.ts'
import { TimeAnnouncer } from './time-limits.ts'
import { createUdpRuntime } from './udp-runtime.ts'
import { createWebSocketRuntime, OpenWebSockets } from './websocket.ts'
import { weigh } from './weighted.ts'

export interface SnapshotEnvironment {
  /** Tells this gateway from others; the same in all its workers. */
  readonly gateway: string
  readonly worker: number
  readonly workers: number
  readonly clock: Clock
  readonly random: Random
  readonly wheel: TimerWheel
  readonly registry: MetricsRegistry
  readonly states: EndpointStateSource
  readonly onDefect: (error: unknown, where: string) => void
  readonly log: Log
}

/** Finds the function a FunctionRef stands for. Throws when there is none. */
export type FunctionLookup = (ref: FunctionRef) => CustomFunction

interface ServiceOptions {
  readonly governance: Governance
  readonly limits: PreparedLimits
}

class RuntimeOfService implements ServiceRuntime {
  readonly service: Service
  readonly metrics: ServiceMetrics
  readonly pools: PoolSet
  readonly tracksLatency: boolean
  readonly retry: RetryRuntime | null
  readonly breaker: Breaker | null
  readonly breakers: EndpointBreakers | null
  readonly hedge: Hedge | null
  readonly announcer: TimeAnnouncer | null
  readonly limit: LimitRuntime | null

  constructor(service: Service, metrics: ServiceMetrics, pools: PoolSet, { governance, limits }: ServiceOptions) {
    const { config } = service
    this.service = service
    this.metrics = metrics
    this.pools = pools
    this.tracksLatency = asksForLatency(config)
    this.retry = config.retry === null ? null : createRetryRuntime(config.name, config.retry, governance)
    this.breaker = config.breaker?.per === 'service' ? createBreaker(config, config.breaker, null, governance) : null
    this.breakers = config.breaker?.per === 'endpoint' ? createEndpointBreakers(config, config.breaker, governance) : null
    this.hedge = config.hedge === null ? null : governance.hedge(config.name, config.hedge)
    this.announcer = config.timeouts.propagate ? new TimeAnnouncer() : null
    this.limit = limits.get('service', config.name)
  }

  pool(endpoint: Endpoint): EndpointPool {
    return this.pools.get(endpoint)
  }

  open(endpoint: Endpoint, owner: WireOwner, onConnected: () => void): Wire {
    return this.pools.open(endpoint, owner, onConnected)
  }
}

function asksForLatency({ balance, ejection, breaker }: ServiceConfig): boolean {
  if (latencyTrackingOf(balance) !== null || ejection?.outliers?.latencyFactor != null) return true
  return breaker?.kind === 'circuit' && breaker.slowCallMs !== null
}

function createBreaker(service: ServiceConfig, config: BreakerConfig, address: string | null, governance: Governance): Breaker {
  return governance.breaker(service.name, address, config, service.timeouts.requestMs)
}

function createEndpointBreakers(service: ServiceConfig, config: BreakerConfig, governance: Governance): EndpointBreakers {
  return new EndpointBreakers(
    new Map(service.endpoints.map(({ address }) => [address, createBreaker(service, config, address, governance)])),
  )
}

function createRetryRuntime(service: string, config: RetryConfig, governance: Governance): RetryRuntime {
  const { attempts, on, nonIdempotent } = config
  return {
    config,
    policy: new RetryPolicy({ ...RETRY_POLICY_DEFAULTS, attempts, on, nonIdempotent }),
    budget: governance.retryBudget(service, config),
  }
}

interface ListenerEntry {
  readonly tls: ListenerTls | null
  readonly subjectHeaders: readonly string[] | null
}

class RuntimeOfListener implements ListenerRuntime {
  readonly protocol = 'http'
  readonly name: string
  readonly config: HttpListenerConfig
  readonly port: number
  readonly trusted
  readonly headerSources
  readonly tls: ListenerTls | null
  readonly toHttps
  readonly subjectHeaders
  readonly metrics: ListenerMetrics
  life = { isDraining: false }
  readonly unmatched: RouteMetrics
  readonly #registry: MetricsRegistry
  readonly #byRoute = new Map<CompiledRoute, RouteMetrics>()

  constructor(config: HttpListenerConfig, port: number, registry: MetricsRegistry, entry: ListenerEntry) {
    this.tls = entry.tls
    this.subjectHeaders = entry.subjectHeaders
    this.toHttps = createHttpsRedirect(config.httpsRedirect)
    this.name = config.name
    this.config = config
    this.port = port
    this.trusted = config.trustedProxies.length === 0 ? null : createAddressSet(config.trustedProxies)
    this.headerSources = config.proxyProtocol === null ? null : createAddressSet(config.proxyProtocol.from)
    this.metrics = createListenerMetrics(registry, config.name)
    this.unmatched = createRouteMetrics(registry, { route: '-', listener: config.name })
    this.#registry = registry
  }

  metricsOf(route: CompiledRoute): RouteMetrics {
    let metrics = this.#byRoute.get(route)
    if (metrics === undefined) {
      metrics = createRouteMetrics(this.#registry, { route: route.name, listener: this.name })
      this.#byRoute.set(route, metrics)
    }
    return metrics
  }
}

/** One compiled configuration that is not in force yet. */
export interface PreparedSnapshot {
  readonly snapshot: Snapshot
  /** What only older snapshots used is closed. Call after the swap; without it, the older snapshot goes on unharmed. */
  commit(): void
}

/**
 * Compiles configurations for one worker. What did not change is taken over from the snapshot before: a service keeps its balancing
 * state and its connections.
 */
export class SnapshotBuilder {
  readonly #environment: SnapshotEnvironment
  readonly #lookups: LookupCache
  readonly #limits: LimitSet
  #shedder: Shedder | null = null
  #services = new Map<string, RuntimeOfService>()
  readonly #webSockets = new Map<string, OpenWebSockets>()
  readonly #listenerTls: ListenerTlsSet

  constructor(environment: SnapshotEnvironment) {
    this.#environment = environment
    this.#lookups = new LookupCache(environment.clock)
    this.#limits = new LimitSet(environment)
    this.#listenerTls = new ListenerTlsSet(environment)
  }

  /** `ports` are those really bound, by listener. Throws on a configuration that cannot be compiled; nothing has changed then. */
  prepare(
    config: GatewayConfig,
    generation: number,
    options: {
      ports: ReadonlyMap<string, number>
      functions: FunctionLookup
      governance: Governance
      events: UpstreamEvents
      tls: TlsMaterial
    },
  ): PreparedSnapshot {
    const services = new Map<string, RuntimeOfService>()
    const limits = this.#limits.prepare(config, options.governance.limits)
    for (const service of Object.values(config.services)) services.set(service.name, this.#service(service, { ...options, limits }))
    const entries = Object.values(config.routes).map((route) => ({
      config: route,
      route: this.#route(route, services, { ...options, limits }),
    }))
    const listeners = new Map<string, AnyListenerRuntime>()
    const secure = this.#listenerTls.prepare(Object.values(config.listeners), options.tls)
    const subjectHeaders = subjectHeadersOf(Object.values(config.listeners))
    for (const listener of Object.values(config.listeners)) {
      const port = options.ports.get(listener.name) ?? listener.address.port
      listeners.set(listener.name, this.#listener(listener, port, services, { tls: secure.get(listener.name) ?? null, subjectHeaders }))
    }
    const shedder = this.#createShedder(config.overload)
    const loadListeners: LoadListener[] = this.#limits.loadListeners(config, limits)
    if (shedder !== null) loadListeners.push(shedder)
    const snapshot: Snapshot = { generation, routes: createRouteTable(entries), listeners, shedder, loadListeners }
    const commit = () => {
      limits.commit()
      this.#shedder = shedder
      this.#listenerTls.use(secure)
      this.#commit(services)
    }
    return { snapshot, commit }
  }

  /** New keys for the sessions of clients, the same in every worker. */
  useTicketKeys(keys: Buffer): void {
    this.#listenerTls.useTicketKeys(keys)
  }

  #createShedder(config: OverloadConfig | null): Shedder | null {
    if (config === null) return null
    const old = this.#shedder
    if (old !== null && isDeepStrictEqual(old.config, config)) return old
    return new Shedder(config, this.#environment.random, this.#environment.registry)
  }

  /** Closes every connection to endpoints that is idle, and the others after their response. */
  close(): void {
    for (const { pools } of this.#services.values()) pools.close()
  }

  #commit(services: Map<string, RuntimeOfService>): void {
    for (const [name, old] of this.#services) {
      const now = services.get(name)
      if (now === undefined || now.pools !== old.pools) old.pools.close()
      else now.pools.keepOnly(new Set(now.service.config.endpoints.map((endpoint) => endpoint.address)))
    }
    this.#services = services
  }

  #service(
    config: ServiceConfig,
    { events, tls, ...options }: ServiceOptions & { events: UpstreamEvents; tls: TlsMaterial },
  ): RuntimeOfService {
    const { worker, workers, clock, random, wheel, registry, states } = this.#environment
    const old = this.#services.get(config.name)
    if (old !== undefined && isDeepStrictEqual(old.service.config, config)) return old
    const service = createService(config, states, { random, worker, previous: old?.service ?? null })
    const metrics = old?.metrics ?? new ServiceMetrics(registry, config.name)
    if (old !== undefined && hasSameConnections(old.service.config, config))
      return new RuntimeOfService(service, metrics, old.pools, options)
    const pools = new PoolSet({
      config,
      workers,
      clock,
      wheel,
      lookups: this.#lookups,
      texts: tls.texts,
      log: this.#environment.log,
      events,
      idle: metrics.idleConnections,
      busy: metrics.busyConnections,
    })
    return new RuntimeOfService(service, metrics, pools, options)
  }

  #listener(config: ListenerConfig, port: number, services: ReadonlyMap<string, ServiceRuntime>, entry: ListenerEntry): AnyListenerRuntime {
    const { registry, gateway } = this.#environment
    switch (config.protocol) {
      case 'http':
        return new RuntimeOfListener(config, port, registry, entry)
      case 'tcp':
        return createTcpRuntime(config, port, entry.tls, { services, registry, lookups: this.#lookups })
      case 'udp':
        return createUdpRuntime(config, port, { services, registry, lookups: this.#lookups })
      case 'forward': {
        const { name, address } = config
        const http = new RuntimeOfListener(withOwnName({ ...config.http, name, address }, gateway, name), port, registry, entry)
        return createForwardRuntime(config, http, { registry, lookups: this.#lookups })
      }
    }
  }

  #openWebSockets(route: string): OpenWebSockets {
    let open = this.#webSockets.get(route)
    if (open === undefined) {
      open = new OpenWebSockets(createWebSocketMetrics(this.#environment.registry, route))
      this.#webSockets.set(route, open)
    }
    return open
  }

  #route(
    config: RouteConfig,
    services: ReadonlyMap<string, ServiceRuntime>,
    options: ServiceOptions & { functions: FunctionLookup; tls: TlsMaterial },
  ): CompiledRoute {
    const { destination } = config
    const choices = destination.kind === 'services' ? weigh(destination.services, services) : []
    const fallbacks = new Map<ServiceRuntime, FallbackRuntime>()
    for (const { service } of choices) {
      const fallback = config.fallback ?? service.service.config.fallback
      if (fallback !== null) fallbacks.set(service, createFallback(fallback, services))
    }
    return {
      name: config.name,
      config,
      filters: createFilters(
        config.filters,
        {
          functions: options.functions,
          descriptors: (path) => options.tls.texts[path] ?? '',
          reflect: (names) => reflectService(choices[0]?.service.service.config, options.tls.texts, names),
          onDefect: this.#environment.onDefect,
          rateLimit: (filter, route, index) => options.governance.rateLimit(filter, route, index),
        },
        config.name,
      ),
      single: choices.length === 1 ? (choices[0] as WeightedService).service : null,
      weighted: choices.length > 1 ? choices : null,
      answer:
        destination.kind === 'respond'
          ? createRespondAnswer(destination.respond)
          : destination.kind === 'redirect'
            ? createRedirectAnswer(destination.redirect)
            : null,
      maxBodyBytes: config.maxBodyBytes,
      requestMs: config.timeouts.requestMs,
      perTryMs: config.timeouts.perTryMs,
      importance: priorityLevel(config.importance),
      limit: options.limits.get('route', config.name),
      webSocket:
        config.webSocket === null
          ? null
          : createWebSocketRuntime(config.webSocket, this.#openWebSockets(config.name), this.#environment.workers),
      isUpgradeOnly: config.webSocket?.isRequired === true,
      fallback: fallbacks.size === 0 ? null : (fallbacks.values().next().value ?? null),
      fallbacks: fallbacks.size === 0 ? null : fallbacks,
    }
  }
}

function hasSameConnections(before: ServiceConfig, after: ServiceConfig): boolean {
  return (
    isDeepStrictEqual(before.pool, after.pool) &&
    isDeepStrictEqual(before.tls, after.tls) &&
    before.hostHeader === after.hostHeader &&
    before.protocol === after.protocol &&
    isDeepStrictEqual(before.http2, after.http2)
  )
}
