import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { type Clock, systemClock } from '../base/clock.ts'
import { Timed, TimerWheel } from '../base/timers.ts'
import { parseListenAddress } from './address.ts'
import { type ConnectionHost, type ConnectionTimeouts, TcpConnection } from './connection.ts'
import { abortHandler, TcpError } from './errors.ts'

/** Serves one connection. It closes when the handler returns; when it throws or rejects, that connection is reset and no other. */
export type TcpHandler = (connection: TcpConnection, server: TcpServer) => Promise<void> | void

export interface TcpServerOptions {
  handler: TcpHandler
  /** `host:port`, `:port` for all addresses, `[::1]:port`. Port 0 takes a free one. May be given to `listen` instead. */
  address?: string
  /** How long a read may wait, and how long a message may take from its first byte to its last, in milliseconds. Default 30 s; 0: no limit. */
  readTimeoutMs?: number
  /** How long the other side may take nothing of what is written. Default 30 s; 0: no limit. */
  writeTimeoutMs?: number
  /** How long a connection may live without a byte either way. Default 5 min; 0: no limit. Ends the connection without a report. */
  idleTimeoutMs?: number
  /** TCP keep-alive probes begin after this long without traffic. Default 60 s; 0: none. */
  keepAliveMs?: number
  /** More connections than this are closed at once. Default 10,000. */
  maxConnections?: number
  /** A handler failed. Default: standard error, with at most 64 KiB of its stack. An error it throws itself is dropped. */
  onError?: (error: unknown, connection: TcpConnection) => void
  /** Default: the system's. */
  clock?: Clock
}

const DEFAULT_READ_TIMEOUT_MS = 30_000
const DEFAULT_WRITE_TIMEOUT_MS = 30_000
const DEFAULT_IDLE_TIMEOUT_MS = 5 * 60_000
const DEFAULT_KEEP_ALIVE_MS = 60_000
const DEFAULT_MAX_CONNECTIONS = 10_000
const DEFAULT_GRACE_MS = 30_000
const MAX_STACK_CHARS = 64 * 1024

class GraceEnd extends Timed {
  readonly #force: () => void

  constructor(force: () => void) {
    super()
    this.#force = force
  }

  override onDeadline(): void {
    this.#force()
  }
}

/** A TCP server over a handler for each connection. Made by `createTcpServer`. */
export class TcpServer implements ConnectionHost {
  readonly clock: Clock
  readonly timers: TimerWheel
  readonly timeouts: ConnectionTimeouts
  readonly #options: TcpServerOptions
  readonly #server: Server
  readonly #connections = new Set<TcpConnection>()
  readonly #sockets = new Set<Socket>()
  #closing: Promise<void> | null = null
  #refusedConnections = 0
  /** Of a server that closes: told when the last handler has returned. */
  #onAllReturned: (() => void) | null = null

