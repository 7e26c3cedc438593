import type { WireBuffer } from '../../base/wire.ts'
import { CHAR_CLASS, CHAR_HEX, CHAR_HOST, CHAR_TARGET, CHAR_TOKEN, CHAR_VALUE } from '../chars.ts'
import { FIELD_SIZE, HeaderBlock } from '../header-block.ts'
import { HEADER_CONNECTION, HEADER_CONTENT_LENGTH, HEADER_HOST, HEADER_NONE, HEADER_TRANSFER_ENCODING, headerIdIn } from '../header-id.ts'

/**
 * HTTP/1.x message heads (RFC 9112 sections 2 to 6), strict: whatever two implementations could read differently is an error.
 * One pass over the bytes; names and values stay offsets (HeaderBlock).
 *
 * The parse functions return the length of the head including its empty line, or one of the results below.
 */
export const HEAD_INCOMPLETE = 0
/** Not HTTP, or framing in doubt: 400 and close. */
export const HEAD_INVALID = -1
/** 414. */
export const HEAD_TARGET_TOO_LONG = -2
/** 431. */
export const HEAD_TOO_LARGE = -3
/** 505. */
export const HEAD_VERSION = -4

export interface HeadLimits {
  /** Of the whole head, start line and empty line included. */
  readonly headBytes: number
  readonly headers: number
  readonly uriBytes: number
}

/** Bits of `MessageHead.connection`: what the Connection field said. */
export const CONNECTION_CLOSE = 1
export const CONNECTION_KEEP_ALIVE = 2
export const CONNECTION_UPGRADE = 4
/** It names other fields, which are hop-by-hop then. */
export const CONNECTION_OTHER = 8

/** What both kinds of head share. Reused from message to message on a connection; `headers` is filled by the parse. */
export class MessageHead {
  readonly headers = new HeaderBlock()
  /** 1 for HTTP/1.x; 2 when it came over HTTP/2 (then `minor` is 1). */
  major = 1
  /** HTTP/1.minor: 0 or 1. */
  minor = 1
  /** -1: no Content-Length. */
  contentLength = -1
  chunked = false
  connection = 0
  hasUnderscore = false
  hosts = 0
  /** Where the value of the last Host stands in the bytes; only the parser looks at it. */
  hostStart = 0
  hostEnd = 0

  resetHead(): void {
    this.headers.reset()
    this.major = 1
    this.minor = 1
    this.contentLength = -1
    this.chunked = false
    this.connection = 0
    this.hasUnderscore = false
    this.hosts = 0
  }
}

export class RequestHead extends MessageHead {
  method = ''
  /** The request target exactly as it was sent. */
  target = ''
  /** HTTP/2's :scheme; '' for HTTP/1, where the connection says it. */
  scheme = ''
  /** The :protocol of an extended CONNECT (RFC 8441); '' for every other request. */
  protocol = ''

  reset(): void {
    this.resetHead()
    this.method = ''
    this.target = ''
    this.scheme = ''
    this.protocol = ''
  }
}

export class ResponseHead extends MessageHead {
  status = 0
  reason = ''

  reset(): void {
    this.resetHead()
    this.status = 0
    this.reason = ''
  }
}

const CR = 13
const LF = 10
const SP = 32
const HTAB = 9
const COMMA = 44
const SLASH = 47
const COLON = 58
const DOT = 46
const OPEN_BRACKET = 91
const CLOSE_BRACKET = 93
const UNDERSCORE = 95
const DASH = 45
/** No method is this long; what is, is no HTTP. */
const MAX_METHOD_BYTES = 32

/**
 * Reads a request head at [start, end) of `bytes`. There may be more than the head, or less: then HEAD_INCOMPLETE unless it is already
 * clear that it can never become valid. Scanning bytes costs half of scanning a string; the text is made once, when the head is known
 * to be complete (bench/micro/codec/head.ts).
 */
