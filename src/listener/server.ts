import net from 'node:net'
import type { SharedCounts } from '../base/shared-counts.ts'
import { Timed, type TimerWheel } from '../base/timers.ts'
import type { DownstreamEvents } from '../exchange/contracts.ts'
import type { ListenerRuntime } from '../proxy/runtime.ts'
import { Http1Downstream, type Http1Server } from './http1.ts'

export interface HttpListenerOptions {
  readonly runtime: ListenerRuntime
  readonly events: DownstreamEvents
  readonly wheel: TimerWheel
  readonly now: () => number
  readonly worker: number
  readonly workers: number
  /** Open connections of every listener over all workers, and this listener's row. */
  readonly connections: SharedCounts
  readonly row: number
}

/** Always where the system can, also with one worker: a listener that gets a new name then binds beside the old one. */
const CAN_SHARE_PORT = process.platform === 'linux'

const REFUSAL_BODY = '{"type":"about:blank","title":"Service Unavailable","status":503,"code":"overloaded"}\n'
/** The answer to a connection that is one too many. Fixed bytes: this is the moment to do little. */
const REFUSAL = [
  'HTTP/1.1 503 Service Unavailable',
  'Content-Type: application/problem+json',
  `Content-Length: ${REFUSAL_BODY.length}`,
  'Retry-After: 1',
  'Connection: close',
  '',
  REFUSAL_BODY,
].join('\r\n')

/** '' when the connection is gone already. IPv4 clients of a dual-stack socket are IPv4 clients. */
function clientAddress(socket: net.Socket): string {
  const address = socket.remoteAddress ?? ''
  return address.startsWith('::ffff:') ? address.slice(7) : address
}

/** Every worker has closed its socket after this time. */
const OTHER_WORKERS_MS = 50
/** A turn that takes longer looked at the queue too long ago to say anything about it. */
const QUIET_TURN_MS = 1
/** Clients that come faster than they can be accepted cannot all be waited for. */
const EMPTY_QUEUE_MS = 2000

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

class DrainLimit extends Timed {
  readonly #done: () => void

  constructor(done: () => void) {
    super()
    this.#done = done
  }

  override onDeadline(): void {
    this.#done()
  }
}

/** One bound address and its connections, in one worker. */
export class HttpListener implements Http1Server {
  /** Swapped by a reload; each request takes it as it is when its head is complete. */
  listener: ListenerRuntime
  readonly events: DownstreamEvents
  readonly wheel: TimerWheel
  readonly now: () => number
  isDraining = false
  readonly #options: HttpListenerOptions
  readonly #server: net.Server
  readonly #connections = new Set<Http1Downstream>()
  readonly #byAddress = new Map<string, number>()
  #onEmpty: (() => void) | null = null
  #hasAccepted = false
  #stoppedListening: Promise<void> | null = null

  constructor(options: HttpListenerOptions) {
    this.#options = options
    this.listener = options.runtime
    this.events = options.events
    this.wheel = options.wheel
    this.now = options.now
    this.#server = net.createServer({ pauseOnConnect: true, noDelay: true, allowHalfOpen: true }, (socket) => this.#onConnection(socket))
  }

  get connectionCount(): number {
    return this.#connections.size
  }

  /** Goes on with the settings of a new snapshot, possibly under another name. */
  use(runtime: ListenerRuntime): void {
    const open = this.#connections.size
    this.listener.metrics.connectionsOpen.add(-open)
    runtime.metrics.connectionsOpen.add(open)
    this.listener = runtime
  }

