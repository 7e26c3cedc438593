import { type ErrorCode, GatewayError } from '../base/error.ts'
import type { Exchange } from './exchange.ts'

const EMPTY = Buffer.alloc(0)

/** What happens when a body is not what it has to be. */
export type FailBody = (x: Exchange, code: ErrorCode, detail: string) => void

/**
 * Changes a body on its way, piece by piece. What comes in is [start, end) of a read buffer, valid during the call only; what is returned
 * may be kept by whoever gets it, and may be empty. Throws GatewayError when the body is not what it has to be.
 */
export interface BodyTransform {
  push(bytes: Buffer, start: number, end: number): Buffer
  /** The body is complete. `trailers` are field lines or ''; what is returned is the last of the body. */
  end(trailers: string): Buffer
  /** The trailers that follow instead of those given to `end`. */
  readonly trailers: string
}

/** From now on the request body goes through `transform`: first what is held of it already. The length of the new one is not known. */
export function transformRequest(x: Exchange, transform: BodyTransform): void {
  x.requestTransform = transform
  x.request.chunked = x.hasRequestBody
  x.request.contentLength = -1
  const held = x.heldRequest
  if (held !== null) x.heldRequest = []
  x.heldRequestBytes = 0
  if (held !== null) for (const piece of held) holdRequest(x, transform.push(piece, 0, piece.length))
  if (x.heldRequestEnd === null) return
  holdRequest(x, transform.end(x.heldRequestEnd))
  x.heldRequestEnd = transform.trailers
  x.requestTransform = null
}

function holdRequest(x: Exchange, piece: Buffer): void {
  if (piece.length === 0) return
  if (x.heldRequest === null) x.heldRequest = []
  x.heldRequest.push(piece)
  x.heldRequestBytes += piece.length
}

/** The same for the response. Its end goes through `transform` when it is sent. */
export function transformResponse(x: Exchange, transform: BodyTransform): void {
  x.responseTransform = transform
  if (x.response !== null) x.response.contentLength = -1
  const held = x.heldResponse
  if (held === null) return
  x.heldResponseBytes = 0
  for (let i = 0; i < held.length; i++) {
    const piece = held[i] as Buffer
    const changed = transform.push(piece, 0, piece.length)
    held[i] = changed
    x.heldResponseBytes += changed.length
  }
}

/** What a transform makes of a piece. An error goes to `fail`, and nothing is passed on. Never throws: it runs inside of readers. */
export function changeBody(x: Exchange, transform: BodyTransform, bytes: Buffer, start: number, end: number, fail: FailBody): Buffer {
  try {
    return transform.push(bytes, start, end)
  } catch (error) {
    return refuse(x, error, fail)
  }
}

/** The last bytes of a body. */
export function endBody(x: Exchange, transform: BodyTransform, trailers: string, fail: FailBody): Buffer {
  try {
    return transform.end(trailers)
  } catch (error) {
    return refuse(x, error, fail)
  }
}

/** The last bytes of a response, sent; returns the trailers that follow them. */
export function sendLastBody(x: Exchange, transform: BodyTransform, trailers: string, fail: FailBody): string {
  const last = endBody(x, transform, trailers, fail)
  if (last.length === 0 || x.finished) return transform.trailers
  x.responseBytes += last.length
  x.downstream.sendBody(last, 0, last.length, true)
  return transform.trailers
}

/** Ends a response that breaks off: `trailers` say so, and go through `transform`. False: it can only be broken off. */
export function endEarly(x: Exchange, transform: BodyTransform, trailers: string): boolean {
  let last: Buffer
  try {
    last = transform.end(trailers)
  } catch {
    return false
  }
  if (last.length > 0) x.downstream.sendBody(last, 0, last.length, true)
  x.responseBytes += last.length
  x.downstream.sendEnd(transform.trailers)
  return true
}

function refuse(x: Exchange, error: unknown, fail: FailBody): Buffer {
  if (error instanceof GatewayError) fail(x, error.code, error.message)
  else fail(x, 'internal', `a body could not be changed: ${String(error)}`)
  return EMPTY
}
