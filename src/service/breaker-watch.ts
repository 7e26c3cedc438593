import type { Breaker, BreakerState, BreakerStatistics } from '../breaker/breaker.ts'
import type { LogFields } from '../observe/log.ts'
import type { PacedLog } from './log-pace.ts'

/** A breaker, for people. */
export interface BreakerView {
  readonly state: BreakerState
  /** In the window; while it is open, those that opened it. */
  readonly requests: number
  readonly failures: number
  readonly slow: number
  readonly errorPercent: number
  /** How often it opened since it was made. */
  readonly openings: number
  /** Until a request may pass. */
  readonly openForMs: number
}

/** A breaker that turns only a part of the requests away says so once in this time at most. */
const THROTTLE_LOG_MS = 10_000

/** One breaker, seen from the main thread: tells when it opens and closes. */
export class BreakerWatch {
  readonly service: string
  /** null: of the whole service. */
  readonly endpoint: string | null
  readonly #breaker: Breaker
  readonly #isThrottle: boolean
  #openings: number
  #told: BreakerState = 'closed'
  #toldMs = Number.NEGATIVE_INFINITY

  constructor(service: string, endpoint: string | null, breaker: Breaker, isThrottle: boolean, nowMs: number) {
    this.service = service
    this.endpoint = endpoint
    this.#breaker = breaker
    this.#isThrottle = isThrottle
    const { state, openings } = breaker.statistics(nowMs)
    // What happened under the configuration before has been told.
    this.#openings = openings
    this.#told = state
  }

  /** Returns the state, for the gauge. */
  tick(log: PacedLog, nowMs: number): BreakerState {
    const statistics = this.#breaker.statistics(nowMs)
    if (this.#isThrottle) this.#tellThrottle(log, statistics, nowMs)
    else this.#tellCircuit(log, statistics, nowMs)
    return statistics.state
  }

  view(nowMs: number): BreakerView {
    const { state, requests, failures, slow, errorPercent, openings } = this.#breaker.statistics(nowMs)
    const openForMs = state === 'open' ? Math.ceil(this.#breaker.retryAfterMs(nowMs)) : 0
    return { state, requests, failures, slow, errorPercent, openings, openForMs }
  }

  #tellCircuit(log: PacedLog, { state, openings, ...counts }: BreakerStatistics, nowMs: number): void {
    const times = (openings - this.#openings) | 0
    this.#openings = openings
    if (times !== 0) {
      const { requests, failures, slow, errorPercent } = counts
      const openForMs = Math.ceil(this.#breaker.retryAfterMs(nowMs))
      const isAgain = this.#told !== 'closed'
      this.#told = 'open'
      const message = isAgain ? 'a breaker opened again: a trial request failed' : 'a breaker opened'
      this.#write(log, 'warn', message, { requests, failures, slow, errorPercent, openForMs }, nowMs)
    }
    if (state === 'closed' && this.#told !== 'closed') {
      this.#told = 'closed'
      this.#write(log, 'info', 'a breaker closed', {}, nowMs)
    }
  }

  #tellThrottle(log: PacedLog, { state, requests, failures, errorPercent }: BreakerStatistics, nowMs: number): void {
    if (state === this.#told || nowMs - this.#toldMs < THROTTLE_LOG_MS) return
    this.#told = state
    this.#toldMs = nowMs
    if (state === 'closed') this.#write(log, 'info', 'a breaker lets all requests pass again', {}, nowMs)
    else this.#write(log, 'warn', 'a breaker turns requests away', { requests, failures, errorPercent }, nowMs)
  }

  #write(log: PacedLog, level: 'info' | 'warn', message: string, fields: LogFields, nowMs: number): void {
    const where = this.endpoint === null ? { service: this.service } : { service: this.service, endpoint: this.endpoint }
    log.write(level, message, { ...where, ...fields }, nowMs)
  }
}
