import { Timed, type TimerWheel } from '../base/timers.ts'
import { resetOfGrpcStatus } from '../codec/grpc/reset.ts'
import { type RequestHead, ResponseHead } from '../codec/http1/head.ts'
import { CANCEL, INTERNAL_ERROR } from '../codec/http2/frame.ts'
import type { HpackEncoder } from '../codec/http2/hpack-encoder.ts'
import { encodeResponseBlock } from '../codec/http2/message.ts'
import type { Http2Session } from '../codec/http2/session.ts'
import { Http2Stream } from '../codec/http2/stream.ts'
import type { DownstreamEvents, DownstreamStream } from '../exchange/contracts.ts'
import type { Exchange } from '../exchange/exchange.ts'

/** What a stream needs of its connection. */
export interface StreamHost {
  readonly session: Http2Session<Http2RequestStream>
  readonly encoder: HpackEncoder
  readonly events: DownstreamEvents
  readonly wheel: TimerWheel
  readonly now: () => number
  /** Longest pause of a client that does not take its response. */
  readonly sendMs: number
  /** The head is free for another request. */
  recycle(head: RequestHead): void
}

const CONTINUE = new ResponseHead()
CONTINUE.status = 100

/** One request of a client over HTTP/2, and the way back of its response. */
export class Http2RequestStream extends Http2Stream implements DownstreamStream {
  exchange: Exchange | null = null
  /** The request is complete, or nobody reads the rest of it. */
  isRequestDone = true
  /** Its exchange has body in this read, to be sent off at the end of it. */
  isFlushWaiting = false
  /** An extended CONNECT (RFC 8441): behind the head of a tunnel, DATA is what the other protocol says. */
  isConnect = false
  readonly #host: StreamHost
  /** The proxy has no room for more of the body; what it was given since then. */
  #isPaused = false
  #pausedBytes = 0
  #hasBody = true
  #headSent = false
  #isBlocked = false
  /** The client has said all before its tunnel was open. */
  #isEndHeld = false
  #timer: StreamTimer | null = null

  constructor(host: StreamHost) {
    super()
    this.#host = host
  }

  // ---- the request ----

  begin(x: Exchange): void {
    this.exchange = x
    this.isRequestDone = false
  }

  /** The body is expected. */
  startBody(): void {
    this.expectedBytes = (this.exchange as Exchange).request.contentLength
  }

