import type { Random } from '../base/clock.ts'
import { type SharedAreaLayout, type SharedAreaLease, SharedAreaStore, SharedAreas } from '../base/shared-area.ts'
import { AdaptiveThrottle, adaptiveThrottleWords } from '../breaker/adaptive-throttle.ts'
import type { Breaker } from '../breaker/breaker.ts'
import { CIRCUIT_BREAKER_DEFAULTS, CircuitBreaker, circuitBreakerWords } from '../breaker/circuit-breaker.ts'
import type { BreakerConfig, GatewayConfig, HedgeConfig, RateLimitFilterConfig, RetryConfig, ServiceConfig } from '../config/types.ts'
import { createSharedTable, SharedTable, type SharedTableLayout } from '../limit/shared-table.ts'
import { RETRY_BUDGET_DEFAULTS, RetryBudget, retryBudgetWords } from '../retry/budget.ts'
import { Hedge, hedgeWords } from '../retry/hedge.ts'
import { type LimitLayout, LimitMemory, LimitMemoryStore } from './limit-memory.ts'

/**
 * The shared memory of what governs a service over all workers: its retry budget and its breaker. It belongs to the name of the service and
 * survives reloads, as the state of endpoints does.
 */
export interface GovernanceLayout {
  readonly retryBudgets: SharedAreaLayout
  /** By `breakerId`. */
  readonly breakers: SharedAreaLayout
  /** Of the services that have one. */
  readonly hedges: SharedAreaLayout
  /** Concurrency limits. */
  readonly limits: LimitLayout
  /** By `rateLimitId`. */
  readonly rateLimits: Readonly<Record<string, SharedTableLayout>>
}

/** Which buckets a rate limit uses: those of its name, or its own by its place in a route. */
export function rateLimitId(config: RateLimitFilterConfig, route: string, index: number): string {
  return config.name === null ? `route ${route} ${index}` : `name ${config.name}`
}

/** How the ids of breakers of this kind begin. */
const CIRCUIT_ID = 'circuit '

/** Whose breaker it is: of the service, or of one endpoint. What is stored differs by kind, so that they share no memory. */
function breakerId({ kind }: BreakerConfig, service: string, address: string | null): string {
  return address === null ? `${kind} ${service}` : `${kind} ${service} ${address}`
}

function breakerIds({ name, breaker, endpoints }: ServiceConfig): string[] {
  if (breaker === null) return []
  if (breaker.per === 'service') return [breakerId(breaker, name, null)]
  return endpoints.map(({ address }) => breakerId(breaker, name, address))
}

export interface GovernanceLease {
  readonly layout: GovernanceLayout
  release(nowMs: number): void
}

/** The owner, on the main thread. */
export class GovernanceStore {
  readonly #retryBudgets: SharedAreaStore
  readonly #breakers: SharedAreaStore
  readonly #hedges: SharedAreaStore
  /** Concurrency limits. */
  readonly limits: LimitMemoryStore
  readonly #random: Random
  /** Buckets survive a reload as long as their rate, burst and size stay the same. */
  readonly #rateLimits = new Set<RateLimits>()

  constructor(workers: number, random: Random) {
    this.#random = random
    this.#retryBudgets = new SharedAreaStore({ wordsPerArea: retryBudgetWords(workers), workers })
    this.#breakers = new SharedAreaStore({ wordsPerArea: Math.max(circuitBreakerWords(workers), adaptiveThrottleWords(workers)), workers })
    this.#hedges = new SharedAreaStore({ wordsPerArea: hedgeWords(workers), workers, areasPerSegment: 8 })
    this.limits = new LimitMemoryStore(workers)
  }