export function readRequestHead(bytes: WireBuffer, start: number, end: number, head: RequestHead, limits: HeadLimits): number {
  head.reset()
  let at = start
  // RFC 9112 section 2.2: one empty line before the request line is forgiven.
  if (bytes[at] === CR && at < end) {
    if (end - at === 1) return HEAD_INCOMPLETE
    if (bytes[at + 1] !== LF) return HEAD_INVALID
    at += 2
  }

  const methodStart = at
  at = endOfMethod(bytes, at, end)
  if (at <= 0) return at
  const methodEnd = at++

  const targetStart = at
  while (at < end && ((CHAR_CLASS[bytes[at] as number] as number) & CHAR_TARGET) !== 0) at++
  if (at - targetStart > limits.uriBytes) return HEAD_TARGET_TOO_LONG
  if (at === end) return end - start > limits.headBytes ? HEAD_TOO_LARGE : HEAD_INCOMPLETE
  if (at === targetStart || bytes[at] !== SP) return HEAD_INVALID
  const targetEnd = at++

  if (end - at < 10 || !isVersion(bytes, at) || bytes[at + 8] !== CR || bytes[at + 9] !== LF) {
    return parseOddVersion(bytes.latin1Slice(at, Math.min(end, at + 10)))
  }
  head.minor = (bytes[at + 7] as number) - 48
  const first = bytes[targetStart]
  if (first !== SLASH || (methodEnd - methodStart === 7 && bytes.latin1Slice(methodStart, methodEnd) === 'CONNECT')) {
    if (!isOtherTarget(bytes.latin1Slice(methodStart, methodEnd), bytes.latin1Slice(targetStart, targetEnd))) return HEAD_INVALID
  }
  const length = readFields(bytes, start, at + 10, end, head, limits)
  if (length <= 0) return length

  const { text } = head.headers
  head.method = methodName(text, methodStart - start, methodEnd - start)
  head.target = text.slice(targetStart - start, targetEnd - start)
  return isFramedRequest(head, bytes) ? length : HEAD_INVALID
}

/** The index of the space behind the method, or a HEAD_ result. */
function endOfMethod(bytes: WireBuffer, start: number, end: number): number {
  let at = start
  while (at < end && ((CHAR_CLASS[bytes[at] as number] as number) & CHAR_TOKEN) !== 0) at++
  if (at - start > MAX_METHOD_BYTES) return HEAD_INVALID
  if (at === end) return HEAD_INCOMPLETE
  return at === start || bytes[at] !== SP ? HEAD_INVALID : at
}

/** Constants for the two usual methods: no allocation, and later comparisons with them cost nothing. */
function methodName(text: string, start: number, end: number): string {
  if (text.startsWith('GET ', start)) return 'GET'
  if (text.startsWith('POST ', start)) return 'POST'
  return text.slice(start, end)
}

function isFramedRequest(head: RequestHead, bytes: WireBuffer): boolean {
  // RFC 9112 section 3.2: exactly one Host, and one that is a host; HTTP/1.0 may have none.
  if (head.hosts > 1 || (head.hosts === 0 && head.minor === 1)) return false
  if (head.hosts === 1 && !isHostAt(bytes, head.hostStart, head.hostEnd)) return false
  if (head.chunked && (head.contentLength !== -1 || head.minor === 0)) return false
  // HTTP/1.0 with a body on a method that has none is how old requests are smuggled.
  const { method } = head
  return !(head.minor === 0 && head.contentLength > 0 && (method === 'GET' || method === 'HEAD' || method === 'DELETE'))
}

