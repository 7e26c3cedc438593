import type net from 'node:net'
import { Timed, type TimerWheel } from '../base/timers.ts'
import { atTurnEnd, type TurnTask } from '../base/turn-end.ts'
import { Wire, type WireBuffer, type WireOwner } from '../base/wire.ts'
import type { ByteWriter } from '../codec/byte-writer.ts'
import { RequestHead } from '../codec/http1/head.ts'
import { COMPRESSION_ERROR, ENHANCE_YOUR_CALM, PROTOCOL_ERROR } from '../codec/http2/frame.ts'
import { HpackDecoder } from '../codec/http2/hpack-decoder.ts'
import { HpackEncoder } from '../codec/http2/hpack-encoder.ts'
import {
  BLOCK_COMPRESSION,
  BLOCK_MALFORMED,
  BLOCK_OK,
  BLOCK_URI_TOO_LONG,
  encodeTrailerBlock,
  readIgnoredBlock,
  readRequestBlock,
  readTrailerBlock,
  Trailers,
} from '../codec/http2/message.ts'
import { type Http2Attack, Http2Session, type Http2SessionOwner } from '../codec/http2/session.ts'
import { releaseWriter } from '../codec/http2/writer-pool.ts'
import type { Http2ListenerConfig } from '../config/types.ts'
import type { DownstreamEvents } from '../exchange/contracts.ts'
import { type ClientContext, Exchange, ForwardingLines, type SecureClient } from '../exchange/exchange.ts'
import type { Http2Metrics } from '../observe/http2-metrics.ts'
import type { ListenerRuntime } from '../proxy/runtime.ts'
import { DrainLimit } from './drain-limit.ts'
import { Http2RequestStream, type StreamHost } from './http2-stream.ts'
import { Linger } from './linger.ts'
import { ReadTurns, type TurnReader } from './read-turns.ts'

/** What a connection needs of its server. `listener` is read anew for each request: a reload may have changed it. */
export interface Http2Server {
  readonly listener: ListenerRuntime
  readonly events: DownstreamEvents
  readonly wheel: TimerWheel
  readonly now: () => number
  onGone(connection: Http2Downstream): void
}

/** The second GOAWAY of an orderly end comes when the client has answered the first, or after this time. */
const GOAWAY_MS = 1000
/**
 * Output that the socket has not taken, beyond which nothing more is read. Bodies stop much earlier, so only a client that asks without
 * reading gets here. It must be more than one full write, or two proxies that wait for each other would wait forever.
 */
const UNREAD_BYTES = 256 * 1024
const HEADS_KEPT = 256
// One list per thread: an idle connection keeps none.
const freeHeads: RequestHead[] = []

/** What the connection's timer is for. */
const FOR_NOTHING = 0
const FOR_HEAD = 1
const FOR_IDLE = 2
const FOR_SEND = 3

/**
 * One HTTP/2 connection of a client (RFC 9113): many requests at a time, each an exchange of its own. The protocol is in
 * codec/http2/session.ts; here are the socket, the times, and what streams mean to the proxy.
 */
