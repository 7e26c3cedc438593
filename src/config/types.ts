/**
 * The configuration after parsing: complete (every default filled in), checked, plain data. It crosses threads by structured
 * clone, so it holds no class instances; functions from `sluice.config.ts` are replaced by a FunctionRef.
 *
 * Units are in the names. `Options` (what a user writes) live in schema.ts; these are the `Config` side.
 */

import type { Priority } from '../limit/priority.ts'
import type { ForwardListenerConfig } from './forward-types.ts'
import type { BreakerConfig, EjectionConfig } from './resilience-types.ts'
import type { ProxyProtocolConfig, TcpListenerConfig } from './tcp-types.ts'
import type { ListenerTlsConfig, ServiceTlsConfig } from './tls-types.ts'
import type { UdpListenerConfig } from './udp-types.ts'

export type * from './resilience-types.ts'
export type { TcpListenerConfig } from './tcp-types.ts'

/** Where a function in a `sluice.config.ts` stands, as a path from the default export: workers import the file and look it up. */
export interface FunctionRef {
  kind: 'function'
  /** e.g. ["routes", "users", "filters", 0] */
  path: (string | number)[]
  name: string
}

export interface AddressConfig {
  /** '' means every address (dual stack where the system has IPv6). */
  host: string
  port: number
}

export interface GatewayConfig {
  /** Number of worker threads; `auto` is already resolved to the number of CPUs. */
  workers: number
  admin: AdminConfig | null
  accessLog: AccessLogConfig | null
  log: { level: 'debug' | 'info' | 'warn' | 'error' | 'silent'; format: 'json' | 'text' }
  /** How long a shutdown or a removed listener may take to finish what runs. Default 30 s. */
  drainTimeoutMs: number
  /** Load shedding; null is off. */
  overload: OverloadConfig | null
  listeners: Record<string, ListenerConfig>
  services: Record<string, ServiceConfig>
  routes: Record<string, RouteConfig>
}

export interface AdminConfig {
  address: AddressConfig
  /** Bearer token. Required when the address is not loopback. */
  token: string | null
  tls: ListenerTlsConfig | null
}

export interface AccessLogConfig {
  /** A file path, or '-' for stdout. */
  path: string
  /** `json`, `text` (combined-like), or a template such as `${method} ${path} ${status}`. */
  format: string
}

/** What is spoken on a bound address decides which settings there are. A new protocol is one more member. */
export type ListenerConfig = HttpListenerConfig | TcpListenerConfig | UdpListenerConfig | ForwardListenerConfig

export interface Http2ListenerConfig {
  /** Requests that one connection may have under way. */
  maxConcurrentStreams: number
  /** Bytes of request body that may be on the way or unread, for one request and for all of a connection. */
  streamWindowBytes: number
  connectionWindowBytes: number
}

export interface HttpListenerConfig {
  name: string
  address: AddressConfig
  protocol: 'http'
  /** null: without TLS. */
  tls: ListenerTlsConfig | null
  /** What came without TLS is answered with a redirect to https; null: it is served. */
  httpsRedirect: { port: number; status: 301 | 302 | 307 | 308 } | null
  /** Addresses (CIDR or single) whose X-Forwarded-*, Forwarded and X-Request-Id are believed. */
  trustedProxies: string[]
  /** PROXY protocol expected from these ranges, and from nobody else; null is off. */
  proxyProtocol: ProxyProtocolConfig | null
  maxConnections: number
  maxConnectionsPerClient: number
  /** Requests on one connection before it is closed politely. */
  maxRequestsPerConnection: number
  /** null: HTTP/2 is not spoken here. */
  http2: Http2ListenerConfig | null
  limits: {
    headBytes: number
    headers: number
    uriBytes: number
    bodyBytes: number
  }
  timeouts: {
    /** From the first byte of a request (or from accepting the connection) to the end of its head: 408. */
    headMs: number
    /** Longest pause between two pieces of a request body: 408. */
    bodyMs: number
    /** Longest pause of a client that does not read its response: the connection is reset. */
    sendMs: number
    /** Keep-alive: how long a connection may wait for its next request. */
    idleMs: number
  }
  headers: {
    /** Field names with an underscore: `drop` (default), `reject` (400) or `keep`. */
    underscore: 'drop' | 'reject' | 'keep'
    /** Which forwarding headers are written for the upstream. */
    forwarded: 'x-forwarded' | 'rfc7239' | 'both' | 'none'
    /** The pseudonym in `Via`, or null for none. */
    via: string | null
    /** Make an X-Request-Id when the client sent none that is believed, pass it upstream and back. */
    requestId: boolean
  }
  path: {
    /** `/a//b` is treated and forwarded as `/a/b`. */
    mergeSlashes: boolean
    /** %2f and %5c in a path: `reject` (400) or `keep`. */
    escapedSlashes: 'reject' | 'keep'
  }
}

