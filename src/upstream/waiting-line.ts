import { Ring } from '../base/ring.ts'
import { Timed, type TimerWheel } from '../base/timers.ts'
import type { UpstreamEvents } from '../exchange/contracts.ts'
import type { Attempt } from '../exchange/exchange.ts'

export interface WaitingLineOptions {
  readonly maxPending: number
  readonly pendingTimeoutMs: number
  readonly wheel: TimerWheel
  readonly now: () => number
  readonly events: UpstreamEvents
}

interface Waiting {
  readonly attempt: Attempt
  readonly untilMs: number
}

/** Attempts for which there is no connection: first come, first served, up to a number and a time. */
export class WaitingLine extends Timed {
  readonly #options: WaitingLineOptions
  readonly #waiting = new Ring<Waiting>()

  constructor(options: WaitingLineOptions) {
    super()
    this.#options = options
  }

  get length(): number {
    return this.#waiting.length
  }

  /** Lets the attempt wait, or fails it when the line is full. */
  add(attempt: Attempt): void {
    const { maxPending, pendingTimeoutMs, wheel, now, events } = this.#options
    if (this.#waiting.length >= maxPending) {
      events.onFailure(attempt, 'pool_overflow', 'every connection is busy and the waiting line is full')
      return
    }
    const untilMs = now() + pendingTimeoutMs
    this.#waiting.push({ attempt, untilMs })
    attempt.waiting = this
    if (this.deadlineMs === 0) wheel.arm(this, untilMs)
  }

  /** Takes the first out of the line. */
  next(): Attempt | null {
    const waiting = this.#waiting.shift()
    if (waiting === undefined) return null
    waiting.attempt.waiting = null
    return waiting.attempt
  }

  /** Takes an attempt out of the line. */
  cancel(attempt: Attempt): void {
    attempt.waiting = null
    const { length } = this.#waiting
    for (let i = 0; i < length; i++) {
      const waiting = this.#waiting.shift() as Waiting
      if (waiting.attempt !== attempt) this.#waiting.push(waiting)
    }
  }

  override onDeadline(nowMs: number): void {
    for (;;) {
      const waiting = this.#waiting.shift()
      if (waiting === undefined) return
      if (waiting.untilMs > nowMs) {
        this.#requeueFirst(waiting)
        return
      }
      const { attempt } = waiting
      attempt.waiting = null
      const detail = `no connection became free within ${this.#options.pendingTimeoutMs} ms`
      this.#options.events.onFailure(attempt, 'pool_overflow', detail)
    }
  }

  /** Puts the first in line back to the front: by turning the whole ring once, which happens once per timer only. */
  #requeueFirst(first: Waiting): void {
    const { length } = this.#waiting
    this.#waiting.push(first)
    for (let i = 0; i < length; i++) this.#waiting.push(this.#waiting.shift() as Waiting)
    this.#options.wheel.arm(this, first.untilMs)
  }
}
