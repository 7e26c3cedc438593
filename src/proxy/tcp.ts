import type net from 'node:net'
import type { ErrorCode } from '../base/error.ts'
import { Timed } from '../base/timers.ts'
import { Wire, type WireBuffer } from '../base/wire.ts'
import { type Breaker, REJECTED } from '../breaker/breaker.ts'
import { buildProxyHeader, type ProxyHeader } from '../codec/proxy-protocol.ts'
import { ThriftReader } from '../codec/thrift.ts'
import { parseClientHello } from '../codec/tls-hello.ts'
import type { Endpoint } from '../service/endpoint.ts'
import type { PickContext } from '../service/picker.ts'
import { IdleWatch } from './idle-watch.ts'
import { type RelayOwner, RelaySide } from './relay.ts'
import type { ServiceRuntime } from './runtime.ts'
import { TcpEntry } from './tcp-entry.ts'
import { type PlaceOwner, TcpPlace } from './tcp-place.ts'
import type { TcpContext, TcpRuntime } from './tcp-runtime.ts'
import { Throttle } from './throttle.ts'

/** What a connection needs of its listener. */
export interface TcpServer {
  readonly runtime: TcpRuntime
  readonly context: TcpContext
  /** The last call, once. */
  onGone(connection: TcpConnection): void
}

/** After this time without traffic, TCP itself asks whether the other side still lives. */
const KEEP_ALIVE_MS = 60_000

/**
 * One connection of a client and the one to an endpoint that goes with it, from accepting to the end of both:
 *
 *   1 admit     allowed address, connections of this client: by the listener
 *   2 route     the only service, or the one for the name in the TLS greeting
 *     place     concurrency limit of the service; it may wait, unread (tcp-place.ts)
 *   3 connect   breaker, pick, connect; another endpoint when that fails. Nothing is read from the client meanwhile, so nothing is lost.
 *   4 relay     bytes and FINs, both ways (relay.ts); an RST or a failure on one side becomes an RST on the other
 *   5 finish    once: endpoint state, metrics, access log
 */
export class TcpConnection extends Timed implements PickContext, RelayOwner, PlaceOwner {
  readonly #server: TcpServer
  readonly #context: TcpContext
  readonly #runtime: TcpRuntime
  readonly #header: ProxyHeader | null
  readonly #startedMs: number
  readonly #client: RelaySide
  #upstream: RelaySide | null = null
  /** What the client sent before it was connected. */
  #held: Buffer | null = null
  #serverName = ''
  #service: ServiceRuntime | null = null
  /** null: the service has no concurrency limit. */
  #place: TcpPlace | null = null
  #endpoint: Endpoint | null = null
  #breaker: Breaker | null = null
  #breakerToken = 0
  #attempts = 0
  #attemptMs = 0
  #connectedMs = -1
  #isFinished = false
  #activeMs = 0
  #idle: IdleWatch | null = null
  /** The end of its lifetime. */
  #untilMs = Number.POSITIVE_INFINITY
  // What balancing looks at, as far as a connection has it.
  readonly clientIp: string
  readonly path = ''
  readonly query = ''
  nowMs = 0
  tried: Endpoint[] | null = null
  hashKey: string | null = null
  stickyKey: string | null = null
  subsetKey: string | null = null

  /** `header` is what a PROXY header said; null: there was none. Null when the connection is gone already. */
  static accept(server: TcpServer, socket: net.Socket, clientIp: string, header: ProxyHeader | null): TcpConnection | null {
    const connection = new TcpConnection(server, clientIp, header)
    const wire = Wire.accept(socket, connection.#client)
    if (wire === null) return null
    connection.#client.wire = wire
    return connection
  }

  private constructor(server: TcpServer, clientIp: string, header: ProxyHeader | null) {
    super()
    this.#server = server
    this.#context = server.context
    this.#runtime = server.runtime
    this.clientIp = clientIp
    this.#header = header
    this.#startedMs = server.context.clock.now()
    this.#client = new RelaySide(this)
  }

  header(): undefined {
    return undefined
  }

  start(): void {
    const { lifetimeMs } = this.#runtime.config.timeouts
    if (lifetimeMs > 0) this.#untilMs = this.#startedMs + lifetimeMs
    this.#client.wire?.socket.setKeepAlive(true, KEEP_ALIVE_MS)
    this.#route()
  }

  get remoteAddress(): string {
    return this.clientIp
  }

  /** It may last as long as the time for draining. */
  drain(): void {}

  /** That time is over. */
  destroy(): void {
    this.cut('overloaded')
  }

  // ---- 2 route ----

  #route(): void {
    const { names, service, config } = this.#runtime
    if (names === null) return this.#use(service)
    this.#armUntil(config.timeouts.headMs > 0 ? this.#startedMs + config.timeouts.headMs : Number.POSITIVE_INFINITY)
    this.#client.wire?.resume()
  }

