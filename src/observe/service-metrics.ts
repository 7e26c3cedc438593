import type { ErrorCode } from '../base/error.ts'
import { createCounter, createGauge, createHistogram } from './handles.ts'
import type { Counter, Gauge, Histogram, MetricsRegistry } from './metrics-types.ts'
import { METRICS } from './names.ts'
import { ErrorMetrics } from './request-metrics.ts'

/** How an attempt ended, in the words of the endpoint's state: `neutral` says nothing about the endpoint. */
export type AttemptOutcome = 'success' | 'failure' | 'neutral'

/** The metrics of one service in one worker; they survive a reload, because the same names give the same series. */
export class ServiceMetrics {
  /** Connections kept for later use. Whoever adds takes it back. */
  readonly idleConnections: Gauge
  /** Connections a request is using. */
  readonly busyConnections: Gauge
  readonly #success: Counter
  readonly #failure: Counter
  readonly #neutral: Counter
  readonly #duration: Histogram
  readonly #errors: ErrorMetrics
  readonly #retries = new Map<string, Counter>()
  readonly #registry: MetricsRegistry
  readonly #service: string

  constructor(registry: MetricsRegistry, service: string) {
    this.#registry = registry
    this.#service = service
    this.idleConnections = createGauge(registry, METRICS.upstreamConnections, { service, state: 'idle' })
    this.busyConnections = createGauge(registry, METRICS.upstreamConnections, { service, state: 'busy' })
    this.#success = createCounter(registry, METRICS.upstreamAttempts, { service, outcome: 'success' })
    this.#failure = createCounter(registry, METRICS.upstreamAttempts, { service, outcome: 'failure' })
    this.#neutral = createCounter(registry, METRICS.upstreamAttempts, { service, outcome: 'neutral' })
    this.#duration = createHistogram(registry, METRICS.upstreamAttemptDuration, { service })
    this.#errors = new ErrorMetrics((code) => createCounter(registry, METRICS.upstreamErrors, { service, code }))
  }

  /** A failed attempt was repeated for this reason, or not repeated for that. */
  retry(reason: string): void {
    let counter = this.#retries.get(reason)
    if (counter === undefined) {
      counter = createCounter(this.#registry, METRICS.upstreamRetries, { service: this.#service, reason })
      this.#retries.set(reason, counter)
    }
    counter.add(1)
  }

  /** Call once for each attempt; `error` is null unless it failed with one of our codes. */
  attempt(outcome: AttemptOutcome, durationMs: number, error: ErrorCode | null): void {
    if (outcome === 'success') this.#success.add(1)
    else if (outcome === 'failure') this.#failure.add(1)
    else this.#neutral.add(1)
    this.#duration.record(durationMs / 1000)
    if (error !== null) this.#errors.add(error)
  }
}
