import type { ErrorCode } from '../base/error.ts'
import { Timed, type TimerWheel } from '../base/timers.ts'
import type { Wire, WireBuffer, WireOwner } from '../base/wire.ts'
import { HEADER_CONTENT_LENGTH, HEADER_HOST, HEADER_TRANSFER_ENCODING } from '../codec/header-id.ts'
import { CHUNK_DATA, CHUNK_END, CHUNK_ERROR, ChunkedDecoder } from '../codec/http1/chunked.ts'
import { encodeFields } from '../codec/http1/encode.ts'
import {
  CONNECTION_CLOSE,
  CONNECTION_KEEP_ALIVE,
  HEAD_INCOMPLETE,
  type HeadLimits,
  ResponseHead,
  readResponseHead,
} from '../codec/http1/head.ts'
import { isWorthReading, joinPartialHead } from '../codec/http1/partial-head.ts'
import { sanitizeTrailers } from '../codec/http1/trailers.ts'
import type { UpstreamConnection, UpstreamEvents } from '../exchange/contracts.ts'
import type { Attempt } from '../exchange/exchange.ts'
import { isCertificateRefusal, tlsFailureOf } from '../service/service-tls.ts'
import { authorityFor } from './authority.ts'
import type { ConnectOptions } from './connector.ts'
import { switchRefusal } from './switch.ts'
import { type EndpointTls, openWire } from './tls.ts'

/** What a connection tells its pool. */
export interface ConnectionOwner {
  /** Ready for another request. */
  onIdle(connection: Http1Connection): void
  /** Gone; called exactly once. */
  onGone(connection: Http1Connection): void
}

export interface Http1ConnectionOptions {
  readonly connect: ConnectOptions
  /** null: without TLS. */
  readonly tls: EndpointTls | null
  /** Why a handshake has failed, for the log. */
  readonly onTlsFailure: (reason: string) => void
  readonly connectTimeoutMs: number
  readonly idleTimeoutMs: number
  /** What goes out as Host: 'preserve', 'endpoint', or the value itself. */
  readonly hostHeader: string
  readonly limits: HeadLimits
  readonly wheel: TimerWheel
  readonly now: () => number
  readonly events: UpstreamEvents
}

const CONNECTING = 0
const IDLE = 1
const AWAIT_HEAD = 2
const BODY_LENGTH = 3
const BODY_CHUNKED = 4
const BODY_UNTIL_CLOSE = 5
/** Bytes of another protocol, both ways. */
const TUNNEL = 6
const CLOSED = 7

/** Host and framing are never copied: they are written anew for this hop. */
const FRAMING_MASK = (1 << HEADER_HOST) | (1 << HEADER_CONTENT_LENGTH) | (1 << HEADER_TRANSFER_ENCODING)

/** Up to here a piece of body travels as text in the same write as what is before it. */
export const GATHER_BYTES = 16 * 1024
/** A body with more than this left is worth a bulk buffer. */
export const BULK_THRESHOLD_BYTES = 96 * 1024

/** One HTTP/1.1 connection to an endpoint: one request at a time (RFC 9112 section 9.3; no pipelining upstream). */
export class Http1Connection extends Timed implements WireOwner, UpstreamConnection {
  readonly #options: Http1ConnectionOptions
  readonly #owner: ConnectionOwner
  readonly #wire: Wire
  #state = CONNECTING
  #attempt: Attempt | null = null
  #head = new ResponseHead()
  #decoder: ChunkedDecoder | null = null
  /** Start of a head that came in pieces. */
  #partialHead: WireBuffer | null = null
  #out = ''
  #remaining = 0
  #requestDone = false
  #keepAlive = true
  /** The last piece of body may still be on its way out of our bulk buffer. */
  #bulkSettled = true
  #failure: ErrorCode | null = null
  served = 0

  /** Opens the connection for its first attempt. */
  constructor(options: Http1ConnectionOptions, owner: ConnectionOwner, attempt: Attempt) {
    super()
    this.#options = options
    this.#owner = owner
    this.#attempt = attempt
    attempt.connection = this
    this.#wire = openWire(options.connect, options.tls, this, () => this.#onConnected())
    options.wheel.arm(this, options.now() + options.connectTimeoutMs)
  }