  constructor(options: TcpServerOptions) {
    this.#options = options
    this.clock = options.clock ?? systemClock
    this.timers = new TimerWheel(this.clock)
    this.timeouts = {
      readMs: options.readTimeoutMs ?? DEFAULT_READ_TIMEOUT_MS,
      writeMs: options.writeTimeoutMs ?? DEFAULT_WRITE_TIMEOUT_MS,
      idleMs: options.idleTimeoutMs ?? DEFAULT_IDLE_TIMEOUT_MS,
    }
    const keepAliveMs = options.keepAliveMs ?? DEFAULT_KEEP_ALIVE_MS
    this.#server = createServer(
      { allowHalfOpen: true, noDelay: true, keepAlive: keepAliveMs > 0, keepAliveInitialDelay: keepAliveMs, pauseOnConnect: true },
      (socket) => this.#serve(socket),
    )
    this.#server.maxConnections = options.maxConnections ?? DEFAULT_MAX_CONNECTIONS
    this.#server.on('drop', () => this.#refusedConnections++)
    // After listening, an error is one of accepting (out of descriptors, say): it passes, and the server goes on.
    this.#server.on('error', () => {})
  }

  /** The server is closing or closed. */
  get isClosing(): boolean {
    return this.#closing !== null
  }

  /** Connections open now. */
  get connections(): number {
    return this.#sockets.size
  }

  /** Connections refused for `maxConnections` so far. */
  get refusedConnections(): number {
    return this.#refusedConnections
  }

  /** Where the server listens. Throws `TcpError` `need-address` when it does not. */
  get address(): { host: string; port: number } {
    const address = this.#server.address() as AddressInfo | null
    if (address === null) throw new TcpError('need-address', 'need addr')
    return { host: address.address, port: address.port }
  }

  /** Starts to listen. Throws `TcpError` `need-address` or `server-closed`, or what the system says. */
  async listen(address = this.#options.address): Promise<{ host: string; port: number }> {
    if (this.isClosing) throw new TcpError('server-closed', 'tcp: Server closed')
    if (address === undefined || address === '') throw new TcpError('need-address', 'need addr')
    const { host, port } = parseListenAddress(address)
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(host === null ? { port } : { host, port }, () => {
        this.#server.off('error', reject)
        resolve()
      })
    })
    if (this.isClosing) throw new TcpError('server-closed', 'tcp: Server closed')
    return this.address
  }

  /**
   * Stops accepting; resolves when every handler has returned and every connection is closed. Loops over `messages` end before the
   * next message. What still runs after `graceMs` (default 30 s) is cut off. Calling it again gives the same promise.
   */
  close(options: { graceMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options.graceMs ?? DEFAULT_GRACE_MS)
    return this.#closing
  }

  async #close(graceMs: number): Promise<void> {
    // One turn later `isClosing` holds, which is what the handlers that wake up look at.
    await Promise.resolve()
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
    })
    for (const connection of this.#connections) connection.noticeClosing()
    let force: GraceEnd | null = null
    const returned = new Promise<void>((resolve) => {
      this.#onAllReturned = resolve
      force = new GraceEnd(() => {
        for (const connection of this.#connections) connection.destroy()
        for (const socket of this.#sockets) socket.destroy()
        // Handlers that wait for their connection hear of it first. One that waits for something else cannot be stopped.
        setImmediate(resolve)
      })
      this.timers.arm(force, this.clock.now() + graceMs)
    })
    if (this.#connections.size === 0) this.#onAllReturned?.()
    await Promise.all([closed, returned])
    if (force !== null) this.timers.remove(force)
    this.timers.stop()
  }

  #serve(socket: Socket): void {
    const connection = new TcpConnection(socket, this)
    this.#sockets.add(socket)
    this.#connections.add(connection)
    socket.once('close', () => this.#sockets.delete(socket))
    void this.#handle(connection, socket)
  }

  async #handle(connection: TcpConnection, socket: Socket): Promise<void> {
    try {
      await this.#options.handler(connection, this)
      connection.finish()
    } catch (error) {
      this.#report(error, connection)
      socket.resetAndDestroy()
    } finally {
      this.#connections.delete(connection)
      if (this.#connections.size === 0) this.#onAllReturned?.()
    }
  }

  #report(error: unknown, connection: TcpConnection): void {
    if (error === abortHandler) return
    if (error instanceof TcpError && error.code === 'idle-timeout') return
    try {
      if (this.#options.onError !== undefined) this.#options.onError(error, connection)
      else console.error(`tcp: handler of ${connection.remoteAddress}:${connection.remotePort} failed: ${describe(error)}`)
    } catch {
      // The reporter failed. There is nobody else to tell, and the server goes on.
    }
  }
}

function describe(error: unknown): string {
  return String(error instanceof Error ? (error.stack ?? error.message) : error).slice(0, MAX_STACK_CHARS)
}

/**
 * Makes a TCP server. It accepts connections once `listen` is called.
 *
 *     const server = createTcpServer({
 *       address: ':7002',
 *       handler: (connection) => connection.write('tcpHandler\n'),
 *     })
 *     await server.listen()
 */
export function createTcpServer(options: TcpServerOptions): TcpServer {
  return new TcpServer(options)
}
