import type net from 'node:net'
import type { SharedCounts } from '../base/shared-counts.ts'
import type { TimerWheel } from '../base/timers.ts'
import type { SecureSocket } from '../base/wire.ts'
import type { ProxyHeader } from '../codec/proxy-protocol.ts'
import type { Log } from '../observe/log.ts'
import type { HandshakeResult } from '../observe/tls-metrics.ts'
import { TcpConnection, type TcpServer } from '../proxy/tcp.ts'
import type { TcpContext, TcpRuntime } from '../proxy/tcp-runtime.ts'
import { Acceptor, clientAddress } from './acceptor.ts'
import type { BoundListener } from './bound-listener.ts'
import { DrainLimit } from './drain-limit.ts'
import { ProxyHeaders } from './proxy-header.ts'
import { type HandshakeOwner, TlsHandshake } from './tls-handshake.ts'

export interface TcpListenerOptions {
  readonly runtime: TcpRuntime
  readonly tcp: TcpContext
  readonly wheel: TimerWheel
  readonly now: () => number
  readonly worker: number
  readonly workers: number
  /** Open connections of every listener over all workers, and this listener's row. */
  readonly connections: SharedCounts
  readonly row: number
  readonly log: Log
}

/** One bound address whose connections are passed on to a service, in one worker. */
export class TcpListener implements BoundListener, TcpServer, HandshakeOwner {
  /** Swapped by a reload; a connection keeps the one it began with. */
  runtime: TcpRuntime
  readonly context: TcpContext
  readonly wheel: TimerWheel
  readonly now: () => number
  readonly #options: TcpListenerOptions
  readonly #acceptor: Acceptor
  readonly #connections = new Set<TcpConnection | TlsHandshake>()
  readonly #headerOf = new WeakMap<TlsHandshake, ProxyHeader>()
  readonly #byClient = new Map<string, number>()
  readonly #headers: ProxyHeaders
  #onEmpty: (() => void) | null = null

  constructor(options: TcpListenerOptions) {
    this.#options = options
    this.runtime = options.runtime
    this.context = options.tcp
    this.wheel = options.wheel
    this.now = options.now
    this.#acceptor = new Acceptor(options.now, (socket) => this.#onConnection(socket))
    this.#headers = new ProxyHeaders({
      ...options,
      onHeader: (socket, header) => this.#open(socket, header),
      onRefused: () => this.#onHeaderRefused(),
    })
  }

  listen(host: string, port: number): Promise<number> {
    return this.#acceptor.listen(host, port)
  }

  use(runtime: TcpRuntime): void {
    const open = this.#connections.size
    this.runtime.metrics.connectionsOpen.add(-open)
    runtime.metrics.connectionsOpen.add(open)
    this.runtime = runtime
  }

  #onConnection(socket: net.Socket): void {
    const { headerSources, config } = this.runtime
    if (headerSources === null) this.#open(socket, null)
    else this.#headers.read(socket, headerSources, config.timeouts.headMs, config.maxConnections)
  }

  #open(socket: net.Socket, header: ProxyHeader | null): void {
    const { config, metrics } = this.runtime
    const { connections, row, worker } = this.#options
    const clientIp = header?.source?.address ?? clientAddress(socket)
    const connection = connections.total(row) < config.maxConnections ? this.#begin(socket, clientIp, header) : null
    if (connection === null) {
      metrics.connectionsRefused.add(1)
      // With an RST: a client that gets a FIN at once would take it for an answer.
      socket.on('error', () => undefined)
      socket.resetAndDestroy()
      return
    }
    metrics.connectionsAccepted.add(1)
    metrics.connectionsOpen.add(1)
    connections.add(row, worker, 1)
    this.#connections.add(connection)
    if (connection instanceof TcpConnection) connection.start()
  }

  #begin(socket: net.Socket, clientIp: string, header: ProxyHeader | null): TcpConnection | TlsHandshake | null {
    const { tls } = this.runtime
    if (tls === null) return TcpConnection.accept(this, socket, clientIp, header)
    const handshake = TlsHandshake.start(this, tls, socket, clientIp)
    if (handshake !== null && header !== null) this.#headerOf.set(handshake, header)
    return handshake
  }

  onSecure(handshake: TlsHandshake, socket: SecureSocket): void {
    const connection = TcpConnection.accept(this, socket, handshake.remoteAddress, this.#headerOf.get(handshake) ?? null)
    if (connection === null) return this.onGone(handshake, null)
    this.#connections.delete(handshake)
    this.#connections.add(connection)
    connection.start()
  }

  onHandshakeFailed(handshake: TlsHandshake, result: HandshakeResult, reason: string): void {
    this.onGone(handshake, null)
    const { remoteAddress: client } = handshake
    this.#options.log.debug('a TLS handshake failed', { listener: this.runtime.name, client, result, reason })
  }

  #onHeaderRefused(): void {
    this.runtime.metrics.connectionsRefused.add(1)
    this.runtime.metrics.ended('proxy_header_invalid')
    this.context.errors.add('proxy_header_invalid')
  }

  admit(clientIp: string): boolean {
    const { maxConnectionsPerClient } = this.runtime.config
    const count = this.#byClient.get(clientIp) ?? 0
    if (maxConnectionsPerClient > 0 && count >= Math.ceil(maxConnectionsPerClient / this.#options.workers)) {
      this.runtime.metrics.connectionsRefused.add(1)
      return false
    }
    this.#byClient.set(clientIp, count + 1)
    return true
  }

  onGone(connection: TcpConnection | TlsHandshake, admitted: string | null): void {
    if (!this.#connections.delete(connection)) return
    const { connections, row, worker } = this.#options
    this.runtime.metrics.connectionsOpen.add(-1)
    connections.add(row, worker, -1)
    if (admitted !== null) {
      const count = (this.#byClient.get(admitted) ?? 1) - 1
      if (count === 0) this.#byClient.delete(admitted)
      else this.#byClient.set(admitted, count)
    }
    if (this.#connections.size === 0) this.#onEmpty?.()
  }

  stopListening(): Promise<void> {
    return this.#acceptor.stopListening()
  }

  close(): void {
    this.#acceptor.close()
    this.#headers.close()
    this.#cutAll()
  }

  async drain(timeoutMs: number): Promise<void> {
    const untilMs = this.#options.now() + timeoutMs
    await this.stopListening()
    this.#headers.close()
    await this.#untilEmpty(untilMs)
    this.#cutAll()
  }

  #cutAll(): void {
    for (const connection of this.#connections) {
      if (connection instanceof TcpConnection) connection.cut('overloaded')
      else connection.destroy()
    }
  }

  /** Resolves when no connection is left, or at this time. */
  #untilEmpty(timeMs: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#connections.size === 0) {
        resolve()
        return
      }
      const limit = new DrainLimit(resolve)
      this.#options.wheel.arm(limit, timeMs)
      this.#onEmpty = () => {
        this.#options.wheel.remove(limit)
        resolve()
      }
    })
  }
}
