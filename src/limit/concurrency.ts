import { roundUpToLine, type SharedArea } from '../base/shared-area.ts'
import { PRIORITY_LEVELS } from './priority.ts'
import { type Waiter, WaitQueue } from './wait-queue.ts'

/**
 * How many requests may run at the same time, exact over all workers, with a bounded queue in each worker. A place that becomes free
 * while somebody waits is handed over, not given up: the most important waiter of all workers gets it, so that nobody overtakes
 * and no place is lost.
 *
 *   header 16 words   held places | limit of this moment (0: the configured one) | rotation | waiters
 *   16 words for each worker   places it holds | waiters | 1 + level of its top waiter | granted, not yet taken | wakes
 *
 * Who waits publishes that first and then tries once more; who leaves gives up the place first and then looks for waiters once more.
 * So one of the two always sees the other.
 */
export interface ConcurrencyConfig {
  /** Requests at the same time, over all workers. */
  readonly max: number
  /** Requests that wait in each worker; 0: none. */
  readonly maxQueued: number
  readonly maxWaitMs: number
  /** Share of the places that each level of priority may fill, 0 to 1, core first. Default 1, 1, 0.8, 0.5. */
  readonly shares?: readonly number[]
}

export const PRIORITY_SHARES: readonly number[] = [1, 1, 0.8, 0.5]

export type Admission = 'admitted' | 'queued' | 'shed'

const HELD = 0
const LIMIT = 1
const ROTATION = 2
/** Of all workers, so that one read tells whether anybody waits. */
const WAITERS = 3
const HEADER_WORDS = 16
const COLUMN_WORDS = 16
const OWN = 0
const WAITING = 1
const TOP = 2
const GRANTS = 3
const WAKES = 4

/** Words of shared memory one limit takes. */
export function concurrencyWords(workers: number): number {
  return roundUpToLine(HEADER_WORDS + workers * COLUMN_WORDS)
}

/** One worker's view. */
export class ConcurrencyLimit {
  readonly #words: Int32Array
  readonly #at: number
  readonly #columns: number
  readonly #column: number
  readonly #worker: number
  readonly #workers: number
  #max: number
  #maxWaitMs: number
  readonly #shares: Float64Array
  readonly #queue: WaitQueue

  constructor(area: SharedArea, config: ConcurrencyConfig) {
    this.#words = area.words
    this.#at = area.at
    this.#columns = area.at + HEADER_WORDS
    this.#worker = area.worker
    this.#workers = area.workers
    this.#column = this.#columns + area.worker * COLUMN_WORDS
    this.#max = Math.max(1, config.max)
    this.#maxWaitMs = config.maxWaitMs
    this.#queue = new WaitQueue(config.maxQueued)
    this.#shares = Float64Array.from({ length: PRIORITY_LEVELS }, (_, level) => (config.shares ?? PRIORITY_SHARES)[level] ?? 1)
  }

  /** From now on with these numbers; what runs and what waits stays. The shares of priorities do not change. */
  configure({ max, maxQueued, maxWaitMs }: ConcurrencyConfig): void {
    this.#max = Math.max(1, max)
    this.#maxWaitMs = maxWaitMs
    this.#queue.maxLength = maxQueued
  }

