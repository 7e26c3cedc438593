import type { ErrorCode } from '../base/error.ts'
import { GrpcMetrics } from './grpc-metrics.ts'
import { createCounter, createGauge, createHistogram } from './handles.ts'
import { Http2Metrics } from './http2-metrics.ts'
import type { Counter, Gauge, Histogram, MetricsRegistry } from './metrics-types.ts'
import { METRICS } from './names.ts'

/**
 * Handles for what happens to requests, made when a snapshot is compiled. Series are created by the first use, so ten thousand
 * routes without traffic cost nothing and do not use up the cap on series.
 */

/** The metrics of one route on one listener. */
export class RouteMetrics {
  readonly #registry: MetricsRegistry
  readonly #route: string
  readonly #listener: string
  readonly #byStatus = new Map<number, Counter>()
  #lastStatus = 0
  #lastCounter: Counter | null = null
  #duration: Histogram | null = null
  #requestBytes: Counter | null = null
  #responseBytes: Counter | null = null
  #grpc: GrpcMetrics | null = null

  constructor(registry: MetricsRegistry, options: { route: string; listener: string }) {
    this.#registry = registry
    this.#route = options.route
    this.#listener = options.listener
  }

  /** Of the calls among them; made by the first. */
  get grpc(): GrpcMetrics {
    this.#grpc ??= new GrpcMetrics(this.#registry, this.#route)
    return this.#grpc
  }

  /** Call once for each request. `status` is what the client got, or 499 when it went away; bytes are those of the bodies. */
  finish(status: number, durationMs: number, requestBytes: number, responseBytes: number): void {
    // Most requests end like the one before, so the map is rarely asked.
    if (status === this.#lastStatus && this.#lastCounter !== null) this.#lastCounter.add(1)
    else this.#count(status)
    if (this.#duration === null) this.#open()
    this.#duration!.record(durationMs / 1000)
    if (requestBytes > 0) this.#requestBytes!.add(requestBytes)
    if (responseBytes > 0) this.#responseBytes!.add(responseBytes)
  }

  #count(status: number): void {
    let counter = this.#byStatus.get(status)
    if (counter === undefined) {
      const labels = { listener: this.#listener, route: this.#route, code: String(status) }
      counter = createCounter(this.#registry, METRICS.requests, labels)
      this.#byStatus.set(status, counter)
    }
    this.#lastStatus = status
    this.#lastCounter = counter
    counter.add(1)
  }

  #open(): void {
    const labels = { route: this.#route }
    this.#duration = createHistogram(this.#registry, METRICS.requestDuration, labels)
    this.#requestBytes = createCounter(this.#registry, METRICS.requestBytes, labels)
    this.#responseBytes = createCounter(this.#registry, METRICS.responseBytes, labels)
  }
}

/** Requests that no route matched are counted under the route name `-`, which no configuration can have. */
export function createRouteMetrics(registry: MetricsRegistry, options: { route: string; listener: string }): RouteMetrics {
  return new RouteMetrics(registry, options)
}

/** Counters by error code, each created by its first use. */
export class ErrorMetrics {
  readonly #counters = new Map<ErrorCode, Counter>()
  readonly #create: (code: ErrorCode) => Counter

  constructor(create: (code: ErrorCode) => Counter) {
    this.#create = create
  }

  add(code: ErrorCode): void {
    let counter = this.#counters.get(code)
    if (counter === undefined) {
      counter = this.#create(code)
      this.#counters.set(code, counter)
    }
    counter.add(1)
  }
}

/** What Sluice itself answered or cut short, by error code. One for each worker. */
export function createGatewayErrorMetrics(registry: MetricsRegistry): ErrorMetrics {
  return new ErrorMetrics((code) => createCounter(registry, METRICS.gatewayErrors, { code }))
}

/** The metrics of one listener. Whoever adds to a gauge takes it back. */
export interface ListenerMetrics {
  readonly requestsInFlight: Gauge
  readonly connectionsOpen: Gauge
  readonly connectionsAccepted: Counter
  readonly connectionsRefused: Counter
  readonly http2: Http2Metrics
}

/** Made when a listener starts. */
export function createListenerMetrics(registry: MetricsRegistry, listener: string): ListenerMetrics {
  return {
    requestsInFlight: createGauge(registry, METRICS.requestsInFlight, { listener }),
    connectionsOpen: createGauge(registry, METRICS.connectionsOpen, { listener }),
    connectionsAccepted: createCounter(registry, METRICS.connectionsAccepted, { listener }),
    connectionsRefused: createCounter(registry, METRICS.connectionsRefused, { listener }),
    http2: new Http2Metrics(registry, listener),
  }
}