/** Reads a response head at [start, end) of `bytes`; same results as for requests (the target limit does not apply). */
export function readResponseHead(bytes: WireBuffer, start: number, end: number, head: ResponseHead, limits: HeadLimits): number {
  head.reset()
  if (end - start < 13) {
    const text = bytes.latin1Slice(start, end)
    return 'HTTP/1.1 '.startsWith(text.slice(0, 9)) || 'HTTP/1.0 '.startsWith(text.slice(0, 9)) ? HEAD_INCOMPLETE : HEAD_INVALID
  }
  if (!isVersion(bytes, start) || bytes[start + 8] !== SP || !isDigits(bytes, start + 9, start + 12)) return HEAD_INVALID
  head.minor = (bytes[start + 7] as number) - 48
  head.status = (bytes[start + 9]! - 48) * 100 + (bytes[start + 10]! - 48) * 10 + (bytes[start + 11]! - 48)
  if (head.status < 100) return HEAD_INVALID
  let at = start + 12
  let reasonStart = at
  if (bytes[at] === SP) {
    reasonStart = ++at
    while (at < end && ((CHAR_CLASS[bytes[at] as number] as number) & CHAR_VALUE) !== 0) at++
  }
  const reasonEnd = at
  if (at >= end) return end - start > limits.headBytes ? HEAD_TOO_LARGE : HEAD_INCOMPLETE
  if (bytes[at] !== CR) return HEAD_INVALID
  if (at + 1 === end) return HEAD_INCOMPLETE
  if (bytes[at + 1] !== LF) return HEAD_INVALID
  const length = readFields(bytes, start, at + 2, end, head, limits)
  if (length <= 0) return length
  head.reason = reasonOf(head.status, head.headers.text, reasonStart - start, reasonEnd - start)
  return head.chunked && (head.contentLength !== -1 || head.minor === 0) ? HEAD_INVALID : length
}

/** The usual reason of the usual statuses is a constant. */
function reasonOf(status: number, text: string, start: number, end: number): string {
  return status === 200 && end - start === 2 && text.startsWith('OK', start) ? 'OK' : text.slice(start, end)
}

/** For heads that are text already: tests, and whoever builds one. */
export function parseRequestHead(text: string, head: RequestHead, limits: HeadLimits): number {
  return readRequestHead(Buffer.from(text, 'latin1') as WireBuffer, 0, text.length, head, limits)
}

/** See parseRequestHead. */
export function parseResponseHead(text: string, head: ResponseHead, limits: HeadLimits): number {
  return readResponseHead(Buffer.from(text, 'latin1') as WireBuffer, 0, text.length, head, limits)
}

/** Field lines from `at` to the empty line, as a trailer section has them. Returns the index behind the empty line, or a HEAD_ result. */
export function parseFields(text: string, at: number, head: MessageHead, limits: HeadLimits): number {
  return readFields(Buffer.from(text, 'latin1') as WireBuffer, 0, at, text.length, head, limits)
}

/**
 * Reads field lines from `from` to the empty line and notes what framing needs. `start` is the first byte of the message: offsets, the
 * length returned and the limit count from there. The block gets its text when the empty line is reached.
 */
function readFields(bytes: WireBuffer, start: number, from: number, end: number, head: MessageHead, limits: HeadLimits): number {
  const block = head.headers
  const { fields } = block
  let at = from
  let used = 0
  let count = 0

  while (at < end) {
    const nameStart = at
    let code = bytes[at] as number
    while (((CHAR_CLASS[code] as number) & CHAR_TOKEN) !== 0) {
      if (code === UNDERSCORE) head.hasUnderscore = true
      if (++at === end) return tooLargeOrIncomplete(end - start, limits)
      code = bytes[at] as number
    }
    if (code !== COLON || at === nameStart) {
      // Only the empty line may come here; a space before the colon, a folded line or an empty name may not.
      if (at !== nameStart || code !== CR) return HEAD_INVALID
      if (at + 1 === end) break
      if (bytes[at + 1] !== LF) return HEAD_INVALID
      at += 2
      if (at - start > limits.headBytes) return HEAD_TOO_LARGE
      block.used = used
      block.text = bytes.latin1Slice(start, at)
      return at - start
    }
    const nameEnd = at
    do {
      if (++at === end) return tooLargeOrIncomplete(end - start, limits)
      code = bytes[at] as number
    } while (code === SP || code === HTAB)
    const valueStart = at
    while (((CHAR_CLASS[code] as number) & CHAR_VALUE) !== 0) {
      if (++at === end) return tooLargeOrIncomplete(end - start, limits)
      code = bytes[at] as number
    }
    if (code !== CR) return HEAD_INVALID
    if (at + 1 === end) break
    if (bytes[at + 1] !== LF) return HEAD_INVALID
    let valueEnd = at
    while (valueEnd > valueStart && isBlank(bytes[valueEnd - 1] as number)) valueEnd--
    at += 2

    if (++count > limits.headers) return HEAD_TOO_LARGE
    const id = headerIdIn(bytes, nameStart, nameEnd)
    if (id !== HEADER_NONE) {
      block.seen |= 1 << id
      if (id <= HEADER_TRANSFER_ENCODING && !noteFraming(head, id, bytes, valueStart, valueEnd)) return HEAD_INVALID
    }
    fields[used] = nameStart - start
    fields[used + 1] = nameEnd - start
    fields[used + 2] = valueStart - start
    fields[used + 3] = valueEnd - start
    fields[used + 4] = at - start
    fields[used + 5] = id
    used += FIELD_SIZE
  }
  return tooLargeOrIncomplete(end - start, limits)
}

