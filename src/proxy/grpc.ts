import { ERROR_KINDS, type ErrorCode } from '../base/error.ts'
import { findTrailer, isGrpcContentType } from '../codec/grpc/fields.ts'
import { encodeGrpcMessage } from '../codec/grpc/message-text.ts'
import { grpcStatusOfReset } from '../codec/grpc/reset.ts'
import {
  GRPC_CANCELLED,
  GRPC_DEADLINE_EXCEEDED,
  GRPC_INTERNAL,
  GRPC_PERMISSION_DENIED,
  GRPC_RESOURCE_EXHAUSTED,
  GRPC_UNAVAILABLE,
  GRPC_UNIMPLEMENTED,
  GRPC_UNKNOWN,
  grpcStatusOfHttp,
  isGrpcFailure,
  NO_GRPC_STATUS,
  parseGrpcStatus,
} from '../codec/grpc/status.ts'
import { HEADER_CONTENT_TYPE, HEADER_TE } from '../codec/header-id.ts'
import type { ResponseHead } from '../codec/http1/head.ts'
import { CANCEL } from '../codec/http2/frame.ts'
import type { Attempt, Exchange, LocalResponse } from '../exchange/exchange.ts'
import { GrpcCall } from '../exchange/grpc-call.ts'
import { endEarly } from '../exchange/transform.ts'
import { createProblem } from './respond.ts'

/**
 * gRPC as it passes through: what a call is told when the gateway itself answers, and what its statuses mean to the rest of the gateway.
 * Messages are not looked into. Time limits are in grpc-time.ts, what is held for another attempt in grpc-hold.ts.
 */
export const CONTENT_TYPE_BIT = 1 << HEADER_CONTENT_TYPE
export const PREVIOUS_ATTEMPTS_HEADER = 'grpc-previous-rpc-attempts'
const CONTENT_TYPE = 'application/grpc'
/** Of the text of an answer that was not made for gRPC. */
const MAX_MESSAGE = 256

/** Where the code says more than its HTTP status. */
const STATUSES: Partial<Record<ErrorCode, number>> = {
  body_too_large: GRPC_RESOURCE_EXHAUSTED,
  rate_limited: GRPC_RESOURCE_EXHAUSTED,
  head_too_large: GRPC_RESOURCE_EXHAUSTED,
  request_timeout: GRPC_CANCELLED,
  client_closed: GRPC_CANCELLED,
  destination_denied: GRPC_PERMISSION_DENIED,
  not_implemented: GRPC_UNIMPLEMENTED,
  internal: GRPC_INTERNAL,
}

/** A request with a Content-Type: marks it when it is a gRPC call. */
export function recognizeGrpc(x: Exchange): void {
  const { headers } = x.request
  if (x.method !== 'POST' || !isGrpcContentType(headers.getById(HEADER_CONTENT_TYPE))) return
  const earlier = headers.get(PREVIOUS_ATTEMPTS_HEADER)
  x.grpc = new GrpcCall(earlier !== undefined && /^\d{1,4}$/.test(earlier) ? Number(earlier) : 0)
}

/** The client has given the call a time, and it is over. */
export function isClientsDeadline(x: Exchange, nowMs: number): boolean {
  return x.isDeadlineTotal && x.callersDeadlineMs !== 0 && nowMs >= x.callersDeadlineMs
}

/** What an error of ours is for a gRPC client. */
export function grpcStatusOfError(x: Exchange, code: ErrorCode, nowMs: number): number {
  if (code === 'upstream_timeout' || code === 'connect_timeout' || code === 'client_closed' || code === 'queue_timeout') {
    if (isClientsDeadline(x, nowMs)) return GRPC_DEADLINE_EXCEEDED
  }
  if (code === 'upstream_reset' || code === 'upstream_truncated') {
    const status = statusOfReset(x, nowMs)
    if (status !== NO_GRPC_STATUS) return status
  }
  return STATUSES[code] ?? grpcStatusOfHttp(ERROR_KINDS[code].http)
}

/** What the endpoint meant by the reset of the call's stream; NO_GRPC_STATUS: the whole connection broke. */
function statusOfReset(x: Exchange, nowMs: number): number {
  const resetCode = x.attempt?.resetCode ?? -1
  if (resetCode === -1) return NO_GRPC_STATUS
  // Servers that keep the deadline too cancel about then, and may be first.
  if (resetCode === CANCEL && x.callersDeadlineMs !== 0 && nowMs >= x.callersDeadlineMs - DEADLINE_SLACK_MS) return GRPC_DEADLINE_EXCEEDED
  return grpcStatusOfReset(resetCode)
}

/** What the client is told of an error of ours: a problem document, or the same as the end of its call. */
export function createError(x: Exchange, code: ErrorCode, detail: string, nowMs: number): LocalResponse {
  const problem = createProblem(x, code, detail)
  return x.grpc === null ? problem : trailersOnly(x, grpcStatusOfError(x, code, nowMs), detail, problem)
}

/** The response of a route, a filter, a fallback, or of ours, in the form the client reads. */
export function localOf(x: Exchange): LocalResponse {
  const local = x.local as LocalResponse
  if (x.grpc === null) return local
  x.grpc.heldHead = null
  x.responseTransform = null
  x.local = localForGrpc(x, x.grpc, local)
  if (x.localForm !== null) x.local = x.localForm(x, x.local)
  return x.local
}

