import type { ErrorCode } from '../base/error.ts'
import { createCounter, createGauge, createHistogram } from './handles.ts'
import type { Counter, Gauge, Histogram, MetricsRegistry } from './metrics-types.ts'
import { METRICS } from './names.ts'
import { ErrorMetrics } from './request-metrics.ts'

/** How an attempt ended, in the words of the endpoint's state: `neutral` says nothing about the endpoint. */
export type AttemptOutcome = 'success' | 'failure' | 'neutral'

/** `sent` is counted for each backup; then `won` or `lost`, or `failed` for each of both attempts that failed while the other still ran. */
export type HedgeResult = 'sent' | 'won' | 'lost' | 'failed' | 'budget-exhausted' | 'no-endpoint'

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
  readonly #hedges = new Map<HedgeResult, Counter>()
  readonly #fallbacks = new Map<string, Counter>()
  #breakerRejected: Counter | null = null
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

  /** What became of a backup request. */
  hedge(result: HedgeResult): void {
    let counter = this.#hedges.get(result)
    if (counter === undefined) {
      counter = createCounter(this.#registry, METRICS.upstreamHedges, { service: this.#service, result })
      this.#hedges.set(result, counter)
    }
    counter.add(1)
  }

  /** Something else was answered than the service would have. */
  fallback(cause: string): void {
    let counter = this.#fallbacks.get(cause)
    if (counter === undefined) {
      counter = createCounter(this.#registry, METRICS.fallbacks, { service: this.#service, cause })
      this.#fallbacks.set(cause, counter)
    }
    counter.add(1)
  }

  /** A request was turned away because a breaker was open. */
  breakerRejected(): void {
    this.#breakerRejected ??= createCounter(this.#registry, METRICS.breakerRejected, { service: this.#service })
    this.#breakerRejected.add(1)
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
