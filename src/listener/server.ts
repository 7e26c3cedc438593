import type net from 'node:net'
import type { SharedCounts } from '../base/shared-counts.ts'
import type { TimerWheel } from '../base/timers.ts'
import type { SecureSocket, Wire, WireBuffer } from '../base/wire.ts'
import type { Http2ListenerConfig } from '../config/types.ts'
import type { DownstreamEvents } from '../exchange/contracts.ts'
import type { SecureClient } from '../exchange/exchange.ts'
import type { Log } from '../observe/log.ts'
import type { HandshakeResult } from '../observe/tls-metrics.ts'
import type { ListenerRuntime } from '../proxy/runtime.ts'
import { Acceptor, clientAddress } from './acceptor.ts'
import type { BoundListener } from './bound-listener.ts'
import { ConnectionBook, type OpenConnection } from './connection-book.ts'
import { Http1Downstream } from './http1.ts'
import type { Http1Server } from './http1-server.ts'
import { Http2Downstream } from './http2.ts'
import { ProxyHeaders } from './proxy-header.ts'
import { type HandshakeOwner, TlsHandshake } from './tls-handshake.ts'

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
  readonly log: Log
}

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

/** For a connection that was promised HTTP/2 when a reload switched it off. */
const HTTP2_DEFAULTS: Http2ListenerConfig = { maxConcurrentStreams: 100, streamWindowBytes: 262_144, connectionWindowBytes: 1_048_576 }

/** Every worker has closed its socket after this time. */
const OTHER_WORKERS_MS = 50

/** One bound address and its connections, in one worker. */
export class HttpListener implements Http1Server, HandshakeOwner, BoundListener {
  /** Swapped by a reload; each request takes it as it is when its head is complete. */
  listener: ListenerRuntime
  readonly events: DownstreamEvents
  readonly wheel: TimerWheel
  readonly now: () => number
  readonly #life = { isDraining: false }
  readonly #options: HttpListenerOptions
  readonly #acceptor: Acceptor
  readonly #book: ConnectionBook<OpenConnection>
  readonly #headers: ProxyHeaders

  constructor(options: HttpListenerOptions) {
    this.#options = options
    this.listener = options.runtime
    this.listener.life = this.#life
    this.events = options.events
    this.wheel = options.wheel
    this.now = options.now
    this.#book = new ConnectionBook({ ...options, metrics: options.runtime.metrics })
    this.#acceptor = new Acceptor(options.now, (socket) => this.#onConnection(socket))
    this.#headers = new ProxyHeaders({
      ...options,
      onHeader: (socket, { source }) => this.#admit(socket, source?.address ?? clientAddress(socket)),
      onRefused: () => this.listener.metrics.connectionsRefused.add(1),
    })
  }

  get isDraining(): boolean {
    return this.#life.isDraining
  }

  get runtime(): ListenerRuntime {
    return this.listener
  }

  get connectionCount(): number {
    return this.#book.size
  }

  /** Goes on with the settings of a new snapshot, possibly under another name. */
  use(runtime: ListenerRuntime): void {
    this.#book.use(runtime.metrics)
    runtime.life = this.#life
    this.listener = runtime
  }

  listen(host: string, port: number): Promise<number> {
    return this.#acceptor.listen(host, port)
  }

  #onConnection(socket: net.Socket): void {
    const { headerSources, config } = this.listener
    if (headerSources === null) this.#admit(socket, clientAddress(socket))
    else this.#headers.read(socket, headerSources, config.timeouts.headMs, config.maxConnections)
  }

  #admit(socket: net.Socket, address: string): void {
    const { config, metrics, trusted, tls } = this.listener
    const book = this.#book
    // A trusted proxy stands for many clients.
    const isTooMany = book.isFullFor(address, config.maxConnectionsPerClient) && !(trusted?.has(address) ?? false)
    if (isTooMany || book.isFull(config.maxConnections)) {
      metrics.connectionsRefused.add(1)
      if (tls === null) socket.end(REFUSAL)
      socket.on('error', () => undefined)
      socket.destroySoon()
      return
    }
    const connection = tls === null ? this.#serve(socket, address, '', null) : TlsHandshake.start(this, tls, socket, address)
    if (connection === null) {
      socket.destroy()
      return
    }
    book.add(connection)
    if (this.isDraining) connection.drain()
  }

  /** Where the protocol is chosen: '' is what the client said with ALPN when it said nothing, or spoke no TLS. */
  #serve(socket: net.Socket, address: string, protocol: string, secure: SecureClient | null): OpenConnection | null {
    const { http2 } = this.listener.config
    if (protocol === 'h2') return Http2Downstream.accept(this, http2 ?? HTTP2_DEFAULTS, socket, address, secure)
    const connection = Http1Downstream.accept(this, socket, address)
    if (connection !== null) connection.secure = secure
    return connection
  }

  onHttp2(connection: Http1Downstream, wire: Wire, first: WireBuffer): void {
    const { http2: config } = this.listener.config
    // A reload may have switched it off in between.
    const http2 = Http2Downstream.takeOver(this, config ?? HTTP2_DEFAULTS, wire, connection)
    this.#book.replace(connection, http2)
    if (this.isDraining) http2.drain()
    http2.onData(first, first.length)
  }

  onSecure(handshake: TlsHandshake, socket: SecureSocket, protocol: string): void {
    // A trusted proxy may have asked for a name of its own, and stands for many clients.
    const isTrusted = this.listener.trusted?.has(handshake.remoteAddress) ?? false
    const connection = this.#serve(socket, handshake.remoteAddress, protocol, handshake.client(isTrusted))
    if (connection === null) {
      this.onGone(handshake)
      return
    }
    this.#book.replace(handshake, connection)
    if (this.isDraining) connection.drain()
  }

  onHandshakeFailed(handshake: TlsHandshake, result: HandshakeResult, reason: string): void {
    this.onGone(handshake)
    this.#options.log.debug('a TLS handshake failed', {
      listener: this.listener.name,
      client: handshake.remoteAddress,
      result,
      reason,
    })
  }

  onGone(connection: OpenConnection): void {
    this.#book.remove(connection)
  }

  stopListening(): Promise<void> {
    return this.#acceptor.stopListening()
  }

  /** The end of a listener that nobody knows of: at once, with what it has. */
  close(): void {
    this.#acceptor.close()
    this.#headers.close()
    this.#book.destroyAll()
  }

  /**
   * The orderly end: no new connections, `Connection: close` on what is answered from now on, idle connections closed after a
   * moment. Resolves when all are gone or the time is over; what is left then is cut off.
   */
  async drain(timeoutMs: number): Promise<void> {
    const untilMs = this.now() + timeoutMs
    await this.stopListening()
    // A client that heeds `Connection: close` comes back at once: no worker may be about to close its socket then.
    await this.#book.untilEmpty(Math.min(untilMs, this.now() + OTHER_WORKERS_MS))
    this.#life.isDraining = true
    this.#headers.close()
    this.#book.drainAll()
    await this.#book.untilEmpty(untilMs)
    this.#book.destroyAll()
  }
}
