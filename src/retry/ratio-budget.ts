import type { SharedArea } from '../base/shared-area.ts'
import { SharedWindow, sharedWindowWords } from '../base/shared-window.ts'

const REQUESTS = 0
const EXTRAS = 1
const WINDOW_SHAPE = { counters: 2 }

/** Words of shared memory one ratio budget takes. */
export function ratioBudgetWords(workers: number): number {
  return sharedWindowWords(WINDOW_SHAPE, workers)
}

export interface RatioBudgetConfig {
  /** Time over which requests earn and extra requests spend, in ten pieces. */
  readonly windowMs: number
  /** Extra requests for each request, 0 to 1. */
  readonly ratio: number
  /** Extra requests that are allowed in a window whatever the number of requests. */
  readonly minPerWindow: number
}

/**
 * Extra requests (retries, hedges) as a share of the requests of the last seconds, over all workers: at most
 * max(minPerWindow, ratio * requests) in every window. The greater of both and not their sum, so that from some traffic on the
 * load is never more than 1 + ratio of what was asked for. Deposits expire, as in Finagle's retry budget.
 */
export class RatioBudget {
  readonly #words: Int32Array
  readonly #window: SharedWindow
  readonly #ratio: number
  readonly #minPerWindow: number

  constructor(area: SharedArea, offset: number, config: RatioBudgetConfig) {
    this.#words = area.words
    this.#window = new SharedWindow(area, offset, WINDOW_SHAPE, config.windowMs)
    this.#ratio = config.ratio
    this.#minPerWindow = config.minPerWindow
  }

  /** A request begins: its first attempt, not its retries. */
  deposit(nowMs: number): void {
    this.#window.add(REQUESTS, 1, nowMs)
  }

  /**
   * Takes one extra request. It is counted first and taken back when it was one too many: of two workers that want the last one
   * at the same instant neither may get it, but never both. `hasFloor`: whether `minPerWindow` counts.
   */
  tryWithdraw(nowMs: number, hasFloor = true): boolean {
    const at = this.#window.bucketAt(nowMs)
    if (at === -1) return false
    Atomics.add(this.#words, at + EXTRAS, 1)
    const totals = this.#window.sum(nowMs)
    if (totals[EXTRAS]! <= Math.max(hasFloor ? this.#minPerWindow : 0, this.#ratio * totals[REQUESTS]!)) return true
    Atomics.sub(this.#words, at + EXTRAS, 1)
    return false
  }

  /** Gives back what `tryWithdraw` took just before and was not used, with the same `nowMs`. */
  refund(nowMs: number): void {
    const at = this.#window.bucketAt(nowMs)
    if (at !== -1 && Atomics.load(this.#words, at + EXTRAS) > 0) Atomics.sub(this.#words, at + EXTRAS, 1)
  }

  /** Requests and extra requests in the window. Allocates. */
  statistics(nowMs: number): { requests: number; extras: number } {
    const totals = this.#window.sum(nowMs)
    return { requests: totals[REQUESTS]!, extras: totals[EXTRAS]! }
  }
}