export class Http2Downstream
  extends Timed
  implements TurnReader, WireOwner, ClientContext, StreamHost, TurnTask, Http2SessionOwner<Http2RequestStream>
{
  readonly remoteAddress: string
  readonly secure: SecureClient | null
  readonly forwarding = new ForwardingLines()
  readonly session: Http2Session<Http2RequestStream>
  readonly encoder = new HpackEncoder()
  readonly events: DownstreamEvents
  readonly wheel: TimerWheel
  readonly now: () => number
  readonly #server: Http2Server
  readonly #metrics: Http2Metrics
  readonly #decoder = new HpackDecoder()
  #wire: Wire
  readonly #trailers = new Trailers()
  /** Streams that got request body in this read. */
  readonly #flushing: Http2RequestStream[] = []
  #served = 0
  #nowMs: number
  #countedStreams = 0

  #isFlushQueued = false
  /** Bytes the socket still works on; free again when nothing is pending. */
  #lent: ByteWriter | null = null
  #isBlocked = false
  #isReadPaused = false
  readonly #turns = new ReadTurns(this)
  /** `unsentBytes` when the client was last looked at as too slow. */
  #unsent = 0

  #timerFor = FOR_NOTHING
  #hasSettings = false
  #drainTimer: DrainLimit | null = null
  /** The last GOAWAY is out: the connection ends with its last stream. */
  #isEnding = false
  #isLingering = false
  #isClosed = false

  private constructor(server: Http2Server, config: Http2ListenerConfig, remoteAddress: string, secure: SecureClient | null) {
    super()
    this.#server = server
    this.events = server.events
    this.wheel = server.wheel
    this.now = server.now
    this.remoteAddress = remoteAddress
    this.secure = secure
    this.#metrics = server.listener.metrics.http2
    this.#nowMs = server.now()
    const { headBytes, headers } = server.listener.config.limits
    this.session = new Http2Session<Http2RequestStream>(this, {
      isServer: true,
      ...config,
      maxHeaderListBytes: headBytes + headers * 32,
      // Room for a head that is too large but honest: it is answered with 431.
      maxHeaderBlockBytes: Math.max(2 * headBytes, 32 * 1024),
      enableConnectProtocol: true,
    })
    // Set at once by who calls; the wire needs its owner first.
    this.#wire = null as unknown as Wire
  }

  /** Takes over an accepted socket on which HTTP/2 was agreed on (TLS, ALPN `h2`). null when it is gone already. */
  static accept(
    server: Http2Server,
    config: Http2ListenerConfig,
    socket: net.Socket,
    remoteAddress: string,
    secure: SecureClient | null,
  ): Http2Downstream | null {
    const connection = new Http2Downstream(server, config, remoteAddress, secure)
    const wire = Wire.accept(socket, connection)
    if (wire === null) return null
    connection.#wire = wire
    connection.#begin()
    wire.resume()
    return connection
  }

  /** Goes on with a wire whose client turned out to speak HTTP/2. What it has sent so far is then given to `onData`. */
  static takeOver(server: Http2Server, config: Http2ListenerConfig, wire: Wire, client: ClientContext): Http2Downstream {
    const connection = new Http2Downstream(server, config, client.remoteAddress, client.secure)
    connection.#wire = wire
    wire.owner = connection
    connection.#begin()
    return connection
  }

  #begin(): void {
    this.session.start()
    this.#setTimer()
  }

  // ---- reading ----

  onData(bytes: WireBuffer, length: number): boolean {
    return this.#turns.onData(bytes, length)
  }

  receive(bytes: WireBuffer, start: number, end: number, budget: number): number {
    this.#nowMs = this.now()
    return this.session.receive(bytes, start, end, this.#nowMs, budget)
  }

  onReceived(): boolean {
    if (this.#flushing.length > 0) this.#flushRequests()
    if (this.#timerFor === FOR_HEAD || this.session.isReadingBlock) this.#setTimer()
    this.#isReadPaused = this.#wire.pendingBytes > UNREAD_BYTES
    return !this.#isReadPaused
  }

  get isOver(): boolean {
    return this.#isLingering || this.#isClosed
  }

  resumeReading(): void {
    this.#wire.resume()
  }

  #flushRequests(): void {
    const flushing = this.#flushing
    for (let i = 0; i < flushing.length; i++) {
      const stream = flushing[i] as Http2RequestStream
      stream.isFlushWaiting = false
      if (stream.exchange !== null) this.events.onRequestFlush(stream.exchange)
      stream.onReadEnd()
    }
    flushing.length = 0
  }

  #flushLater(stream: Http2RequestStream): void {
    if (stream.isFlushWaiting || stream.exchange === null) return
    stream.isFlushWaiting = true
    this.#flushing.push(stream)
  }

  createStream(): Http2RequestStream {
    if (this.#timerFor === FOR_IDLE) {
      this.#timerFor = FOR_NOTHING
      this.deadlineMs = 0
    }
    return new Http2RequestStream(this)
  }

  onHeaders(stream: Http2RequestStream, bytes: WireBuffer, start: number, end: number, endStream: boolean): void {
    const { listener } = this.#server
    const head = freeHeads.pop() ?? new RequestHead()
    const result = readRequestBlock(this.#decoder, bytes, start, end, head, listener.config.limits)
    if (result === BLOCK_COMPRESSION) return this.session.fail(COMPRESSION_ERROR, 'a header block cannot be decompressed')
    if (result === BLOCK_MALFORMED || (endStream && (head.contentLength > 0 || head.protocol !== ''))) {
      // RFC 9113 section 8.1.1. And there is nothing to open a tunnel for on a stream that has ended.
      this.recycle(head)
      return this.session.refuse(stream, PROTOCOL_ERROR)
    }
    const isConnect = head.protocol !== ''
    if (isConnect) asUpgrade(head)
    head.chunked = !endStream && !isConnect && head.contentLength === -1
    const x = new Exchange(stream, listener, head, this, this.#nowMs)
    stream.begin(x)
    this.#countRequest(listener.config.maxRequestsPerConnection)
    if (result !== BLOCK_OK) {
      if (result === BLOCK_URI_TOO_LONG) this.events.onBadRequest(x, 'uri_too_long', 'the request target is longer than the limit')
      else this.events.onBadRequest(x, 'head_too_large', 'the request head is larger than the limit or has too many fields')
      return
    }
    if (isConnect) {
      stream.isConnect = true
      x.requestComplete = true
      this.events.onRequest(x)
    } else if (!endStream && x.hasRequestBody) {
      stream.startBody()
      this.events.onRequest(x)
      // The body may be long in coming, and the endpoint may answer without it.
      this.#flushLater(stream)
    } else {
      stream.expectedBytes = head.contentLength
      stream.isRequestDone = true
      x.requestComplete = true
      this.events.onRequest(x)
    }
  }

  #countRequest(max: number): void {
    this.#served++
    if (max > 0 && this.#served >= max) this.#startGoaway()
  }

  onTrailers(stream: Http2RequestStream, bytes: WireBuffer, start: number, end: number): void {
    if (stream.exchange === null || stream.isRequestDone) return this.onIgnoredHeaders(bytes, start, end)
    const { limits } = this.#server.listener.config
    const result = readTrailerBlock(this.#decoder, bytes, start, end, limits, this.#trailers)
    if (result === BLOCK_COMPRESSION) return this.session.fail(COMPRESSION_ERROR, 'a header block cannot be decompressed')
    // RFC 9113 section 8.5: on a tunnel there is nothing but DATA.
    if (result !== BLOCK_OK || stream.isConnect) {
      this.session.refuse(stream, PROTOCOL_ERROR)
      stream.onGone()
      return
    }
    stream.endRequest(this.#trailers.lines)
  }

  onIgnoredHeaders(bytes: WireBuffer, start: number, end: number): void {
    if (readIgnoredBlock(this.#decoder, bytes, start, end) === BLOCK_COMPRESSION) {
      this.session.fail(COMPRESSION_ERROR, 'a header block cannot be decompressed')
    }
  }

  onBody(stream: Http2RequestStream, bytes: WireBuffer, start: number, end: number): void {
    stream.receive(bytes, start, end)
    this.#flushLater(stream)
  }

  onBodyEnd(stream: Http2RequestStream): void {
    stream.endRequest('')
  }

  onReset(stream: Http2RequestStream): void {
    stream.onGone()
  }

  onStreamClosed(stream: Http2RequestStream): void {
    stream.onLeft()
    if (this.session.openStreams > 0) return
    if (this.#isEnding) this.#linger()
    else this.#setTimer()
  }

  onSettings(): void {
    this.#hasSettings = true
    const { leastHeaderTableBytes, headerTableBytes } = this.session.remote
    if (leastHeaderTableBytes < headerTableBytes) this.encoder.setPeerTableBytes(leastHeaderTableBytes)
    this.encoder.setPeerTableBytes(headerTableBytes)
  }

  onSettingsAcknowledged(): void {
    this.#decoder.settingsAcknowledged()
  }

  onGoaway(): void {
    // A client that goes away opens nothing more; what it has asked for is answered, and then the connection is idle.
  }

  onPong(): void {
    if (this.#drainTimer !== null) this.#finishGoaway()
  }

  onAttack(attack: Http2Attack): void {
    this.#metrics.attack(attack)
  }

  get sendMs(): number {
    return this.#server.listener.config.timeouts.sendMs
  }

  recycle(head: RequestHead): void {
    head.reset()
    if (freeHeads.length < HEADS_KEPT) freeHeads.push(head)
  }

  // ---- writing ----

  onOutput(): void {
    if (this.#isFlushQueued) return
    this.#isFlushQueued = true
    atTurnEnd(this)
  }

  onTurnEnd(): void {
    this.#isFlushQueued = false
    this.onOutputFull()
    const change = this.session.openStreams - this.#countedStreams
    if (change !== 0 && !this.#isClosed) {
      this.#countedStreams += change
      this.#metrics.addStreams(change)
    }
  }

  onOutputFull(): void {
    const writer = this.session.takeOutput()
    if (writer === null) return
    if (this.#isClosed) return releaseWriter(writer)
    const wire = this.#wire
    if (this.#lent !== null && wire.pendingBytes === 0) {
      releaseWriter(this.#lent)
      this.#lent = null
    }
    const proceed = wire.writeOwned(writer.bytes, 0, writer.at)
    if (wire.pendingBytes === 0) releaseWriter(writer)
    else this.#lent = writer
    if (!proceed && !this.#isBlocked) this.#block()
  }

  encodeTrailers(lines: string, writer: ByteWriter): void {
    encodeTrailerBlock(this.encoder, lines, writer)
  }

  #block(): void {
    this.#isBlocked = true
    this.#unsent = this.#wire.unsentBytes
    this.session.setBlocked(true)
    this.#setTimer()
  }

  onDrain(): void {
    if (!this.#isBlocked) return
    this.#isBlocked = false
    this.session.setBlocked(false)
    this.#setTimer()
    if (!this.#isReadPaused) return
    this.#isReadPaused = false
    this.#turns.resume()
  }

  /** The pieces that waited are on their way. */
  onStreamDrain(stream: Http2RequestStream): void {
    stream.onDrain()
  }

  // ---- times ----

  /** What the client is waited for now. */
  #setTimer(): void {
    if (this.#isLingering || this.#isClosed) return
    const { timeouts } = this.#server.listener.config
    if (this.#isBlocked) this.#arm(FOR_SEND, timeouts.sendMs)
    else if (!this.#hasSettings || this.session.isReadingBlock) this.#armHead(timeouts.headMs)
    else if (this.session.openStreams === 0) this.#arm(FOR_IDLE, timeouts.idleMs)
    else this.#arm(FOR_NOTHING, 0)
  }

  /** From its first byte to its last: what comes in between is no reason to wait longer. */
  #armHead(timeoutMs: number): void {
    if (this.#timerFor !== FOR_HEAD) this.#arm(FOR_HEAD, timeoutMs)
  }

  #arm(purpose: number, timeoutMs: number): void {
    this.#timerFor = purpose
    if (timeoutMs === 0) this.deadlineMs = 0
    else this.wheel.arm(this, this.now() + timeoutMs)
  }

  override onDeadline(): void {
    if (this.#timerFor === FOR_SEND) {
      const before = this.#unsent
      this.#unsent = this.#wire.unsentBytes
      // What was written moves, if slowly: the time begins anew.
      if (this.#unsent !== 0 && this.#unsent < before) this.#arm(this.#timerFor, this.sendMs)
      else this.#wire.reset()
    } else if (this.#timerFor === FOR_HEAD) {
      this.session.fail(ENHANCE_YOUR_CALM, 'the request head did not come in time')
    } else if (this.#timerFor === FOR_IDLE) {
      this.#finishGoaway()
    }
  }

  // ---- ends ----

  /** Says that this connection takes no further requests; what is on its way still counts. */
  #startGoaway(): void {
    if (this.#drainTimer !== null || this.#isEnding || this.session.isClosed) return
    this.session.shutdown()
    this.#drainTimer = new DrainLimit(() => this.#finishGoaway())
    this.wheel.arm(this.#drainTimer, this.now() + GOAWAY_MS)
  }

  #finishGoaway(): void {
    if (this.#drainTimer !== null) this.wheel.remove(this.#drainTimer)
    this.#drainTimer = null
    if (this.#isEnding || this.#isClosed || this.session.isClosed) return
    this.session.finishShutdown()
    this.#isEnding = true
    if (this.session.openStreams === 0) this.#linger()
  }

  onConnectionError(): void {
    this.#endStreams()
    this.#linger()
  }

  #endStreams(): void {
    for (const stream of this.session.streams.values()) {
      stream.onGone()
      stream.onLeft()
    }
  }

  /** The orderly end: all that was said goes out, and the client hears it. */
  #linger(): void {
    if (this.#isLingering || this.#isClosed) return
    this.onOutputFull()
    this.session.close()
    this.#isLingering = true
    this.wheel.remove(this)
    const { wheel, now, sendMs } = this
    new Linger(this.#wire, { wheel, now, sendMs, onClose: () => this.onClose() })
  }

  onEnd(): void {
    // Without window updates there is no half a connection here: who closes is gone.
    this.#wire.destroy()
  }

  onClose(): void {
    this.#isClosed = true
    this.#turns.release()
    this.wheel.remove(this)
    if (this.#drainTimer !== null) this.wheel.remove(this.#drainTimer)
    this.#metrics.addStreams(-this.#countedStreams)
    this.#countedStreams = 0
    this.#server.onGone(this)
    this.session.close()
    this.#endStreams()
    const writer = this.session.takeOutput()
    if (writer !== null) releaseWriter(writer)
  }

  /** The server is shutting down. */
  drain(): void {
    this.#startGoaway()
    for (const stream of this.session.streams.values()) {
      if (stream.isConnect && stream.exchange !== null) this.events.onShutdown(stream.exchange)
    }
  }

  /** The time for draining is over. */
  destroy(): void {
    this.#wire.destroy()
  }
}

/** An extended CONNECT (RFC 8441) goes the way of an Upgrade over HTTP/1.1: to routes and in the log it is the GET that it is there. */
function asUpgrade(head: RequestHead): void {
  head.method = 'GET'
  head.contentLength = -1
}
