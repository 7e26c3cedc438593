import type { ErrorCode } from '../base/error.ts'
import { HEADER_CONTENT_LENGTH, HEADER_TRANSFER_ENCODING } from '../codec/header-id.ts'
import { encodeFields, statusLine } from '../codec/http1/encode.ts'
import {
  CONNECTION_CLOSE,
  CONNECTION_KEEP_ALIVE,
  HEAD_INVALID,
  HEAD_TARGET_TOO_LONG,
  HEAD_TOO_LARGE,
  HEAD_VERSION,
  type RequestHead,
  type ResponseHead,
} from '../codec/http1/head.ts'

/** How the body of a response is delimited for its client (RFC 9112 section 6.3). */
export const LENGTH = 0
export const CHUNKED = 1
export const UNTIL_CLOSE = 2
export const NO_BODY = 3

/** Framing is never copied: it is written anew from what was parsed. */
const FRAMING_MASK = (1 << HEADER_CONTENT_LENGTH) | (1 << HEADER_TRANSFER_ENCODING)

/** `isHead`: it answers a HEAD request. `minor`: what the client speaks, HTTP/1.minor. */
export function framingOf(head: ResponseHead, isHead: boolean, minor: number): number {
  if (isHead || head.status === 204 || head.status === 304) return NO_BODY
  if (head.contentLength >= 0) return LENGTH
  return minor === 1 ? CHUNKED : UNTIL_CLOSE
}

/** Whether another request may follow on the connection (RFC 9112 section 9.3). `served`: with this one; `maxRequests`: 0 is no limit. */
export function keepsAlive({ connection, minor }: RequestHead, served: number, maxRequests: number): boolean {
  if ((connection & CONNECTION_CLOSE) !== 0 || (maxRequests > 0 && served >= maxRequests)) return false
  return minor === 1 || (connection & CONNECTION_KEEP_ALIVE) !== 0
}

/** The head up to and with its empty line. */
export function encodeResponseHead(head: ResponseHead, framing: number, minor: number, isKeptAlive: boolean): string {
  head.headers.removeMask(FRAMING_MASK)
  let out = statusLine(head.status, head.reason) + encodeFields(head.headers)
  // A response to HEAD and a 304 say how long the body would have been; a 204 says nothing (RFC 9110 section 8.6).
  if (framing === CHUNKED) out += 'Transfer-Encoding: chunked\r\n'
  else if (head.contentLength >= 0 && head.status !== 204) out += `Content-Length: ${head.contentLength}\r\n`
  if (!isKeptAlive) return `${out}Connection: close\r\n\r\n`
  return minor === 0 ? `${out}Connection: keep-alive\r\n\r\n` : `${out}\r\n`
}

/** 101: the connection changes to `protocol`. */
export function encodeSwitch(head: ResponseHead, protocol: string): string {
  head.headers.removeMask(FRAMING_MASK)
  return `${statusLine(101, head.reason)}${encodeFields(head.headers)}Connection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`
}

/** A 1xx response. */
export function encodeInformational(head: ResponseHead): string {
  head.headers.removeMask(FRAMING_MASK)
  return `${statusLine(head.status, head.reason)}${encodeFields(head.headers)}\r\n`
}

/** What the client is told about a head that cannot be read. */
export const HEAD_ERRORS: Readonly<Record<number, { code: ErrorCode; detail: string }>> = {
  [HEAD_INVALID]: { code: 'bad_request', detail: 'the request head is not valid HTTP/1.1' },
  [HEAD_TARGET_TOO_LONG]: { code: 'uri_too_long', detail: 'the request target is longer than the limit' },
  [HEAD_TOO_LARGE]: { code: 'head_too_large', detail: 'the request head is larger than the limit or has too many fields' },
  [HEAD_VERSION]: { code: 'version_not_supported', detail: 'this listener speaks HTTP/1.1 and HTTP/1.0' },
}
