import { isDeepStrictEqual } from 'node:util'
import { type EndpointSample, type Outlier, OutlierEjection } from '../breaker/ejection.ts'
import type { EjectionConfig, OutlierConfig, ServiceConfig } from '../config/types.ts'
import { createCounter } from '../observe/handles.ts'
import type { LogFields } from '../observe/log.ts'
import type { MetricsRegistry } from '../observe/metrics-types.ts'
import { METRICS } from '../observe/names.ts'
import type { EjectionGroup } from './ejection-group.ts'
import type { Aside, EndpointControl, EndpointTotals } from './endpoint-control.ts'
import type { PacedLog } from './log-pace.ts'

/** Where the states of endpoints are found: an EndpointStateStore. */
export interface EjectionStates {
  control(service: string, address: string): EndpointControl | null
  group(service: string, addresses: readonly string[], maxEjectedRatio: number): EjectionGroup
}

export interface EjectionWatchOptions {
  readonly states: EjectionStates
  readonly registry: MetricsRegistry
  readonly log: PacedLog
}

/** Why an endpoint is out of use, for people. */
export interface EndpointAside {
  readonly reason: 'failures' | 'error-rate' | 'latency'
  /** A trial request is under way, or the next request is one. */
  readonly isOnTrial: boolean
  readonly leftMs: number
  /** A clause such as `3 failures in a row`. */
  readonly why: string
}

interface Watched {
  readonly control: EndpointControl
  asideCount: number
  totals: EndpointTotals
  /** What took it out of use last. */
  cause: Pick<EndpointAside, 'reason' | 'why'>
  isAside: boolean
}

const KEPT_LOG_MS = 60_000
const UNKNOWN: Watched['cause'] = { reason: 'failures', why: 'failures in a row' }

/** The ejections of one service, seen from the main thread: it makes those by comparison, and tells of all. */
export class EjectionWatch {
  readonly #options: EjectionWatchOptions
  readonly #service: string
  #ejection: EjectionConfig
  #outliers: OutlierEjection | null = null
  #rules: OutlierConfig | null = null
  #group: EjectionGroup | null = null
  #watched = new Map<string, Watched>()
  #nextSweepMs = 0
  #keptLogMs = Number.NEGATIVE_INFINITY

  constructor(options: EjectionWatchOptions, service: string, ejection: EjectionConfig) {
    this.#options = options
    this.#service = service
    this.#ejection = ejection
  }

