import type { WireBuffer } from '../../base/wire.ts'
import { CHAR_CLASS, CHAR_TOKEN } from '../chars.ts'
import {
  HEADER_CONNECTION,
  HEADER_CONTENT_LENGTH,
  HEADER_COOKIE,
  HEADER_HOST,
  HEADER_KEEP_ALIVE,
  HEADER_NONE,
  HEADER_PROXY_CONNECTION,
  HEADER_TE,
  HEADER_TRANSFER_ENCODING,
  HEADER_UPGRADE,
  headerIdOf,
} from '../header-id.ts'
import { FORBIDDEN_IN_TRAILERS } from '../http1/trailers.ts'

/** RFC 7541 appendix A, index 1 first. */
export const STATIC_FIELDS: readonly (readonly [name: string, value: string])[] = [
  [':authority', ''],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  [':status', '200'],
  [':status', '204'],
  [':status', '206'],
  [':status', '304'],
  [':status', '400'],
  [':status', '404'],
  [':status', '500'],
  ['accept-charset', ''],
  ['accept-encoding', 'gzip, deflate'],
  ['accept-language', ''],
  ['accept-ranges', ''],
  ['accept', ''],
  ['access-control-allow-origin', ''],
  ['age', ''],
  ['allow', ''],
  ['authorization', ''],
  ['cache-control', ''],
  ['content-disposition', ''],
  ['content-encoding', ''],
  ['content-language', ''],
  ['content-length', ''],
  ['content-location', ''],
  ['content-range', ''],
  ['content-type', ''],
  ['cookie', ''],
  ['date', ''],
  ['etag', ''],
  ['expect', ''],
  ['expires', ''],
  ['from', ''],
  ['host', ''],
  ['if-match', ''],
  ['if-modified-since', ''],
  ['if-none-match', ''],
  ['if-range', ''],
  ['if-unmodified-since', ''],
  ['last-modified', ''],
  ['link', ''],
  ['location', ''],
  ['max-forwards', ''],
  ['proxy-authenticate', ''],
  ['proxy-authorization', ''],
  ['range', ''],
  ['referer', ''],
  ['refresh', ''],
  ['retry-after', ''],
  ['server', ''],
  ['set-cookie', ''],
  ['strict-transport-security', ''],
  ['transfer-encoding', ''],
  ['user-agent', ''],
  ['vary', ''],
  ['via', ''],
  ['www-authenticate', ''],
]
/** The first index of the dynamic table. */
export const FIRST_DYNAMIC_INDEX = STATIC_FIELDS.length + 1

/** What a name means to the reader of a message. Pseudo fields come first, so that one comparison tells them from the others. */
export const KIND_METHOD = 0
export const KIND_SCHEME = 1
export const KIND_AUTHORITY = 2
export const KIND_PATH = 3
export const KIND_PROTOCOL = 4
export const KIND_STATUS = 5
/** From here on: fields that are no pseudo fields. */
export const KIND_PLAIN = 6
export const KIND_HOST = 7
export const KIND_CONTENT_LENGTH = 8
export const KIND_COOKIE = 9
export const KIND_TE = 10
/** A name that makes any message malformed (RFC 9113 section 8.2). */
export const KIND_MALFORMED = 11

const PSEUDO = [':method', ':scheme', ':authority', ':path', ':protocol', ':status']
const COLON = 58

/** What is known about a field by its name alone. Shared by all fields that a decoder reads with that name. */
export class FieldName {
  /** Lower case. */
  readonly text: string
  /** `text` and ": ", as a field line begins. */
  readonly prefix: string
  readonly id: number
  readonly kind: number
  readonly hasUnderscore: boolean
  readonly isForbiddenInTrailers: boolean

  constructor(text: string) {
    this.text = text
    this.prefix = `${text}: `
    this.id = text === '' ? HEADER_NONE : headerIdOf(text)
    this.kind = kindOfName(text, this.id)
    this.hasUnderscore = text.includes('_')
    this.isForbiddenInTrailers = FORBIDDEN_IN_TRAILERS.includes(text)
  }
}

