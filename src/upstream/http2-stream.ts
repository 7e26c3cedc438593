import type { ErrorCode } from '../base/error.ts'
import { HEADER_CONTENT_LENGTH } from '../codec/header-id.ts'
import { CONNECTION_UPGRADE, type ResponseHead } from '../codec/http1/head.ts'
import { CANCEL, HTTP_1_1_REQUIRED, NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM } from '../codec/http2/frame.ts'
import type { HpackEncoder } from '../codec/http2/hpack-encoder.ts'
import { encodeRequestBlock } from '../codec/http2/message.ts'
import type { Http2Session } from '../codec/http2/session.ts'
import { Http2Stream } from '../codec/http2/stream.ts'
import { acceptKeyOf } from '../codec/websocket.ts'
import type { UpstreamConnection, UpstreamEvents } from '../exchange/contracts.ts'
import type { Attempt, Exchange } from '../exchange/exchange.ts'
import { authorityFor } from './authority.ts'

/** What a stream needs of its connection. */
export interface UpstreamStreamHost {
  readonly session: Http2Session<Http2UpstreamStream>
  readonly encoder: HpackEncoder
  readonly events: UpstreamEvents
  readonly scheme: 'http' | 'https'
  readonly hostHeader: string
  /** The endpoint is going away: what it refuses now it may take on another connection. */
  readonly isGoingAway: boolean
  /** The head is free for another response. */
  recycle(head: ResponseHead): void
  /** An attempt was given up before its response was complete. `stream.sentMs`: when it began. */
  onCancelled(stream: Http2UpstreamStream): void
}

const WEBSOCKET = 'websocket'
const KEY_FIELD = 'Sec-WebSocket-Key'

/** One attempt on a connection that carries many. */
export class Http2UpstreamStream extends Http2Stream implements UpstreamConnection {
  /** null: the attempt has left. */
  attempt: Attempt | null = null
  head: ResponseHead
  sentMs: number
  /** Has got something in this read, to be sent off at the end of it. */
  isFlushWaiting = false
  readonly #host: UpstreamStreamHost
  /** The client has no room for more of the body; what came since then. */
  #isPaused = false
  #pausedBytes = 0
  #isBlocked = false
  /** The key of an HTTP/1 client that asked for a WebSocket; null: this is no WebSocket. */
  #webSocketKey: string | null = null

  constructor(host: UpstreamStreamHost, head: ResponseHead, sentMs: number) {
    super()
    this.#host = host
    this.head = head
    this.sentMs = sentMs
  }

  // ---- the request ----

  send(attempt: Attempt): void {
    const { session, encoder, events, scheme, hostHeader } = this.#host
    const x = attempt.exchange
    this.attempt = attempt
    attempt.connection = this
    const { request } = x
    const authority = authorityFor(attempt, hostHeader)
    attempt.sent = true
    if (x.upgrade === WEBSOCKET) {
      this.#sendConnect(x, authority)
    } else {
      const contentLength = request.chunked ? -1 : request.contentLength
      encodeRequestBlock(encoder, x.method, scheme, authority, x.target, '', request.headers, contentLength, session.beginHeaders(this))
      session.endHeaders(this, !x.hasRequestBody)
    }
    events.onReady(attempt)
  }

