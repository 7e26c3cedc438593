import { CHAR_CLASS, CHAR_HEX, CHAR_HOST, CHAR_TARGET, CHAR_TOKEN, CHAR_VALUE } from '../chars.ts'
import { FIELD_ID, FIELD_SIZE, FIELD_VALUE_END, FIELD_VALUE_START, HeaderBlock } from '../header-block.ts'
import { HEADER_CONNECTION, HEADER_CONTENT_LENGTH, HEADER_HOST, HEADER_NONE, HEADER_TRANSFER_ENCODING, headerIdAt } from '../header-id.ts'

/**
 * HTTP/1.x message heads (RFC 9112 sections 2 to 6), strict: whatever two implementations could read differently is an error.
 * One pass over the text; names and values stay offsets (HeaderBlock).
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
  /** HTTP/1.minor: 0 or 1. */
  minor = 1
  /** -1: no Content-Length. */
  contentLength = -1
  chunked = false
  connection = 0
  hasUnderscore = false
  hosts = 0

  resetHead(): void {
    this.headers.reset()
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

  reset(): void {
    this.resetHead()
    this.method = ''
    this.target = ''
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

/**
 * Parses a request head at the start of `text` (latin1). `text` may hold more than the head, or less: then HEAD_INCOMPLETE
 * unless it is already clear that it can never become valid.
 */
export function parseRequestHead(text: string, head: RequestHead, limits: HeadLimits): number {
  head.reset()
  const length = text.length
  let at = 0
  // RFC 9112 section 2.2: one empty line before the request line is forgiven.
  if (text.charCodeAt(0) === CR) {
    if (length === 1) return HEAD_INCOMPLETE
    if (text.charCodeAt(1) !== LF) return HEAD_INVALID
    at = 2
  }

  const methodStart = at
  // Constants for the two usual methods: later comparisons with them cost nothing.
  if (text.startsWith('GET ', at)) {
    head.method = 'GET'
    at += 4
  } else if (text.startsWith('POST ', at)) {
    head.method = 'POST'
    at += 5
  } else {
    while (at < length && ((CHAR_CLASS[text.charCodeAt(at)] as number) & CHAR_TOKEN) !== 0) at++
    if (at - methodStart > 32) return HEAD_INVALID
    if (at === length) return HEAD_INCOMPLETE
    if (at === methodStart || text.charCodeAt(at) !== SP) return HEAD_INVALID
    head.method = text.slice(methodStart, at)
    at++
  }

  const targetStart = at
  while (at < length && ((CHAR_CLASS[text.charCodeAt(at)] as number) & CHAR_TARGET) !== 0) at++
  if (at - targetStart > limits.uriBytes) return HEAD_TARGET_TOO_LONG
  if (at === length) return length > limits.headBytes ? HEAD_TOO_LARGE : HEAD_INCOMPLETE
  if (at === targetStart || text.charCodeAt(at) !== SP) return HEAD_INVALID
  head.target = text.slice(targetStart, at)
  at++

  if (text.startsWith('HTTP/1.1\r\n', at)) {
    at += 10
  } else if (text.startsWith('HTTP/1.0\r\n', at)) {
    head.minor = 0
    at += 10
  } else {
    return parseOddVersion(text, at)
  }
  if (text.charCodeAt(targetStart) !== SLASH || head.method === 'CONNECT') {
    if (!isOtherTarget(head.method, head.target)) return HEAD_INVALID
  }
  const end = parseFields(text, at, head, limits)
  if (end <= 0) return end

  // RFC 9112 section 3.2: exactly one Host, and one that is a host; HTTP/1.0 may have none.
  if (head.hosts > 1 || (head.hosts === 0 && head.minor === 1)) return HEAD_INVALID
  if (head.hosts === 1 && !hasValidHost(head.headers)) return HEAD_INVALID
  if (head.chunked && (head.contentLength !== -1 || head.minor === 0)) return HEAD_INVALID
  // HTTP/1.0 with a body on a method that has none is how old requests are smuggled.
  if (head.minor === 0 && head.contentLength > 0 && (head.method === 'GET' || head.method === 'HEAD' || head.method === 'DELETE'))
    return HEAD_INVALID
  return end
}

/** Parses a response head at the start of `text`; same results as for requests (the target limit does not apply). */
export function parseResponseHead(text: string, head: ResponseHead, limits: HeadLimits): number {
  head.reset()
  const length = text.length
  if (length < 13) {
    return 'HTTP/1.1 '.startsWith(text.slice(0, 9)) || 'HTTP/1.0 '.startsWith(text.slice(0, 9)) || isStatusStart(text)
      ? HEAD_INCOMPLETE
      : HEAD_INVALID
  }
  if (!isStatusStart(text)) return HEAD_INVALID
  head.minor = text.charCodeAt(7) - 48
  const status = (text.charCodeAt(9) - 48) * 100 + (text.charCodeAt(10) - 48) * 10 + (text.charCodeAt(11) - 48)
  if (!(status >= 100 && status <= 999) || !isDigits(text, 9, 12)) return HEAD_INVALID
  head.status = status
  let at = 12
  if (text.charCodeAt(at) === SP) {
    at++
    const start = at
    while (at < length && ((CHAR_CLASS[text.charCodeAt(at)] as number) & CHAR_VALUE) !== 0) at++
    head.reason = text.slice(start, at)
  }
  if (at >= length) return length > limits.headBytes ? HEAD_TOO_LARGE : HEAD_INCOMPLETE
  if (text.charCodeAt(at) !== CR) return HEAD_INVALID
  if (at + 1 === length) return HEAD_INCOMPLETE
  if (text.charCodeAt(at + 1) !== LF) return HEAD_INVALID
  const end = parseFields(text, at + 2, head, limits)
  if (end <= 0) return end
  if (head.chunked && (head.contentLength !== -1 || head.minor === 0)) return HEAD_INVALID
  return end
}

/**
 * Parses field lines from `at` to the empty line and notes what framing needs. Also used for trailers, where a framing field
 * is the caller's to refuse. Returns the index behind the empty line, or a HEAD_ result.
 */
export function parseFields(text: string, at: number, head: MessageHead, limits: HeadLimits): number {
  const block = head.headers
  const { fields } = block
  const length = text.length
  block.text = text
  let used = 0
  let count = 0

  for (;;) {
    const nameStart = at
    let code = text.charCodeAt(at)
    while (code < 256 && ((CHAR_CLASS[code] as number) & CHAR_TOKEN) !== 0) {
      if (code === UNDERSCORE) head.hasUnderscore = true
      code = text.charCodeAt(++at)
    }
    if (at === length) break
    if (code !== COLON || at === nameStart) {
      // Only the empty line may come here; a space before the colon, a folded line or an empty name may not.
      if (at !== nameStart || code !== CR) return HEAD_INVALID
      if (at + 1 === length) break
      if (text.charCodeAt(at + 1) !== LF) return HEAD_INVALID
      block.used = used
      at += 2
      return at > limits.headBytes ? HEAD_TOO_LARGE : at
    }
    const nameEnd = at
    code = text.charCodeAt(++at)
    while (code === SP || code === HTAB) code = text.charCodeAt(++at)
    const valueStart = at
    while (code < 256 && ((CHAR_CLASS[code] as number) & CHAR_VALUE) !== 0) code = text.charCodeAt(++at)
    if (at >= length) break
    if (code !== CR) return HEAD_INVALID
    if (at + 1 === length) break
    if (text.charCodeAt(at + 1) !== LF) return HEAD_INVALID
    let valueEnd = at
    while (valueEnd > valueStart) {
      const last = text.charCodeAt(valueEnd - 1)
      if (last !== SP && last !== HTAB) break
      valueEnd--
    }
    at += 2

    if (++count > limits.headers) return HEAD_TOO_LARGE
    const id = headerIdAt(text, nameStart, nameEnd)
    if (id !== HEADER_NONE) {
      block.seen |= 1 << id
      if (id <= HEADER_TRANSFER_ENCODING && !noteFraming(head, id, text, valueStart, valueEnd)) return HEAD_INVALID
    }
    fields[used] = nameStart
    fields[used + 1] = nameEnd
    fields[used + 2] = valueStart
    fields[used + 3] = valueEnd
    fields[used + 4] = at
    fields[used + 5] = id
    used += FIELD_SIZE
  }
  return length > limits.headBytes ? HEAD_TOO_LARGE : HEAD_INCOMPLETE
}

/** Host, Connection, Content-Length, Transfer-Encoding: the four fields that decide where a message ends and where it goes. */
function noteFraming(head: MessageHead, id: number, text: string, start: number, end: number): boolean {
  if (id === HEADER_HOST) {
    head.hosts++
    return true
  }
  if (id === HEADER_CONNECTION) {
    head.connection |= connectionBits(text, start, end)
    return true
  }
  if (id === HEADER_CONTENT_LENGTH) {
    // A second one is refused even when equal: somebody upstream may read only one of them.
    if (head.contentLength !== -1) return false
    // Up to 15 digits stay exact in a double.
    if (end === start || end - start > 15 || !isDigits(text, start, end)) return false
    let value = 0
    for (let i = start; i < end; i++) value = value * 10 + (text.charCodeAt(i) - 48)
    head.contentLength = value
    return true
  }
  // Transfer-Encoding: "chunked", once, and nothing else; every other coding is one this proxy could not take apart.
  if (head.chunked || end - start !== 7 || text.slice(start, end).toLowerCase() !== 'chunked') return false
  head.chunked = true
  return true
}

function connectionBits(text: string, start: number, end: number): number {
  const length = end - start
  if (length === 10 && text.slice(start, end).toLowerCase() === 'keep-alive') return CONNECTION_KEEP_ALIVE
  if (length === 5 && text.slice(start, end).toLowerCase() === 'close') return CONNECTION_CLOSE
  let bits = 0
  let from = start
  for (let at = start; at <= end; at++) {
    if (at < end && text.charCodeAt(at) !== COMMA) continue
    bits |= connectionBit(text, from, at)
    from = at + 1
  }
  return bits
}

/** One member of a Connection list. Only SP and HTAB are optional whitespace: `trim` would also take obs-text away. */
function connectionBit(text: string, from: number, to: number): number {
  while (from < to && isBlank(text.charCodeAt(from))) from++
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--
  const token = text.slice(from, to).toLowerCase()
  if (token === 'close') return CONNECTION_CLOSE
  if (token === 'keep-alive') return CONNECTION_KEEP_ALIVE
  if (token === 'upgrade') return CONNECTION_UPGRADE
  return token === '' || token === 'te' ? 0 : CONNECTION_OTHER
}

function isBlank(code: number): boolean {
  return code === SP || code === HTAB
}

/**
 * A target that does not begin with a slash, or that of CONNECT: the asterisk, authority and absolute forms of RFC 9112
 * section 3.2. User information is refused (RFC 9110 section 4.2.4): it makes one host look like another.
 */
function isOtherTarget(method: string, target: string): boolean {
  if (method === 'CONNECT') return target.charCodeAt(0) !== COLON && /:\d+$/.test(target) && isHost(target)
  if (target === '*') return method === 'OPTIONS'
  const authority = /^https?:\/\/([^/?]+)(?:[/?]|$)/i.exec(target)?.[1]
  return authority !== undefined && authority.charCodeAt(0) !== COLON && isHost(authority)
}

function parseOddVersion(text: string, at: number): number {
  const wanted = 'HTTP/1.1\r\n'
  const rest = text.slice(at, at + wanted.length)
  if (rest.length < wanted.length && (wanted.startsWith(rest) || 'HTTP/1.0\r\n'.startsWith(rest))) return HEAD_INCOMPLETE
  return /^HTTP\/\d\.\d\r\n/.test(rest)
    ? HEAD_VERSION
    : rest.length < wanted.length && /^(?:H|HT|HTT|HTTP|HTTP\/\d?|HTTP\/\d\.\d?\r?)$/.test(rest)
      ? HEAD_INCOMPLETE
      : HEAD_INVALID
}

/** "HTTP/1.0 " or "HTTP/1.1 ". */
function isStatusStart(text: string): boolean {
  return text.startsWith('HTTP/1.1 ') || text.startsWith('HTTP/1.0 ')
}

function isDigits(text: string, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const code = text.charCodeAt(i)
    if (code < 48 || code > 57) return false
  }
  return true
}

/** The one Host field, checked where it stands: a slice would be an allocation per request. */
function hasValidHost(block: HeaderBlock): boolean {
  const { fields, used, text } = block
  for (let i = 0; i < used; i += FIELD_SIZE) {
    if (fields[i + FIELD_ID] === HEADER_HOST)
      return isHostAt(text, fields[i + FIELD_VALUE_START] as number, fields[i + FIELD_VALUE_END] as number)
  }
  return false
}

/** A host with an optional port, as Host and an authority may hold (RFC 9110 section 7.2). Empty is allowed by the RFC. */
export function isHost(value: string): boolean {
  return isHostAt(value, 0, value.length)
}

function isHostAt(text: string, start: number, end: number): boolean {
  let at = start
  if (at < end && text.charCodeAt(at) === OPEN_BRACKET) {
    at = endOfIpv6(text, start, end)
    if (at < 0) return false
  } else {
    for (; at < end; at++) {
      const code = text.charCodeAt(at)
      if (code === COLON) break
      if (code === OPEN_BRACKET || code === CLOSE_BRACKET || code > 255 || ((CHAR_CLASS[code] as number) & CHAR_HOST) === 0) return false
    }
  }
  if (at === end) return true
  if (text.charCodeAt(at) !== COLON || end - at > 6) return false
  let port = 0
  while (++at < end) {
    const digit = text.charCodeAt(at) - 48
    if (!(digit >= 0 && digit <= 9)) return false
    port = port * 10 + digit
  }
  return port <= 65535
}

/** The index behind `"[" IPv6 "]"`, or -1. At least two characters, of hex digits, colons and dots. */
function endOfIpv6(text: string, start: number, end: number): number {
  for (let at = start + 1; at < end; at++) {
    const code = text.charCodeAt(at)
    if (code === CLOSE_BRACKET) return at < start + 3 ? -1 : at + 1
    if (code > 255 || (((CHAR_CLASS[code] as number) & CHAR_HEX) === 0 && code !== COLON && code !== DOT)) return -1
  }
  return -1
}