/** RFC 9113 sections 8.2.1, 8.2.2 and 8.3. */
function kindOfName(text: string, id: number): number {
  if (text.charCodeAt(0) === COLON) {
    const kind = PSEUDO.indexOf(text)
    return kind === -1 ? KIND_MALFORMED : kind
  }
  if (!isLowerToken(text)) return KIND_MALFORMED
  switch (id) {
    case HEADER_CONNECTION:
    case HEADER_KEEP_ALIVE:
    case HEADER_PROXY_CONNECTION:
    case HEADER_TRANSFER_ENCODING:
    case HEADER_UPGRADE:
      return KIND_MALFORMED
    case HEADER_HOST:
      return KIND_HOST
    case HEADER_CONTENT_LENGTH:
      return KIND_CONTENT_LENGTH
    case HEADER_COOKIE:
      return KIND_COOKIE
    case HEADER_TE:
      return KIND_TE
    default:
      return KIND_PLAIN
  }
}

function isLowerToken(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (((CHAR_CLASS[code] as number) & CHAR_TOKEN) === 0 || (code >= 65 && code <= 90)) return false
  }
  return text.length > 0
}

/** Names that recur on most connections. */
const COMMON_NAMES = [
  ...new Set(STATIC_FIELDS.map(([name]) => name)),
  ':protocol',
  'connection',
  'keep-alive',
  'proxy-connection',
  'upgrade',
  'te',
  'trailer',
  'priority',
  'origin',
  'pragma',
  'dnt',
  'upgrade-insecure-requests',
  'sec-ch-ua',
  'sec-ch-ua-mobile',
  'sec-ch-ua-platform',
  'sec-fetch-dest',
  'sec-fetch-mode',
  'sec-fetch-site',
  'sec-fetch-user',
  'sec-gpc',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
  'x-real-ip',
  'x-request-id',
  'x-requested-with',
  'x-content-type-options',
  'x-frame-options',
  'x-xss-protection',
  'content-security-policy',
  'referrer-policy',
  'permissions-policy',
  'cross-origin-opener-policy',
  'cross-origin-resource-policy',
  'access-control-allow-credentials',
  'access-control-allow-headers',
  'access-control-allow-methods',
  'access-control-expose-headers',
  'access-control-max-age',
  'access-control-request-headers',
  'access-control-request-method',
  'alt-svc',
  'server-timing',
  'timing-allow-origin',
  'traceparent',
  'tracestate',
  'forwarded',
  'x-powered-by',
  'x-cache',
  'grpc-accept-encoding',
  'grpc-encoding',
  'grpc-message',
  'grpc-status',
  'grpc-timeout',
]

const SLOTS = 1024
/** Longer ones are not worth a place. */
const LEARNED_NAME_BYTES = 64
const commonNames: (FieldName | null)[] = new Array(SLOTS).fill(null)
/** Names that recur on the connections of this thread; each takes the place of the one before it. */
const learnedNames: (FieldName | null)[] = new Array(SLOTS).fill(null)
const commonByText = new Map<string, FieldName>()

function slotOf(length: number, first: number, middle: number, last: number): number {
  return (length * 37 + first * 17 + middle * 113 + last * 409) & (SLOTS - 1)
}

for (const text of COMMON_NAMES) {
  const name = new FieldName(text)
  commonByText.set(text, name)
  commonNames[slotOf(text.length, text.charCodeAt(0), text.charCodeAt(text.length >> 1), text.charCodeAt(text.length - 1))] ??= name
}

/** The name of an index of the static table (1..61). */
export const STATIC_NAMES: readonly FieldName[] = STATIC_FIELDS.map(([name]) => commonByText.get(name) as FieldName)

/** The name at bytes[start, end): a shared object where there is one. */
export function fieldNameAt(bytes: WireBuffer, start: number, end: number): FieldName {
  const length = end - start
  if (length === 0 || length > LEARNED_NAME_BYTES) return new FieldName(bytes.latin1Slice(start, end))
  const slot = slotOf(length, bytes[start] as number, bytes[start + (length >> 1)] as number, bytes[end - 1] as number)
  const common = commonNames[slot] as FieldName | null
  if (common !== null && isTextAt(bytes, start, length, common.text)) return common
  const learned = learnedNames[slot] as FieldName | null
  if (learned !== null && isTextAt(bytes, start, length, learned.text)) return learned
  const name = new FieldName(bytes.latin1Slice(start, end))
  learnedNames[slot] = name
  return name
}

function isTextAt(bytes: WireBuffer, start: number, length: number, text: string): boolean {
  if (text.length !== length) return false
  for (let i = 0; i < length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false
  return true
}
