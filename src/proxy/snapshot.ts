import { isDeepStrictEqual } from 'node:util'
import { createAddressSet } from '../base/cidr.ts'
import type { Clock, Random } from '../base/clock.ts'
import type { TimerWheel } from '../base/timers.ts'
import type { Breaker } from '../breaker/breaker.ts'
import type { CustomFunction } from '../config/filter-schema.ts'
import type { FunctionRef, GatewayConfig, ListenerConfig, RetryConfig, RouteConfig, ServiceConfig } from '../config/types.ts'
import type { UpstreamEvents } from '../exchange/contracts.ts'
import { createRedirectAnswer, createRespondAnswer } from '../filter/answer.ts'
import { createFilters } from '../filter/order.ts'
import type { MetricsRegistry } from '../observe/metrics-types.ts'
import { createListenerMetrics, createRouteMetrics, type ListenerMetrics, type RouteMetrics } from '../observe/request-metrics.ts'
import { ServiceMetrics } from '../observe/service-metrics.ts'
import { RETRY_POLICY_DEFAULTS, RetryPolicy } from '../retry/policy.ts'
import { createRouteTable } from '../route/table.ts'
import { latencyTrackingOf } from '../service/balance/index.ts'
import type { Endpoint } from '../service/endpoint.ts'
import type { Governance } from '../service/governance.ts'
import { createService, type EndpointStateSource, type Service } from '../service/service.ts'
import { LookupCache } from '../upstream/connector.ts'
import type { Pool } from '../upstream/pool.ts'
import { PoolSet } from '../upstream/pool-set.ts'
import type { CompiledRoute, ListenerRuntime, RetryRuntime, ServiceRuntime, Snapshot, WeightedService } from './runtime.ts'

export interface SnapshotEnvironment {
  readonly worker: number
  readonly workers: number
  readonly clock: Clock
  readonly random: Random
  readonly wheel: TimerWheel
  readonly registry: MetricsRegistry
  readonly states: EndpointStateSource
  readonly onDefect: (error: unknown, where: string) => void
}

/** Finds the function a FunctionRef stands for. Throws when there is none. */
export type FunctionLookup = (ref: FunctionRef) => CustomFunction

class RuntimeOfService implements ServiceRuntime {
  readonly service: Service
  readonly metrics: ServiceMetrics
  readonly pools: PoolSet
  readonly tracksLatency: boolean
  readonly retry: RetryRuntime | null
  readonly breaker: Breaker | null

  constructor(service: Service, metrics: ServiceMetrics, pools: PoolSet, governance: Governance) {
    const { config } = service
    this.service = service
    this.metrics = metrics
    this.pools = pools
    this.tracksLatency = latencyTrackingOf(config.balance) !== null
    this.retry = config.retry === null ? null : createRetryRuntime(config.name, config.retry, governance)
    this.breaker = config.breaker === null ? null : governance.breaker(config.name, config.breaker, config.timeouts.requestMs)
  }

  pool(endpoint: Endpoint): Pool {
    return this.pools.get(endpoint)
  }
}

function createRetryRuntime(service: string, config: RetryConfig, governance: Governance): RetryRuntime {
  const { attempts, on, nonIdempotent } = config
  return {
    config,
    policy: new RetryPolicy({ ...RETRY_POLICY_DEFAULTS, attempts, on, nonIdempotent }),
    budget: governance.retryBudget(service, config),
  }
}

class RuntimeOfListener implements ListenerRuntime {
  readonly name: string
  readonly config: ListenerConfig
  readonly port: number
  readonly trusted
  readonly metrics: ListenerMetrics
  readonly unmatched: RouteMetrics
  readonly #registry: MetricsRegistry
  readonly #byRoute = new Map<CompiledRoute, RouteMetrics>()

  constructor(config: ListenerConfig, port: number, registry: MetricsRegistry) {
    this.name = config.name
    this.config = config
    this.port = port
    this.trusted = config.trustedProxies.length === 0 ? null : createAddressSet(config.trustedProxies)
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
  #services = new Map<string, RuntimeOfService>()

  constructor(environment: SnapshotEnvironment) {
    this.#environment = environment
    this.#lookups = new LookupCache(environment.clock)
  }

  /** `ports` are those really bound, by listener. Throws on a configuration that cannot be compiled; nothing has changed then. */
  prepare(
    config: GatewayConfig,
    generation: number,
    options: { ports: ReadonlyMap<string, number>; functions: FunctionLookup; governance: Governance; events: UpstreamEvents },
  ): PreparedSnapshot {
    const services = new Map<string, RuntimeOfService>()
    for (const service of Object.values(config.services)) services.set(service.name, this.#service(service, options))
    const entries = Object.values(config.routes).map((route) => ({
      config: route,
      route: this.#route(route, services, options),
    }))
    const listeners = new Map<string, ListenerRuntime>()
    for (const listener of Object.values(config.listeners)) {
      const port = options.ports.get(listener.name) ?? listener.address.port
      listeners.set(listener.name, new RuntimeOfListener(listener, port, this.#environment.registry))
    }
    const snapshot: Snapshot = { generation, routes: createRouteTable(entries), listeners }
    return { snapshot, commit: () => this.#commit(services) }
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

  #service(config: ServiceConfig, { events, governance }: { events: UpstreamEvents; governance: Governance }): RuntimeOfService {
    const { worker, workers, clock, random, wheel, registry, states } = this.#environment
    const old = this.#services.get(config.name)
    if (old !== undefined && isDeepStrictEqual(old.service.config, config)) return old
    const service = createService(config, states, { random, worker, previous: old?.service ?? null })
    const metrics = old?.metrics ?? new ServiceMetrics(registry, config.name)
    if (old !== undefined && hasSameConnections(old.service.config, config))
      return new RuntimeOfService(service, metrics, old.pools, governance)
    const pools = new PoolSet({
      config,
      workers,
      clock,
      wheel,
      lookups: this.#lookups,
      events,
      idle: metrics.idleConnections,
      busy: metrics.busyConnections,
    })
    return new RuntimeOfService(service, metrics, pools, governance)
  }

  #route(
    config: RouteConfig,
    services: ReadonlyMap<string, ServiceRuntime>,
    options: { functions: FunctionLookup; governance: Governance },
  ): CompiledRoute {
    const { destination } = config
    const choices = destination.kind === 'services' ? weigh(destination.services, services) : []
    return {
      name: config.name,
      config,
      filters: createFilters(
        config.filters,
        {
          functions: options.functions,
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
    }
  }
}

/** Destinations with weight 0 are left out: they exist to be turned up later. */
function weigh(
  destinations: readonly { service: string; weight: number }[],
  services: ReadonlyMap<string, ServiceRuntime>,
): WeightedService[] {
  const live = destinations.filter((destination) => destination.weight > 0)
  const total = live.reduce((sum, destination) => sum + destination.weight, 0)
  let upTo = 0
  return live.map(({ service, weight }) => {
    const runtime = services.get(service)
    if (runtime === undefined) throw new Error(`no service named "${service}"`)
    upTo += weight / total
    return { service: runtime, upTo }
  })
}

function hasSameConnections(before: ServiceConfig, after: ServiceConfig): boolean {
  return isDeepStrictEqual(before.pool, after.pool) && before.hostHeader === after.hostHeader && before.protocol === after.protocol
}