  /** A WebSocket over a stream (RFC 8441 section 4). There is no key in it: the stream cannot be mistaken for something else. */
  #sendConnect(x: Exchange, authority: string): void {
    const { session, encoder, scheme } = this.#host
    const { headers } = x.request
    const key = headers.get('sec-websocket-key')
    this.#webSocketKey = key ?? ''
    if (key !== undefined) headers.remove('sec-websocket-key')
    encodeRequestBlock(encoder, 'CONNECT', scheme, authority, x.target, WEBSOCKET, headers, -1, session.beginHeaders(this))
    // Another attempt may go to an endpoint that wants it.
    if (key !== undefined) headers.add(KEY_FIELD, key)
    session.endHeaders(this, false)
  }

  sendBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (start === end) return !this.#isBlocked
    if (this.#host.session.sendData(this, bytes, start, end, stable)) return true
    this.#isBlocked = true
    return false
  }

  sendEnd(trailers: string): void {
    this.#host.session.sendEnd(this, trailers)
  }

  /** Nothing to do: what all streams have to send leaves at the end of the turn. */
  flush(): void {}

  /** Everything given to `sendBody` is on its way. */
  onDrain(): void {
    if (!this.#isBlocked) return
    this.#isBlocked = false
    if (this.attempt !== null) this.#host.events.onDrain(this.attempt)
  }

  // ---- the response ----

  /** `head` has been read. */
  onHead(endStream: boolean): void {
    const attempt = this.attempt as Attempt
    const { head } = this
    const { events } = this.#host
    const { status } = head
    if (status < 200) {
      if (endStream) this.fail(PROTOCOL_ERROR, 'upstream_protocol', 'the endpoint ended a response with an interim one')
      else if (status !== 100) events.onInformational(attempt, head)
      return
    }
    this.hasHead = true
    const x = attempt.exchange
    if (this.#webSocketKey !== null) this.#onConnectAnswer(head, endStream)
    else if (!this.#frame(x, head, endStream)) return
    events.onHead(attempt, head)
    if (endStream && this.attempt === attempt) this.complete('')
  }

  /** How long the body is (RFC 9113 section 8.1.1). False: the response has failed. */
  #frame(x: Exchange, head: ResponseHead, endStream: boolean): boolean {
    const { status } = head
    if (x.method === 'HEAD' || status === 204 || status === 304) {
      this.expectedBytes = 0
    } else if (!endStream) {
      this.expectedBytes = head.contentLength
      head.chunked = head.contentLength === -1
    } else if (head.contentLength > 0) {
      this.fail(PROTOCOL_ERROR, 'upstream_protocol', 'the endpoint ended a response before the length it had told')
      return false
    } else if (x.request.major === 1) {
      // Or the client would get an empty body in chunks.
      head.contentLength = 0
    }
    return true
  }

  /** The proxy knows the answer to an Upgrade as HTTP/1.1 has it. */
  #onConnectAnswer(head: ResponseHead, endStream: boolean): void {
    if (head.status >= 300) {
      this.#webSocketKey = null
      this.#frame((this.attempt as Attempt).exchange, head, endStream)
      // It is an ordinary request then, and one without a body.
      this.#host.session.sendEnd(this, '')
      return
    }
    head.status = 101
    head.reason = 'Switching Protocols'
    head.contentLength = -1
    head.headers.removeMask(1 << HEADER_CONTENT_LENGTH)
    head.connection |= CONNECTION_UPGRADE
    if (this.#webSocketKey !== '') head.headers.set('Sec-WebSocket-Accept', acceptKeyOf(this.#webSocketKey as string))
  }

  receive(bytes: Buffer, start: number, end: number): void {
    const { session, events } = this.#host
    const { attempt } = this
    const size = end - start
    if (attempt === null) return session.discarded(this, size)
    const proceed = events.onBody(attempt, bytes as Parameters<UpstreamEvents['onBody']>[1], start, end, false)
    if (this.isClosed) return
    if (this.attempt === null) return session.discarded(this, size)
    if (proceed && !this.#isPaused) session.consumed(this, size)
    else this.#pausedBytes += size
    if (!proceed) this.#isPaused = true
  }

  resumeResponse(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    const count = this.#pausedBytes
    this.#pausedBytes = 0
    if (count > 0) this.#host.session.consumed(this, count)
  }

  /** The response is complete. */
  complete(trailers: string): void {
    const attempt = this.detach() as Attempt
    const { session, events } = this.#host
    // Nobody sends the rest of the request, and the endpoint has answered without it.
    if (!this.isLocalClosed) session.reset(this, CANCEL)
    const { exchange } = attempt
    // Whoever still works with this head keeps it.
    const isHeadFree = !exchange.responseHeld && !exchange.isRetained
    events.onEnd(attempt, trailers)
    if (isHeadFree) this.#host.recycle(this.head)
  }

  // ---- other ends ----

  detach(): Attempt | null {
    const { attempt } = this
    this.attempt = null
    if (attempt !== null) attempt.connection = null
    return attempt
  }

  cancel(): void {
    if (this.detach() === null) return
    this.#host.session.reset(this, CANCEL)
    this.#host.onCancelled(this)
  }

  /** What the endpoint has sent on this stream is of no use. */
  fail(reset: number, code: ErrorCode, detail: string): void {
    const attempt = this.detach()
    this.#host.session.reset(this, reset)
    if (attempt !== null) this.#host.events.onFailure(attempt, code, detail)
  }

  /** The stream was broken off: by the endpoint, or because of what it did (not `isRemote`). */
  onReset(code: number, isRemote: boolean): void {
    const { isGoingAway } = this.#host
    // Servers reset without an error what they have answered (RFC 9113 section 8.1), and node:http2 does so in place of its last, empty DATA
    // frame. There is no error: what has come is all there is, unless a length was told and not reached.
    const isWhole = this.hasHead && (this.expectedBytes === -1 || this.receivedBytes === this.expectedBytes)
    if (isRemote && this.attempt !== null) this.attempt.resetCode = code
    if (isRemote && code === NO_ERROR && isWhole && this.attempt !== null) return this.complete('')
    const attempt = this.detach()
    if (attempt === null) return
    const { events } = this.#host
    if (!isRemote) {
      events.onFailure(attempt, 'upstream_protocol', 'the endpoint broke the rules of HTTP/2 on its stream')
    } else if (code === REFUSED_STREAM && !attempt.headReceived) {
      attempt.reused = isGoingAway
      events.onFailure(attempt, 'upstream_refused', 'the endpoint refused the request before it began with it')
    } else if (code === HTTP_1_1_REQUIRED && !this.hasHead) {
      events.onFailure(attempt, 'upstream_protocol', 'the endpoint wants this request over HTTP/1.1')
    } else {
      attempt.reused = false
      const name = code === NO_ERROR ? 'without an error' : `with error ${code}`
      events.onFailure(attempt, this.hasHead ? 'upstream_truncated' : 'upstream_reset', `the endpoint broke the stream off ${name}`)
    }
  }

  /** The connection is gone. `isStale`: it had stood idle, and nothing has come since. */
  onLost(code: ErrorCode | null, detail: string, isStale: boolean): void {
    const attempt = this.detach()
    if (attempt === null) return
    attempt.reused = isStale
    this.#host.events.onFailure(attempt, code ?? (this.hasHead ? 'upstream_truncated' : 'upstream_reset'), detail)
  }
}
