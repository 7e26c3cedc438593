import type net from 'node:net'
import type { ErrorCode } from '../base/error.ts'
import { Timed } from '../base/timers.ts'
import { Wire, type WireBuffer, type WireOwner } from '../base/wire.ts'
import { HEADER_TE } from '../codec/header-id.ts'
import { CHUNK_DATA, CHUNK_END, CHUNK_ERROR, ChunkedDecoder } from '../codec/http1/chunked.ts'
import { HEAD_INCOMPLETE, RequestHead, type ResponseHead } from '../codec/http1/head.ts'
import { HeadReader } from '../codec/http1/partial-head.ts'
import { sanitizeTrailers } from '../codec/http1/trailers.ts'
import { matchPrefaceInParts, PREFACE_BYTES } from '../codec/http2/frame.ts'
import { type ClientContext, Exchange, ForwardingLines, type SecureClient } from '../exchange/exchange.ts'
import type { Takeover, TakeoverStream } from '../proxy/tunnel.ts'
import { BULK_THRESHOLD_BYTES, GATHER_BYTES } from '../upstream/http1.ts'
import { Ahead, HEADS_PER_FULL_READ, HEADS_PER_TURN } from './ahead.ts'
import {
  CHUNKED,
  encodeInformational,
  encodeResponseHead,
  encodeSwitch,
  framingOf,
  HEAD_ERRORS,
  keepsAlive,
  LENGTH,
  NO_BODY,
  UNTIL_CLOSE,
} from './http1-framing.ts'
import { DRAIN_IDLE_MS, HALF_CLOSE_MS, type Http1Server } from './http1-server.ts'
import { Linger } from './linger.ts'

/**
 * One HTTP/1.1 connection of a client: reads one request at a time and writes its response (RFC 9112). Requests sent ahead
 * (pipelining) wait in `#ahead` until the one before them is answered.
 */
export class Http1Downstream extends Timed implements WireOwner, TakeoverStream, ClientContext {
  readonly remoteAddress: string
  readonly forwarding = new ForwardingLines()
  secure: SecureClient | null = null
  readonly #server: Http1Server
  #wire: Wire
  #request = new RequestHead()
  #exchange: Exchange | null = null
  readonly #headReader = new HeadReader()
  /** Its first bytes may yet turn out to be HTTP/2's. */
  #mayBeHttp2 = false
  #ahead: Ahead | null = null
  #isConsuming = false
  #served = 0

  // The request body.
  #decoder: ChunkedDecoder | null = null
  #isChunkedRequest = false
  #remaining = 0
  #requestDone = true
  #requestDoneMs = 0
  /** The proxy has no room for more of the body. */
  #isPaused = false

  // The response.
  #out = ''
  #mode = LENGTH
  #keepAlive = true
  #headSent = false
  #isBlocked = false
  /** `unsentBytes` when the client was last looked at as too slow. */
  #unsent = 0

  /** Another protocol is spoken. */
  #isTunnel = false
  #isEnded = false
  #isLingering = false
  #isClosed = false

  private constructor(server: Http1Server, remoteAddress: string) {
    super()
    this.#server = server
    this.remoteAddress = remoteAddress
    // Set by accept() at once; the wire needs its owner first.
    this.#wire = null as unknown as Wire
  }

  /** Takes over an accepted socket. null when it is gone already. */
  static accept(server: Http1Server, socket: net.Socket, remoteAddress: string): Http1Downstream | null {
    const connection = new Http1Downstream(server, remoteAddress)
    const wire = Wire.accept(socket, connection)
    if (wire === null) return null
    connection.#wire = wire
    connection.#mayBeHttp2 = !wire.isSecure && server.listener.config.http2 !== null
    connection.#arm(server.now(), server.listener.config.timeouts.headMs)
    wire.resume()
    return connection
  }

