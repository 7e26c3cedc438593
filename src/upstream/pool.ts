import { Ring } from '../base/ring.ts'
import { Timed, type TimerWheel } from '../base/timers.ts'
import type { UpstreamEvents } from '../exchange/contracts.ts'
import type { Attempt } from '../exchange/exchange.ts'
import type { Gauge } from '../observe/metrics-types.ts'
import { type ConnectionOwner, Http1Connection, type Http1ConnectionOptions } from './http1.ts'

export interface PoolOptions extends Http1ConnectionOptions {
  /** Of this worker: the configured number divided by the number of workers. */
  readonly maxConnections: number
  readonly maxPending: number
  readonly pendingTimeoutMs: number
  /** Connections in the pool, and connections a request is using or waiting for. */
  readonly idle: Gauge
  readonly busy: Gauge
  readonly events: UpstreamEvents
  readonly wheel: TimerWheel
}

interface Waiting {
  readonly attempt: Attempt
  readonly untilMs: number
}

/**
 * The connections of one worker to one endpoint. The most recently used idle connection goes first: the others then run into
 * their idle time, and the pool shrinks to what is needed. When all are busy, attempts wait in line, up to a number and a time.
 */
export class Pool extends Timed implements ConnectionOwner {
  readonly #options: PoolOptions
  readonly #idle: Http1Connection[] = []
  readonly #all = new Set<Http1Connection>()
  readonly #waiting = new Ring<Waiting>()
  #closing = false

  constructor(options: PoolOptions) {
    super()
    this.#options = options
  }

  /**
   * Sends the attempt on an idle connection at once, or opens one, or lets it wait. Every way ends in an UpstreamEvents call:
   * possibly before this returns. `fresh` asks for a new connection (the last reused one had died).
   */
  acquire(attempt: Attempt, fresh: boolean): void {
    if (!fresh) {
      const connection = this.#takeIdle()
      if (connection !== null) {
        connection.send(attempt)
        return
      }
    }
    if (this.#all.size < this.#options.maxConnections) {
      this.#open(attempt)
      return
    }
    if (fresh) {
      // At the limit a fresh connection takes the place of an idle one.
      const idle = this.#idle.shift()
      if (idle !== undefined) {
        this.#options.idle.add(-1)
        this.#options.busy.add(1)
        idle.retire()
      }
    }
    if (this.#waiting.length >= this.#options.maxPending) {
      this.#options.events.onFailure(attempt, 'pool_overflow', 'every connection is busy and the waiting line is full')
      return
    }
    const untilMs = this.#options.now() + this.#options.pendingTimeoutMs
    this.#waiting.push({ attempt, untilMs })
    attempt.waiting = this
    if (this.deadlineMs === 0) this.#options.wheel.arm(this, untilMs)
  }

  /** An idle connection that has begun to close says so only later in the same turn of the event loop: it is passed over. */
  #takeIdle(): Http1Connection | null {
    for (;;) {
      const connection = this.#idle.pop()
      if (connection === undefined) return null
      this.#options.idle.add(-1)
      this.#options.busy.add(1)
      if (connection.isIdle) return connection
    }
  }

  /** Takes a waiting attempt out of the line. Its place is skipped later. */
  cancel(attempt: Attempt): void {
    attempt.waiting = null
    const { length } = this.#waiting
    for (let i = 0; i < length; i++) {
      const waiting = this.#waiting.shift() as Waiting
      if (waiting.attempt !== attempt) this.#waiting.push(waiting)
    }
  }

  onIdle(connection: Http1Connection): void {
    const next = this.#nextWaiting()
    if (next !== null) {
      connection.send(next)
      return
    }
    if (this.#closing) {
      connection.retire()
      return
    }
    this.#options.busy.add(-1)
    this.#options.idle.add(1)
    connection.startIdle(this.#options.now())
    this.#idle.push(connection)
  }

  onGone(connection: Http1Connection): void {
    if (!this.#all.delete(connection)) return
    const at = this.#idle.indexOf(connection)
    if (at === -1) {
      this.#options.busy.add(-1)
    } else {
      this.#idle.splice(at, 1)
      this.#options.idle.add(-1)
    }
    if (this.#all.size >= this.#options.maxConnections) return
    const next = this.#nextWaiting()
    if (next !== null) this.#open(next)
  }

  /** No new connections are kept; idle ones close now, busy ones after their response. */
  close(): void {
    this.#closing = true
    for (const connection of [...this.#all]) connection.retire()
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
      this.#options.events.onFailure(attempt, 'pool_overflow', `no connection became free within ${this.#options.pendingTimeoutMs} ms`)
    }
  }

  /** Puts the first in line back to the front: by turning the whole ring once, which happens once per timer only. */
  #requeueFirst(first: Waiting): void {
    const { length } = this.#waiting
    this.#waiting.push(first)
    for (let i = 0; i < length; i++) this.#waiting.push(this.#waiting.shift() as Waiting)
    this.#options.wheel.arm(this, first.untilMs)
  }

  #nextWaiting(): Attempt | null {
    const waiting = this.#waiting.shift()
    if (waiting === undefined) return null
    waiting.attempt.waiting = null
    return waiting.attempt
  }

  #open(attempt: Attempt): void {
    this.#options.busy.add(1)
    this.#all.add(new Http1Connection(this.#options, this, attempt))
  }
}