function tooLargeOrIncomplete(length: number, limits: HeadLimits): number {
  return length > limits.headBytes ? HEAD_TOO_LARGE : HEAD_INCOMPLETE
}

/** Host, Connection, Content-Length, Transfer-Encoding: the four fields that decide where a message ends and where it goes. */
function noteFraming(head: MessageHead, id: number, bytes: WireBuffer, start: number, end: number): boolean {
  if (id === HEADER_HOST) {
    head.hosts++
    head.hostStart = start
    head.hostEnd = end
    return true
  }
  if (id === HEADER_CONNECTION) {
    head.connection |= connectionBits(bytes, start, end)
    return true
  }
  if (id === HEADER_CONTENT_LENGTH) {
    // A second one is refused even when equal: somebody upstream may read only one of them.
    if (head.contentLength !== -1) return false
    // Up to 15 digits stay exact in a double.
    if (end === start || end - start > 15 || !isDigits(bytes, start, end)) return false
    let value = 0
    for (let i = start; i < end; i++) value = value * 10 + ((bytes[i] as number) - 48)
    head.contentLength = value
    return true
  }
  // Transfer-Encoding: "chunked", once, and nothing else; every other coding is one this proxy could not take apart.
  if (head.chunked || !isWord(bytes, start, end, 'chunked')) return false
  head.chunked = true
  return true
}

function connectionBits(bytes: WireBuffer, start: number, end: number): number {
  if (isWord(bytes, start, end, 'keep-alive')) return CONNECTION_KEEP_ALIVE
  if (isWord(bytes, start, end, 'close')) return CONNECTION_CLOSE
  let bits = 0
  let from = start
  for (let at = start; at <= end; at++) {
    if (at < end && bytes[at] !== COMMA) continue
    bits |= connectionBit(bytes, from, at)
    from = at + 1
  }
  return bits
}

/** One member of a Connection list. Only SP and HTAB are optional whitespace: `trim` would also take obs-text away. */
function connectionBit(bytes: WireBuffer, start: number, end: number): number {
  let from = start
  let to = end
  while (from < to && isBlank(bytes[from] as number)) from++
  while (to > from && isBlank(bytes[to - 1] as number)) to--
  if (from === to || isWord(bytes, from, to, 'te')) return 0
  if (isWord(bytes, from, to, 'close')) return CONNECTION_CLOSE
  if (isWord(bytes, from, to, 'keep-alive')) return CONNECTION_KEEP_ALIVE
  return isWord(bytes, from, to, 'upgrade') ? CONNECTION_UPGRADE : CONNECTION_OTHER
}

/** Compares without case. `word` is of lower-case letters and '-'; a '-' must be exactly one, OR-ing 32 would let CR pass for it. */
function isWord(bytes: WireBuffer, start: number, end: number, word: string): boolean {
  if (end - start !== word.length) return false
  for (let i = 0; i < word.length; i++) {
    const code = bytes[start + i] as number
    const wanted = word.charCodeAt(i)
    if (code !== wanted && (wanted === DASH || (code | 32) !== wanted)) return false
  }
  return true
}

