import type { TLSSocket } from 'node:tls'
import type { ErrorCode } from '../base/error.ts'
import { Timed, type TimerWheel } from '../base/timers.ts'
import { atTurnEnd, type TurnTask } from '../base/turn-end.ts'
import type { Wire, WireBuffer, WireOwner } from '../base/wire.ts'
import type { ByteWriter } from '../codec/byte-writer.ts'
import { type HeadLimits, ResponseHead } from '../codec/http1/head.ts'
import { CANCEL, COMPRESSION_ERROR, PROTOCOL_ERROR } from '../codec/http2/frame.ts'
import { HpackDecoder } from '../codec/http2/hpack-decoder.ts'
import { HpackEncoder } from '../codec/http2/hpack-encoder.ts'
import {
  BLOCK_COMPRESSION,
  BLOCK_OK,
  BLOCK_TOO_LARGE,
  encodeTrailerBlock,
  readIgnoredBlock,
  readResponseBlock,
  readTrailerBlock,
  Trailers,
} from '../codec/http2/message.ts'
import { Http2Session, type Http2SessionOwner } from '../codec/http2/session.ts'
import { WireOutput } from '../codec/http2/wire-output.ts'
import { releaseWriter } from '../codec/http2/writer-pool.ts'
import type { Http2ServiceConfig } from '../config/types.ts'
import type { UpstreamEvents } from '../exchange/contracts.ts'
import type { Attempt } from '../exchange/exchange.ts'
import { tlsFailureOf } from '../service/service-tls.ts'
import type { ConnectOptions } from './connector.ts'
import { Liveness } from './http2-liveness.ts'
import { Http2UpstreamStream, type UpstreamStreamHost } from './http2-stream.ts'
import { type EndpointTls, openWire } from './tls.ts'

/** What a connection tells its pool. */
export interface Http2ConnectionOwner {
  /** The endpoint has greeted: attempts may be sent. */
  onOpen(connection: Http2Connection): void
  /** A stream has ended, or the endpoint allows more of them. */
  onRoom(connection: Http2Connection): void
  /** Takes no further attempts; those it has go on. */
  onLeaving(connection: Http2Connection): void
  /** Gone; called exactly once, and before the attempts that waited for it fail. */
  onGone(connection: Http2Connection): void
}

export interface Http2ConnectionOptions {
  readonly connect: ConnectOptions
  /** null: without TLS. */
  readonly tls: EndpointTls | null
  /** Why a handshake has failed, or no HTTP/2 came of it, for the log. */
  readonly onTlsFailure: (reason: string) => void
  readonly onNoHttp2: (reason: string) => void
  readonly connectTimeoutMs: number
  readonly idleTimeoutMs: number
  /** What goes out as :authority: 'preserve', 'endpoint', or the value itself. */
  readonly hostHeader: string
  readonly http2: Http2ServiceConfig
  readonly limits: HeadLimits
  readonly wheel: TimerWheel
  readonly now: () => number
  readonly events: UpstreamEvents
}

/** From our GOAWAY to the end of the connection, if the endpoint does not close it before. */
const LINGER_MS = 1000
/** Output that the endpoint does not take, beyond which nothing more is read. More than one full write: see listener/http2.ts. */
const UNREAD_BYTES = 256 * 1024
const HEADS_KEPT = 64
/** Beyond 64 KiB decoded. What is longer ends the connection. */
const BLOCK_FACTOR = 2

const CONNECTING = 0
/** Our preface is out, the endpoint's settings have not come. Nothing was asked of it yet. */
const GREETING = 1
const OPEN = 2
/** Its end has been said; what is written goes out. */
const ENDED = 3
const CLOSED = 4

/**
 * One HTTP/2 connection to an endpoint (RFC 9113): many attempts at a time, each a stream. The first one waits for the endpoint's SETTINGS:
 * an endpoint that speaks something else then is a failure to connect, and its limit on streams is never exceeded.
 */
export class Http2Connection extends Timed implements WireOwner, TurnTask, UpstreamStreamHost, Http2SessionOwner<Http2UpstreamStream> {
  readonly session: Http2Session<Http2UpstreamStream>
  readonly encoder = new HpackEncoder()
  readonly events: UpstreamEvents
  readonly scheme: 'http' | 'https'
  readonly hostHeader: string
  /** Attempts that wait until it is open. */
  readonly starting = new Set<Attempt>()
  /** The pool counts it as idle. */
  isCountedIdle = false
  /** It has stood idle, and nothing was heard since: it may be dead. */
  isStale = false
  readonly #options: Http2ConnectionOptions
  readonly #owner: Http2ConnectionOwner
  readonly #decoder = new HpackDecoder()
  readonly #output = new WireOutput()
  readonly #trailers = new Trailers()
  readonly #heads: ResponseHead[] = []
  /** Streams that got something in this read. */
  readonly #flushing: Http2UpstreamStream[] = []
  readonly #wire: Wire
  #state = CONNECTING
  #failure: ErrorCode | null = null
  #failureDetail = ''
  #isLeaving = false
  #isFlushQueued = false
  #isBlocked = false
  #isReadPaused = false
  #idleMs = 0
  readonly #liveness: Liveness

