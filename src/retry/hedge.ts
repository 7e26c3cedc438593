import { roundUpToLine, type SharedArea } from '../base/shared-area.ts'
import { SharedHistogram, sharedHistogramWords } from '../base/shared-histogram.ts'
import { RatioBudget, ratioBudgetWords } from './ratio-budget.ts'

/**
 * Backup requests: when the first attempt has not answered after a while, the same request goes to another endpoint too, and the
 * first success wins. When that is, and whether it is allowed, is decided here.
 */
export interface HedgeConfig {
  /** When to send the backup: after a fixed time, or when the request is slower than this share of the recent ones (0.95 is p95). */
  readonly after: { readonly delayMs: number } | { readonly quantile: number }
  /** Backups for each request, 0 to 1. Default 0.05. */
  readonly budgetRatio: number
  /** Bounds of a delay taken from the quantile. Default 1 ms and 2 s. */
  readonly minDelayMs: number
  readonly maxDelayMs: number
  /** Latencies needed in the window before a quantile means anything. Default 100. */
  readonly minSamples: number
}

export const HEDGE_DEFAULTS: HedgeConfig = {
  after: { quantile: 0.95 },
  budgetRatio: 0.05,
  minDelayMs: 1,
  maxDelayMs: 2000,
  minSamples: 100,
}

/** No backup: too little is known yet. */
export const NO_HEDGE = -1

/** The latencies of the last 30 s in three pieces; the quantile is taken anew every 3 s. */
const LATENCY_WINDOW_MS = 30_000
const REFRESH_MS = 3000
/** As long as too little is known. */
const FIRST_REFRESH_MS = 200
const BUDGET_WINDOW_MS = 10_000

/** Words of shared memory one service's hedging takes. */
export function hedgeWords(workers: number): number {
  return roundUpToLine(ratioBudgetWords(workers)) + sharedHistogramWords(workers)
}

/** One worker's view. */
export class Hedge {
  readonly #config: HedgeConfig
  readonly #budget: RatioBudget
  /** Null with a fixed delay. */
  readonly #latencies: SharedHistogram | null
  #delayMs: number
  #refreshAtMs = Number.NEGATIVE_INFINITY

  constructor(area: SharedArea, config: HedgeConfig) {
    this.#config = config
    this.#budget = new RatioBudget(area, 0, { windowMs: BUDGET_WINDOW_MS, ratio: config.budgetRatio, minPerWindow: 0 })
    const isFixed = 'delayMs' in config.after
    this.#latencies = isFixed ? null : new SharedHistogram(area, roundUpToLine(ratioBudgetWords(area.workers)), LATENCY_WINDOW_MS)
    this.#delayMs = 'delayMs' in config.after ? config.after.delayMs : NO_HEDGE
  }

  /** A request begins: it earns its share of a backup. */
  begin(nowMs: number): void {
    this.#budget.deposit(nowMs)
  }

  /** How long to wait for the first attempt before a backup; NO_HEDGE (-1): send none. */
  delayMs(nowMs: number): number {
    if (this.#latencies === null || nowMs < this.#refreshAtMs) return this.#delayMs
    const { after, minSamples, minDelayMs, maxDelayMs } = this.#config
    const latencyMs = 'quantile' in after ? this.#latencies.quantileMs(after.quantile, nowMs, minSamples) : NO_HEDGE
    this.#refreshAtMs = nowMs + (latencyMs < 0 ? FIRST_REFRESH_MS : REFRESH_MS)
    this.#delayMs = latencyMs < 0 ? NO_HEDGE : Math.min(Math.max(latencyMs, minDelayMs), maxDelayMs)
    return this.#delayMs
  }

  /** Asked when the delay has passed: true takes one backup from the budget. */
  trySpend(nowMs: number): boolean {
    return this.#budget.tryWithdraw(nowMs)
  }

  /** Gives back what `trySpend` took just before, with the same `nowMs`: there was no endpoint for it. */
  refund(nowMs: number): void {
    this.#budget.refund(nowMs)
  }

  /**
   * An attempt ended after `latencyMs`, or was cancelled because the other one won: then its time until that is what is known of it.
   * Attempts that failed are not recorded.
   */
  record(latencyMs: number, nowMs: number): void {
    this.#latencies?.record(latencyMs, nowMs)
  }

  /** Requests and backups of the last 10 s. Allocates. */
  statistics(nowMs: number): { requests: number; backups: number; delayMs: number } {
    const { requests, extras } = this.#budget.statistics(nowMs)
    return { requests, backups: extras, delayMs: this.delayMs(nowMs) }
  }
}
