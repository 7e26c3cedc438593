import type { Attempt } from '../exchange/exchange.ts'
import type { EndpointPool } from './endpoint-pool.ts'
import { Http2Connection, type Http2ConnectionOptions, type Http2ConnectionOwner } from './http2.ts'
import type { PoolLimits } from './pool.ts'
import { WaitingLine } from './waiting-line.ts'

export interface Http2PoolOptions extends Http2ConnectionOptions, PoolLimits {}

/**
 * The HTTP/2 connections of one worker to one endpoint: few, each with many streams. The first ones (`http2.connections`) share the
 * requests; another is opened when all are full, and the later ones run into their idle time when they are not needed any more.
 */
export class Http2Pool implements EndpointPool, Http2ConnectionOwner {
  readonly #options: Http2PoolOptions
  /** Those that take attempts, now or once they are open. */
  readonly #active: Http2Connection[] = []
  /** Those that only finish what they have. */
  readonly #leaving = new Set<Http2Connection>()
  readonly #line: WaitingLine
  #isClosing = false

  constructor(options: Http2PoolOptions) {
    this.#options = options
    this.#line = new WaitingLine(options)
  }

  acquire(attempt: Attempt, fresh: boolean): void {
    const connection = this.#pick(fresh)
    if (connection === null) return this.#wait(attempt, fresh)
    this.#send(connection, attempt)
    const { connections } = this.#options.http2
    if (connections > 1 && this.#active.length < Math.min(connections, this.#options.maxConnections) && !this.#isOpening()) this.#open()
  }

  /** The least busy of the first ones, or the first of the others that has room. */
  #pick(fresh: boolean): Http2Connection | null {
    const active = this.#active
    const { connections } = this.#options.http2
    let best: Http2Connection | null = null
    for (let i = 0; i < active.length; i++) {
      const connection = active[i] as Http2Connection
      if (i >= connections && best !== null) break
      if (!connection.hasRoom || (fresh && connection.isStale)) continue
      if (best === null || connection.session.openStreams < best.session.openStreams) best = connection
    }
    return best
  }

  #send(connection: Http2Connection, attempt: Attempt): void {
    if (connection.isCountedIdle) this.#countIdle(connection, false)
    connection.send(attempt)
  }

  /** On a connection that is being opened, or in line. */
  #wait(attempt: Attempt, fresh: boolean): void {
    let connection = this.#opening() ?? this.#openIfAllowed()
    if (connection === null && fresh) {
      // At the limit a fresh connection takes the place of an idle one.
      this.#active.find((one) => one.isCountedIdle)?.retire()
      connection = this.#openIfAllowed()
    }
    if (connection === null) this.#line.add(attempt)
    else connection.enqueue(attempt)
  }

  #isOpening(): boolean {
    const active = this.#active
    for (let i = 0; i < active.length; i++) if ((active[i] as Http2Connection).isOpening) return true
    return false
  }

  /** One that is being opened and will have room. */
  #opening(): Http2Connection | null {
    const { maxStreams } = this.#options.http2
    for (const connection of this.#active) if (connection.isOpening && connection.starting.size < maxStreams) return connection
    return null
  }

  #openIfAllowed(): Http2Connection | null {
    return this.#active.length < this.#options.maxConnections ? this.#open() : null
  }

  #open(): Http2Connection {
    const connection = new Http2Connection(this.#options, this)
    this.#options.busy.add(1)
    this.#active.push(connection)
    return connection
  }

  onOpen(connection: Http2Connection): void {
    const attempts = [...connection.starting]
    connection.starting.clear()
    for (const attempt of attempts) {
      // One that fails at once may end others that wait here.
      if (attempt.waiting !== connection) continue
      attempt.waiting = null
      if (connection.canSend) this.#send(connection, attempt)
      else this.acquire(attempt, false)
    }
    this.onRoom(connection)
  }

  onRoom(connection: Http2Connection): void {
    while (this.#line.length > 0 && connection.hasRoom) this.#send(connection, this.#line.next() as Attempt)
    if (connection.session.openStreams > 0 || connection.isOpening || connection.isCountedIdle) return
    if (this.#isClosing || this.#leaving.has(connection)) connection.retire()
    else this.#countIdle(connection, true)
  }

  #countIdle(connection: Http2Connection, isIdle: boolean): void {
    const { idle, busy } = this.#options
    connection.isCountedIdle = isIdle
    idle.add(isIdle ? 1 : -1)
    busy.add(isIdle ? -1 : 1)
  }

  onLeaving(connection: Http2Connection): void {
    const at = this.#active.indexOf(connection)
    if (at === -1) return
    this.#active.splice(at, 1)
    this.#leaving.add(connection)
    this.#refill()
  }

  onGone(connection: Http2Connection): void {
    const at = this.#active.indexOf(connection)
    if (at !== -1) this.#active.splice(at, 1)
    this.#leaving.delete(connection)
    if (connection.isCountedIdle) this.#options.idle.add(-1)
    else this.#options.busy.add(-1)
    this.#refill()
  }

  /** There is room for another connection: those in line wait for it. */
  #refill(): void {
    while (this.#line.length > 0) {
      const connection = this.#opening() ?? this.#openIfAllowed()
      if (connection === null) return
      connection.enqueue(this.#line.next() as Attempt)
    }
  }

  close(): void {
    this.#isClosing = true
    for (const connection of [...this.#active]) connection.retire()
  }
}
