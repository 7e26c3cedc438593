import type { ErrorCode } from '../base/error.ts'
import { priorityLevel } from '../limit/priority.ts'
import type { ShedReason, Waiter } from '../limit/wait-queue.ts'
import type { LimitRuntime } from './limits.ts'

/** `granted`: the wait is over, and the connection has not gone on yet. */
type State = 'waiting' | 'granted' | 'held' | 'over'

/** Connections have no importance of their own: all are as requests of routes that say nothing about it. */
const IMPORTANCE = priorityLevel('normal')

/** What a connection does when its wait for a place is over. */
export interface PlaceOwner {
  /** It has the place. */
  onPlace(): void
  /** It gets none. */
  onNoPlace(code: ErrorCode): void
}

/**
 * The place of a TCP connection under the concurrency limit of its service: waited for in the same queue as requests, held until the
 * connection ends. Adaptive limits look at answers, which a connection does not have; the configuration refuses them for such services.
 */
export class TcpPlace implements Waiter {
  readonly #limit: LimitRuntime
  readonly #owner: PlaceOwner
  #state: State = 'over'
  #shedReason: ShedReason | null = null
  readonly priority = IMPORTANCE
  waitUntilMs = 0
  nextWaiter: Waiter | null = null
  previousWaiter: Waiter | null = null
  isWaiting = false

  constructor(limit: LimitRuntime, owner: PlaceOwner) {
    this.#limit = limit
    this.#owner = owner
  }

  /** True: it holds the place already. Otherwise its owner hears of it, at once when nobody may wait. */
  enter(nowMs: number): boolean {
    const limit = this.#limit
    // Taken away by a reload, while this connection goes by the configuration it began with.
    if (limit.isClosed) return true
    switch (limit.enter(this, nowMs)) {
      case 'admitted':
        this.#state = 'held'
        return true
      case 'queued':
        // A place that became free in this moment is granted already.
        if (this.#state === 'over') this.#state = 'waiting'
        return false
      case 'shed':
        this.#refuse('queue-full')
        return false
    }
  }

  // Both are called from where another connection or request ends, so they only take note.

  onAdmitted(): void {
    this.#state = 'granted'
    process.nextTick(this.#goOn)
  }

  onShed(reason: ShedReason): void {
    this.#state = 'over'
    this.#shedReason = reason
    process.nextTick(this.#goOn)
  }

  readonly #goOn = (): void => {
    if (this.#shedReason !== null) this.#refuse(this.#shedReason)
    else if (this.#state === 'granted') {
      this.#state = 'held'
      this.#owner.onPlace()
    }
  }

  #refuse(reason: ShedReason): void {
    this.#limit.shed.add(reason, IMPORTANCE)
    this.#owner.onNoPlace(reason === 'wait-too-long' ? 'queue_timeout' : 'concurrency_limit')
  }

  /** The connection is over. */
  leave(code: ErrorCode | null): void {
    const state = this.#state
    this.#state = 'over'
    if (state === 'waiting') {
      this.#limit.limit.cancel(this)
      if (code !== 'overloaded') this.#limit.shed.add(code === 'client_closed' ? 'client-left' : 'request-timeout', IMPORTANCE)
    } else if (state !== 'over') this.#limit.limit.leave()
  }
}