  /** The service as it is from now on; what stays the same goes on. */
  update(service: ServiceConfig, ejection: EjectionConfig, nowMs: number): void {
    const { states } = this.#options
    this.#ejection = ejection
    const rules = ejection.outliers
    if (!isDeepStrictEqual(rules, this.#rules)) {
      this.#rules = rules
      this.#outliers = rules === null ? null : new OutlierEjection(rules)
      this.#nextSweepMs = nowMs + (rules?.intervalMs ?? 0)
    }
    // An endpoint without weight gets no requests; it does not count as one that is left.
    const addresses = [...new Set(service.endpoints.filter(({ weight }) => weight > 0).map(({ address }) => address))]
    this.#group = rules === null ? null : states.group(service.name, addresses, rules.maxEjectedRatio)
    const before = this.#watched
    this.#watched = new Map()
    for (const address of addresses) {
      const control = states.control(service.name, address)
      if (control === null) continue
      const known = before.get(address)
      this.#watched.set(address, known === undefined ? watch(control) : { ...known, control })
    }
  }

  tick(nowMs: number, show: (address: string, isAside: boolean) => void): void {
    if (this.#outliers !== null && nowMs >= this.#nextSweepMs) {
      // A main thread that was late does not hurry afterwards.
      this.#nextSweepMs = nowMs + (this.#rules?.intervalMs ?? 0)
      this.#sweep(this.#outliers, nowMs)
    }
    for (const [address, watched] of this.#watched) {
      this.#lookForFailures(address, watched, nowMs)
      const isAside = watched.control.aside(this.#ejection.failTimeoutMs, nowMs) !== null
      if (watched.isAside && !isAside) this.#write('info', 'an endpoint is in use again', address, {}, nowMs)
      watched.isAside = isAside
      show(address, isAside)
    }
  }

  /** null: in normal use, or unknown. */
  aside(address: string, nowMs: number): EndpointAside | null {
    const watched = this.#watched.get(address)
    const aside = watched?.control.aside(this.#ejection.failTimeoutMs, nowMs) ?? null
    if (watched === undefined || aside === null) return null
    return { ...this.#causeOf(watched, aside), isOnTrial: aside.kind === 'trial' || aside.leftMs === 0, leftMs: aside.leftMs }
  }

  #causeOf(watched: Watched, aside: Aside): Watched['cause'] {
    // A failed trial, or failures that no tick has seen yet.
    if (aside.kind === 'failures' && watched.cause === UNKNOWN) return this.#failures()
    return watched.cause
  }

  #failures(): Watched['cause'] {
    const { maxFails } = this.#ejection
    return { reason: 'failures', why: maxFails === 1 ? 'a failure' : `${maxFails} failures in a row` }
  }

  #lookForFailures(address: string, watched: Watched, nowMs: number): void {
    const { asideCount } = watched.control
    // Modulo 2^32.
    const times = (asideCount - watched.asideCount) | 0
    if (times === 0) return
    watched.asideCount = asideCount
    if (times < 0) return
    watched.cause = this.#failures()
    watched.isAside = true
    this.#count('failures', times)
    this.#write('warn', 'an endpoint is put aside', address, { reason: 'failures', failures: this.#ejection.maxFails }, nowMs)
  }

  #sweep(outliers: OutlierEjection, nowMs: number): void {
    const all = [...this.#watched]
    const samples = all.map(([, watched]) => this.#sample(watched, nowMs))
    const addresses = all.map(([address]) => address)
    outliers.sweep(addresses, samples, (outlier, durationMs) => {
      const [address, watched] = all[outlier.endpoint]!
      return this.#tryEject(address, watched, outlier, durationMs, nowMs)
    })
  }

  /** What it did since the sweep before. */
  #sample(watched: Watched, nowMs: number): EndpointSample {
    const { control, totals: before } = watched
    const totals = control.totals()
    watched.totals = totals
    const latencies = totals.latencies - before.latencies
    return {
      results: totals.results - before.results,
      errors: totals.errors - before.errors,
      latencyMs: latencies <= 0 ? -1 : (totals.latencyMs - before.latencyMs) / latencies,
      isInUse: !control.isUnhealthy && control.aside(this.#ejection.failTimeoutMs, nowMs) === null,
    }
  }

  #tryEject(address: string, watched: Watched, outlier: Outlier, durationMs: number, nowMs: number): boolean {
    const cause = describe(outlier)
    if (this.#group === null || !watched.control.eject(durationMs, this.#group, nowMs)) {
      if (nowMs - this.#keptLogMs < KEPT_LOG_MS) return false
      this.#keptLogMs = nowMs
      this.#write('warn', 'an endpoint is worse than the others and stays in use, because too many are out of use', address, cause, nowMs)
      return false
    }
    watched.cause = cause
    watched.isAside = true
    this.#count(cause.reason, 1)
    this.#write('warn', 'an endpoint is ejected', address, { ...cause, forMs: durationMs }, nowMs)
    return true
  }

  #count(reason: string, times: number): void {
    createCounter(this.#options.registry, METRICS.endpointEjections, { service: this.#service, reason }).add(times)
  }

  #write(level: 'info' | 'warn', message: string, endpoint: string, fields: LogFields, nowMs: number): void {
    this.#options.log.write(level, message, { service: this.#service, endpoint, ...fields }, nowMs)
  }
}

function watch(control: EndpointControl): Watched {
  return { control, asideCount: control.asideCount, totals: control.totals(), cause: UNKNOWN, isAside: false }
}

function describe({ cause, value, others }: Outlier): Watched['cause'] {
  if (cause === 'latency') return { reason: cause, why: `${round(value)} ms to answer on average, the others ${round(others)} ms` }
  return { reason: cause, why: `${round(value * 100)}% errors, the others ${round(others * 100)}%` }
}

function round(value: number): number {
  return value < 10 ? Math.round(value * 10) / 10 : Math.round(value)
}