  /** The greeting of TLS, as far as it has come. Once it is whole, nothing more is read before the endpoint is there. */
  onEarlyData(_side: RelaySide, bytes: WireBuffer, length: number): boolean {
    const piece = Buffer.from(bytes.subarray(0, length))
    const held = this.#held === null ? piece : Buffer.concat([this.#held, piece])
    this.#held = held
    const hello = parseClientHello(held, held.length)
    if (hello === 'incomplete') return true
    const { names, service } = this.#runtime
    if (hello === 'invalid') this.#use(service)
    else {
      this.#serverName = hello.serverName
      this.#use(names?.find(hello.serverName) ?? service)
    }
    return false
  }

  onEarlyEnd(): void {
    this.cut('client_closed')
  }

  #use(service: ServiceRuntime | null): void {
    if (service === null) return this.cut('route_not_found')
    this.#service = service
    service.service.keys?.read(this)
    if (service.limit === null) return this.#connect(service)
    const place = new TcpPlace(service.limit, this)
    this.#place = place
    // What ended the wait for the greeting does not end this one.
    this.#armUntil(Number.POSITIVE_INFINITY)
    if (place.enter(this.#context.clock.now())) this.#connect(service)
  }

  onPlace(): void {
    if (!this.#isFinished) this.#connect(this.#service as ServiceRuntime)
  }

  onNoPlace(code: ErrorCode): void {
    this.cut(code)
  }

  // ---- 3 connect ----

  #connect(runtime: ServiceRuntime): void {
    const { service, breaker, breakers } = runtime
    this.nowMs = this.#context.clock.now()
    this.#breaker = breaker
    this.#breakerToken = breaker === null ? 0 : breaker.allow(this.nowMs)
    if (breaker !== null && this.#breakerToken === REJECTED) return this.#refuse(runtime)
    const pick = breakers === null ? service.picker.pick(this) : breakers.pick(this, service.picker)
    if (pick.kind === 'none') {
      breaker?.record(this.#breakerToken, 'neutral', 0, this.nowMs)
      return this.cut('no_endpoint')
    }
    const { endpoint } = pick
    if (breakers !== null) {
      this.#breaker = breakers.of(endpoint)
      this.#breakerToken = breakers.token
      if (this.#breakerToken === REJECTED) return this.#refuse(runtime)
    }
    this.#endpoint = endpoint
    this.#attempts++
    this.#attemptMs = this.nowMs
    endpoint.state.begin()
    this.#armUntil(this.nowMs + service.config.pool.connectTimeoutMs)
    const side = new RelaySide(this)
    this.#upstream = side
    side.wire = runtime.open(endpoint, side, () => this.#onConnected(side))
  }

  #refuse({ metrics }: ServiceRuntime): void {
    metrics.breakerRejected()
    this.cut('breaker_open')
  }

  #onConnected(side: RelaySide): void {
    const { wire } = side
    if (side !== this.#upstream || wire === null || this.#isFinished) return
    const { service, metrics } = this.#service as ServiceRuntime
    this.#endAttempt('success', null)
    metrics.busyConnections.add(1)
    this.#connectedMs = this.nowMs
    wire.socket.setKeepAlive(true, KEEP_ALIVE_MS)
    const { received, sent } = this.#runtime.metrics.bytes(service.name)
    this.#client.join(side, received)
    side.join(this.#client, sent)
    this.#equip(side)
    this.onActivity()
    if (service.config.proxyProtocol !== null) this.#announce(wire, service.config.proxyProtocol)
    if (this.#held !== null) this.#client.onData(this.#held as WireBuffer, this.#held.length)
    this.#held = null
    this.#client.resume()
    side.resume()
  }

  /** What the configuration asks of the relay beyond passing bytes on. */
  #equip(upstream: RelaySide): void {
    const { bandwidth, thrift } = this.#runtime.config
    const client = this.#client
    const { uploadBytesPerSecond, downloadBytesPerSecond } = bandwidth
    if (uploadBytesPerSecond > 0) client.throttle = this.#createThrottle(client, uploadBytesPerSecond)
    if (downloadBytesPerSecond > 0) upstream.throttle = this.#createThrottle(upstream, downloadBytesPerSecond)
    if (thrift) {
      const { name } = (this.#service as ServiceRuntime).service
      const { metrics } = this.#runtime
      const count = metrics.countThrift(name)
      client.reader = new ThriftReader(count)
      upstream.reader = new ThriftReader(count)
    }
  }

  #createThrottle(side: RelaySide, bytesPerSecond: number): Throttle {
    return new Throttle(bytesPerSecond, this.nowMs, this.#context.wheel, () => side.onThrottlePaid())
  }

  /** Tells the endpoint whose connection this is. */
  #announce(wire: Wire, version: 'v1' | 'v2'): void {
    const socket = this.#client.wire?.socket
    const source = this.#header?.source ?? { address: this.clientIp, port: socket?.remotePort ?? 0 }
    const destination = this.#header?.destination ?? { address: socket?.localAddress ?? '', port: socket?.localPort ?? 0 }
    const header = buildProxyHeader(version, source, destination)
    wire.writeBytes(header, 0, header.length, false)
  }

  #endAttempt(outcome: 'success' | 'failure' | 'neutral', error: ErrorCode | null): void {
    const { metrics } = this.#service as ServiceRuntime
    this.nowMs = this.#context.clock.now()
    const durationMs = this.nowMs - this.#attemptMs
    // A connection that stands counts until it ends, and how it ends says nothing about the endpoint.
    if (outcome === 'success') this.#endpoint?.state.settle(outcome, this.nowMs, durationMs)
    else this.#endpoint?.state.end(outcome, this.nowMs)
    this.#breaker?.record(this.#breakerToken, outcome, durationMs, this.nowMs)
    metrics.attempt(outcome, durationMs, error)
  }

  #onConnectFailure(code: 'connect_failed' | 'connect_timeout'): void {
    const service = this.#service as ServiceRuntime
    this.#upstream = null
    this.#endAttempt('failure', code)
    this.tried ??= []
    this.tried.push(this.#endpoint as Endpoint)
    const isTriedAgain = this.#attempts < this.#runtime.config.connectAttempts && this.tried.length < service.service.endpoints.length
    if (isTriedAgain && this.nowMs < this.#untilMs) this.#connect(service)
    else this.cut(code)
  }

  // ---- 4 relay ----

  onActivity(): number {
    const nowMs = this.#context.clock.now()
    this.#activeMs = nowMs
    this.#armIdle(nowMs)
    return nowMs
  }

  #armIdle(nowMs: number): void {
    const { idleMs } = this.#runtime.config.timeouts
    this.#armUntil(idleMs > 0 ? nowMs + idleMs : Number.POSITIVE_INFINITY)
  }

  #armUntil(timeMs: number): void {
    const untilMs = Math.min(timeMs, this.#untilMs)
    if (untilMs === Number.POSITIVE_INFINITY) this.#context.wheel.disarm(this)
    else this.#context.wheel.arm(this, untilMs)
  }

  override onDeadline(nowMs: number): void {
    const side = this.#upstream
    if (nowMs >= this.#untilMs) return this.cut('idle_timeout')
    if (side !== null && this.#connectedMs >= 0) {
      this.#idle ??= new IdleWatch()
      if (this.#idle.isMoving(this.#activeMs, this.#client, side)) return this.#armIdle(nowMs)
      return this.cut('idle_timeout')
    }
    if (side === null) return this.cut('request_timeout')
    // Nothing that this attempt says is heard any more.
    const { wire } = side
    this.#onConnectFailure('connect_timeout')
    wire?.destroy()
  }

  onSideClosed(side: RelaySide, error: Error | null): void {
    if (this.#isFinished) return
    if (side !== this.#client && side !== this.#upstream) return
    if (side === this.#upstream && this.#connectedMs < 0) return this.#onConnectFailure('connect_failed')
    const other = side === this.#client ? this.#upstream : this.#client
    if (error !== null || !side.hasEnded) this.cut(side === this.#client ? 'client_closed' : 'upstream_reset')
    else if (other === null || other.wire === null) this.#finish(null)
  }

  // ---- 5 finish ----

  /** Ends both sides at once. */
  cut(code: ErrorCode): void {
    if (this.#isFinished) return
    this.#finish(code)
    this.#client.wire?.reset()
    this.#upstream?.wire?.reset()
  }

  #finish(code: ErrorCode | null): void {
    this.#isFinished = true
    this.#context.wheel.remove(this)
    this.#place?.leave(code)
    const upstream = this.#upstream
    if (upstream !== null && this.#service !== null) {
      if (this.#connectedMs < 0) this.#endAttempt('neutral', null)
      else {
        this.#endpoint?.state.end('neutral', this.#context.clock.now())
        this.#service.metrics.busyConnections.add(-1)
      }
    }
    this.#runtime.metrics.ended(code ?? 'ok')
    if (code !== null) this.#context.errors.add(code)
    this.#context.logConnection?.(this.#describe(code))
    this.#server.onGone(this)
  }

  #describe(error: ErrorCode | null): TcpEntry {
    const { clock } = this.#context
    const nowMs = clock.now()
    return new TcpEntry({
      listener: this.#runtime.name,
      service: this.#service?.service.name ?? '',
      endpoint: this.#endpoint?.address ?? '',
      clientIp: this.clientIp,
      serverName: this.#serverName,
      receivedBytes: this.#client.bytes,
      sentBytes: this.#upstream?.bytes ?? 0,
      wallMs: clock.wallClock(),
      durationMs: nowMs - this.#startedMs,
      upstreamMs: this.#connectedMs < 0 ? -1 : nowMs - this.#connectedMs,
      attempts: this.#attempts,
      error,
    })
  }
}