  get isIdle(): boolean {
    return this.#state === IDLE
  }

  #onConnected(): void {
    this.#options.wheel.disarm(this)
    this.#state = IDLE
    if (this.#attempt === null) this.#owner.onIdle(this)
    else this.send(this.#attempt)
  }

  // ---- request ----

  send(attempt: Attempt): void {
    this.#options.wheel.disarm(this)
    const x = attempt.exchange
    this.#attempt = attempt
    attempt.connection = this
    attempt.reused = this.served > 0
    this.served++
    this.#state = AWAIT_HEAD
    this.#keepAlive = true
    const { request } = x
    const { headers } = request
    headers.removeMask(FRAMING_MASK)
    let out = `${x.method} ${x.target} HTTP/1.1\r\nHost: ${authorityFor(attempt, this.#options.hostHeader)}\r\n${encodeFields(headers)}`
    if (x.upgrade !== '') out += `Connection: Upgrade\r\nUpgrade: ${x.upgrade}\r\n\r\n`
    else if (request.chunked) out += 'Transfer-Encoding: chunked\r\n\r\n'
    else if (request.contentLength >= 0) out += `Content-Length: ${request.contentLength}\r\n\r\n`
    else out += '\r\n'
    attempt.sent = true
    if (x.hasRequestBody) {
      this.#requestDone = false
      this.#out = out
    } else {
      this.#requestDone = true
      this.#wire.writeText(out)
    }
    this.#options.events.onReady(attempt)
  }

  sendBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    const chunked = (this.#attempt as Attempt).exchange.request.chunked
    const size = end - start
    if (size === 0) return true
    if (size <= GATHER_BYTES && this.#out.length <= GATHER_BYTES) {
      const text = (bytes as WireBuffer).latin1Slice(start, end)
      this.#out += chunked ? `${size.toString(16)}\r\n${text}\r\n` : text
      return true
    }
    const before = chunked ? `${this.#out}${size.toString(16)}\r\n` : this.#out
    this.#out = ''
    return this.#wire.writeGathered(before, bytes, start, end, chunked ? '\r\n' : '', stable)
  }

  sendEnd(trailers: string): void {
    const { exchange } = this.#attempt as Attempt
    if (this.#state === TUNNEL) {
      this.flush()
      this.#wire.end()
      return
    }
    if (exchange.request.chunked) this.#out += `0\r\n${trailers}\r\n`
    this.#requestDone = true
    this.flush()
  }

  flush(): void {
    if (this.#out === '') return
    const out = this.#out
    this.#out = ''
    if (this.#state !== CLOSED) this.#wire.writeText(out)
  }

  // ---- response ----

  onData(bytes: WireBuffer, length: number): boolean {
    if (this.#attempt === null) {
      // Nobody asked: whatever this is (often a 408 of a server that tires of us), the connection is of no use any more.
      this.#close()
      return false
    }
    let at = 0
    if (this.#state === AWAIT_HEAD) {
      at = this.#readHead(bytes, length)
      if (at < 0) return true
    }
    const attempt = this.#attempt
    if (attempt === null) return true
    const proceed = this.#readBody(bytes, at, length)
    if (this.#attempt === attempt) this.#options.events.onFlush(attempt)
    return proceed
  }

  /** The first byte of the body, or -1 when the head is not complete yet or the connection has failed. */
  #readHead(bytes: WireBuffer, length: number): number {
    ;(this.#attempt as Attempt).headReceived = true
    let at = 0
    for (;;) {
      const { limits } = this.#options
      let had = 0
      let end = HEAD_INCOMPLETE
      if (this.#partialHead === null) {
        end = readResponseHead(bytes, at, length, this.#head, limits)
        if (end === HEAD_INCOMPLETE) {
          this.#partialHead = joinPartialHead(null, bytes, at, length)
          return -1
        }
      } else {
        had = this.#partialHead.length
        const joined = joinPartialHead(this.#partialHead, bytes, at, length)
        if (isWorthReading(joined, had, limits)) end = readResponseHead(joined, 0, joined.length, this.#head, limits)
        this.#partialHead = end === HEAD_INCOMPLETE ? joined : null
        if (end === HEAD_INCOMPLETE) return -1
      }
      if (end < 0) {
        this.#fail('upstream_protocol', 'the endpoint sent a response head that is not valid HTTP/1.1')
        return -1
      }
      at += end - had
      const attempt = this.#attempt as Attempt
      const { status } = this.#head
      if (status >= 200) {
        this.#startBody(attempt, at < length)
        return at
      }
      if (status === 101) {
        const refusal = switchRefusal(attempt.exchange, this.#head)
        if (refusal !== null) {
          this.#fail('upstream_protocol', refusal)
          return -1
        }
        this.#state = TUNNEL
        this.#keepAlive = false
        this.#options.events.onHead(attempt, this.#head)
        return at
      }
      if (status !== 100) this.#options.events.onInformational(attempt, this.#head)
      if (this.#attempt !== attempt) return -1
      if (at >= length) return -1
    }
  }

  #startBody(attempt: Attempt, hasMore: boolean): void {
    const head = this.#head
    const { status, connection } = head
    // RFC 9112 section 9.3: persistent unless either side says close; HTTP/1.0 only when it says keep-alive.
    if ((connection & CONNECTION_CLOSE) !== 0 || (head.minor === 0 && (connection & CONNECTION_KEEP_ALIVE) === 0)) this.#keepAlive = false
    // RFC 9112 section 6.3, in its order.
    if (attempt.exchange.method === 'HEAD' || status === 204 || status === 304) {
      this.#state = BODY_LENGTH
      this.#remaining = 0
    } else if (head.chunked) {
      this.#state = BODY_CHUNKED
      this.#decoder ??= new ChunkedDecoder(this.#options.limits.headBytes)
      this.#decoder.reset()
    } else if (head.contentLength >= 0) {
      this.#state = BODY_LENGTH
      this.#remaining = head.contentLength
      if (this.#remaining > BULK_THRESHOLD_BYTES) this.#wire.startBulk()
    } else {
      this.#state = BODY_UNTIL_CLOSE
      this.#keepAlive = false
    }
    this.#bulkSettled = true
    const hasBody = this.#state !== BODY_LENGTH || this.#remaining > 0
    this.#options.events.onHead(attempt, head)
    if (hasBody && !hasMore && this.#attempt === attempt) this.#options.events.onFlush(attempt)
  }

  #readBody(bytes: WireBuffer, at: number, length: number): boolean {
    const attempt = this.#attempt as Attempt
    const { events } = this.#options
    const stable = this.#wire.isBulk && bytes === this.#wire.readBuffer
    if (this.#state === BODY_LENGTH) {
      const take = Math.min(this.#remaining, length - at)
      let proceed = true
      if (take > 0) {
        this.#remaining -= take
        proceed = events.onBody(attempt, bytes, at, at + take, stable)
        if (this.#attempt !== attempt) return true
      }
      if (this.#remaining === 0) {
        this.#bulkSettled = proceed
        this.#complete('', at + take < length)
        return true
      }
      return proceed
    }
    if (this.#state === BODY_CHUNKED) return this.#readChunked(attempt, bytes, at, length, stable)
    if (length === bytes.length) this.#wire.startBulk()
    const proceed = at === length || events.onBody(attempt, bytes, at, length, stable)
    if (stable && length < bytes.length) this.#wire.restBulk(proceed)
    return proceed
  }

  #readChunked(attempt: Attempt, bytes: WireBuffer, at: number, length: number, stable: boolean): boolean {
    const { events } = this.#options
    const decoder = this.#decoder as ChunkedDecoder
    let proceed = true
    decoder.position = at
    for (;;) {
      const event = decoder.next(bytes, length)
      if (event === CHUNK_DATA) {
        if (!events.onBody(attempt, bytes, decoder.dataStart, decoder.dataEnd, stable)) proceed = false
        if (this.#attempt !== attempt) return true
      } else if (event === CHUNK_END) {
        this.#bulkSettled = proceed
        const trailers = sanitizeTrailers(decoder.trailers, this.#options.limits)
        if (trailers === null) this.#fail('upstream_protocol', 'the endpoint sent a trailer section that is not valid')
        else this.#complete(trailers, decoder.position < length)
        return true
      } else if (event === CHUNK_ERROR) {
        this.#fail('upstream_protocol', 'the endpoint sent a chunked body that is not valid')
        return true
      } else {
        if (length === bytes.length) this.#wire.startBulk()
        return proceed
      }
    }
  }

  #complete(trailers: string, extraBytes: boolean): void {
    const attempt = this.#attempt as Attempt
    this.#attempt = null
    attempt.connection = null
    // Whoever still works with this head keeps it.
    if (attempt.exchange.responseHeld || attempt.exchange.isRetained) this.#head = new ResponseHead()
    this.#wire.endBulk(this.#bulkSettled)
    // What came behind the response belongs to nobody; a request that was cut short leaves the other side out of step.
    if (this.#keepAlive && this.#requestDone && !extraBytes && this.#state !== CLOSED && !this.#wire.hasFailed) {
      this.#state = IDLE
      this.#owner.onIdle(this)
    } else {
      this.#close()
    }
    this.#options.events.onEnd(attempt, trailers)
  }

  /** Starts the idle time. Called by the pool when it keeps the connection. */
  startIdle(nowMs: number): void {
    this.#options.wheel.arm(this, nowMs + this.#options.idleTimeoutMs)
  }

  resumeResponse(): void {
    this.#wire.resume()
  }

  cancel(): void {
    this.#detach()
    this.#close()
  }

  /** Closes an idle connection, or makes a busy one close after its response. */
  retire(): void {
    this.#keepAlive = false
    if (this.#state === IDLE) this.#close()
  }

  // ---- the wire ----

  onEnd(): void {
    if (this.#attempt !== null && (this.#state === BODY_UNTIL_CLOSE || this.#state === TUNNEL)) {
      this.#complete('', false)
      return
    }
    if (this.#state === IDLE) this.#state = CLOSED
    this.#wire.destroy()
  }

  onDrain(): void {
    const attempt = this.#attempt
    if (attempt !== null) this.#options.events.onDrain(attempt)
  }

  onClose(error: Error | null): void {
    const { wheel } = this.#options
    wheel.remove(this)
    const wasConnecting = this.#state === CONNECTING
    const wasHead = this.#state === AWAIT_HEAD
    this.#state = CLOSED
    this.#owner.onGone(this)
    const attempt = this.#detach()
    if (attempt === null) return
    const reason = error === null ? 'closed by the endpoint' : error.message
    const isTls = error !== null && this.#options.tls !== null && (wasConnecting || (wasHead && isCertificateRefusal(error)))
    const tlsFailure = isTls ? tlsFailureOf(error) : null
    if (tlsFailure !== null) {
      this.#options.tls?.forgetSession()
      this.#options.onTlsFailure(tlsFailure)
      this.#options.events.onFailure(attempt, 'upstream_tls', tlsFailure)
    } else if (wasConnecting) this.#options.events.onFailure(attempt, this.#failure ?? 'connect_failed', reason)
    else this.#options.events.onFailure(attempt, this.#failure ?? (wasHead ? 'upstream_reset' : 'upstream_truncated'), reason)
  }

  override onDeadline(): void {
    if (this.#state === CONNECTING) {
      this.#failure = 'connect_timeout'
      this.#wire.destroy()
    } else if (this.#state === IDLE) {
      this.#close()
    }
  }

  #fail(code: ErrorCode, detail: string): void {
    const attempt = this.#detach()
    this.#close()
    if (attempt !== null) this.#options.events.onFailure(attempt, code, detail)
  }

  #detach(): Attempt | null {
    const attempt = this.#attempt
    this.#attempt = null
    if (attempt !== null) attempt.connection = null
    return attempt
  }

  #close(): void {
    if (this.#state !== CONNECTING) this.#state = CLOSED
    this.#wire.destroy()
  }
}