  constructor(options: Http2ConnectionOptions, owner: Http2ConnectionOwner) {
    super()
    this.#options = options
    this.#owner = owner
    this.events = options.events
    this.scheme = options.tls === null ? 'http' : 'https'
    this.hostHeader = options.hostHeader
    const { limits, http2 } = options
    this.session = new Http2Session<Http2UpstreamStream>(this, {
      isServer: false,
      maxConcurrentStreams: 0,
      streamWindowBytes: http2.streamWindowBytes,
      connectionWindowBytes: http2.connectionWindowBytes,
      maxHeaderListBytes: limits.headBytes + limits.headers * 32,
      maxHeaderBlockBytes: limits.headBytes * BLOCK_FACTOR,
      enableConnectProtocol: false,
    })
    const nowMs = options.now()
    this.#liveness = new Liveness(http2.pingMs, nowMs)
    this.#wire = openWire(options.connect, options.tls, this, () => this.#onConnected())
    options.wheel.arm(this, nowMs + options.connectTimeoutMs)
  }

  get isOpening(): boolean {
    return this.#state === CONNECTING || this.#state === GREETING
  }

  /** The endpoint takes another attempt now. */
  get canSend(): boolean {
    const { session } = this
    return this.#state === OPEN && session.openStreams < this.#options.http2.maxStreams && session.canOpen
  }

  /** The same for attempts that have not waited for this connection. */
  get hasRoom(): boolean {
    return !this.#isLeaving && this.canSend
  }

  get isGoingAway(): boolean {
    return this.session.isGoingAway
  }

  // ---- opening ----