function isBlank(code: number): boolean {
  return code === SP || code === HTAB
}

/**
 * A target that does not begin with a slash, or that of CONNECT: the asterisk, authority and absolute forms of RFC 9112
 * section 3.2. User information is refused (RFC 9110 section 4.2.4): it makes one host look like another.
 */
export function isOtherTarget(method: string, target: string): boolean {
  if (method === 'CONNECT') return target.charCodeAt(0) !== COLON && /:\d+$/.test(target) && isHost(target)
  if (target === '*') return method === 'OPTIONS'
  const authority = /^https?:\/\/([^/?]+)(?:[/?]|$)/i.exec(target)?.[1]
  return authority !== undefined && authority.charCodeAt(0) !== COLON && isHost(authority)
}

function parseOddVersion(rest: string): number {
  const wanted = 'HTTP/1.1\r\n'
  if (rest.length < wanted.length && (wanted.startsWith(rest) || 'HTTP/1.0\r\n'.startsWith(rest))) return HEAD_INCOMPLETE
  return /^HTTP\/\d\.\d\r\n/.test(rest)
    ? HEAD_VERSION
    : rest.length < wanted.length && /^(?:H|HT|HTT|HTTP|HTTP\/\d?|HTTP\/\d\.\d?\r?)$/.test(rest)
      ? HEAD_INCOMPLETE
      : HEAD_INVALID
}

/** "HTTP/1.0" or "HTTP/1.1". The eight bytes must be there. */
function isVersion(bytes: WireBuffer, at: number): boolean {
  return (
    bytes[at] === 72 &&
    bytes[at + 1] === 84 &&
    bytes[at + 2] === 84 &&
    bytes[at + 3] === 80 &&
    bytes[at + 4] === SLASH &&
    bytes[at + 5] === 49 &&
    bytes[at + 6] === DOT &&
    (bytes[at + 7] === 49 || bytes[at + 7] === 48)
  )
}

export function isDigits(bytes: WireBuffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const code = bytes[i] as number
    if (code < 48 || code > 57) return false
  }
  return true
}

/** A host with an optional port, as Host and an authority may hold (RFC 9110 section 7.2). Empty is allowed by the RFC. */
export function isHost(value: string): boolean {
  const bytes = Buffer.from(value, 'latin1') as WireBuffer
  // A character outside latin1 would have been cut to one that may be fine.
  return isHostAt(bytes, 0, bytes.length) && bytes.latin1Slice(0, bytes.length) === value
}

/** `isHost` for what stands in bytes. */
export function isHostAt(bytes: WireBuffer, start: number, end: number): boolean {
  let at = start
  if (at < end && bytes[at] === OPEN_BRACKET) {
    at = endOfIpv6(bytes, start, end)
    if (at < 0) return false
  } else {
    for (; at < end; at++) {
      const code = bytes[at] as number
      if (code === COLON) break
      if (code === OPEN_BRACKET || code === CLOSE_BRACKET || ((CHAR_CLASS[code] as number) & CHAR_HOST) === 0) return false
    }
  }
  if (at === end) return true
  if (bytes[at] !== COLON || end - at > 6) return false
  let port = 0
  while (++at < end) {
    const digit = (bytes[at] as number) - 48
    if (!(digit >= 0 && digit <= 9)) return false
    port = port * 10 + digit
  }
  return port <= 65535
}

/** The index behind `"[" IPv6 "]"`, or -1. At least two characters, of hex digits, colons and dots. */
function endOfIpv6(bytes: WireBuffer, start: number, end: number): number {
  for (let at = start + 1; at < end; at++) {
    const code = bytes[at] as number
    if (code === CLOSE_BRACKET) return at < start + 3 ? -1 : at + 1
    if (((CHAR_CLASS[code] as number) & CHAR_HEX) === 0 && code !== COLON && code !== DOT) return -1
  }
  return -1
}
