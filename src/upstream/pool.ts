import type { Attempt } from '../exchange/exchange.ts'
import type { Gauge } from '../observe/metrics-types.ts'
import type { EndpointPool } from './endpoint-pool.ts'
import { type ConnectionOwner, Http1Connection, type Http1ConnectionOptions } from './http1.ts'
import { WaitingLine, type WaitingLineOptions } from './waiting-line.ts'

/** What pools have in common. */
export interface PoolLimits extends WaitingLineOptions {
  /** Of this worker: the configured number divided by the number of workers. */
  readonly maxConnections: number
  /** Connections in the pool, and connections a request is using or waiting for. */
  readonly idle: Gauge
  readonly busy: Gauge
}

export interface PoolOptions extends Http1ConnectionOptions, PoolLimits {}

/**
 * The HTTP/1.1 connections of one worker to one endpoint. The most recently used idle connection goes first: the others then run into
 * their idle time, and the pool shrinks to what is needed. When all are busy, attempts wait in line.
 */
export class Pool implements EndpointPool, ConnectionOwner {
  readonly #options: PoolOptions
  readonly #idle: Http1Connection[] = []
  readonly #all = new Set<Http1Connection>()
  readonly #line: WaitingLine
  #closing = false

  constructor(options: PoolOptions) {
    this.#options = options
    this.#line = new WaitingLine(options)
  }

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
    this.#line.add(attempt)
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

  onIdle(connection: Http1Connection): void {
    const next = this.#line.next()
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
    const next = this.#line.next()
    if (next !== null) this.#open(next)
  }

  close(): void {
    this.#closing = true
    for (const connection of [...this.#all]) connection.retire()
  }

  #open(attempt: Attempt): void {
    this.#options.busy.add(1)
    this.#all.add(new Http1Connection(this.#options, this, attempt))
  }
}
