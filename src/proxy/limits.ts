import { isDeepStrictEqual } from 'node:util'
import type { Clock, Random } from '../base/clock.ts'
import { Timed, type TimerWheel } from '../base/timers.ts'
import type { ConcurrencyLimitConfig, GatewayConfig, OverloadConfig } from '../config/types.ts'
import { BBR_DEFAULTS, BbrLimit } from '../limit/bbr.ts'
import { type Admission, ConcurrencyLimit } from '../limit/concurrency.ts'
import { GRADIENT_DEFAULTS, GradientLimit } from '../limit/gradient.ts'
import { LoadShedder } from '../limit/load-shedder.ts'
import { PRIORITIES } from '../limit/priority.ts'
import type { Waiter } from '../limit/wait-queue.ts'
import { type LimitStatus, ShedMetrics } from '../observe/limit-metrics.ts'
import type { MetricsRegistry } from '../observe/metrics-types.ts'
import { concurrencyOf, type LimitMemory, limitId, namedLimits } from '../service/limit-memory.ts'

/** How long one wait for places from other workers lasts; then it is begun anew, while requests wait. */
const GRANT_WAIT_MS = 1000
/** A turn of a wait that ends at once finds a place; more of them in a row than this are left to the next poll. */
const MAX_GRANT_TURNS = 64

export interface LimitEnvironment {
  readonly workers: number
  readonly clock: Clock
  readonly random: Random
  /** Ticks every few milliseconds while something is in it. */
  readonly wheel: TimerWheel
  readonly registry: MetricsRegistry
}

/** What hears how this worker does: adaptive limits and the load shedder. */
export interface LoadListener {
  reportLoad(loopDelayMs: number, memoryRatio: number, nowMs: number): void
}

/** A place somebody holds: what the limit consisted of when it was taken, for a reload may change it. */
export interface LimitParts {
  readonly gradient: GradientLimit | null
  readonly bbr: BbrLimit | null
}

/**
 * The concurrency limit of a service or route in one worker. It lives as long as its name is configured: a reload changes its numbers, and
 * what runs and waits stays where it is.
 */
export class LimitRuntime extends Timed implements LoadListener {
  readonly limit: ConcurrencyLimit
  readonly scope: LimitStatus['scope']
  readonly name: string
  readonly shed: ShedMetrics
  readonly #environment: LimitEnvironment
  #config: ConcurrencyLimitConfig | null = null
  #parts: LimitParts = { gradient: null, bbr: null }
  #isListening = false
  #wasEmpty = false
  #isClosed = false

  constructor(scope: LimitStatus['scope'], name: string, memory: LimitMemory, environment: LimitEnvironment) {
    super()
    this.scope = scope
    this.name = name
    this.#environment = environment
    this.limit = new ConcurrencyLimit(memory.places(limitId(scope, name)), { max: 1, maxQueued: 0, maxWaitMs: 0 })
    this.shed = new ShedMetrics(environment.registry, scope, name, PRIORITIES)
  }

  /** Nobody is limited by it any more. */
  get isClosed(): boolean {
    return this.#isClosed
  }

  get parts(): LimitParts {
    return this.#parts
  }

  configure(config: ConcurrencyLimitConfig, memory: LimitMemory): void {
    const { random, workers } = this.#environment
    const before = this.#config
    this.#config = config
    this.limit.configure(concurrencyOf(config, workers))
    const { adaptive } = config
    if (adaptive?.kind === 'gradient') {
      const { min } = adaptive
      const settings = { ...GRADIENT_DEFAULTS, minLimit: min, minRttConcurrency: min, maxLimit: config.max }
      const initialLimit = Math.min(config.max, Math.max(min, GRADIENT_DEFAULTS.initialLimit))
      const gradient = new GradientLimit(memory.gradient(limitId(this.scope, this.name)), { ...settings, initialLimit }, random)
      this.#parts = { gradient, bbr: null }
      this.limit.setLimit(gradient.limit)
      return
    }
    this.limit.clearLimit()
    if (adaptive === null) this.#parts = { gradient: null, bbr: null }
    else if (this.#parts.bbr === null || !isDeepStrictEqual(before?.adaptive, adaptive)) {
      this.#parts = { gradient: null, bbr: new BbrLimit({ ...BBR_DEFAULTS, maxLoopDelayMs: adaptive.maxLoopDelayMs }) }
    }
  }

