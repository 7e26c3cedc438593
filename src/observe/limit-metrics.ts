import { createCounter, createGauge } from './handles.ts'
import type { Counter, Gauge, MetricsRegistry } from './metrics-types.ts'
import { METRICS } from './names.ts'

/** Whose limit it is. `gateway`: load shedding, which concerns all services; its name is `-`. */
export type LimitScope = 'service' | 'route' | 'gateway'

/** Counters of what was turned away, each made by its first use. One for each limit and worker. */
export class ShedMetrics {
  readonly #registry: MetricsRegistry
  readonly #scope: LimitScope
  readonly #name: string
  readonly #byReason = new Map<string, (Counter | undefined)[]>()
  readonly #importances: readonly string[]

  /** `importances`: the word for each level of priority. */
  constructor(registry: MetricsRegistry, scope: LimitScope, name: string, importances: readonly string[]) {
    this.#registry = registry
    this.#scope = scope
    this.#name = name
    this.#importances = importances
  }

  add(reason: string, priority: number): void {
    let counters = this.#byReason.get(reason)
    if (counters === undefined) {
      counters = []
      this.#byReason.set(reason, counters)
    }
    let counter = counters[priority]
    if (counter === undefined) {
      const importance = this.#importances[priority] ?? '-'
      counter = createCounter(this.#registry, METRICS.shed, { scope: this.#scope, name: this.#name, reason, importance })
      counters[priority] = counter
    }
    counter.add(1)
  }
}

/** A concurrency limit as it is now, over all workers. */
export interface LimitStatus {
  readonly scope: Exclude<LimitScope, 'gateway'>
  readonly name: string
  readonly limit: number
  readonly inFlight: number
  readonly waiting: number
}

interface Gauges {
  readonly limit: Gauge
  readonly inFlight: Gauge
  readonly waiting: Gauge
}

/** The gauges of all concurrency limits. Returns the function that brings them up to date: give it to `MetricsStore.onSnapshot`. */
export function createLimitMetrics(registry: MetricsRegistry, read: () => readonly LimitStatus[]): () => void {
  const known = new Map<string, Gauges>()
  return () => {
    const gone = new Set(known.keys())
    for (const { scope, name, limit, inFlight, waiting } of read()) {
      const key = `${scope} ${name}`
      gone.delete(key)
      let gauges = known.get(key)
      if (gauges === undefined) {
        gauges = {
          limit: createGauge(registry, METRICS.concurrencyLimit, { scope, name }),
          inFlight: createGauge(registry, METRICS.concurrencyInFlight, { scope, name }),
          waiting: createGauge(registry, METRICS.concurrencyWaiting, { scope, name }),
        }
        known.set(key, gauges)
      }
      gauges.limit.set(limit)
      gauges.inFlight.set(inFlight)
      gauges.waiting.set(waiting)
    }
    // A limit that was taken out of the configuration leaves zeros, not the last numbers it had.
    for (const key of gone) {
      const gauges = known.get(key) as Gauges
      gauges.limit.set(0)
      gauges.inFlight.set(0)
      gauges.waiting.set(0)
    }
  }
}
