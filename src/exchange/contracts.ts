import type { ErrorCode } from '../base/error.ts'
import type { WireBuffer } from '../base/wire.ts'
import type { ResponseHead } from '../codec/http1/head.ts'
import type { Attempt, Exchange } from './exchange.ts'

/**
 * How the two sides of an exchange are spoken to. Every protocol implements the same two contracts, so the proxy never asks which
 * protocol it has before it. Bytes are [start, end) of a read buffer and valid during the call only, unless `stable` (see Wire).
 */

/** The client's side of one exchange: where the response goes. */
export interface DownstreamStream {
  /** A 1xx response other than 101 (RFC 9110 section 15.2). Dropped for clients that cannot take it. */
  sendInformational(head: ResponseHead): void
  /** `100 Continue`, if the client waits for it and has not begun to send. */
  sendContinue(): void
  /** The head in `x.response`, framed for this client. Gathered until `flush`, `sendEnd`, or a large piece of body. */
  sendHead(x: Exchange): void
  /** False: stop until `DownstreamEvents.onDrain`. */
  sendBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean
  /** The response is complete; `trailers` are field lines or ''. Writes what was gathered. */
  sendEnd(trailers: string): void
  flush(): void
  /** Breaks the response off so that the client cannot take it for complete. */
  abort(): void
  resumeRequest(): void
  /** The exchange is over and its numbers are taken. Called once, last. */
  onFinished(x: Exchange): void
}

/** What a downstream connection reports. Implemented once, in proxy/. */
export interface DownstreamEvents {
  onRequest(x: Exchange): void
  /** What came is no request, or came too late: it is answered, and the connection closed. */
  onBadRequest(x: Exchange, code: ErrorCode, detail: string): void
  /** False: stop sending until `resumeRequest`. */
  onRequestBody(x: Exchange, bytes: Buffer, start: number, end: number, stable: boolean): boolean
  onRequestEnd(x: Exchange, trailers: string): void
  /** Everything in this read was delivered: what was gathered for the upstream can go out. */
  onRequestFlush(x: Exchange): void
  onDrain(x: Exchange): void
  /** The request turned out to be bad or late in its body. */
  onRequestError(x: Exchange, code: ErrorCode, detail: string): void
  /** The client is gone. */
  onClosed(x: Exchange): void
  /** The listener shuts down: what has no end of its own is to find one. */
  onShutdown(x: Exchange): void
}

/** A connection to an endpoint as an attempt sees it. */
export interface UpstreamConnection {
  /** Starts the request of `attempt.exchange`: its head, gathered until the body, `sendEnd` or `flush`. */
  send(attempt: Attempt): void
  /** False: stop until `UpstreamEvents.onDrain`. */
  sendBody(bytes: Buffer, start: number, end: number, stable: boolean): boolean
  sendEnd(trailers: string): void
  flush(): void
  resumeResponse(): void
  /** The attempt is given up; no event follows. */
  cancel(): void
}

/** What an upstream connection reports about the attempt it carries. Implemented once, in proxy/. */
export interface UpstreamEvents {
  /** The connection is assigned and the request head is on its way: the body may follow. */
  onReady(attempt: Attempt): void
  onInformational(attempt: Attempt, head: ResponseHead): void
  onHead(attempt: Attempt, head: ResponseHead): void
  /** False: stop reading until `resumeResponse`. */
  onBody(attempt: Attempt, bytes: WireBuffer, start: number, end: number, stable: boolean): boolean
  /** The response is complete. The connection is free again when this returns. */
  onEnd(attempt: Attempt, trailers: string): void
  /** Everything in this read was delivered. */
  onFlush(attempt: Attempt): void
  onDrain(attempt: Attempt): void
  /** The attempt failed; it has left the connection. `attempt.sent` tells whether the endpoint may have seen the request. */
  onFailure(attempt: Attempt, code: ErrorCode, detail: string): void
}