  /** See ConcurrencyLimit.enter. */
  enter(waiter: Waiter, nowMs: number): Admission {
    const admission = this.limit.enter(waiter, nowMs)
    if (admission === 'queued') this.#watch(nowMs)
    return admission
  }

  /** Nobody configures this limit any more. */
  close(): void {
    this.#isClosed = true
    this.limit.admitAll()
  }

  reportLoad(loopDelayMs: number, _memoryRatio: number, nowMs: number): void {
    this.#parts.bbr?.reportLoopDelay(loopDelayMs, nowMs)
  }

  #watch(nowMs: number): void {
    this.#wasEmpty = false
    if (this.deadlineMs === 0) this.#environment.wheel.arm(this, nowMs + 1)
    this.#listen()
  }

  override onDeadline(nowMs: number): void {
    if (this.#isClosed) return
    this.limit.poll(nowMs)
    // Once more after the last has gone: a place may have been on its way.
    const isEmpty = this.limit.queued === 0
    if (isEmpty && this.#wasEmpty) return
    this.#wasEmpty = isEmpty
    this.#environment.wheel.arm(this, nowMs + 1)
  }

  /** One promise for all that wait here, and only while there are other workers to hear from. */
  #listen(): void {
    if (this.#isListening || this.#environment.workers === 1) return
    for (let turn = 0; turn < MAX_GRANT_TURNS && this.limit.queued > 0; turn++) {
      const granted = this.limit.nextGrant(GRANT_WAIT_MS)
      if (granted !== null) {
        this.#isListening = true
        void granted.then(this.#onGrant)
        return
      }
      this.limit.takeGrants()
    }
  }

  readonly #onGrant = (): void => {
    this.#isListening = false
    if (this.#isClosed) return
    this.limit.takeGrants()
    this.#listen()
  }
}

/** The limits of one configuration that is not in force yet. */
export interface PreparedLimits {
  get(scope: LimitStatus['scope'], name: string): LimitRuntime | null
  commit(): void
}

/** The limits of one worker, over all configurations. */
export class LimitSet {
  readonly #environment: LimitEnvironment
  #limits = new Map<string, LimitRuntime>()

  constructor(environment: LimitEnvironment) {
    this.#environment = environment
  }

  /** Limits that exist go on as they are until `commit`. */
  prepare(config: GatewayConfig, memory: LimitMemory): PreparedLimits {
    const limits = new Map<string, LimitRuntime>()
    const configs = new Map<LimitRuntime, ConcurrencyLimitConfig>()
    for (const { scope, name, config: own } of namedLimits(config)) {
      const id = limitId(scope, name)
      const old = this.#limits.get(id)
      const limit = old ?? new LimitRuntime(scope, name, memory, this.#environment)
      if (old === undefined) limit.configure(own, memory)
      else configs.set(limit, own)
      limits.set(id, limit)
    }
    return {
      get: (scope, name) => limits.get(limitId(scope, name)) ?? null,
      commit: () => {
        for (const [limit, own] of configs) limit.configure(own, memory)
        for (const [id, limit] of this.#limits) if (limits.get(id) !== limit) limit.close()
        this.#limits = limits
      },
    }
  }

  /** Those that want to hear how the worker does. */
  loadListeners(config: GatewayConfig, prepared: PreparedLimits): LoadListener[] {
    return namedLimits(config).flatMap(({ scope, name, config: own }) =>
      own.adaptive?.kind === 'bbr' ? [prepared.get(scope, name) as LimitRuntime] : [],
    )
  }
}

/** Refuses requests while the worker is overloaded, the least important first. */
export class Shedder implements LoadListener {
  readonly config: OverloadConfig
  readonly #shedder: LoadShedder
  readonly #shed: ShedMetrics

  constructor(config: OverloadConfig, random: Random, registry: MetricsRegistry) {
    this.config = config
    this.#shedder = new LoadShedder(config, random)
    this.#shed = new ShedMetrics(registry, 'gateway', '-', PRIORITIES)
  }

  /** Counts it too. */
  refuses(priority: number): boolean {
    if (!this.#shedder.refuses(priority)) return false
    this.#shed.add('overload', priority)
    return true
  }

  reportLoad(loopDelayMs: number, memoryRatio: number, nowMs: number): void {
    this.#shedder.report(loopDelayMs, memoryRatio, nowMs)
  }
}