  /** Requests that run now, over all workers. */
  get inFlight(): number {
    return Atomics.load(this.#words, this.#at + HELD)
  }

  /** The limit of this moment: the configured one, or what an adaptive limit has set. */
  get limit(): number {
    const set = Atomics.load(this.#words, this.#at + LIMIT)
    return set === 0 ? this.#max : Math.min(set, this.#max)
  }

  /** For an adaptive limit (gradient.ts): from now on, for all workers. At least 1, at most the configured maximum. */
  setLimit(limit: number): void {
    Atomics.store(this.#words, this.#at + LIMIT, Math.max(1, Math.floor(limit)))
  }

  /** The configured limit again, after an adaptive one is gone. */
  clearLimit(): void {
    Atomics.store(this.#words, this.#at + LIMIT, 0)
  }

  /** Waiters of all workers. */
  get waiting(): number {
    return Math.max(0, Atomics.load(this.#words, this.#at + WAITERS))
  }

  /** Waiters of this worker. */
  get queued(): number {
    return this.#queue.length
  }

  /** A place now or not at all, for callers that do not queue. Give it back with `leave`. */
  tryEnter(priority: number): boolean {
    return this.#tryHold(this.#worker, priority)
  }

  /**
   * `admitted`: go on, and call `leave` at the end. `queued`: `onAdmitted` or `onShed` of the waiter will be called. `shed`: refused, and
   * nothing will be called.
   */
  enter(waiter: Waiter, nowMs: number): Admission {
    // While others of this worker wait, a place is theirs first, unless they are all less important.
    const top = this.#queue.topPriority
    if ((top === -1 || top > waiter.priority) && this.#tryHold(this.#worker, waiter.priority)) return 'admitted'
    waiter.waitUntilMs = nowMs + this.#maxWaitMs
    if (!this.#queue.push(waiter)) return 'shed'
    this.#publish()
    if (this.#queue.topPriority !== waiter.priority || !this.#tryHold(this.#worker, waiter.priority)) return 'queued'
    // A place became free in between. It is for the first of this level, which is mostly the one that just came.
    const first = this.#queue.shift()
    this.#publish()
    if (first === waiter) return 'admitted'
    first?.onAdmitted()
    return 'queued'
  }

  /** A request that held a place ended. */
  leave(): void {
    const to = this.#mostUrgent()
    if (to !== -1 && this.#mayHandOver(to)) {
      this.#grant(to, true)
      return
    }
    Atomics.sub(this.#words, this.#column + OWN, 1)
    Atomics.sub(this.#words, this.#at + HELD, 1)
    const late = this.#mostUrgent()
    if (late !== -1 && this.#tryHold(late, this.#topOf(late))) this.#grant(late, false)
  }

  /** A waiter gives up, because its client left. False: it does not wait any more. */
  cancel(waiter: Waiter): boolean {
    if (!this.#queue.remove(waiter)) return false
    this.#publish()
    return true
  }

  /** Sheds waiters whose time has passed and admits what fits, as after the limit was raised. Call every few milliseconds while `queued`. */
  poll(nowMs: number): void {
    this.takeGrants()
    if (this.#queue.expire(nowMs) > 0) this.#publish()
    for (let waiting = this.#queue.length; waiting > 0; waiting--) {
      const level = this.#queue.topPriority
      if (level === -1 || !this.#tryHold(this.#worker, level)) return
      this.#admitNext()
    }
  }

  /** Admits waiters to the places other workers handed over. */
  takeGrants(): void {
    for (let grants = Atomics.exchange(this.#words, this.#column + GRANTS, 0); grants > 0; grants--) this.#admitNext()
  }

  /** The limit is no more: every waiter of this worker gets a place, which it gives back as any other. */
  admitAll(): void {
    this.takeGrants()
    for (let waiter = this.#queue.shift(); waiter !== null; waiter = this.#queue.shift()) {
      Atomics.add(this.#words, this.#at + HELD, 1)
      Atomics.add(this.#words, this.#column + OWN, 1)
      waiter.onAdmitted()
    }
    this.#publish()
  }

  /**
   * Resolves when another worker has handed over a place; null when one is there already: call `takeGrants`. Only for workers with
   * waiters; `poll` finds the places too, a little later.
   */
  nextGrant(timeoutMs: number): Promise<unknown> | null {
    const wakes = Atomics.load(this.#words, this.#column + WAKES)
    if (Atomics.load(this.#words, this.#column + GRANTS) > 0) return null
    const wait = Atomics.waitAsync(this.#words, this.#column + WAKES, wakes, timeoutMs)
    return wait.async ? wait.value : null
  }

  /** Takes back what a worker that died held. Call before another worker starts under the same index. */
  clearWorker(worker: number): void {
    const column = this.#columns + worker * COLUMN_WORDS
    Atomics.sub(this.#words, this.#at + WAITERS, Atomics.exchange(this.#words, column + WAITING, 0))
    Atomics.store(this.#words, column + TOP, 0)
    Atomics.store(this.#words, column + GRANTS, 0)
    Atomics.sub(this.#words, this.#at + HELD, Atomics.exchange(this.#words, column + OWN, 0))
  }

  #capOf(priority: number): number {
    return Math.max(1, Math.floor(this.limit * this.#shares[priority]! + 1e-9))
  }

  /** Takes one more place in the name of a worker, if the priority may have it. */
  #tryHold(worker: number, priority: number): boolean {
    const index = this.#at + HELD
    const cap = this.#capOf(priority)
    for (let held = Atomics.load(this.#words, index); held < cap; ) {
      const seen = Atomics.compareExchange(this.#words, index, held, held + 1)
      if (seen === held) {
        Atomics.add(this.#words, this.#columns + worker * COLUMN_WORDS + OWN, 1)
        return true
      }
      held = seen
    }
    return false
  }

  /** Handing over keeps the number of places, which must suit the level that gets it. */
  #mayHandOver(worker: number): boolean {
    return Atomics.load(this.#words, this.#at + HELD) <= this.#capOf(this.#topOf(worker))
  }

  #topOf(worker: number): number {
    return Math.max(0, Atomics.load(this.#words, this.#columns + worker * COLUMN_WORDS + TOP) - 1)
  }

  /** The worker with the most important waiter that no place is on its way to; the turn goes round among equals. -1: nobody waits. */
  #mostUrgent(): number {
    if (Atomics.load(this.#words, this.#at + WAITERS) === 0) return -1
    let best = -1
    let bestTop = Number.POSITIVE_INFINITY
    const first = Atomics.load(this.#words, this.#at + ROTATION)
    for (let i = 0; i < this.#workers; i++) {
      const worker = ((first + i) >>> 0) % this.#workers
      const column = this.#columns + worker * COLUMN_WORDS
      if (Atomics.load(this.#words, column + WAITING) <= Atomics.load(this.#words, column + GRANTS)) continue
      const top = this.#topOf(worker)
      if (top >= bestTop) continue
      best = worker
      bestTop = top
    }
    return best
  }

  /** Gives a place to a waiter of `worker`: one this worker held until now, or one already taken in the other's name. */
  #grant(worker: number, isOwn: boolean): void {
    Atomics.add(this.#words, this.#at + ROTATION, 1)
    if (worker === this.#worker) {
      this.#admitNext()
      return
    }
    const column = this.#columns + worker * COLUMN_WORDS
    if (isOwn) {
      Atomics.sub(this.#words, this.#column + OWN, 1)
      Atomics.add(this.#words, column + OWN, 1)
    }
    Atomics.add(this.#words, column + GRANTS, 1)
    Atomics.add(this.#words, column + WAKES, 1)
    Atomics.notify(this.#words, column + WAKES)
  }

  /** A place of this worker is free for its first waiter; without one it is given up. */
  #admitNext(): void {
    const waiter = this.#queue.shift()
    this.#publish()
    if (waiter === null) this.leave()
    else waiter.onAdmitted()
  }

  #publish(): void {
    Atomics.store(this.#words, this.#column + TOP, this.#queue.topPriority + 1)
    const before = Atomics.exchange(this.#words, this.#column + WAITING, this.#queue.length)
    // Last: who sees it must find the waiter.
    if (before !== this.#queue.length) Atomics.add(this.#words, this.#at + WAITERS, this.#queue.length - before)
  }
}
