import { type SharedAreaLayout, type SharedAreaLease, SharedAreaStore, SharedAreas } from '../base/shared-area.ts'
import type { Breaker } from '../breaker/breaker.ts'
import { CircuitBreaker, circuitBreakerWords } from '../breaker/circuit-breaker.ts'
import type { BreakerConfig, RetryConfig, ServiceConfig } from '../config/types.ts'
import { RETRY_BUDGET_DEFAULTS, RetryBudget, retryBudgetWords } from '../retry/budget.ts'

/**
 * The shared memory of what governs a service over all workers: its retry budget and its breaker. It belongs to the name of the service and
 * survives reloads, as the state of endpoints does.
 */
export interface GovernanceLayout {
  readonly retryBudgets: SharedAreaLayout
  readonly breakers: SharedAreaLayout
}

export interface GovernanceLease {
  readonly layout: GovernanceLayout
  release(nowMs: number): void
}

/** The owner, on the main thread. */
export class GovernanceStore {
  readonly #retryBudgets: SharedAreaStore
  readonly #breakers: SharedAreaStore

  constructor(workers: number) {
    this.#retryBudgets = new SharedAreaStore({ wordsPerArea: retryBudgetWords(workers), workers })
    this.#breakers = new SharedAreaStore({ wordsPerArea: circuitBreakerWords(workers), workers })
  }

  retain(services: Iterable<ServiceConfig>, nowMs: number): GovernanceLease {
    const names = Array.from(services, (service) => service.name)
    const leases: SharedAreaLease[] = [this.#retryBudgets.retain(names, nowMs), this.#breakers.retain(names, nowMs)]
    const [retryBudgets, breakers] = leases as [SharedAreaLease, SharedAreaLease]
    return {
      layout: { retryBudgets: retryBudgets.layout, breakers: breakers.layout },
      release: (releasedAtMs) => {
        for (const lease of leases) lease.release(releasedAtMs)
      },
    }
  }

  /** Takes back what a worker that died held. Call before another worker starts under the same index. */
  resetWorker(worker: number): void {
    const areas = this.#retryBudgets.all()
    for (const name of areas.names) new RetryBudget(areas.area(name), RETRY_BUDGET_DEFAULTS).clearWorker(worker)
  }
}

/** One worker's access. */
export class Governance {
  readonly #retryBudgets: SharedAreas
  readonly #breakers: SharedAreas

  constructor(layout: GovernanceLayout, worker: number) {
    this.#retryBudgets = new SharedAreas(layout.retryBudgets, worker)
    this.#breakers = new SharedAreas(layout.breakers, worker)
  }

  retryBudget(service: string, config: RetryConfig): RetryBudget {
    const { budgetRatio } = config
    return new RetryBudget(this.#retryBudgets.area(service), {
      ...RETRY_BUDGET_DEFAULTS,
      activeRatio: budgetRatio,
      windowRatio: budgetRatio,
    })
  }

  breaker(service: string, config: BreakerConfig): Breaker {
    return new CircuitBreaker(this.#breakers.area(service), config)
  }
}
