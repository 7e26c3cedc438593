import type { WireBuffer } from '../../base/wire.ts'
import { FIELD_SIZE, type HeaderBlock } from '../header-block.ts'
import { HEADER_COOKIE, HEADER_HOST, HEADER_NONE } from '../header-id.ts'
import { type HeadLimits, isOtherTarget, type MessageHead, type RequestHead, type ResponseHead } from '../http1/head.ts'
import type { HpackDecoder } from './hpack-decoder.ts'
import { type HpackField, lineOf } from './hpack-field.ts'
import {
  KIND_AUTHORITY,
  KIND_CONTENT_LENGTH,
  KIND_COOKIE,
  KIND_HOST,
  KIND_METHOD,
  KIND_PATH,
  KIND_PLAIN,
  KIND_PROTOCOL,
  KIND_SCHEME,
  KIND_STATUS,
  KIND_TE,
} from './hpack-static.ts'
import { ENTRY_OVERHEAD_BYTES } from './hpack-table.ts'

/**
 * Field blocks of HTTP/2 (RFC 9113 section 8) into the heads that the rest of the proxy works on. The text of the head's HeaderBlock is
 * made of field lines as HTTP/1 has them, so a message for an HTTP/1 connection leaves as one slice.
 *
 * A block is always decoded to its end, so that the connection's table stays in step whatever becomes of the message. The limits count
 * as SETTINGS_MAX_HEADER_LIST_SIZE does (RFC 9113 section 6.5.2): name, value and 32 bytes for each field; several Cookie fields are one
 * field for `headers`.
 */
export const BLOCK_OK = 1
/** A stream error PROTOCOL_ERROR (RFC 9113 section 8.1.1). */
export const BLOCK_MALFORMED = -1
/** 431. */
export const BLOCK_TOO_LARGE = -2
/** A connection error COMPRESSION_ERROR. */
export const BLOCK_COMPRESSION = -3
/** 414. */
export const BLOCK_URI_TOO_LONG = -4

const COOKIE_PREFIX = 'cookie: '
const SLASH = 47

/** Fields of a trailer section. Reusable. */
export class Trailers {
  /** "name: value CRLF" for each field that may stand in trailers; '' when there is none. */
  lines = ''
}

/** What is collected while one block is read. One per thread: a block is read in one go. */
class BlockState {
  result = BLOCK_OK
  /** Where the next line begins in the text of the block. */
  offset = 0
  bytes = 0
  fields = 0
  isPseudoOver = false
  status = 0
  authority = ''
  host: string | null = null
  /** The Cookie fields so far, joined. */
  cookie: string | null = null
  cookieLine = ''

  reset(): void {
    this.result = BLOCK_OK
    this.offset = 0
    this.bytes = 0
    this.fields = 0
    this.isPseudoOver = false
    this.status = 0
    this.authority = ''
    this.host = null
    this.cookie = null
    this.cookieLine = ''
  }
}

const state = new BlockState()

/**
 * Reads the field block of a request into `head`. `headers` begins with the Host line made of :authority; `target` is :path, or the
 * authority for a CONNECT without :protocol. `chunked` is left false: only the caller knows whether a body follows.
 */
export function readRequestBlock(
  decoder: HpackDecoder,
  bytes: WireBuffer,
  start: number,
  end: number,
  head: RequestHead,
  limits: HeadLimits,
): number {
  head.reset()
  head.major = 2
  state.reset()
  decoder.begin(bytes, start, end)
  for (let field = decoder.next(); field !== null; field = decoder.next()) {
    if (state.result !== BLOCK_OK || !isWithinLimits(field, decoder, limits)) continue
    if (field.name.kind >= KIND_PLAIN) {
      state.isPseudoOver = true
      if (!takeField(head, field, true)) reject(decoder, BLOCK_MALFORMED)
    } else if (!takeRequestPseudo(head, field)) {
      reject(decoder, BLOCK_MALFORMED)
    } else if (head.target.length > limits.uriBytes) {
      reject(decoder, BLOCK_URI_TOO_LONG)
    }
  }
  if (decoder.hasFailed) return BLOCK_COMPRESSION
  if (state.result !== BLOCK_OK) return state.result
  if (state.cookie !== null) addCookie(head)
  return isWholeRequest(head) ? BLOCK_OK : BLOCK_MALFORMED
}

