import { ERROR_KINDS, type ErrorCode, type ErrorKind } from '../base/error.ts'
import { HEADER_DATE, HEADER_NONE, HEADER_X_REQUEST_ID } from '../codec/header-id.ts'
import type { ResponseHead } from '../codec/http1/head.ts'
import { createLocalHead, type Exchange, type LocalResponse } from '../exchange/exchange.ts'
import type { HttpDate } from './http-date.ts'
import type { ListenerRuntime } from './runtime.ts'
import { isConsent } from './websocket.ts'

const REQUEST_ID_BIT = 1 << HEADER_X_REQUEST_ID
const DATE_BIT = 1 << HEADER_DATE
const UNLISTED_BIT = 1 << HEADER_NONE
/** See retry.ts. */
const NO_RETRY_LINE = 'X-Sluice-Retry: no\r\n'

/** Responses the gateway makes itself: of routes and filters, and of its own errors (RFC 9457). */

/** Puts a local response in place as the response of the exchange. The body still has to be sent. */
export function setLocalResponse(x: Exchange, local: LocalResponse): void {
  // Who asked to speak another protocol must not take an answer of ours for consent.
  const head = createLocalHead(isConsent(x, local.status) ? 501 : local.status)
  x.tunnel?.release()
  x.tunnel = null
  x.upgrade = ''
  for (let i = 0; i < local.headers.length; i += 2) head.headers.add(local.headers[i] as string, local.headers[i + 1] as string)
  head.contentLength = local.body === null ? 0 : local.body.length
  x.response = head
  x.appliedLocal = local
}

/** The problem document for an error of ours. `detail` is for people; it never holds more than the client may know. */
export function createProblem(x: Exchange, code: ErrorCode, detail: string): LocalResponse {
  const kind: ErrorKind = ERROR_KINDS[code]
  const body: Record<string, unknown> = { type: 'about:blank', title: kind.title, status: kind.http, code, detail }
  if (x.requestId !== '') body.request_id = x.requestId
  const headers = ['Content-Type', 'application/problem+json', 'Cache-Control', 'no-store']
  if (kind.http === 503 || kind.http === 429) headers.push('Retry-After', String(Math.max(1, Math.ceil(x.retryAfterMs / 1000))))
  if (kind.http === 405) headers.push('Allow', 'GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS')
  if (x.errorHeaders !== null) headers.push(...x.errorHeaders)
  return { status: kind.http, headers, body: Buffer.from(`${JSON.stringify(body)}\n`) }
}

/** Addresses and system errors stay in the log; the client learns what kind of thing went wrong. */
export function publicDetail(code: ErrorCode, detail: string): string {
  return code === 'pool_overflow' || code === 'upstream_protocol' ? detail : ERROR_KINDS[code].doc
}

/** What every response carries. Before the filters, so that they have the last word. */
export function stampResponse(x: Exchange, date: HttpDate): void {
  const { headers } = x.response as ResponseHead
  if (x.requestId !== '' && (headers.seen & REQUEST_ID_BIT) === 0) headers.addLines(`X-Request-Id: ${x.requestId}\r\n`, REQUEST_ID_BIT)
  if (x.isRetryForbidden) headers.addLines(NO_RETRY_LINE, UNLISTED_BIT)
  const { tls } = x.listener as ListenerRuntime
  if (tls !== null && tls.hstsLine !== null && !headers.has('strict-transport-security')) headers.addLines(tls.hstsLine, UNLISTED_BIT)
  // RFC 9110 section 6.6.1: a recipient with a clock dates what came without.
  if ((headers.seen & DATE_BIT) === 0) headers.addFixedLines(date.line(), DATE_BIT)
}