  /** A read is over in which the body began or went on: the time for its next piece begins. Most small bodies are complete by then. */
  onReadEnd(): void {
    if (this.exchange === null || this.isRequestDone || this.#isBlocked || this.#isPaused) return
    this.#armBody(this.exchange)
  }

  receive(bytes: Buffer, start: number, end: number): void {
    const { session, events } = this.#host
    const x = this.exchange
    // Also what came ahead for a tunnel that was refused.
    if (x === null || this.isRequestDone || (this.isConnect && x.upgrade === '')) return session.discarded(this, end - start)
    const proceed = events.onRequestBody(x, bytes, start, end, false)
    if (this.isClosed) return
    if (this.exchange === null) return session.discarded(this, end - start)
    if (proceed && !this.#isPaused) session.consumed(this, end - start)
    else this.#pausedBytes += end - start
    if (!proceed) this.#isPaused = true
    // While the proxy keeps the client waiting, the client is not late.
    if (this.#isPaused && !this.#isBlocked) this.#disarm()
  }

  endRequest(trailers: string): void {
    const x = this.exchange
    if (x === null || this.isRequestDone) return
    if (this.isConnect && !this.#headSent) {
      this.#isEndHeld = true
      return
    }
    this.isRequestDone = true
    if (!this.#isBlocked) this.#disarm()
    this.#host.events.onRequestEnd(x, trailers)
  }

  resumeRequest(): void {
    if (this.#isPaused) this.#resume()
    if (!this.#isEndHeld || !this.#headSent) return
    this.#isEndHeld = false
    this.endRequest('')
  }

  #resume(): void {
    this.#isPaused = false
    const count = this.#pausedBytes
    this.#pausedBytes = 0
    if (this.isClosed) return
    if (count > 0) this.#host.session.consumed(this, count)
    if (!this.isRequestDone && !this.#isBlocked && this.exchange !== null) this.#armBody(this.exchange)
  }

  // ---- the response ----

  sendInformational(head: ResponseHead): void {
    // A client that does not read has no use for them, and they have no other end than that.
    if (!this.#host.session.isBlocked) this.#sendInterim(head)
  }

  sendContinue(): void {
    this.#sendInterim(CONTINUE)
  }

  #sendInterim(head: ResponseHead): void {
    if (this.isLocalClosed || this.#headSent) return
    const { session, encoder } = this.#host
    encodeResponseBlock(encoder, head, session.beginHeaders(this))
    session.endHeaders(this, false)
  }

  sendHead(x: Exchange): void {
    this.#headSent = true
    if (this.isLocalClosed) return
    const head = x.response as ResponseHead
    if (head.status === 101) return this.#openTunnel(head)
    this.#hasBody = x.method !== 'HEAD' && head.status !== 204 && head.status !== 304
    const { session, encoder } = this.#host
    encodeResponseBlock(encoder, head, session.beginHeaders(this))
    session.endHeaders(this, false)
  }

  /** RFC 8441 section 5: what is a 101 over HTTP/1.1 is a 200 here, without the answer to a key. The rest of the proxy goes by the 101. */
  #openTunnel(head: ResponseHead): void {
    const { session, encoder } = this.#host
    head.headers.remove('sec-websocket-accept')
    head.contentLength = -1
    head.status = 200
    encodeResponseBlock(encoder, head, session.beginHeaders(this))
    head.status = 101
    session.endHeaders(this, false)
  }

  sendBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (!this.#hasBody || start === end) return !this.#isBlocked
    if (this.#host.session.sendData(this, bytes, start, end, stable)) return true
    this.#block()
    return false
  }

  sendEnd(trailers: string): void {
    this.#host.session.sendEnd(this, this.#hasBody ? trailers : '')
  }

  /** Nothing to do: what all streams have to send leaves at the end of the turn. */
  flush(): void {}

  abort(): void {
    const call = this.exchange?.grpc ?? null
    this.#host.session.reset(this, call === null ? INTERNAL_ERROR : resetOfGrpcStatus(call.status))
  }

  #block(): void {
    if (this.#isBlocked) return
    this.#isBlocked = true
    this.#arm(this.#host.sendMs)
  }

  /** Everything given to `sendBody` is on its way. */
  onDrain(): void {
    if (!this.#isBlocked) return
    this.#isBlocked = false
    const x = this.exchange
    if (x !== null && !this.isRequestDone && !this.#isPaused) this.#armBody(x)
    else this.#disarm()
    if (x !== null) this.#host.events.onDrain(x)
  }

  // ---- ends ----

  onFinished(x: Exchange): void {
    this.exchange = null
    this.isRequestDone = true
    if (this.#pausedBytes > 0) {
      this.#host.session.discarded(this, this.#pausedBytes)
      this.#pausedBytes = 0
    }
    this.#isPaused = false
    if (!this.#isBlocked) this.#disarm()
    if (!x.isRetained) this.#host.recycle(x.request)
  }

  /** The stream is gone, and with it whoever waits for the response. */
  onGone(): void {
    const x = this.exchange
    if (x !== null) this.#host.events.onClosed(x)
  }

  /** It has left the session. */
  onLeft(): void {
    if (this.#timer !== null) this.#host.wheel.remove(this.#timer)
  }

  /** How long a tunnel may be silent is not for the listener to say. */
  #armBody(x: Exchange): void {
    this.#arm(this.isConnect ? 0 : x.listener.config.timeouts.bodyMs)
  }

  #arm(timeoutMs: number): void {
    if (timeoutMs === 0 || this.isClosed) return this.#disarm()
    this.#timer ??= new StreamTimer(this)
    this.#timer.pendingBytes = this.pendingBytes
    this.#host.wheel.arm(this.#timer, this.#host.now() + timeoutMs)
  }

  #disarm(): void {
    if (this.#timer !== null) this.#timer.deadlineMs = 0
  }

  onDeadline(pendingBefore: number): void {
    const x = this.exchange
    if (this.#isBlocked) {
      // What waits moves, if slowly: the time begins anew.
      if (this.pendingBytes !== pendingBefore) this.#arm(this.#host.sendMs)
      else this.#giveUp()
    } else if (x !== null && !this.isRequestDone) {
      this.#host.events.onRequestError(x, 'request_timeout', 'the request body did not come in time')
    }
  }

  /** The client lets the response wait too long. */
  #giveUp(): void {
    const x = this.exchange
    this.#host.session.reset(this, CANCEL)
    if (x !== null) this.#host.events.onClosed(x)
  }
}

/** Made for streams that carry bodies only. */
class StreamTimer extends Timed {
  readonly #stream: Http2RequestStream
  /** When it was armed. */
  pendingBytes = 0

  constructor(stream: Http2RequestStream) {
    super()
    this.#stream = stream
  }

  override onDeadline(): void {
    this.#stream.onDeadline(this.pendingBytes)
  }
}
