import { isDeepStrictEqual } from 'node:util'
import type { Clock } from '../base/clock.ts'
import type { BreakerState } from '../breaker/breaker.ts'
import type { ServiceConfig } from '../config/types.ts'
import type { Log } from '../observe/log.ts'
import type { MetricsStore } from '../observe/metrics-store.ts'
import { METRICS } from '../observe/names.ts'
import { type BreakerView, BreakerWatch } from './breaker-watch.ts'
import { type EjectionStates, EjectionWatch, type EndpointAside } from './ejection-watch.ts'
import { GaugeSet } from './gauge-set.ts'
import type { Governance } from './governance.ts'
import { PacedLog } from './log-pace.ts'

export interface ServiceWatchOptions {
  readonly clock: Clock
  /** An EndpointStateStore. */
  readonly states: EjectionStates
  readonly metrics: Pick<MetricsStore, 'registry' | 'attach'>
  readonly log: Log
}

/** How often `tick` is to be called. */
export const SERVICE_WATCH_TICK_MS = 250

/** What the main thread knows of an endpoint beside its counts and its health. */
export interface EndpointView {
  /** null: in normal use. */
  readonly aside: EndpointAside | null
  /** How much of its weight an endpoint has that is new or came back, in percent; null: all of it. */
  readonly slowStartPercent: number | null
  /** Its own breaker; null: it has none. */
  readonly breaker: BreakerView | null
}

export interface ServiceView {
  readonly breaker: BreakerView | null
  /** null: retries are off. */
  readonly retryBudget: RetryBudgetView | null
}

export interface RetryBudgetView {
  /** Now running. */
  readonly requests: number
  readonly retries: number
  /** In the last 10 s. */
  readonly recentRequests: number
  readonly recentRetries: number
}

const STATE_VALUES: Readonly<Record<BreakerState, number>> = { closed: 0, 'half-open': 1, open: 2 }

/**
 * The main thread's eye on what governs services: it compares endpoints and ejects outliers, and says in metrics and the log what
 * workers did on their own (endpoints put aside, breakers opened and closed).
 */
export class ServiceWatch {
  readonly #options: ServiceWatchOptions
  readonly #log: PacedLog
  readonly #ejected: GaugeSet<typeof METRICS.endpointEjected>
  readonly #breakerStates: GaugeSet<typeof METRICS.breakerState>
  #services: Readonly<Record<string, ServiceConfig>> = {}
  #governance: Governance | null = null
  #ejections = new Map<string, EjectionWatch>()
  #breakers = new Map<string, BreakerWatch>()

  constructor(options: ServiceWatchOptions) {
    this.#options = options
    this.#log = new PacedLog(options.log)
    this.#ejected = new GaugeSet(options.metrics, METRICS.endpointEjected)
    this.#breakerStates = new GaugeSet(options.metrics, METRICS.breakerState)
  }

  /** The configuration is in force; `governance` is its memory. */
  update(services: Readonly<Record<string, ServiceConfig>>, governance: Governance): void {
    const nowMs = this.#options.clock.now()
    this.#updateEjections(services, nowMs)
    this.#updateBreakers(services, governance, nowMs)
    this.#services = services
    this.#governance = governance
    this.#show(nowMs)
  }

  tick(): void {
    const nowMs = this.#options.clock.now()
    this.#log.flush(nowMs)
    this.#show(nowMs)
  }

  endpoint(service: string, address: string): EndpointView {
    const nowMs = this.#options.clock.now()
    return {
      aside: this.#ejections.get(service)?.aside(address, nowMs) ?? null,
      slowStartPercent: this.#slowStartPercent(service, address, nowMs),
      breaker: this.#breakers.get(keyOf(service, address))?.view(nowMs) ?? null,
    }
  }

  service(name: string): ServiceView {
    const nowMs = this.#options.clock.now()
    return { breaker: this.#breakers.get(keyOf(name, null))?.view(nowMs) ?? null, retryBudget: this.#retryBudget(name, nowMs) }
  }

  #updateEjections(services: Readonly<Record<string, ServiceConfig>>, nowMs: number): void {
    const { states, metrics } = this.#options
    const before = this.#ejections
    this.#ejections = new Map()
    const rows = []
    for (const service of Object.values(services)) {
      const { name, ejection, endpoints } = service
      if (ejection === null) continue
      const watch = before.get(name) ?? new EjectionWatch({ states, registry: metrics.registry, log: this.#log }, name, ejection)
      watch.update(service, ejection, nowMs)
      this.#ejections.set(name, watch)
      for (const { address } of endpoints) rows.push({ key: keyOf(name, address), labels: { service: name, endpoint: address } })
    }
    this.#ejected.showOnly(rows)
  }

  #updateBreakers(services: Readonly<Record<string, ServiceConfig>>, governance: Governance, nowMs: number): void {
    const before = this.#breakers
    this.#breakers = new Map()
    const rows = []
    for (const service of Object.values(services)) {
      const { name, breaker, endpoints, timeouts } = service
      if (breaker === null) continue
      const isSame = isDeepStrictEqual(this.#services[name]?.breaker, breaker)
      for (const address of breaker.per === 'service' ? [null] : endpoints.map((endpoint) => endpoint.address)) {
        const key = keyOf(name, address)
        const known = isSame ? before.get(key) : undefined
        const view = governance.breaker(name, address, breaker, timeouts.requestMs)
        this.#breakers.set(key, known ?? new BreakerWatch(name, address, view, breaker.kind === 'adaptive-throttle', nowMs))
        rows.push({ key, labels: { service: name, endpoint: address ?? '' } })
      }
    }
    this.#breakerStates.showOnly(rows)
  }

  #show(nowMs: number): void {
    for (const [name, watch] of this.#ejections)
      watch.tick(nowMs, (address, isAside) => this.#ejected.set(keyOf(name, address), isAside ? 1 : 0))
    for (const [key, watch] of this.#breakers) this.#breakerStates.set(key, STATE_VALUES[watch.tick(this.#log, nowMs)])
  }

  #slowStartPercent(name: string, address: string, nowMs: number): number | null {
    const slowStartMs = this.#services[name]?.balance.slowStartMs ?? 0
    const upForMs = slowStartMs === 0 ? null : (this.#options.states.control(name, address)?.upForMs(nowMs) ?? null)
    if (upForMs === null || upForMs >= slowStartMs) return null
    // As the balancers do: from a tenth to all of it.
    return Math.round(10 + (90 * upForMs) / slowStartMs)
  }

  #retryBudget(name: string, nowMs: number): RetryBudgetView | null {
    const retry = this.#services[name]?.retry ?? null
    if (retry === null || this.#governance === null) return null
    const { active, retries, windowRequests, windowRetries } = this.#governance.retryBudget(name, retry).statistics(nowMs)
    return { requests: active, retries, recentRequests: windowRequests, recentRetries: windowRetries }
  }
}

/** No service name has a space. */
function keyOf(service: string, address: string | null): string {
  return `${service} ${address ?? ''}`
}