/** Reads the field block of a response into `head`; `reason` stays '' and `chunked` false. A status of 101 is malformed (section 8.6). */
export function readResponseBlock(
  decoder: HpackDecoder,
  bytes: WireBuffer,
  start: number,
  end: number,
  head: ResponseHead,
  limits: HeadLimits,
): number {
  head.reset()
  head.major = 2
  state.reset()
  decoder.begin(bytes, start, end)
  for (let field = decoder.next(); field !== null; field = decoder.next()) {
    if (state.result !== BLOCK_OK || !isWithinLimits(field, decoder, limits)) continue
    if (field.name.kind >= KIND_PLAIN) {
      state.isPseudoOver = true
      if (!takeField(head, field, false)) reject(decoder, BLOCK_MALFORMED)
    } else if (field.name.kind !== KIND_STATUS || state.isPseudoOver || head.status !== 0 || !isStatus(field)) {
      reject(decoder, BLOCK_MALFORMED)
    } else {
      head.status = field.number
    }
  }
  if (decoder.hasFailed) return BLOCK_COMPRESSION
  if (state.result !== BLOCK_OK) return state.result
  if (state.cookie !== null) addCookie(head)
  return head.status === 0 ? BLOCK_MALFORMED : BLOCK_OK
}

/**
 * Reads a trailer section. Pseudo fields make it malformed (section 8.1); fields that must not be in trailers are left out, so that
 * nobody behind us merges them into the head.
 */
export function readTrailerBlock(
  decoder: HpackDecoder,
  bytes: WireBuffer,
  start: number,
  end: number,
  limits: HeadLimits,
  trailers: Trailers,
): number {
  trailers.lines = ''
  state.reset()
  decoder.begin(bytes, start, end)
  for (let field = decoder.next(); field !== null; field = decoder.next()) {
    if (state.result !== BLOCK_OK || !isWithinLimits(field, decoder, limits)) continue
    const { name } = field
    if (!field.isValid || name.kind < KIND_PLAIN || name.kind === KIND_TE) reject(decoder, BLOCK_MALFORMED)
    else if (++state.fields > limits.headers) reject(decoder, BLOCK_TOO_LARGE)
    else if (!name.isForbiddenInTrailers) trailers.lines += lineOf(field)
  }
  if (decoder.hasFailed) return BLOCK_COMPRESSION
  if (state.result !== BLOCK_OK) trailers.lines = ''
  return state.result
}

/** A block that nobody wants any more, of a stream already reset: only the table is kept in step. BLOCK_OK or BLOCK_COMPRESSION. */
export function readIgnoredBlock(decoder: HpackDecoder, bytes: WireBuffer, start: number, end: number): number {
  decoder.begin(bytes, start, end)
  decoder.isSkipping = true
  while (decoder.next() !== null);
  return decoder.hasFailed ? BLOCK_COMPRESSION : BLOCK_OK
}

function reject(decoder: HpackDecoder, result: number): void {
  state.result = result
  decoder.isSkipping = true
}

function isWithinLimits(field: HpackField, decoder: HpackDecoder, limits: HeadLimits): boolean {
  state.bytes += field.sizeBytes
  if (state.bytes <= limits.headBytes) {
    if (field.name.kind < KIND_PLAIN) return true
    if (field.name.kind !== KIND_COOKIE || state.cookie === null) state.fields++
    if (state.fields <= limits.headers) return true
  }
  reject(decoder, BLOCK_TOO_LARGE)
  return false
}

/** :status of three digits that is neither below 100 nor 101. */
function isStatus(field: HpackField): boolean {
  return field.isValid && field.number >= 100 && field.number !== 101
}

