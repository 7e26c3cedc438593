import type net from 'node:net'
import type { ErrorCode } from '../base/error.ts'
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
import { ConnectionBook } from './connection-book.ts'
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
  readonly #book: ConnectionBook<TcpConnection | TlsHandshake>
  readonly #headerOf = new WeakMap<TlsHandshake, ProxyHeader>()
  readonly #headers: ProxyHeaders

  constructor(options: TcpListenerOptions) {
    this.#options = options
    this.runtime = options.runtime
    this.context = options.tcp
    this.wheel = options.wheel
    this.now = options.now
    this.#book = new ConnectionBook({ ...options, metrics: options.runtime.metrics })
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
    this.#book.use(runtime.metrics)
    this.runtime = runtime
  }

  #onConnection(socket: net.Socket): void {
    const { headerSources, config } = this.runtime
    if (headerSources === null) this.#open(socket, null)
    else this.#headers.read(socket, headerSources, config.timeouts.headMs, config.maxConnections)
  }

  #open(socket: net.Socket, header: ProxyHeader | null): void {
    const { config, metrics } = this.runtime
    const book = this.#book
    const clientIp = header?.source?.address ?? clientAddress(socket)
    let refusal = this.#refusalOf(clientIp)
    const isTooMany = refusal === null && book.isFullFor(clientIp, config.maxConnectionsPerClient)
    if (isTooMany) refusal = 'overloaded'
    const connection = book.isFull(config.maxConnections) ? null : this.#begin(socket, clientIp, header, refusal)
    if (isTooMany || connection === null) metrics.connectionsRefused.add(1)
    if (connection === null) {
      // With an RST: a client that gets a FIN at once would take it for an answer.
      socket.on('error', () => undefined)
      socket.resetAndDestroy()
      return
    }
    book.add(connection)
    if (connection instanceof TlsHandshake) return
    if (refusal === null) connection.start()
    else connection.cut(refusal)
  }

  /** What speaks against this client, whatever it has open. */
  #refusalOf(clientIp: string): ErrorCode | null {
    const { allow, deny } = this.runtime
    return (deny?.has(clientIp) ?? false) || !(allow?.has(clientIp) ?? true) ? 'address_denied' : null
  }

  /** Who is refused is not worth a handshake. */
  #begin(socket: net.Socket, clientIp: string, header: ProxyHeader | null, refusal: ErrorCode | null): TcpConnection | TlsHandshake | null {
    const { tls } = this.runtime
    if (tls === null || refusal !== null) return TcpConnection.accept(this, socket, clientIp, header)
    const handshake = TlsHandshake.start(this, tls, socket, clientIp)
    if (handshake !== null && header !== null) this.#headerOf.set(handshake, header)
    return handshake
  }

  onSecure(handshake: TlsHandshake, socket: SecureSocket): void {
    const connection = TcpConnection.accept(this, socket, handshake.remoteAddress, this.#headerOf.get(handshake) ?? null)
    if (connection === null) return this.onGone(handshake)
    this.#book.replace(handshake, connection)
    // A reload may have changed who is welcome.
    const refusal = this.#refusalOf(handshake.remoteAddress)
    if (refusal === null) connection.start()
    else connection.cut(refusal)
  }

  onHandshakeFailed(handshake: TlsHandshake, result: HandshakeResult, reason: string): void {
    this.onGone(handshake)
    const { remoteAddress: client } = handshake
    this.#options.log.debug('a TLS handshake failed', { listener: this.runtime.name, client, result, reason })
  }

  #onHeaderRefused(): void {
    this.runtime.metrics.connectionsRefused.add(1)
    this.runtime.metrics.ended('proxy_header_invalid')
    this.context.errors.add('proxy_header_invalid')
  }

  onGone(connection: TcpConnection | TlsHandshake): void {
    this.#book.remove(connection)
  }

  stopListening(): Promise<void> {
    return this.#acceptor.stopListening()
  }

  close(): void {
    this.#acceptor.close()
    this.#headers.close()
    this.#book.destroyAll()
  }

  async drain(timeoutMs: number): Promise<void> {
    const untilMs = this.#options.now() + timeoutMs
    await this.stopListening()
    this.#headers.close()
    await this.#book.untilEmpty(untilMs)
    this.#book.destroyAll()
  }
}
