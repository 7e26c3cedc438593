import { type SharedArea, type SharedAreaLayout, type SharedAreaLease, SharedAreaStore, SharedAreas } from '../base/shared-area.ts'
import type { ConcurrencyLimitConfig, GatewayConfig } from '../config/types.ts'
import { type ConcurrencyConfig, ConcurrencyLimit, concurrencyWords } from '../limit/concurrency.ts'
import { gradientWords } from '../limit/gradient.ts'
import type { LimitStatus } from '../observe/limit-metrics.ts'

/**
 * The shared memory of concurrency limits. It belongs to the name of the service or route and survives reloads, so that what runs stays
 * counted.
 */
export interface LimitLayout {
  readonly places: SharedAreaLayout
  /** Of the adaptive limits that need one. */
  readonly gradients: SharedAreaLayout
}

export interface LimitLease {
  readonly layout: LimitLayout
  release(nowMs: number): void
}

interface NamedLimit {
  readonly scope: LimitStatus['scope']
  readonly name: string
  readonly config: ConcurrencyLimitConfig
}

export function limitId(scope: LimitStatus['scope'], name: string): string {
  return `${scope} ${name}`
}

/** The concurrency limits of a configuration, services first. */
export function namedLimits(config: GatewayConfig): NamedLimit[] {
  const limits: NamedLimit[] = []
  for (const [name, { concurrency }] of Object.entries(config.services)) {
    if (concurrency != null) limits.push({ scope: 'service', name, config: concurrency })
  }
  for (const [name, { concurrency }] of Object.entries(config.routes)) {
    if (concurrency != null) limits.push({ scope: 'route', name, config: concurrency })
  }
  return limits
}

/** What one of `workers` workers does of it: each has a queue of its own. */
export function concurrencyOf({ max, maxQueued, maxWaitMs }: ConcurrencyLimitConfig, workers: number): ConcurrencyConfig {
  return { max, maxQueued: Math.ceil(maxQueued / workers), maxWaitMs }
}

/** The owner, on the main thread. */
export class LimitMemoryStore {
  readonly #workers: number
  readonly #places: SharedAreaStore
  readonly #gradients: SharedAreaStore

  constructor(workers: number) {
    this.#workers = workers
    this.#places = new SharedAreaStore({ wordsPerArea: concurrencyWords(workers), workers })
    this.#gradients = new SharedAreaStore({ wordsPerArea: gradientWords(workers), workers, areasPerSegment: 8 })
  }

  retain(config: GatewayConfig, nowMs: number): LimitLease {
    const limits = namedLimits(config)
    const places = this.#places.retain(limits.map(idOf), nowMs)
    const gradients = this.#gradients.retain(limits.filter((limit) => limit.config.adaptive?.kind === 'gradient').map(idOf), nowMs)
    const leases: SharedAreaLease[] = [places, gradients]
    return {
      layout: { places: places.layout, gradients: gradients.layout },
      release: (releasedAtMs) => {
        for (const lease of leases) lease.release(releasedAtMs)
      },
    }
  }

  /** Takes back what a worker that died held. Call before another worker starts under the same index. */
  resetWorker(worker: number): void {
    const areas = this.#places.all()
    for (const name of areas.names) new ConcurrencyLimit(areas.area(name), { max: 1, maxQueued: 0, maxWaitMs: 0 }).clearWorker(worker)
  }

  /** The limits of the configuration in force, as they are now. */
  status(config: GatewayConfig): LimitStatus[] {
    const areas = this.#places.all()
    return namedLimits(config).map(({ scope, name, config: own }) => {
      const { limit, inFlight, waiting } = new ConcurrencyLimit(areas.area(limitId(scope, name)), concurrencyOf(own, this.#workers))
      return { scope, name, limit, inFlight, waiting }
    })
  }
}

function idOf({ scope, name }: NamedLimit): string {
  return limitId(scope, name)
}

/** One worker's access. */
export class LimitMemory {
  readonly #places: SharedAreas
  readonly #gradients: SharedAreas

  constructor(layout: LimitLayout, worker: number) {
    this.#places = new SharedAreas(layout.places, worker)
    this.#gradients = new SharedAreas(layout.gradients, worker)
  }

  places(id: string): SharedArea {
    return this.#places.area(id)
  }

  gradient(id: string): SharedArea {
    return this.#gradients.area(id)
  }
}