  /** Binds; every worker binds the same port and the kernel spreads connections over them. Resolves to the port. */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      // Without a host, Node binds every address of both families, or of IPv4 where there is no IPv6.
      const where = host === '' ? { port } : { host, port }
      this.#server.listen({ ...where, reusePort: CAN_SHARE_PORT, backlog: 4096 }, () => {
        this.#server.off('error', reject)
        // A failing accept (no descriptors left) must not end the process; the kernel keeps the connection in its queue.
        this.#server.on('error', () => undefined)
        resolve((this.#server.address() as net.AddressInfo).port)
      })
    })
  }

  #onConnection(socket: net.Socket): void {
    this.#hasAccepted = true
    const { config, metrics, trusted } = this.listener
    const { connections, row, worker, workers } = this.#options
    const address = clientAddress(socket)
    // A trusted proxy stands for many clients.
    const isLimited = config.maxConnectionsPerClient > 0 && !(trusted?.has(address) ?? false)
    const isTooMany = isLimited && (this.#byAddress.get(address) ?? 0) >= Math.ceil(config.maxConnectionsPerClient / workers)
    if (isTooMany || connections.total(row) >= config.maxConnections) {
      metrics.connectionsRefused.add(1)
      socket.end(REFUSAL)
      socket.on('error', () => undefined)
      socket.destroySoon()
      return
    }
    const connection = Http1Downstream.accept(this, socket, address)
    if (connection === null) {
      socket.destroy()
      return
    }
    metrics.connectionsAccepted.add(1)
    metrics.connectionsOpen.add(1)
    connections.add(row, worker, 1)
    this.#connections.add(connection)
    this.#byAddress.set(connection.remoteAddress, (this.#byAddress.get(connection.remoteAddress) ?? 0) + 1)
    if (this.isDraining) connection.drain()
  }

  onGone(connection: Http1Downstream): void {
    if (!this.#connections.delete(connection)) return
    const { connections, row, worker } = this.#options
    this.listener.metrics.connectionsOpen.add(-1)
    connections.add(row, worker, -1)
    const count = (this.#byAddress.get(connection.remoteAddress) ?? 1) - 1
    if (count === 0) this.#byAddress.delete(connection.remoteAddress)
    else this.#byAddress.set(connection.remoteAddress, count)
    if (this.#connections.size === 0) this.#onEmpty?.()
  }

  /**
   * Closes the listening socket without losing what waits in it: the kernel resets connections that it has completed and we have not
   * accepted. Node.js accepts one connection per turn of its loop, so the queue is known to be empty only when a turn brought none.
   * Two workers, 4,000 connections per second with one request each: 7 requests lost in every stop without this; with it none in 50
   * stops, and on a machine with three times the work it can do, some in one stop of a hundred.
   */
  stopListening(): Promise<void> {
    this.#stoppedListening ??= this.#emptyQueueAndClose()
    return this.#stoppedListening
  }

  async #emptyQueueAndClose(): Promise<void> {
    const untilMs = this.now() + EMPTY_QUEUE_MS
    // What is left of the present turn may have its look at the sockets behind it.
    await nextTurn()
    for (;;) {
      const turnMs = this.now()
      this.#hasAccepted = false
      await nextTurn()
      const nowMs = this.now()
      if (nowMs >= untilMs || (!this.#hasAccepted && nowMs - turnMs < QUIET_TURN_MS)) break
    }
    this.#server.close()
  }

  /** Resolves when no connection is left, or at this time. */
  #untilEmpty(timeMs: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#connections.size === 0) {
        resolve()
        return
      }
      const limit = new DrainLimit(resolve)
      this.wheel.arm(limit, timeMs)
      this.#onEmpty = () => {
        this.wheel.remove(limit)
        resolve()
      }
    })
  }

  /** The end of a listener that nobody knows of: at once, with what it has. */
  close(): void {
    this.#stoppedListening = Promise.resolve()
    this.#server.close()
    for (const connection of this.#connections) connection.destroy()
  }

  /**
   * The orderly end: no new connections, `Connection: close` on what is answered from now on, idle connections closed after a
   * moment. Resolves when all are gone or the time is over; what is left then is cut off.
   */
  async drain(timeoutMs: number): Promise<void> {
    const untilMs = this.now() + timeoutMs
    await this.stopListening()
    // A client that heeds `Connection: close` comes back at once: no worker may be about to close its socket then.
    await this.#untilEmpty(Math.min(untilMs, this.now() + OTHER_WORKERS_MS))
    this.isDraining = true
    for (const connection of this.#connections) connection.drain()
    await this.#untilEmpty(untilMs)
    for (const connection of this.#connections) connection.destroy()
  }
}
