import { PRIORITY_LEVELS } from './priority.ts'

export type ShedReason =
  /** The queue is full of requests at least as important. */
  | 'queue-full'
  /** A more important request took its place in the queue. */
  | 'displaced'
  | 'wait-too-long'

/** Something that waits. The queue links the objects themselves, so that waiting allocates nothing. */
export interface Waiter {
  /** Level of priority: 0 (core) to PRIORITY_LEVELS - 1. Must not change while it waits. */
  priority: number
  /** When it gives up. Set by the queue's owner. */
  waitUntilMs: number
  /** Owned by the queue: start with null, null, false. */
  nextWaiter: Waiter | null
  previousWaiter: Waiter | null
  isWaiting: boolean
  /** It got a place, and must give it back with `leave`. */
  onAdmitted(): void
  /** It got none and waits no more. */
  onShed(reason: ShedReason): void
}

/** Waiters of one thread: by priority first, then first come first served. Bounded; every step costs the same at any length. */
export class WaitQueue {
  readonly #heads: (Waiter | null)[] = new Array(PRIORITY_LEVELS).fill(null)
  readonly #tails: (Waiter | null)[] = new Array(PRIORITY_LEVELS).fill(null)
  /** May change; waiters beyond it stay. */
  maxLength: number
  #length = 0

  constructor(maxLength: number) {
    this.maxLength = maxLength
  }

  get length(): number {
    return this.#length
  }

  /** Level of the most important waiter; -1 when there is none. */
  get topPriority(): number {
    for (let level = 0; level < PRIORITY_LEVELS; level++) if (this.#heads[level] !== null) return level
    return -1
  }

  /**
   * False: it is full of waiters at least as important. A less important one that has to go is the latest of the least important
   * level; it is told `displaced`.
   */
  push(waiter: Waiter): boolean {
    if (this.#length >= this.maxLength && !this.#displace(waiter.priority)) return false
    const level = waiter.priority
    const tail = this.#tails[level]!
    waiter.previousWaiter = tail
    waiter.nextWaiter = null
    waiter.isWaiting = true
    if (tail === null) this.#heads[level] = waiter
    else tail.nextWaiter = waiter
    this.#tails[level] = waiter
    this.#length++
    return true
  }

  /** Takes out the most important waiter, the earliest of its level; null when there is none. */
  shift(): Waiter | null {
    const level = this.topPriority
    const waiter = level === -1 ? null : this.#heads[level]!
    if (waiter !== null) this.remove(waiter)
    return waiter
  }

  /** Takes out a waiter, wherever it is. False: it does not wait here any more. */
  remove(waiter: Waiter): boolean {
    if (!waiter.isWaiting) return false
    const { nextWaiter, previousWaiter, priority } = waiter
    if (previousWaiter === null) this.#heads[priority] = nextWaiter
    else previousWaiter.nextWaiter = nextWaiter
    if (nextWaiter === null) this.#tails[priority] = previousWaiter
    else nextWaiter.previousWaiter = previousWaiter
    waiter.nextWaiter = null
    waiter.previousWaiter = null
    waiter.isWaiting = false
    this.#length--
    return true
  }

  /** Sheds all whose time has passed, and returns how many. All wait equally long, so each level is in the order of its deadlines. */
  expire(nowMs: number): number {
    let expired = 0
    for (let level = 0; level < PRIORITY_LEVELS; level++) {
      for (let waiter = this.#heads[level]!; waiter !== null && waiter.waitUntilMs <= nowMs; waiter = this.#heads[level]!) {
        this.remove(waiter)
        waiter.onShed('wait-too-long')
        expired++
      }
    }
    return expired
  }

  #displace(priority: number): boolean {
    for (let level = PRIORITY_LEVELS - 1; level > priority; level--) {
      const waiter = this.#tails[level]!
      if (waiter === null) continue
      this.remove(waiter)
      waiter.onShed('displaced')
      return true
    }
    return false
  }
}
