import type { Random } from '../base/clock.ts'
import { Ewma } from '../base/ewma.ts'
import { PRIORITY_LEVELS } from './priority.ts'

/**
 * Load shedding of one worker: what share of the requests of each priority is refused follows from how late the event loop is and
 * how full the memory is. For each priority it grows from none to all over a range of the signal, so that the load settles where
 * the worker can bear it instead of swinging between everything and nothing:
 *
 *                 event loop delay, in multiples of the configured one    memory, in parts of what lies above the configured share
 *   background    0.5 to 1                                                -0.5 to 0
 *   low           0.75 to 1.5                                             -0.25 to 0.25
 *   normal        1 to 2                                                  0 to 0.5
 *   core          2 to 4                                                  0.5 to 1
 *
 * So core requests are refused only while all others are.
 */
export interface LoadShedderConfig {
  /** Delay of the event loop from which normal requests are refused; null: it does not count. */
  readonly loopDelayMs: number | null
  /** Share of the memory in use from which normal requests are refused, 0 to 1; null: it does not count. */
  readonly memoryRatio: number | null
}

const DELAY_STARTS: readonly number[] = [2, 1, 0.75, 0.5]
const MEMORY_STARTS: readonly number[] = [0.5, 0, -0.25, -0.5]
const MEMORY_RANGE = 0.5
/** Half-life of the smoothed delay: a single collection of garbage is no overload. */
const DELAY_HALF_LIFE_MS = 500

/** One worker's own. */
export class LoadShedder {
  readonly #config: LoadShedderConfig
  readonly #random: Random
  readonly #delay = new Ewma(DELAY_HALF_LIFE_MS)
  readonly #refused = new Float64Array(PRIORITY_LEVELS)

  constructor(config: LoadShedderConfig, random: Random) {
    this.#config = config
    this.#random = random
  }

  /** Call at regular intervals, some ten times a second. `memoryRatio`: share of the memory in use, 0 when not known. */
  report(loopDelayMs: number, memoryRatio: number, nowMs: number): void {
    // The delay of a quiet loop goes in first, or the first value would count for all of the time before it.
    if (Number.isNaN(this.#delay.value)) this.#delay.add(0, nowMs - DELAY_HALF_LIFE_MS)
    this.#delay.add(loopDelayMs, nowMs)
    for (let level = 0; level < PRIORITY_LEVELS; level++) {
      this.#refused[level] = Math.max(this.#byDelay(level), this.#byMemory(level, memoryRatio))
    }
  }

  /** Share of the requests of a priority that is refused now, 0 to 1. */
  refusedShare(priority: number): number {
    return this.#refused[priority]!
  }

  /** Whether this request is to be refused. */
  refuses(priority: number): boolean {
    const share = this.#refused[priority]!
    return share > 0 && (share >= 1 || this.#random() < share)
  }

  #byDelay(level: number): number {
    const { loopDelayMs } = this.#config
    if (loopDelayMs === null) return 0
    const startMs = loopDelayMs * DELAY_STARTS[level]!
    return within01((this.#delay.value - startMs) / startMs)
  }

  #byMemory(level: number, memoryRatio: number): number {
    const limit = this.#config.memoryRatio
    if (limit === null || limit >= 1) return 0
    const part = (memoryRatio - limit) / (1 - limit)
    return within01((part - MEMORY_STARTS[level]!) / MEMORY_RANGE)
  }
}

function within01(value: number): number {
  return Math.min(1, Math.max(0, value))
}
