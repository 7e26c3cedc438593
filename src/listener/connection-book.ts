import type { SharedCounts } from '../base/shared-counts.ts'
import type { TimerWheel } from '../base/timers.ts'
import type { Counter, Gauge } from '../observe/metrics-types.ts'
import { DrainLimit } from './drain-limit.ts'

/** An open connection, whatever it speaks, or the TLS handshake before it. */
export interface OpenConnection {
  /** The client, by which its connections are counted. */
  readonly remoteAddress: string
  /** The server is shutting down. */
  drain(): void
  /** The end, at once. */
  destroy(): void
}

export interface ConnectionMetrics {
  readonly connectionsOpen: Gauge
  readonly connectionsAccepted: Counter
}

export interface ConnectionBookOptions {
  readonly metrics: ConnectionMetrics
  /** Open connections of every listener over all workers, and this listener's row. */
  readonly connections: SharedCounts
  readonly row: number
  readonly worker: number
  readonly workers: number
  readonly wheel: TimerWheel
}

/** The open connections of one listener in one worker: how many there are, how many of each client, and how they all come to an end. */
export class ConnectionBook<C extends OpenConnection> implements Iterable<C> {
  readonly #options: ConnectionBookOptions
  readonly #open = new Set<C>()
  readonly #byClient = new Map<string, number>()
  #metrics: ConnectionMetrics
  #onEmpty: (() => void) | null = null

  constructor(options: ConnectionBookOptions) {
    this.#options = options
    this.#metrics = options.metrics
  }

  get size(): number {
    return this.#open.size
  }

  [Symbol.iterator](): Iterator<C> {
    return this.#open.values()
  }

  /** Counts under another name from now on, after a reload. */
  use(metrics: ConnectionMetrics): void {
    this.#metrics.connectionsOpen.add(-this.#open.size)
    metrics.connectionsOpen.add(this.#open.size)
    this.#metrics = metrics
  }

  /** Whether all workers together have so many. */
  isFull(maxConnections: number): boolean {
    const { connections, row } = this.#options
    return connections.total(row) >= maxConnections
  }

  /** Whether this client has its share of so many in this worker; 0 is no limit. */
  isFullFor(client: string, maxPerClient: number): boolean {
    return maxPerClient > 0 && (this.#byClient.get(client) ?? 0) >= Math.ceil(maxPerClient / this.#options.workers)
  }

  add(connection: C): void {
    const { connections, row, worker } = this.#options
    this.#metrics.connectionsAccepted.add(1)
    this.#metrics.connectionsOpen.add(1)
    connections.add(row, worker, 1)
    this.#open.add(connection)
    const { remoteAddress } = connection
    this.#byClient.set(remoteAddress, (this.#byClient.get(remoteAddress) ?? 0) + 1)
  }

  /** The same connection of the same client in its next phase. */
  replace(before: C, after: C): void {
    this.#open.delete(before)
    this.#open.add(after)
  }

  /** Of one that is not in it, does nothing. */
  remove(connection: C): void {
    if (!this.#open.delete(connection)) return
    const { connections, row, worker } = this.#options
    this.#metrics.connectionsOpen.add(-1)
    connections.add(row, worker, -1)
    const { remoteAddress } = connection
    const left = (this.#byClient.get(remoteAddress) ?? 1) - 1
    if (left === 0) this.#byClient.delete(remoteAddress)
    else this.#byClient.set(remoteAddress, left)
    if (this.#open.size === 0) this.#onEmpty?.()
  }

  drainAll(): void {
    for (const connection of this.#open) connection.drain()
  }

  destroyAll(): void {
    for (const connection of this.#open) connection.destroy()
  }

  /** Resolves when no connection is left, or at this time. One wait at a time. */
  untilEmpty(timeMs: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#open.size === 0) {
        resolve()
        return
      }
      const { wheel } = this.#options
      const limit = new DrainLimit(resolve)
      wheel.arm(limit, timeMs)
      this.#onEmpty = () => {
        wheel.remove(limit)
        resolve()
      }
    })
  }
}
