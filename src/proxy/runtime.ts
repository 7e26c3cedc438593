import type { AddressSet } from '../base/cidr.ts'
import type { Clock, Random } from '../base/clock.ts'
import type { TimerWheel } from '../base/timers.ts'
import type { Breaker } from '../breaker/breaker.ts'
import type { RetryConfig, RouteConfig } from '../config/types.ts'
import type { Exchange, ListenerContext, LocalResponse, RouteContext } from '../exchange/exchange.ts'
import type { Filter } from '../exchange/filter.ts'
import type { ErrorMetrics, ListenerMetrics, RouteMetrics } from '../observe/request-metrics.ts'
import type { ServiceMetrics } from '../observe/service-metrics.ts'
import type { RetryBudget } from '../retry/budget.ts'
import type { RetryPolicy } from '../retry/policy.ts'
import type { RouteTable } from '../route/table.ts'
import type { Endpoint } from '../service/endpoint.ts'
import type { Service } from '../service/service.ts'
import type { Pool } from '../upstream/pool.ts'

/** What the data path works with: everything compiled, nothing looked up by name. Built by snapshot.ts. */

export interface ServiceRuntime {
  readonly service: Service
  readonly metrics: ServiceMetrics
  /** Its balancer looks at latencies. */
  readonly tracksLatency: boolean
  /** null: off. */
  readonly retry: RetryRuntime | null
  readonly breaker: Breaker | null
  /** The pool of an endpoint of this service; made on first use. */
  pool(endpoint: Endpoint): Pool
}

export interface RetryRuntime {
  readonly config: RetryConfig
  readonly policy: RetryPolicy
  readonly budget: RetryBudget
}

export interface WeightedService {
  readonly service: ServiceRuntime
  /** Upper edge of its share in [0, 1]. */
  readonly upTo: number
}

export interface CompiledRoute extends RouteContext {
  readonly name: string
  readonly config: RouteConfig
  readonly filters: readonly Filter[] | null
  /** The only service, or null when there are several or none. */
  readonly single: ServiceRuntime | null
  readonly weighted: readonly WeightedService[] | null
  /** Answers here, without a service. */
  readonly answer: ((x: Exchange) => LocalResponse) | null
  /** null: the listener's. */
  readonly maxBodyBytes: number | null
  readonly requestMs: number | null
  readonly perTryMs: number | null
}

/** A listener within one snapshot: its settings may change with a reload while its socket stays. */
export interface ListenerRuntime extends ListenerContext {
  readonly trusted: AddressSet | null
  readonly metrics: ListenerMetrics
  /** Requests that matched no route. */
  readonly unmatched: RouteMetrics
  /** Of the requests that matched this route here. */
  metricsOf(route: CompiledRoute): RouteMetrics
}

export interface Snapshot {
  readonly generation: number
  readonly routes: RouteTable<CompiledRoute>
  readonly listeners: ReadonlyMap<string, ListenerRuntime>
}

/** What does not change with the configuration. One per worker. */
export interface ProxyContext {
  readonly clock: Clock
  readonly random: Random
  readonly wheel: TimerWheel
  readonly errors: ErrorMetrics
  readonly nextRequestId: () => string
  /** null: no access log. Replaced on reload. */
  accessLog: ((x: Exchange, durationMs: number, status: number) => void) | null
  /** A defect: in a filter, or in Sluice. */
  readonly onDefect: (error: unknown, where: string) => void
  snapshot: Snapshot
}