export interface EndpointConfig {
  /** `host:port`, normalised; the key of the endpoint's live state. */
  address: string
  host: string
  port: number
  weight: number
  /** The tier of the `first` balancer, lower first. Left out: 0. */
  priority?: number
  tags: Record<string, string>
}

export type ServiceProtocol = 'http1' | 'http2' | 'grpc'

/** HTTP/2 towards endpoints. */
export interface Http2ServiceConfig {
  /** Bytes of response body that may be on the way or unread, for one response and for all of a connection. */
  streamWindowBytes: number
  connectionWindowBytes: number
  /** Requests that one connection may have under way. */
  maxStreams: number
  /** Connections of one worker to one endpoint that requests are spread over. */
  connections: number
  /** 0 is off. */
  pingMs: number
}

export interface ServiceConfig {
  name: string
  endpoints: EndpointConfig[]
  /** `grpc` is HTTP/2 with what gRPC needs beyond it. */
  protocol: ServiceProtocol
  /** null exactly when the protocol is `http1`. */
  http2: Http2ServiceConfig | null
  /** null: without TLS. */
  tls: ServiceTlsConfig | null
  /** The version of the PROXY header that connections of TCP listeners begin with; null: none. */
  proxyProtocol: 'v1' | 'v2' | null
  /** What goes upstream as Host: `preserve` (the client's), `endpoint` (its address), or a literal. */
  hostHeader: string
  balance: BalanceConfig
  pool: PoolConfig
  /**
   * `request`: to the response head, all attempts together; 0 is off. `idle`: longest pause between two pieces of a response
   * body, so that streams and long downloads live as long as they move; 0 is off.
   */
  timeouts: {
    requestMs: number
    perTryMs: number | null
    idleMs: number
    /** Endpoints are told how long they have, in X-Sluice-Timeout. */
    propagate: boolean
  }
  /** Active checks; null is off. */
  health: HealthConfig | null
  /** Passive failure counting; null is off. */
  ejection: EjectionConfig | null
  /** Repeating what failed and may be repeated; null is off. */
  retry: RetryConfig | null
  /** null is off. */
  breaker: BreakerConfig | null
  /** null: no limit. */
  concurrency: ConcurrencyLimitConfig | null
  /** Backup requests; null is off. */
  hedge: HedgeConfig | null
  /** What is answered instead when the service cannot; null: the error. */
  fallback: FallbackConfig | null
}

export interface RetryConfig {
  /** With the first one. */
  attempts: number
  /** Conditions of retry/policy.ts. */
  on: string[]
  /** Share of the requests that may be retries. */
  budgetRatio: number
  nonIdempotent: boolean
  /** Bodies up to this size are kept for another attempt. */
  replayBytes: number
}

/** Requests at the same time, over all workers. */
export interface ConcurrencyLimitConfig {
  max: number
  /** Over all workers; divided evenly among them, at least one each. */
  maxQueued: number
  maxWaitMs: number
  adaptive: { kind: 'gradient'; min: number } | { kind: 'bbr'; maxLoopDelayMs: number } | null
}

/** As limit/load-shedder.ts has it. */
export interface OverloadConfig {
  loopDelayMs: number | null
  memoryRatio: number | null
}

/** As retry/hedge.ts has it. */
export interface HedgeConfig {
  after: { delayMs: number } | { quantile: number }
  budgetRatio: number
  minDelayMs: number
  maxDelayMs: number
  minSamples: number
}