  /** A timeout of 0 is off. */
  #arm(fromMs: number, timeoutMs: number): void {
    if (timeoutMs === 0) this.deadlineMs = 0
    else this.#server.wheel.arm(this, fromMs + timeoutMs)
  }

  // ---- reading ----

  onData(bytes: WireBuffer, length: number): boolean {
    const servedBefore = this.#served
    const proceed = this.#consume(bytes, 0, length, null)
    if (length < bytes.length || this.#served - servedBefore <= HEADS_PER_FULL_READ || !proceed || this.#exchange !== null) return proceed
    setImmediate(() => {
      if (!this.#isLingering && !this.#isClosed) this.#wire.resume()
    })
    return false
  }

  /** `source`: what `bytes` belong to when they were sent ahead. */
  #consume(bytes: WireBuffer, start: number, end: number, source: Ahead | null): boolean {
    let at = start
    let headsLeft = HEADS_PER_TURN
    this.#isConsuming = true
    while (at < end && !this.#isLingering && !this.#isClosed) {
      if (this.#exchange === null && !this.#isBlocked && headsLeft > 0) {
        headsLeft--
        at = this.#readHead(bytes, at, end)
        if (at < 0) break
      } else if (!this.#requestDone) {
        at = this.#readBody(bytes, at, end)
      } else {
        this.#ahead = source === null ? Ahead.copy(bytes, at, end) : source.from(at)
        if (this.#exchange === null && !this.#isBlocked) setImmediate(() => this.#onNextTurn())
        break
      }
    }
    this.#isConsuming = false
    const exchange = this.#exchange
    // Also when the head came alone: its body may be long in coming, and the endpoint may answer without it.
    if (exchange !== null && (exchange.requestBytes > 0 || !this.#requestDone)) this.#server.events.onRequestFlush(exchange)
    return this.#ahead === null && !this.#isPaused
  }

  /** This client has had its share of the last turn. */
  #onNextTurn(): void {
    if (this.#ahead !== null && this.#exchange === null && !this.#isBlocked && !this.#isClosed) this.#readAhead()
  }

  /** The first byte behind the head, or -1 when there is nothing more to read here. */
  #readHead(bytes: WireBuffer, at: number, end: number): number {
    if (this.#mayBeHttp2 && this.#isHttp2(bytes, at, end)) return -1
    const { listener } = this.#server
    const wasPartial = this.#headReader.partial !== null
    const length = this.#headReader.read(bytes, at, end, this.#request, listener.config.limits)
    if (length === HEAD_INCOMPLETE) {
      if (!wasPartial) this.#arm(this.#server.now(), listener.config.timeouts.headMs)
      return -1
    }
    if (length < 0) {
      const { code, detail } = HEAD_ERRORS[length] as { code: ErrorCode; detail: string }
      this.#refuse(code, detail)
      return -1
    }
    const nowMs = this.#server.now()
    const x = new Exchange(this, listener, this.#request, this, nowMs)
    this.#exchange = x
    this.#headSent = false
    this.#served++
    this.deadlineMs = 0
    this.#keepAlive = keepsAlive(this.#request, this.#served, listener.config.maxRequestsPerConnection) && !this.#isEnded
    if (x.hasRequestBody) this.#startBody(x)
    else {
      this.#requestDone = true
      this.#requestDoneMs = nowMs
      x.requestComplete = true
    }
    this.#server.events.onRequest(x)
    return at + length
  }

  /** HTTP/2 with prior knowledge (RFC 9113 section 3.3): it goes on there. Also true while that cannot be told yet. */
  #isHttp2(bytes: WireBuffer, at: number, end: number): boolean {
    const before = this.#headReader.partial
    const matched = matchPrefaceInParts(before, bytes, at, end)
    this.#mayBeHttp2 = matched >= 0 && matched < PREFACE_BYTES
    if (matched < 0) return false
    // What most connections begin with needs no copy: it is used, or copied, before this returns.
    const isWhole = !this.#mayBeHttp2 && before === null
    const first = isWhole ? (bytes.subarray(at, end) as WireBuffer) : this.#headReader.keep(bytes, at, end)
    if (this.#mayBeHttp2) return true
    this.#isClosed = true
    this.#server.wheel.remove(this)
    this.#server.onHttp2(this, this.#wire, first)
    this.#headReader.clear()
    return true
  }

  #startBody(x: Exchange): void {
    this.#requestDone = false
    this.#isPaused = false
    this.#isChunkedRequest = x.request.chunked
    if (this.#isChunkedRequest) {
      this.#decoder ??= new ChunkedDecoder(x.listener.config.limits.headBytes)
      this.#decoder.reset()
    } else {
      this.#remaining = x.request.contentLength
      if (this.#remaining > BULK_THRESHOLD_BYTES) this.#wire.startBulk()
    }
    this.#arm(x.startedMs, x.listener.config.timeouts.bodyMs)
  }

  #readBody(bytes: WireBuffer, at: number, end: number): number {
    const x = this.#exchange as Exchange
    const { events } = this.#server
    const stable = this.#wire.isBulk && bytes === this.#wire.readBuffer
    let position = end
    if (this.#isChunkedRequest) {
      position = this.#readChunked(x, bytes, at, end, stable)
    } else {
      const take = Math.min(this.#remaining, end - at)
      this.#remaining -= take
      position = at + take
      if (!events.onRequestBody(x, bytes, at, position, stable)) this.#isPaused = true
      if (this.#remaining === 0 && this.#exchange === x) this.#endRequest(x, '')
    }
    if (this.#isTunnel) {
      if (end === bytes.length) this.#wire.startBulk()
      else if (stable) this.#wire.restBulk(!this.#isPaused)
    } else if (this.#exchange === x && !this.#requestDone) {
      // While the proxy keeps the client waiting, the client is not late.
      const { bodyMs, sendMs } = x.listener.config.timeouts
      if (!this.#isPaused) this.#arm(this.#server.now(), bodyMs)
      else this.#arm(this.#server.now(), this.#isBlocked ? sendMs : 0)
    }
    return position
  }

  #readChunked(x: Exchange, bytes: WireBuffer, at: number, end: number, stable: boolean): number {
    const decoder = this.#decoder as ChunkedDecoder
    const { events } = this.#server
    decoder.position = at
    for (;;) {
      const event = decoder.next(bytes, end)
      if (event === CHUNK_DATA) {
        if (!events.onRequestBody(x, bytes, decoder.dataStart, decoder.dataEnd, stable)) this.#isPaused = true
        if (this.#exchange !== x) return end
      } else if (event === CHUNK_END) {
        const trailers = sanitizeTrailers(decoder.trailers, x.listener.config.limits)
        if (trailers === null) events.onRequestError(x, 'bad_request', 'the trailer section is not valid')
        else this.#endRequest(x, trailers)
        return decoder.position
      } else if (event === CHUNK_ERROR) {
        events.onRequestError(x, 'bad_request', 'the chunked body is not valid')
        return end
      } else {
        if (end === bytes.length) this.#wire.startBulk()
        return end
      }
    }
  }

  #endRequest(x: Exchange, trailers: string): void {
    this.#requestDone = true
    this.#requestDoneMs = this.#server.now()
    this.deadlineMs = 0
    // Part of the body may still be on its way out of the bulk buffer.
    this.#wire.endBulk(!this.#isPaused)
    this.#server.events.onRequestEnd(x, trailers)
  }

  resumeRequest(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    if (!this.#requestDone && this.#exchange !== null && !this.#isTunnel) {
      this.#arm(this.#server.now(), this.#exchange.listener.config.timeouts.bodyMs)
    }
    if (this.#ahead === null) this.#wire.resume()
    else if (this.#isTunnel && !this.#isConsuming) this.#readAhead()
  }

  // ---- writing ----

  sendInformational(head: ResponseHead): void {
    // A client that does not read has no use for them, and they have no other end than that.
    if (this.#isClosed || this.#request.minor === 0 || this.#headSent || this.#wire.pendingBytes > GATHER_BYTES) return
    this.#wire.writeText(encodeInformational(head))
  }

  sendContinue(): void {
    if (!this.#isClosed && !this.#headSent) this.#wire.writeText('HTTP/1.1 100 Continue\r\n\r\n')
  }

  sendHead(x: Exchange): void {
    const head = x.response as ResponseHead
    this.#headSent = true
    // An answer of our own does not wait for a body that nobody will read.
    if (this.#server.isDraining || (!this.#requestDone && x.local !== null)) this.#keepAlive = false
    if (head.status === 101) return this.#startTunnel(x, head)
    this.#mode = framingOf(head, x.method === 'HEAD', this.#request.minor)
    if (this.#mode === UNTIL_CLOSE) this.#keepAlive = false
    this.#out += encodeResponseHead(head, this.#mode, this.#request.minor, this.#keepAlive)
  }

  /** From here on the bytes of both sides are those of another protocol, and have no end but that of the connection. */
  #startTunnel(x: Exchange, head: ResponseHead): void {
    this.#isTunnel = true
    this.#keepAlive = false
    this.#mode = UNTIL_CLOSE
    this.#requestDone = false
    this.#isChunkedRequest = false
    this.#remaining = Number.POSITIVE_INFINITY
    this.deadlineMs = 0
    this.#out += encodeSwitch(head, x.upgrade)
    // What came ahead of the answer follows when this turn is over: the tunnel is not ready before `sendHead` returns.
    this.#isPaused = true
  }

  sendBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    const size = end - start
    if (size === 0 || this.#mode === NO_BODY || this.#isClosed) return !this.#isBlocked
    const isChunked = this.#mode === CHUNKED
    if (size <= GATHER_BYTES && this.#out.length <= GATHER_BYTES) {
      const text = (bytes as WireBuffer).latin1Slice(start, end)
      this.#out += isChunked ? `${size.toString(16)}\r\n${text}\r\n` : text
      return !this.#isBlocked
    }
    const before = isChunked ? `${this.#out}${size.toString(16)}\r\n` : this.#out
    this.#out = ''
    if (!this.#wire.writeGathered(before, bytes, start, end, isChunked ? '\r\n' : '', stable)) this.#block()
    return !this.#isBlocked
  }

  sendEnd(trailers: string): void {
    if (this.#mode === CHUNKED) {
      // RFC 9110 section 6.5.1: trailers go to those who said that they want them.
      const wanted = trailers !== '' && this.#request.headers.getById(HEADER_TE) !== undefined
      this.#out += wanted ? `0\r\n${trailers}\r\n` : '0\r\n\r\n'
    }
    this.flush()
  }

  flush(): void {
    if (this.#out === '') return
    const out = this.#out
    this.#out = ''
    if (!this.#isClosed && !this.#wire.writeText(out)) this.#block()
  }

  /** The client does not read: it has the send timeout to start again. */
  #block(): void {
    if (this.#isBlocked) return
    this.#isBlocked = true
    this.#unsent = this.#wire.unsentBytes
    if (this.#requestDone || this.#isPaused || this.#isTunnel) this.#arm(this.#server.now(), this.#server.listener.config.timeouts.sendMs)
  }

  onDrain(): void {
    if (!this.#isBlocked) return
    this.#isBlocked = false
    const exchange = this.#exchange
    if (exchange !== null) {
      if (this.#requestDone || this.#isPaused || this.#isTunnel) this.deadlineMs = 0
      this.#server.events.onDrain(exchange)
    } else if (!this.#isLingering) {
      this.#armIdle(this.#server.now())
      if (this.#ahead !== null) this.#readAhead()
    }
  }

  abort(): void {
    this.#out = ''
    this.#keepAlive = false
    this.#wire.reset()
  }

  onFinished(x: Exchange): void {
    const wasPaused = this.#isPaused
    this.#exchange = null
    this.#isPaused = false
    if (x.isRetained) this.#request = new RequestHead()
    else this.#request.headers.reset()
    // Known already, unless the connection was taken over.
    if (this.#isClosed) return this.#server.onGone(this)
    if (!this.#keepAlive || !this.#requestDone || (this.#isEnded && this.#ahead === null)) {
      this.#linger()
      return
    }
    this.#armIdle(x.nowMs)
    if (this.#isConsuming) return
    if (this.#ahead === null) {
      if (wasPaused) this.#wire.resume()
    } else if (!this.#isBlocked) {
      this.#readAhead()
    }
  }

  /** Between two responses. A client that does not take what it was sent gets nothing further until it does (`onDrain`). */
  #armIdle(fromMs: number): void {
    const { idleMs, sendMs } = this.#server.listener.config.timeouts
    if (this.#isBlocked) this.#arm(fromMs, sendMs)
    // A response whose head went out before the draining began promised to keep the connection: that ends as an idle one does.
    else this.#arm(fromMs, this.#server.isDraining ? DRAIN_IDLE_MS : idleMs)
  }

  /** See TakeoverStream. What came in the same read as the request is in `ahead` only when that read is over. */
  takeOver(owner: WireOwner): Takeover | null {
    if (this.#isClosed) return null
    this.#isClosed = true
    this.#server.wheel.remove(this)
    this.#wire.owner = owner
    const ahead = this.#ahead?.give() ?? null
    this.#ahead = null
    return { wire: this.#wire, ahead, hasEnded: this.#isEnded }
  }

  #readAhead(): void {
    const ahead = this.#ahead as Ahead
    this.#ahead = null
    const proceed = this.#consume(ahead.bytes, ahead.start, ahead.end, ahead)
    if (this.#ahead !== ahead) ahead.release()
    if (!proceed || this.#isClosed) return
    this.#wire.resume()
    if (this.#isEnded && this.#exchange === null) this.#linger()
  }

  #forgetRead(): void {
    this.#headReader.clear()
    this.#ahead?.release()
    this.#ahead = null
  }

  /** The orderly end: what is written goes out, and the client hears it. */
  #linger(): void {
    if (this.#isLingering) return
    this.#isLingering = true
    this.#forgetRead()
    const { wheel, now, listener } = this.#server
    wheel.remove(this)
    new Linger(this.#wire, { wheel, now, sendMs: listener.config.timeouts.sendMs, onClose: () => this.onClose() })
  }

  // ---- ends ----

  onEnd(): void {
    this.#isEnded = true
    const exchange = this.#exchange
    if (exchange === null) {
      this.#linger()
    } else if (this.#isTunnel) {
      this.#server.events.onRequestEnd(exchange, '')
    } else if (!this.#requestDone || this.#server.now() - this.#requestDoneMs > HALF_CLOSE_MS) {
      this.#wire.destroy()
    } else {
      this.#keepAlive = false
    }
  }

  onClose(): void {
    this.#isClosed = true
    this.#forgetRead()
    this.#server.wheel.remove(this)
    this.#server.onGone(this)
    if (this.#exchange !== null) this.#server.events.onClosed(this.#exchange)
  }

  override onDeadline(): void {
    const exchange = this.#exchange
    if (this.#isBlocked) {
      const before = this.#unsent
      this.#unsent = this.#wire.unsentBytes
      // What was written moves, if slowly: the send timeout begins anew.
      if (this.#unsent === 0 || this.#unsent >= before) this.#wire.reset()
      else this.#arm(this.#server.now(), this.#server.listener.config.timeouts.sendMs)
    } else if (exchange !== null) {
      if (!this.#requestDone) this.#server.events.onRequestError(exchange, 'request_timeout', 'the request body did not come in time')
    } else if (this.#headReader.partial !== null) {
      this.#refuse('request_timeout', 'the request head did not come in time')
    } else {
      this.#linger()
    }
  }

  /** What came is no request, or did not come in time: the answer says so, and is the last one here. */
  #refuse(code: ErrorCode, detail: string): void {
    this.#headReader.clear()
    const x = new Exchange(this, this.#server.listener, this.#request, this, this.#server.now())
    this.#exchange = x
    this.#headSent = false
    this.#requestDone = false
    this.#keepAlive = false
    this.deadlineMs = 0
    this.#server.events.onBadRequest(x, code, detail)
  }

  /** The server is shutting down: an idle connection ends soon, a busy one with its response. */
  drain(): void {
    if (this.#isTunnel && this.#exchange !== null) this.#server.events.onShutdown(this.#exchange)
    else if (this.#exchange === null && !this.#isLingering && !this.#isBlocked)
      this.#server.wheel.arm(this, this.#server.now() + DRAIN_IDLE_MS)
  }

  /** The time for draining is over. */
  destroy(): void {
    this.#wire.destroy()
  }
}