  #onConnected(): void {
    const { tls, onTlsFailure } = this.#options
    if (tls !== null && (this.#wire.socket as TLSSocket).alpnProtocol !== 'h2') {
      this.#failureDetail = 'the endpoint did not choose HTTP/2 (ALPN h2)'
      onTlsFailure(this.#failureDetail)
      this.#wire.destroy()
      return
    }
    this.#state = GREETING
    this.session.start()
  }

  onSettings(): void {
    const { leastHeaderTableBytes, headerTableBytes } = this.session.remote
    if (leastHeaderTableBytes < headerTableBytes) this.encoder.setPeerTableBytes(leastHeaderTableBytes)
    this.encoder.setPeerTableBytes(headerTableBytes)
    if (this.#state !== GREETING) {
      this.#owner.onRoom(this)
      return
    }
    this.#state = OPEN
    this.#idleMs = this.#options.now()
    this.#setTimer()
    this.#owner.onOpen(this)
  }

  onSettingsAcknowledged(): void {
    this.#decoder.settingsAcknowledged()
  }

  /** Lets an attempt wait until the connection is open. */
  enqueue(attempt: Attempt): void {
    this.starting.add(attempt)
    attempt.waiting = this
  }

  /** Takes a waiting attempt out. */
  cancel(attempt: Attempt): void {
    attempt.waiting = null
    this.starting.delete(attempt)
  }

  // ---- requests ----

  /** Only while it `canSend`. */
  send(attempt: Attempt): void {
    if (attempt.exchange.upgrade === 'websocket' && !this.session.remote.enableConnectProtocol) {
      this.events.onFailure(attempt, 'upstream_protocol', 'the endpoint takes no WebSockets over HTTP/2 (RFC 8441)')
      this.#owner.onRoom(this)
      return
    }
    attempt.reused = this.isStale
    this.#liveness.isBusy = true
    const stream = new Http2UpstreamStream(this, this.#heads.pop() ?? new ResponseHead(), this.#options.now())
    stream.send(attempt)
    if (!this.session.canOpen) this.#leaveIfExhausted()
  }

  /** The ids of streams are used up: only another connection has more. */
  #leaveIfExhausted(): void {
    const { session } = this
    if (!session.isClosed && !session.isGoingAway && session.openStreams < session.remote.maxConcurrentStreams) this.#leave()
  }

  /** An attempt was given up that had heard nothing at all: is anybody there? */
  onCancelled(stream: Http2UpstreamStream): void {
    if (this.#state !== OPEN) return
    const nowMs = this.#options.now()
    if (this.#liveness.isSuspect(stream.sentMs, nowMs)) this.#ping(nowMs)
  }

  recycle(head: ResponseHead): void {
    if (this.#heads.length < HEADS_KEPT) this.#heads.push(head)
  }

  // ---- reading ----

  onData(bytes: WireBuffer, length: number): boolean {
    const nowMs = this.#options.now()
    this.#liveness.heard(nowMs)
    this.session.receive(bytes, 0, length, nowMs)
    if (this.#flushing.length > 0) this.#flushResponses()
    this.#isReadPaused = this.#wire.pendingBytes > UNREAD_BYTES
    return !this.#isReadPaused
  }

  #flushResponses(): void {
    const flushing = this.#flushing
    for (let i = 0; i < flushing.length; i++) {
      const stream = flushing[i] as Http2UpstreamStream
      stream.isFlushWaiting = false
      if (stream.attempt !== null) this.events.onFlush(stream.attempt)
    }
    flushing.length = 0
  }

  #flushLater(stream: Http2UpstreamStream): void {
    if (stream.isFlushWaiting || stream.attempt === null) return
    stream.isFlushWaiting = true
    this.#flushing.push(stream)
  }

  createStream(): Http2UpstreamStream {
    throw new Error('an endpoint opens no streams')
  }

  onHeaders(stream: Http2UpstreamStream, bytes: WireBuffer, start: number, end: number, endStream: boolean): void {
    const result = readResponseBlock(this.#decoder, bytes, start, end, stream.head, this.#options.limits)
    if (result === BLOCK_COMPRESSION) return this.session.fail(COMPRESSION_ERROR, 'a header block cannot be decompressed')
    this.isStale = false
    this.#liveness.isBusy = true
    const { attempt } = stream
    if (attempt === null) return
    attempt.headReceived = true
    if (result === BLOCK_OK) {
      stream.onHead(endStream)
      if (!stream.isClosed) this.#flushLater(stream)
    } else if (result === BLOCK_TOO_LARGE) {
      stream.fail(CANCEL, 'upstream_protocol', 'the endpoint sent a response head that is too large')
    } else {
      stream.fail(PROTOCOL_ERROR, 'upstream_protocol', 'the endpoint sent a response head that is not valid HTTP/2')
    }
  }

  onTrailers(stream: Http2UpstreamStream, bytes: WireBuffer, start: number, end: number): void {
    if (stream.attempt === null) return this.onIgnoredHeaders(bytes, start, end)
    const result = readTrailerBlock(this.#decoder, bytes, start, end, this.#options.limits, this.#trailers)
    if (result === BLOCK_COMPRESSION) return this.session.fail(COMPRESSION_ERROR, 'a header block cannot be decompressed')
    if (result === BLOCK_OK) stream.complete(this.#trailers.lines)
    else stream.fail(PROTOCOL_ERROR, 'upstream_protocol', 'the endpoint sent a trailer section that is not valid')
  }

  onIgnoredHeaders(bytes: WireBuffer, start: number, end: number): void {
    if (readIgnoredBlock(this.#decoder, bytes, start, end) === BLOCK_COMPRESSION) {
      this.session.fail(COMPRESSION_ERROR, 'a header block cannot be decompressed')
    }
  }

  onBody(stream: Http2UpstreamStream, bytes: WireBuffer, start: number, end: number): void {
    this.#liveness.isBusy = true
    stream.receive(bytes, start, end)
    this.#flushLater(stream)
  }

  onBodyEnd(stream: Http2UpstreamStream): void {
    if (stream.attempt !== null) stream.complete('')
  }

  onReset(stream: Http2UpstreamStream, code: number, isRemote: boolean): void {
    stream.onReset(code, isRemote)
  }

  onStreamClosed(): void {
    const { session } = this
    if (this.#state !== OPEN) return
    if (session.openStreams === 0) {
      if (this.#isLeaving) return this.#endIfDone()
      this.isStale = true
      this.#idleMs = this.#options.now()
      this.#setTimer()
    }
    if (this.#isLeaving) return
    if (!session.canOpen) this.#leaveIfExhausted()
    this.#owner.onRoom(this)
  }

  onStreamDrain(stream: Http2UpstreamStream): void {
    stream.onDrain()
  }

  onGoaway(): void {
    this.#leave()
    this.#endIfDone()
  }

  onPong(): void {}

  onAttack(): void {}

  // ---- writing ----

  onOutput(): void {
    if (this.#isFlushQueued) return
    this.#isFlushQueued = true
    atTurnEnd(this)
  }

  onTurnEnd(): void {
    this.#isFlushQueued = false
    this.onOutputFull()
  }

  onOutputFull(): void {
    const writer = this.session.takeOutput()
    if (writer === null) return
    if (this.#state === CLOSED || this.#state === CONNECTING) return releaseWriter(writer)
    if (this.#output.write(this.#wire, writer) || this.#isBlocked) return
    this.#isBlocked = true
    this.session.setBlocked(true)
  }

  encodeTrailers(lines: string, writer: ByteWriter): void {
    encodeTrailerBlock(this.encoder, lines, writer)
  }

  onDrain(): void {
    if (!this.#isBlocked) return
    this.#isBlocked = false
    this.session.setBlocked(false)
    if (!this.#isReadPaused) return
    this.#isReadPaused = false
    this.#wire.resume()
  }

  // ---- times ----

  /** The earliest of what could be due. A later look at the clock tells what is. */
  #setTimer(): void {
    const { wheel, idleTimeoutMs, now } = this.#options
    let untilMs = this.#liveness.dueMs(now())
    if (this.session.openStreams === 0) untilMs = Math.min(untilMs, this.#idleMs + idleTimeoutMs)
    if (untilMs !== Number.POSITIVE_INFINITY) wheel.arm(this, untilMs)
  }

  override onDeadline(nowMs: number): void {
    if (this.isOpening) {
      this.#failure = 'connect_timeout'
      this.#wire.destroy()
    } else if (this.#state !== OPEN) {
      this.#wire.destroy()
    } else if (this.session.openStreams === 0 && nowMs >= this.#idleMs + this.#options.idleTimeoutMs) {
      this.#leave()
      this.#endIfDone()
    } else if (this.#liveness.isDead(nowMs)) {
      this.#failureDetail = 'the endpoint gives no sign of life'
      this.#wire.destroy()
    } else {
      if (this.#liveness.isPingDue(nowMs)) this.#ping(nowMs)
      this.#setTimer()
    }
  }

  #ping(nowMs: number): void {
    this.#liveness.pinged(nowMs)
    this.session.ping()
    this.#setTimer()
  }

  // ---- ends ----

  /** Takes no more attempts. Those it has are finished, then it closes. */
  retire(): void {
    this.#leave()
    if (this.isOpening && this.starting.size === 0) this.#wire.destroy()
    else this.#endIfDone()
  }

  #leave(): void {
    if (this.#isLeaving || this.#state >= ENDED) return
    this.#isLeaving = true
    this.#owner.onLeaving(this)
  }

  /** The orderly end: GOAWAY, FIN, and a moment for the other side to close. */
  #endIfDone(): void {
    if (this.#state !== OPEN || this.session.openStreams > 0 || this.starting.size > 0) return
    this.session.finishShutdown()
    this.#finish()
  }

  #finish(): void {
    this.onOutputFull()
    this.session.close()
    this.#state = ENDED
    this.#wire.end()
    this.#options.wheel.arm(this, this.#options.now() + LINGER_MS)
  }

  onConnectionError(_code: number, detail: string): void {
    if (this.isOpening) {
      this.#failureDetail = 'the endpoint does not speak HTTP/2'
      this.#options.onNoHttp2(detail)
      this.#wire.destroy()
      return
    }
    this.#finish()
    this.#leaveBroken('upstream_protocol', `the endpoint broke the rules of HTTP/2: ${detail}`)
  }

  /** All streams at once, for something that befell the connection. */
  #leaveBroken(code: ErrorCode | null, detail: string): void {
    if (!this.#isLeaving) {
      this.#isLeaving = true
      this.#owner.onLeaving(this)
    }
    for (const stream of this.session.streams.values()) stream.onLost(code, detail, this.isStale)
  }

  onEnd(): void {
    this.#wire.destroy()
  }

  onClose(error: Error | null): void {
    this.#options.wheel.remove(this)
    const wasOpening = this.isOpening
    this.#state = CLOSED
    this.session.close()
    const writer = this.session.takeOutput()
    if (writer !== null) releaseWriter(writer)
    this.#owner.onGone(this)
    const reason = this.#failureDetail !== '' ? this.#failureDetail : error === null ? 'closed by the endpoint' : error.message
    if (wasOpening) this.#failStarting(error, reason)
    else for (const stream of this.session.streams.values()) stream.onLost(null, reason, this.isStale)
  }

  #failStarting(error: Error | null, reason: string): void {
    const { tls, onTlsFailure, events } = this.#options
    let code: ErrorCode = this.#failure ?? 'connect_failed'
    let detail = reason
    const tlsFailure = this.#state === CLOSED && error !== null && tls !== null ? tlsFailureOf(error) : null
    if (tlsFailure !== null) {
      tls?.forgetSession()
      onTlsFailure(tlsFailure)
      code = 'upstream_tls'
      detail = tlsFailure
    }
    const attempts = [...this.starting]
    this.starting.clear()
    for (const attempt of attempts) {
      // One that fails may end others that wait here.
      if (attempt.waiting !== this) continue
      attempt.waiting = null
      events.onFailure(attempt, code, detail)
    }
  }
}