export interface FallbackConfig {
  on: FallbackCause[]
  /** Statuses of the service that are replaced as well. */
  statuses: StatusRange[]
  /** The same for calls of gRPC, by code. */
  grpcStatuses: number[]
  /** Exactly one of both is set. */
  respond: RespondConfig | null
  /** The name of another service. */
  to: string | null
}

/** Why a service gave no answer of its own. `failure`: no connection, or it broke off, or what came was no HTTP. */
export type FallbackCause = 'breaker-open' | 'overloaded' | 'timeout' | 'no-endpoint' | 'failure' | 'rate-limited'

export interface HealthConfig {
  check: HealthCheckConfig
  /** null: the port of the endpoint. */
  port: number | null
  intervalMs: number
  /** While an endpoint is unhealthy or not yet known. */
  downIntervalMs: number
  /** Never longer than `intervalMs`. */
  timeoutMs: number
  unhealthyAfter: number
  healthyAfter: number
  /** New endpoints get no request before they have passed. */
  startUnhealthy: boolean
}

export type HealthCheckConfig =
  | {
      kind: 'http'
      /** Path and query. */
      path: string
      method: 'GET' | 'HEAD'
      /** null: as the service, or on a port of its own HTTP/1.1. */
      protocol: 'http1' | 'http2' | null
      /** null: the service's `hostHeader` when that is a name, otherwise the address of the endpoint. */
      host: string | null
      statuses: StatusRange[]
      /** Looked for in the first 64 KiB of the body. */
      match: { test: 'contains'; text: string } | { test: 'regex'; pattern: string } | null
    }
  | { kind: 'tcp' }
  /** grpc.health.v1. `service`: what is asked for; '' is the server as a whole. */
  | { kind: 'grpc'; service: string; host: string | null }

/** Both ends belong to it. */
export interface StatusRange {
  from: number
  to: number
}

export type BalanceConfig = AlgorithmConfig & BalanceOptionsConfig

export type AlgorithmConfig =
  | { algorithm: 'random' }
  | { algorithm: 'weighted-random' }
  | { algorithm: 'round-robin' }
  | { algorithm: 'least-request'; choices: number | 'all' }
  | { algorithm: 'least-connections' }
  | { algorithm: 'fastest-response'; decayMs: number }
  | { algorithm: 'peak-ewma'; decayMs: number }
  | { algorithm: 'consistent-hash'; on: KeyConfig; hash: 'fnv1a' | 'crc32'; virtualNodes: number; loadFactor: number | null }
  | { algorithm: 'maglev'; on: KeyConfig }
  | { algorithm: 'rendezvous'; on: KeyConfig }
  | { algorithm: 'first'; spilloverRatio: number }

/** What goes with every algorithm. A key that is left out is off. */
export interface BalanceOptionsConfig {
  sticky?: StickyConfig
  subset?: SubsetConfig
  /** How long the weight of a new or recovered endpoint rises from a tenth to all of it. */
  slowStartMs?: number
  /** When less than this share of the endpoints is in normal use, all of them are used. From 0 to 1. */
  panicRatio?: number
}

export interface StickyConfig {
  cookie: string
  /** null: until the browser is closed. */
  ttlMs: number | null
}

export interface SubsetConfig {
  /** The tag whose value splits the endpoints. */
  key: string
  from: KeyConfig
  /** For a request that asks for a subset without endpoints. `default`: those without the tag. */
  fallback: 'any' | 'none' | 'default'
  /** For a request that asks for no subset. */
  absent: 'any' | 'none' | 'default'
}

/** Where in a request a key is found. Header names are lower case. */
export type KeyConfig = KeySourceConfig | { from: 'template'; parts: KeyPartConfig[] }

export type KeySourceConfig = { from: 'header' | 'cookie' | 'query'; name: string } | { from: 'client-ip' } | { from: 'path' }

export type KeyPartConfig = KeySourceConfig | { from: 'text'; text: string }

export interface PoolConfig {
  idleTimeoutMs: number
  connectTimeoutMs: number
  /** Per endpoint over all workers; divided evenly among them, at least one each. */
  maxConnections: number
  maxPending: number
  pendingTimeoutMs: number
}

