import type { AddressSet } from '../base/cidr.ts'
import type { Clock, Random } from '../base/clock.ts'
import type { TimerWheel } from '../base/timers.ts'
import type { Wire, WireOwner } from '../base/wire.ts'
import type { Breaker } from '../breaker/breaker.ts'
import type { RetryConfig, RouteConfig } from '../config/types.ts'
import type { Exchange, ListenerContext, LocalResponse, RouteContext } from '../exchange/exchange.ts'
import type { Filter } from '../exchange/filter.ts'
import type { AccessEntry } from '../observe/access-log.ts'
import type { ErrorMetrics, ListenerMetrics, RouteMetrics } from '../observe/request-metrics.ts'
import type { ServiceMetrics } from '../observe/service-metrics.ts'
import type { RetryBudget } from '../retry/budget.ts'
import type { Hedge } from '../retry/hedge.ts'
import type { RetryPolicy } from '../retry/policy.ts'
import type { RouteTable } from '../route/table.ts'
import type { Endpoint } from '../service/endpoint.ts'
import type { Service } from '../service/service.ts'
import type { EndpointPool } from '../upstream/endpoint-pool.ts'
import type { EndpointBreakers } from './endpoint-breakers.ts'
import type { FallbackRuntime } from './fallback.ts'
import type { ForwardRuntime } from './forward-runtime.ts'
import type { LimitRuntime, LoadListener, Shedder } from './limits.ts'
import type { HttpsRedirect } from './listener-entry.ts'
import type { ListenerTls } from './listener-tls.ts'
import type { TcpRuntime } from './tcp-runtime.ts'
import type { TimeAnnouncer } from './time-limits.ts'
import type { UdpRuntime } from './udp-runtime.ts'
import type { WebSocketRuntime } from './websocket.ts'

/** What the data path works with: everything compiled, nothing looked up by name. Built by snapshot.ts. */

export interface ServiceRuntime {
  readonly service: Service
  readonly metrics: ServiceMetrics
  /** Its balancer looks at latencies, or outlier ejection does, or a breaker. */
  readonly tracksLatency: boolean
  /** null: off. */
  readonly retry: RetryRuntime | null
  /** Of the service; null: there is none, or one for each endpoint. */
  readonly breaker: Breaker | null
  /** One for each endpoint; null: there are none. */
  readonly breakers: EndpointBreakers | null
  readonly hedge: Hedge | null
  /** Requests at the same time; null: no limit. */
  readonly limit: LimitRuntime | null
  /** Tells endpoints how long they have; null: they are not told. */
  readonly announcer: TimeAnnouncer | null
  /** The pool of an endpoint of this service; made on first use. */
  pool(endpoint: Endpoint): EndpointPool
  /** A connection of its own to an endpoint of this service, with TLS when the service has it. As `Wire.connect`. */
  open(endpoint: Endpoint, owner: WireOwner, onConnected: () => void): Wire
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
  /** Level of priority; 0 is core. */
  readonly importance: number
  /** Requests at the same time, beside that of the service; null: no limit. */
  readonly limit: LimitRuntime | null
  readonly webSocket: WebSocketRuntime | null
  /** Requests are looked at for upgrades even when they ask for none. */
  readonly isUpgradeOnly: boolean
  /** For requests that are turned away before they have a service. */
  readonly fallback: FallbackRuntime | null
  /** By service; null: there are none. */
  readonly fallbacks: ReadonlyMap<ServiceRuntime, FallbackRuntime> | null
}

/** A listener within one snapshot: its settings may change with a reload while its socket stays. */
export interface ListenerRuntime extends ListenerContext {
  readonly protocol: 'http'
  readonly trusted: AddressSet | null
  /** Who sends PROXY headers; null: nobody. */
  readonly headerSources: AddressSet | null
  /** null: without TLS. */
  readonly tls: ListenerTls | null
  /** Answers what came without TLS; null: it is served. */
  readonly toHttps: HttpsRedirect | null
  /** Headers that no client may set (`forwardSubject`); null: there are none. */
  readonly subjectHeaders: readonly string[] | null
  readonly metrics: ListenerMetrics
  /** Of the bound listener that this is the configuration of: one object over all its reloads. */
  life: { isDraining: boolean }
  /** Requests that matched no route. */
  readonly unmatched: RouteMetrics
  /** Of the requests that matched this route here. */
  metricsOf(route: CompiledRoute): RouteMetrics
}

/** What is compiled of a listener depends on its protocol. All have `name`, `config` and `port`. */
export type AnyListenerRuntime = ListenerRuntime | TcpRuntime | UdpRuntime | ForwardRuntime

export interface Snapshot {
  readonly generation: number
  readonly routes: RouteTable<CompiledRoute>
  readonly listeners: ReadonlyMap<string, AnyListenerRuntime>
  /** null: the worker takes on whatever comes. */
  readonly shedder: Shedder | null
  readonly loadListeners: readonly LoadListener[]
}

/** What does not change with the configuration. One per worker. */
export interface ProxyContext {
  readonly clock: Clock
  readonly random: Random
  readonly wheel: TimerWheel
  /** For what must not be late by the 20 ms of the other one. */
  readonly fineWheel: TimerWheel
  readonly errors: ErrorMetrics
  readonly nextRequestId: () => string
  /** null: no access log. Replaced on reload. */
  accessLog: ((x: Exchange, durationMs: number, status: number) => void) | null
  /** The same for connections of TCP listeners. */
  logConnection: ((entry: AccessEntry) => void) | null
  /** A defect: in a filter, or in Sluice. */
  readonly onDefect: (error: unknown, where: string) => void
  snapshot: Snapshot
}
