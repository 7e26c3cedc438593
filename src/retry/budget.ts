import { roundUpToLine, type SharedArea } from '../base/shared-area.ts'
import { RatioBudget, ratioBudgetWords } from './ratio-budget.ts'

/**
 * How many retries a service may get, over all workers. Both limits hold:
 *
 * - at the same time: max(minConcurrency, activeRatio * active requests). Keeps retries from filling a slow service.
 * - in each window: max(minPerSecond * seconds, windowRatio * requests). Keeps a service that fails fast, where few requests are
 *   active at a time, from being asked again for each.
 *
 * The floor (minPerSecond) is for services with little traffic that fail now and then. It is withdrawn while retries are of no use: after
 * `maxInVain` of them in a row that failed, with no success of any request in between, only the share of the requests counts, until
 * something succeeds or `vainMs` have passed. So a dead service is not asked twice for everything where there is little traffic.
 */
export interface RetryBudgetConfig {
  /** Default 0.2. */
  readonly activeRatio: number
  /** Default 3. */
  readonly minConcurrency: number
  /** Default 0.2. */
  readonly windowRatio: number
  /** Retries in each second that are allowed at any traffic. Default 1. */
  readonly minPerSecond: number
  /** Default 10 s. */
  readonly windowMs: number
  /** Default 3. */
  readonly maxInVain: number
  /** Default 30 s. */
  readonly vainMs: number
}

export const RETRY_BUDGET_DEFAULTS: RetryBudgetConfig = {
  activeRatio: 0.2,
  minConcurrency: 3,
  windowRatio: 0.2,
  minPerSecond: 1,
  windowMs: 10_000,
  maxInVain: 3,
  vainMs: 30_000,
}

/** Words: the retries now running, those in vain in a row, and when the last of these was; the column of a worker follows, a cache line each. */
const RETRIES = 0
const IN_VAIN = 1
const VAIN_AT = 2
const HEADER_WORDS = 16
const COLUMN_WORDS = 16
const ACTIVE = 0
const OWN_RETRIES = 1

function windowOffset(workers: number): number {
  return HEADER_WORDS + workers * COLUMN_WORDS
}

/** Words of shared memory one budget takes. */
export function retryBudgetWords(workers: number): number {
  return roundUpToLine(windowOffset(workers) + ratioBudgetWords(workers))
}

/** One worker's view. */
export class RetryBudget {
  readonly #area: SharedArea
  readonly #words: Int32Array
  readonly #retries: number
  readonly #column: number
  readonly #config: RetryBudgetConfig
  readonly #window: RatioBudget

  constructor(area: SharedArea, config: RetryBudgetConfig) {
    this.#area = area
    this.#words = area.words
    this.#retries = area.at + RETRIES
    this.#column = area.at + HEADER_WORDS + area.worker * COLUMN_WORDS
    this.#config = config
    this.#window = new RatioBudget(area, windowOffset(area.workers), {
      windowMs: config.windowMs,
      ratio: config.windowRatio,
      minPerWindow: (config.minPerSecond * config.windowMs) / 1000,
    })
  }

  /** A request begins, once for all its attempts. */
  begin(nowMs: number): void {
    Atomics.add(this.#words, this.#column + ACTIVE, 1)
    this.#window.deposit(nowMs)
  }

  /** The request ended. Call exactly once for each `begin`. */
  end(): void {
    Atomics.sub(this.#words, this.#column + ACTIVE, 1)
  }

  /** Takes a place for one retry; call `release` when that attempt ended. False: the budget is exhausted. */
  tryAcquire(nowMs: number): boolean {
    const limit = Math.max(this.#config.minConcurrency, Math.floor(this.#config.activeRatio * this.active + 1e-9))
    let held = Atomics.load(this.#words, this.#retries)
    if (held >= limit || !this.#window.tryWithdraw(nowMs, !this.#isInVain(nowMs))) return false
    while (held < limit) {
      const seen = Atomics.compareExchange(this.#words, this.#retries, held, held + 1)
      if (seen === held) {
        Atomics.add(this.#words, this.#column + OWN_RETRIES, 1)
        return true
      }
      held = seen
    }
    this.#window.refund(nowMs)
    return false
  }

  release(): void {
    Atomics.sub(this.#words, this.#column + OWN_RETRIES, 1)
    Atomics.sub(this.#words, this.#retries, 1)
  }

  /** How an attempt has ended: whether what it got is of use, and whether it was a retry. */
  learn(isGood: boolean, isRetry: boolean, nowMs: number): void {
    const words = this.#words
    const at = this.#area.at + IN_VAIN
    const inVain = Atomics.load(words, at)
    if (isGood) {
      if (inVain !== 0) Atomics.store(words, at, 0)
      return
    }
    if (!isRetry) return
    // It stays at the limit, so that after `vainMs` one more failure is enough.
    if (inVain < this.#config.maxInVain) Atomics.add(words, at, 1)
    Atomics.store(words, this.#area.at + VAIN_AT, nowMs | 0)
  }

  #isInVain(nowMs: number): boolean {
    if (Atomics.load(this.#words, this.#area.at + IN_VAIN) < this.#config.maxInVain) return false
    const ageMs = (nowMs - Atomics.load(this.#words, this.#area.at + VAIN_AT)) | 0
    return ageMs < this.#config.vainMs
  }

  /** Requests now running, over all workers. */
  get active(): number {
    const words = this.#words
    const first = this.#area.at + HEADER_WORDS + ACTIVE
    const end = first + this.#area.workers * COLUMN_WORDS
    // One atomic read orders the plain ones after it.
    let sum = Atomics.load(words, first)
    for (let at = first + COLUMN_WORDS; at < end; at += COLUMN_WORDS) sum += words[at]!
    return sum
  }

  /** Retries now running, over all workers. */
  get retries(): number {
    return Atomics.load(this.#words, this.#retries)
  }

  /** Takes back what a worker that died held. Call before another worker starts under the same index. */
  clearWorker(worker: number): void {
    const column = this.#area.at + HEADER_WORDS + worker * COLUMN_WORDS
    Atomics.store(this.#words, column + ACTIVE, 0)
    Atomics.sub(this.#words, this.#retries, Atomics.exchange(this.#words, column + OWN_RETRIES, 0))
  }

  /** For metrics and the admin listener. Allocates. */
  statistics(nowMs: number): { active: number; retries: number; windowRequests: number; windowRetries: number } {
    const { requests, extras } = this.#window.statistics(nowMs)
    return { active: this.active, retries: this.retries, windowRequests: requests, windowRetries: extras }
  }
}
