import type { ErrorCode } from '../base/error.ts'
import { Timed } from '../base/timers.ts'
import { Wire, type WireBuffer, type WireOwner } from '../base/wire.ts'
import { HEAD_INCOMPLETE, type HeadLimits, ResponseHead, readResponseHead } from '../codec/http1/head.ts'
import { isWorthReading, joinPartialHead } from '../codec/http1/partial-head.ts'
import type { Exchange } from '../exchange/exchange.ts'
import { createConnectOptions } from '../upstream/connector.ts'
import { refuseItself, viaLine } from './forward-loop.ts'
import type { Destination } from './forward-policy.ts'
import { resolveDestination } from './forward-route.ts'
import type { ForwardRuntime } from './forward-runtime.ts'
import type { ProxyContext } from './runtime.ts'
import { type TakeoverStream, Tunnel } from './tunnel.ts'

/** What a CONNECT tells its proxy. */
export interface ConnectOwner {
  readonly context: ProxyContext
  /** It came to nothing: the client is to be answered. */
  onConnectFailed(connect: ForwardConnect, code: ErrorCode, detail: string): void
  /** The last call: the tunnel is over, or the client went away before there was one. */
  onConnectEnded(connect: ForwardConnect, code: ErrorCode | null): void
}

/** Addresses of a destination that are tried one after another. */
const MAX_ADDRESSES = 4
const PARENT_LIMITS: HeadLimits = { headBytes: 64 * 1024, headers: 200, uriBytes: 8 * 1024 }
const ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n'

/**
 * One CONNECT (RFC 9110 section 9.3.6): resolve, connect to one of the addresses that may be reached, or ask the parent proxy; then answer
 * 200 and let bytes pass.
 */
export class ForwardConnect extends Timed implements WireOwner {
  readonly x: Exchange
  readonly #owner: ConnectOwner
  readonly #runtime: ForwardRuntime
  readonly #destination: Destination
  #addresses: readonly string[] = []
  #next = 0
  #wire: Wire | null = null
  #partialHead: WireBuffer | null = null
  #isConnected = false
  #tunnel: Tunnel | null = null
  #isDone = false

  constructor(owner: ConnectOwner, x: Exchange, runtime: ForwardRuntime, destination: Destination) {
    super()
    this.#owner = owner
    this.x = x
    this.#runtime = runtime
    this.#destination = destination
  }

  start(): void {
    const { parent } = this.#runtime.config
    const { wheel, clock } = this.#owner.context
    if (parent !== null) {
      this.#addresses = [parent.host]
      return this.#connect(parent.port)
    }
    const { requestMs } = this.#runtime.config.service.timeouts
    if (requestMs > 0) wheel.arm(this, clock.now() + requestMs)
    resolveDestination(this.#destination, this.#runtime, (addresses, refusal) => {
      if (this.#isDone) return
      if (refusal !== null) return this.#fail(refusal.code, refusal.detail)
      this.#addresses = addresses.slice(0, MAX_ADDRESSES)
      this.#connect(this.#destination.port)
    })
  }

