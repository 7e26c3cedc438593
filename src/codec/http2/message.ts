import type { ByteWriter } from '../byte-writer.ts'
import {
  FIELD_ID,
  FIELD_NAME_END,
  FIELD_NAME_START,
  FIELD_SIZE,
  FIELD_VALUE_END,
  FIELD_VALUE_START,
  HEADER_REMOVED,
  type HeaderBlock,
} from '../header-block.ts'
import type { ResponseHead } from '../http1/head.ts'
import type { HpackEncoder } from './hpack-encoder.ts'

export * from './message-read.ts'

/*
 * Heads as HTTP/2 field blocks (RFC 9113 section 8). Signatures in short, with those of message-read.ts:
 *
 *   readRequestBlock(decoder, bytes, start, end, head: RequestHead, limits): BLOCK_OK | BLOCK_MALFORMED | BLOCK_TOO_LARGE |
 *                                                                            BLOCK_COMPRESSION | BLOCK_URI_TOO_LONG
 *   readResponseBlock(decoder, bytes, start, end, head: ResponseHead, limits)
 *   readTrailerBlock(decoder, bytes, start, end, limits, trailers: Trailers)      lines in trailers.lines
 *   readIgnoredBlock(decoder, bytes, start, end)                                  for streams nobody wants any more
 *   encodeResponseBlock(encoder, head, writer)
 *   encodeRequestBlock(encoder, method, scheme, authority, path, protocol, headers, contentLength, writer)
 *   encodeTrailerBlock(encoder, lines, writer)
 *
 * The caller of the readers sets `head.chunked = !endStream && head.contentLength === -1`, and compares contentLength with END_STREAM and
 * the DATA that comes (section 8.1.1). Our own limits on the table are in force after `decoder.settingsAcknowledged()`.
 */

const SP = 32

/** Indices of the static table (RFC 7541 appendix A). */
const STATIC_METHOD_GET = 2
const STATIC_METHOD_POST = 3
const STATIC_PATH_SLASH = 4
const STATIC_SCHEME_HTTP = 6
const STATIC_SCHEME_HTTPS = 7
const STATIC_CONTENT_LENGTH = 28

const STATUS_TEXT: readonly string[] = Array.from({ length: 1000 }, (_, status) => String(status))
/** The index of ":status" with this value, or 0. */
const STATUS_INDEX = new Uint8Array(1000)
for (const [i, status] of [200, 204, 206, 304, 400, 404, 500].entries()) STATUS_INDEX[status] = 8 + i

/**
 * Writes the field block of a response. Content-Length is written from `contentLength` (never for 1xx and 204, RFC 9110 section 8.6);
 * such lines among the fields, and those that only concern an HTTP/1 connection, are left out.
 */
export function encodeResponseBlock(encoder: HpackEncoder, head: ResponseHead, writer: ByteWriter): void {
  const { status, contentLength } = head
  encoder.begin(writer)
  const index = STATUS_INDEX[status] as number
  if (index !== 0) encoder.staticField(index, writer)
  else encoder.text(':status', STATUS_TEXT[status] as string, writer)
  if (contentLength >= 0 && status >= 200 && status !== 204) encoder.literal(STATIC_CONTENT_LENGTH, String(contentLength), writer)
  encodeFields(encoder, head.headers, writer)
}

/**
 * Writes the field block of a request. `path` is the target; `protocol` is that of an extended CONNECT (RFC 8441) or ''. A CONNECT
 * without it carries the authority alone (RFC 9113 section 8.5). `contentLength` -1 writes none; Host and Content-Length lines among the
 * fields are left out.
 */
export function encodeRequestBlock(
  encoder: HpackEncoder,
  method: string,
  scheme: string,
  authority: string,
  path: string,
  protocol: string,
  headers: HeaderBlock,
  contentLength: number,
  writer: ByteWriter,
): void {
  encoder.begin(writer)
  if (method === 'GET') encoder.staticField(STATIC_METHOD_GET, writer)
  else if (method === 'POST') encoder.staticField(STATIC_METHOD_POST, writer)
  else encoder.text(':method', method, writer)
  if (method !== 'CONNECT' || protocol !== '') {
    if (scheme === 'https') encoder.staticField(STATIC_SCHEME_HTTPS, writer)
    else if (scheme === 'http') encoder.staticField(STATIC_SCHEME_HTTP, writer)
    else encoder.text(':scheme', scheme, writer)
    if (path === '/') encoder.staticField(STATIC_PATH_SLASH, writer)
    else encoder.literal(STATIC_PATH_SLASH, path, writer)
  }
  encoder.text(':authority', authority, writer)
  if (protocol !== '') encoder.text(':protocol', protocol, writer)
  if (contentLength >= 0) encoder.literal(STATIC_CONTENT_LENGTH, String(contentLength), writer)
  encodeFields(encoder, headers, writer)
}

/** Writes a trailer section. `lines`: "Name: value CRLF" each, names in any case. */
export function encodeTrailerBlock(encoder: HpackEncoder, lines: string, writer: ByteWriter): void {
  encoder.begin(writer)
  encodeLines(encoder, lines, writer)
}

function encodeFields(encoder: HpackEncoder, block: HeaderBlock, writer: ByteWriter): void {
  const { fields, used, text, extra } = block
  for (let i = 0; i < used; i += FIELD_SIZE) {
    if (fields[i + FIELD_ID] === HEADER_REMOVED) continue
    const nameStart = fields[i + FIELD_NAME_START] as number
    const nameEnd = fields[i + FIELD_NAME_END] as number
    encoder.field(text, nameStart, nameEnd, text, fields[i + FIELD_VALUE_START] as number, fields[i + FIELD_VALUE_END] as number, writer)
  }
  if (extra !== null) {
    for (let i = 0; i < extra.length; i += 2) encoder.text(extra[i] as string, extra[i + 1] as string, writer)
  }
  if (block.tailSeen === 0) return
  if (block.fixed !== '' && !encoder.rememberedLines(block.fixed, writer)) {
    const from = encoder.startRemembering()
    encodeLines(encoder, block.fixed, writer)
    encoder.rememberLines(block.fixed, from)
  }
  encodeLines(encoder, block.tail, writer)
}

function encodeLines(encoder: HpackEncoder, lines: string, writer: ByteWriter): void {
  for (let at = 0; at < lines.length; ) {
    const colon = lines.indexOf(':', at)
    const end = lines.indexOf('\r\n', at)
    if (colon === -1 || end === -1) return
    let valueStart = colon + 1
    while (valueStart < end && lines.charCodeAt(valueStart) === SP) valueStart++
    if (colon < end) encoder.field(lines, at, colon, lines, valueStart, end, writer)
    at = end + 2
  }
}