/** RFC 9113 section 8.3.1: each once, and before all other fields. */
function takeRequestPseudo(head: RequestHead, field: HpackField): boolean {
  if (!field.isValid || state.isPseudoOver) return false
  const { value } = field
  switch (field.name.kind) {
    case KIND_METHOD:
      if (head.method !== '') return false
      head.method = value
      return true
    case KIND_PATH:
      if (head.target !== '') return false
      head.target = value
      return true
    case KIND_SCHEME:
      if (head.scheme !== '') return false
      head.scheme = value
      return true
    case KIND_AUTHORITY:
      if (state.authority !== '') return false
      state.authority = value
      addLine(head.headers, lineOf(field), 4, value.length, HEADER_HOST)
      head.hosts = 1
      return true
    case KIND_PROTOCOL:
      if (head.protocol !== '') return false
      head.protocol = value
      return true
    default:
      return false
  }
}

/** A field that is no pseudo field. False: the message is malformed. */
function takeField(head: MessageHead, field: HpackField, isRequest: boolean): boolean {
  if (!field.isValid) return false
  const { name } = field
  const { kind } = name
  if (kind === KIND_COOKIE) {
    takeCookie(field)
    return true
  }
  if (kind !== KIND_PLAIN) {
    if (kind === KIND_CONTENT_LENGTH) {
      // A second one is refused even when equal, as in HTTP/1.
      if (head.contentLength !== -1) return false
      head.contentLength = field.number
    } else if (kind === KIND_TE) {
      if (!isRequest) return false
    } else if (kind === KIND_HOST && isRequest) {
      if (state.host !== null) return false
      state.host = field.value
      if (state.authority !== '') return isSameHost(state.authority, field.value)
      head.hosts = 1
    }
  }
  if (name.hasUnderscore) head.hasUnderscore = true
  addLine(head.headers, lineOf(field), name.text.length, field.sizeBytes - ENTRY_OVERHEAD_BYTES - name.text.length, name.id)
  return true
}

function isSameHost(authority: string, host: string): boolean {
  return authority === host || authority.toLowerCase() === host.toLowerCase()
}

function addLine(block: HeaderBlock, line: string, nameLength: number, valueLength: number, id: number): void {
  const { fields, used } = block
  const start = state.offset
  const valueStart = start + nameLength + 2
  fields[used] = start
  fields[used + 1] = start + nameLength
  fields[used + 2] = valueStart
  fields[used + 3] = valueStart + valueLength
  const next = valueStart + valueLength + 2
  fields[used + 4] = next
  fields[used + 5] = id
  block.used = used + FIELD_SIZE
  block.text += line
  if (id !== HEADER_NONE) block.seen |= 1 << id
  state.offset = next
}

/** RFC 9113 section 8.2.3: clients may send Cookie in pieces; behind us it is one field. */
function takeCookie(field: HpackField): void {
  if (state.cookie === null) {
    state.cookie = field.value
    state.cookieLine = lineOf(field)
  } else {
    state.cookie += `; ${field.value}`
    state.cookieLine = ''
  }
}

function addCookie(head: MessageHead): void {
  const cookie = state.cookie as string
  const line = state.cookieLine === '' ? `${COOKIE_PREFIX}${cookie}\r\n` : state.cookieLine
  addLine(head.headers, line, 6, cookie.length, HEADER_COOKIE)
}

function isWholeRequest(head: RequestHead): boolean {
  const { method, target, scheme } = head
  if (method === '') return false
  if (method === 'CONNECT' && head.protocol === '') {
    // Section 8.5: the authority alone.
    if (scheme !== '' || target !== '' || !isOtherTarget(method, state.authority)) return false
    head.target = state.authority
    return true
  }
  // RFC 8441 section 4: :protocol is for CONNECT.
  if (head.protocol !== '' && method !== 'CONNECT') return false
  if (scheme === '' || head.hosts !== 1 || (state.authority === '' && state.host === '')) return false
  return target.charCodeAt(0) === SLASH || (target === '*' && method === 'OPTIONS')
}