  #connect(port: number): void {
    const { wheel, clock } = this.#owner.context
    const host = this.#addresses[this.#next++] as string
    // An earlier deadline must not stay in force for the next address.
    wheel.remove(this)
    wheel.arm(this, clock.now() + this.#runtime.config.service.pool.connectTimeoutMs)
    // An address for a destination; the parent may be a name.
    const wire = Wire.connect(createConnectOptions(host, port, this.#runtime.lookups), this, () => {
      if (this.#wire === wire) this.#onConnected(wire)
    })
    this.#wire = wire
  }

  #onConnected(wire: Wire): void {
    this.#isConnected = true
    const { parent, address: listening } = this.#runtime.config
    if (parent === null) {
      const refusal = refuseItself(this.x, listening.host, wire.socket)
      return refusal === null ? this.#establish(wire, null) : this.#fail(refusal.code, refusal.detail)
    }
    const { host, port } = this.#destination
    const authority = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
    const { parentAuthorization } = this.#runtime
    const authorization = parentAuthorization === null ? '' : `Proxy-Authorization: ${parentAuthorization}\r\n`
    wire.writeText(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${viaLine(this.x)}${authorization}\r\n`)
    const { requestMs } = this.#runtime.config.service.timeouts
    const { wheel, clock } = this.#owner.context
    if (requestMs > 0) wheel.arm(this, clock.now() + requestMs)
    else wheel.disarm(this)
  }

  // ---- what the parent answers ----

  onData(bytes: WireBuffer, length: number): boolean {
    if (this.#isDone || this.#runtime.config.parent === null || !this.#isConnected) return false
    const had = this.#partialHead?.length ?? 0
    const joined = joinPartialHead(this.#partialHead, bytes, 0, length)
    const head = new ResponseHead()
    let end = HEAD_INCOMPLETE
    if (had === 0 || isWorthReading(joined, had, PARENT_LIMITS)) end = readResponseHead(joined, 0, joined.length, head, PARENT_LIMITS)
    if (end === HEAD_INCOMPLETE) {
      this.#partialHead = joined
      return true
    }
    if (end < 0) this.#fail('upstream_protocol', 'the parent proxy answered with something that is not valid HTTP')
    else if (head.status >= 100 && head.status < 200) return this.#readOn(joined, end)
    else if (head.status === 508) this.#fail('loop_detected', 'this request has been through the parent proxy before')
    else if (head.status >= 300 || head.status < 200) this.#fail('connect_failed', `the parent proxy answered ${head.status}`)
    else this.#establish(this.#wire as Wire, end < joined.length ? Buffer.from(joined.subarray(end)) : null)
    return false
  }

  /** Behind an interim response. */
  #readOn(joined: WireBuffer, from: number): boolean {
    this.#partialHead = null
    const rest = joined.subarray(from) as WireBuffer
    return rest.length === 0 || this.onData(rest, rest.length)
  }

  onEnd(): void {
    if (!this.#isDone) this.#fail('upstream_reset', 'the parent proxy closed the connection')
  }

  onDrain(): void {}

  onClose(): void {
    if (this.#isDone) return
    this.#wire = null
    if (this.#isConnected) return this.#fail('upstream_reset', 'the parent proxy closed the connection')
    this.#tryNext('connect_failed', 'the connection to the host was refused or failed')
  }

  override onDeadline(): void {
    if (this.#isConnected || this.#wire === null) return this.#fail('connect_timeout', 'the host could not be reached in time')
    const wire = this.#wire
    this.#wire = null
    wire.owner = ABANDONED
    wire.destroy()
    this.#tryNext('connect_timeout', 'the host did not accept the connection in time')
  }

  #tryNext(code: ErrorCode, detail: string): void {
    if (this.#next < this.#addresses.length) this.#connect(this.#runtime.config.parent?.port ?? this.#destination.port)
    else this.#fail(code, detail)
  }

  // ---- the tunnel ----

  #establish(upstream: Wire, behind: Buffer | null): void {
    const { context } = this.#owner
    this.#isDone = true
    this.#wire = null
    context.wheel.remove(this)
    const { idleMs, lifetimeMs } = this.#runtime.config.tunnel
    const tunnel = new Tunnel({
      clock: context.clock,
      wheel: context.wheel,
      metrics: this.#runtime.tunnels,
      idleMs,
      lifetimeMs,
      onEnd: (_, code) => this.#owner.onConnectEnded(this, code),
    })
    const client = (this.x.downstream as TakeoverStream).takeOver(tunnel.client)
    if (client === null) {
      upstream.owner = ABANDONED
      upstream.destroy()
      return this.#owner.onConnectEnded(this, 'client_closed')
    }
    this.#tunnel = tunnel
    upstream.owner = tunnel.upstream
    client.wire.writeText(ESTABLISHED)
    tunnel.start(client, upstream, behind)
  }

  get receivedBytes(): number {
    return this.#tunnel?.receivedBytes ?? 0
  }

  get sentBytes(): number {
    return this.#tunnel?.sentBytes ?? 0
  }

  /** The client went away while it waited. */
  abandon(): void {
    if (this.#isDone) return
    this.#end()
    this.#owner.onConnectEnded(this, 'client_closed')
  }

  #fail(code: ErrorCode, detail: string): void {
    this.#end()
    this.#owner.onConnectFailed(this, code, detail)
  }

  #end(): void {
    this.#isDone = true
    this.#owner.context.wheel.remove(this)
    const wire = this.#wire
    this.#wire = null
    if (wire === null) return
    wire.owner = ABANDONED
    wire.destroy()
  }
}

/** Nobody wants to hear of this wire any more. */
const ABANDONED: WireOwner = { onData: () => false, onEnd() {}, onDrain() {}, onClose() {} }