  retain(config: GatewayConfig, nowMs: number): GovernanceLease {
    const names = Object.keys(config.services)
    const retryBudgets = this.#retryBudgets.retain(names, nowMs)
    const breakers = this.#breakers.retain(Object.values(config.services).flatMap(breakerIds), nowMs)
    const hedges = this.#hedges.retain(
      names.filter((name) => config.services[name]?.hedge != null),
      nowMs,
    )
    const limits = this.limits.retain(config, nowMs)
    const leases: Pick<SharedAreaLease, 'release'>[] = [limits, retryBudgets, breakers, hedges]
    const rateLimits = this.#retainRateLimits(config, nowMs)
    return {
      layout: {
        retryBudgets: retryBudgets.layout,
        breakers: breakers.layout,
        hedges: hedges.layout,
        limits: limits.layout,
        rateLimits: layoutsOf(rateLimits),
      },
      release: (releasedAtMs) => {
        this.#rateLimits.delete(rateLimits)
        for (const lease of leases) lease.release(releasedAtMs)
      },
    }
  }

  /** The tables of every configuration that is held are looked at: one that was refused must not take the buckets with it. */
  #retainRateLimits(config: GatewayConfig, nowMs: number): RateLimits {
    const kept: RateLimits = new Map()
    for (const route of Object.values(config.routes)) {
      route.filters.forEach((filter, index) => {
        if (filter.kind !== 'rate-limit') return
        const id = rateLimitId(filter, route.name, index)
        if (kept.has(id)) return
        const layout = this.#findTable(id, filter) ?? createSharedTable(filter, nowMs, this.#random)
        kept.set(id, { config: filter, layout })
      })
    }
    this.#rateLimits.add(kept)
    return kept
  }

  #findTable(id: string, filter: RateLimitFilterConfig): SharedTableLayout | null {
    for (const limits of this.#rateLimits) {
      const known = limits.get(id)
      if (known !== undefined && isSameLimit(known.config, filter)) return known.layout
    }
    return null
  }

  /** Takes back what a worker that died held. Call before another worker starts under the same index. */
  resetWorker(worker: number): void {
    this.limits.resetWorker(worker)
    const areas = this.#retryBudgets.all()
    for (const name of areas.names) new RetryBudget(areas.area(name), RETRY_BUDGET_DEFAULTS).clearWorker(worker)
    const breakers = this.#breakers.all()
    for (const id of breakers.names)
      if (id.startsWith(CIRCUIT_ID)) new CircuitBreaker(breakers.area(id), CIRCUIT_BREAKER_DEFAULTS).clearWorker(worker)
  }
}

/** The tables of one configuration, by `rateLimitId`. */
type RateLimits = Map<string, { config: RateLimitFilterConfig; layout: SharedTableLayout }>

function layoutsOf(limits: RateLimits): Record<string, SharedTableLayout> {
  return Object.fromEntries(Array.from(limits, ([id, { layout }]) => [id, layout]))
}

function isSameLimit(a: RateLimitFilterConfig, b: RateLimitFilterConfig): boolean {
  return a.ratePerSecond === b.ratePerSecond && a.burst === b.burst && a.maxKeys === b.maxKeys
}

/** One worker's access. */
export class Governance {
  readonly #retryBudgets: SharedAreas
  readonly #breakers: SharedAreas
  readonly #hedges: SharedAreas
  readonly limits: LimitMemory
  readonly #random: Random
  readonly #rateLimits: GovernanceLayout['rateLimits']

  /** The main thread looks as worker 0, and records nothing. */
  constructor(layout: GovernanceLayout, worker: number, random: Random) {
    this.#random = random
    this.#rateLimits = layout.rateLimits
    this.#retryBudgets = new SharedAreas(layout.retryBudgets, worker)
    this.#breakers = new SharedAreas(layout.breakers, worker)
    this.#hedges = new SharedAreas(layout.hedges, worker)
    this.limits = new LimitMemory(layout.limits, worker)
  }

  retryBudget(service: string, config: RetryConfig): RetryBudget {
    const { budgetRatio } = config
    return new RetryBudget(this.#retryBudgets.area(service), {
      ...RETRY_BUDGET_DEFAULTS,
      activeRatio: budgetRatio,
      windowRatio: budgetRatio,
    })
  }

  rateLimit(config: RateLimitFilterConfig, route: string, index: number): SharedTable {
    const layout = this.#rateLimits[rateLimitId(config, route, index)]
    if (layout === undefined) throw new Error(`no memory for the rate limit of route ${route}`)
    return new SharedTable(layout)
  }

  hedge(service: string, config: HedgeConfig): Hedge {
    return new Hedge(this.#hedges.area(service), config)
  }

  /**
   * Of one endpoint, or of the service where `address` is null. A probe keeps its place at least as long as its request may take
   * (`requestMs`), or there would be more of them than configured.
   */
  breaker(service: string, address: string | null, config: BreakerConfig, requestMs: number): Breaker {
    const area = this.#breakers.area(breakerId(config, service, address))
    if (config.kind === 'adaptive-throttle') return new AdaptiveThrottle(area, config, this.#random)
    const probeTimeoutMs = Math.max(config.probeTimeoutMs, requestMs)
    return new CircuitBreaker(area, { ...config, probeTimeoutMs })
  }
}