function localForGrpc(x: Exchange, call: GrpcCall, local: LocalResponse): LocalResponse {
  const type = fieldOf(local, 'content-type')
  if (isGrpcContentType(type)) {
    call.status = parseGrpcStatus(fieldOf(local, 'grpc-status'))
    return local
  }
  const { status, body } = local
  const isText = type?.startsWith('text/plain') === true && body !== null
  const text = isText ? body.subarray(0, MAX_MESSAGE).toString('utf8').trim() : ''
  return trailersOnly(x, grpcStatusOfHttp(status), text === '' ? `the gateway answers with HTTP status ${status}` : text, local)
}

function fieldOf({ headers }: LocalResponse, name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) if ((headers[i] as string).toLowerCase() === name) return headers[i + 1]
  return undefined
}

function trailersOnly(x: Exchange, status: number, message: string, { headers }: LocalResponse): LocalResponse {
  ;(x.grpc as GrpcCall).status = status
  const fields = ['content-type', CONTENT_TYPE, 'grpc-status', String(status), 'grpc-message', encodeGrpcMessage(message)]
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] as string).toLowerCase()
    if (name !== 'cache-control' && name !== 'allow' && !name.startsWith('content-')) fields.push(name, headers[i + 1] as string)
  }
  return { status: 200, headers: fields, body: null }
}

/**
 * Reads what a response head says of the call into `attempt.grpcStatus`. False: the response is not gRPC, but of something in between,
 * and its HTTP status has been translated.
 */
export function readGrpcHead(attempt: Attempt, head: ResponseHead): boolean {
  const status = parseGrpcStatus(head.headers.get('grpc-status'))
  attempt.grpcStatus = status
  if (status !== NO_GRPC_STATUS) return true
  if (head.status === 200 && isGrpcContentType(head.headers.getById(HEADER_CONTENT_TYPE))) return true
  attempt.grpcStatus = grpcStatusOfHttp(head.status)
  return false
}

/** The answer instead of a response that is not gRPC. */
export function createForeignAnswer(x: Exchange, attempt: Attempt, head: ResponseHead): LocalResponse {
  const retryAfter = head.headers.get('retry-after')
  const headers = retryAfter === undefined ? [] : ['retry-after', retryAfter]
  const message = `service ${x.service?.service.name ?? '-'} answered with HTTP status ${head.status} and not with gRPC`
  return trailersOnly(x, attempt.grpcStatus, message, { status: head.status, headers, body: null })
}

/** The response has ended: reads its status, unless the head said it. Returns the trailers with a status: a call always ends with one. */
export function readGrpcTrailers(attempt: Attempt, trailers: string): string {
  if (attempt.grpcStatus !== NO_GRPC_STATUS) return trailers
  attempt.grpcStatus = parseGrpcStatus(findTrailer(trailers, 'grpc-status'))
  if (attempt.grpcStatus !== NO_GRPC_STATUS) return trailers
  attempt.grpcStatus = attempt.resetCode === -1 ? GRPC_UNKNOWN : grpcStatusOfReset(attempt.resetCode)
  return `${trailers}${statusLines(attempt.grpcStatus, 'the service ended the call without a status')}`
}

/**
 * Ends a call that breaks off after its head, with a status in trailers. False: more than whole messages have gone out, or the client takes
 * no trailers, so the stream must be broken off.
 */
export function endBrokenCall(x: Exchange, code: ErrorCode, nowMs: number): boolean {
  const call = x.grpc as GrpcCall
  call.status = grpcStatusOfError(x, code, nowMs)
  if (!call.responses.isBetweenMessages || x.heldResponse !== null || (x.response?.contentLength ?? 0) !== -1) return false
  const lines = statusLines(call.status, ERROR_KINDS[code].doc)
  if (x.responseTransform !== null) return endEarly(x, x.responseTransform, lines)
  if (!takesGrpcStatus(x)) return false
  x.downstream.sendEnd(lines)
  return true
}

/** What a client is told that would not see how its call ends. */
export const NEEDS_TRAILERS = 'the status of a gRPC call comes in trailers: use HTTP/2 or gRPC-Web, or send TE: trailers over HTTP/1.1'

/** The client can be told the status of a call behind messages. */
export function takesGrpcStatus({ request: { major, minor, headers } }: Exchange): boolean {
  return major !== 1 || (minor !== 0 && headers.getById(HEADER_TE) !== undefined)
}

function statusLines(status: number, message: string): string {
  return `grpc-status: ${status}\r\ngrpc-message: ${encodeGrpcMessage(message)}\r\n`
}

/** Whether a call that ended in order still says that the service is not well. A deadline the client itself has set is its own matter. */
export function isGrpcError(attempt: Attempt, nowMs: number): boolean {
  // Of something in between that means the client.
  if (!isGrpcFailure(attempt.grpcStatus) || (attempt.status >= 400 && attempt.status < 500)) return false
  const x = attempt.exchange
  return attempt.grpcStatus !== GRPC_DEADLINE_EXCEEDED || x.callersDeadlineMs === 0 || nowMs < x.callersDeadlineMs - DEADLINE_SLACK_MS
}

/** A service that was told how long it has ends the call about then, and may be first. */
const DEADLINE_SLACK_MS = 20

/** What the call is counted and logged as. */
export function finalGrpcStatus(x: Exchange, nowMs: number): number {
  const { status } = x.grpc as GrpcCall
  if (x.errorCode === 'client_closed') return isClientsDeadline(x, nowMs) ? GRPC_DEADLINE_EXCEEDED : GRPC_CANCELLED
  return status === NO_GRPC_STATUS ? GRPC_UNAVAILABLE : status
}