export interface MatchConfig {
  /** Lower case; exact, or `*.example.com`. null: any host. */
  hosts: string[] | null
  path: PathMatchConfig | null
  methods: string[] | null
  headers: ValueMatchConfig[]
  query: ValueMatchConfig[]
  cookies: ValueMatchConfig[]
  /** CIDR or single addresses. */
  clientIp: string[] | null
}

export type PathMatchConfig =
  | { kind: 'exact'; path: string }
  | { kind: 'template'; template: string }
  | { kind: 'prefix'; prefix: string }
  | { kind: 'regex'; pattern: string }

/** One condition on a header, query parameter or cookie. Header names are lower case. */
export type ValueMatchConfig = { name: string } & (
  | { test: 'present' }
  | { test: 'absent' }
  | { test: 'exact'; value: string }
  | { test: 'regex'; pattern: string }
)

export interface RouteConfig {
  name: string
  match: MatchConfig
  /** Added to specificity by the user; higher wins. Default 0. */
  priority: number
  /** Policies already expanded, in order. */
  filters: FilterConfig[]
  destination: DestinationConfig
  /** Override the services'; null: the service's own. */
  timeouts: { requestMs: number | null; perTryMs: number | null }
  /** Largest request body; null: the listener's limit. */
  maxBodyBytes: number | null
  /** What is refused first under overload. */
  importance: Priority
  /** Beside that of the service; null: no limit. */
  concurrency: ConcurrencyLimitConfig | null
  /** Goes before that of the service; null: the service's. */
  fallback: FallbackConfig | null
  /** null: requests for a WebSocket are refused. */
  webSocket: WebSocketConfig | null
  /** Other protocols that may take over a connection, lower case. */
  upgrades: string[]
}

export interface WebSocketConfig {
  /** Everything else is refused. */
  isRequired: boolean
  /** null: any, and none. */
  origins: string[] | null
  idleMs: number
  pingMs: number | null
  maxLifetimeMs: number | null
  /** Over all workers. */
  maxConnections: number | null
  maxConnectionsPerClient: number | null
  maxMessageBytes: number | null
  messagesPerSecond: number | null
}

export type DestinationConfig =
  | { kind: 'services'; services: { service: string; weight: number }[] }
  | { kind: 'respond'; respond: RespondConfig }
  | { kind: 'redirect'; redirect: RedirectConfig }

export interface RespondConfig {
  status: number
  headers: Record<string, string>
  body: string
}

export interface RedirectConfig {
  status: 301 | 302 | 303 | 307 | 308
  /** Full target, or null when built from the parts below. `$1`-style references only in `rewrite`-made targets. */
  to: string | null
  scheme: 'http' | 'https' | null
  host: string | null
  port: number | null
  path: string | null
  stripPrefix: string | null
  /** Keep the request's query. Default true. */
  keepQuery: boolean
}

export interface HeaderEditConfig {
  set: Record<string, string>
  add: Record<string, string>
  remove: string[]
}

export interface RateLimitFilterConfig {
  kind: 'rate-limit'
  /** Filters of the same name share their buckets; null: each route has its own. */
  name: string | null
  ratePerSecond: number
  burst: number
  /** What has a bucket of its own; null: all requests share one. */
  by: KeyConfig | null
  /** Buckets kept at the same time. */
  maxKeys: number
}

export interface GrpcJsonFilterConfig {
  kind: 'grpc-json'
  /** Absolute path of a FileDescriptorSet; null: the service is asked (server reflection). */
  descriptors: string | null
  /** A digest of that file. */
  revision: string
  /** Full names; null: all in the descriptors. */
  services: string[] | null
  ignoreUnknown: boolean
  emitDefaults: boolean
  maxMessageBytes: number
  /** Where the OpenAPI document is; null: nowhere. */
  openapi: string | null
}

export type FilterConfig =
  | { kind: 'headers'; request: HeaderEditConfig; response: HeaderEditConfig }
  | { kind: 'rewrite'; from: string; to: string }
  | { kind: 'rewrite-prefix'; prefix: string; to: string }
  | { kind: 'strip-prefix'; prefix: string }
  | RateLimitFilterConfig
  | { kind: 'grpc-web' }
  | GrpcJsonFilterConfig
  | { kind: 'redirect'; redirect: RedirectConfig }
  | { kind: 'respond'; respond: RespondConfig }
  | { kind: 'custom'; ref: FunctionRef }
