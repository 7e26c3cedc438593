/**
 * Small numbers for the field names a proxy must understand, so that the hot path compares integers. The order is free; the
 * numbers stay below 31 because HeaderBlock.seen is a bit set.
 */
export const HEADER_NONE = 0
export const HEADER_HOST = 1
export const HEADER_CONNECTION = 2
export const HEADER_CONTENT_LENGTH = 3
export const HEADER_TRANSFER_ENCODING = 4
export const HEADER_KEEP_ALIVE = 5
export const HEADER_PROXY_CONNECTION = 6
export const HEADER_TE = 7
export const HEADER_TRAILER = 8
export const HEADER_UPGRADE = 9
export const HEADER_EXPECT = 10
export const HEADER_PROXY_AUTHORIZATION = 11
export const HEADER_PROXY_AUTHENTICATE = 12
export const HEADER_X_FORWARDED_FOR = 13
export const HEADER_X_FORWARDED_PROTO = 14
export const HEADER_X_FORWARDED_HOST = 15
export const HEADER_X_FORWARDED_PORT = 16
export const HEADER_FORWARDED = 17
export const HEADER_VIA = 18
export const HEADER_X_REQUEST_ID = 19
export const HEADER_HTTP2_SETTINGS = 20
export const HEADER_X_REAL_IP = 21
export const HEADER_COOKIE = 22
export const HEADER_DATE = 23
export const HEADER_RETRY_AFTER = 24
export const HEADER_X_SLUICE_TIMEOUT = 25
export const HEADER_X_SLUICE_ATTEMPT = 26
export const HEADER_CONTENT_TYPE = 27
export const HEADER_GRPC_TIMEOUT = 28

const NAMES: readonly [string, number][] = [
  ['host', HEADER_HOST],
  ['connection', HEADER_CONNECTION],
  ['content-length', HEADER_CONTENT_LENGTH],
  ['transfer-encoding', HEADER_TRANSFER_ENCODING],
  ['keep-alive', HEADER_KEEP_ALIVE],
  ['proxy-connection', HEADER_PROXY_CONNECTION],
  ['te', HEADER_TE],
  ['trailer', HEADER_TRAILER],
  ['upgrade', HEADER_UPGRADE],
  ['expect', HEADER_EXPECT],
  ['proxy-authorization', HEADER_PROXY_AUTHORIZATION],
  ['proxy-authenticate', HEADER_PROXY_AUTHENTICATE],
  ['x-forwarded-for', HEADER_X_FORWARDED_FOR],
  ['x-forwarded-proto', HEADER_X_FORWARDED_PROTO],
  ['x-forwarded-host', HEADER_X_FORWARDED_HOST],
  ['x-forwarded-port', HEADER_X_FORWARDED_PORT],
  ['forwarded', HEADER_FORWARDED],
  ['via', HEADER_VIA],
  ['x-request-id', HEADER_X_REQUEST_ID],
  ['http2-settings', HEADER_HTTP2_SETTINGS],
  ['x-real-ip', HEADER_X_REAL_IP],
  ['cookie', HEADER_COOKIE],
  ['date', HEADER_DATE],
  ['retry-after', HEADER_RETRY_AFTER],
  ['x-sluice-timeout', HEADER_X_SLUICE_TIMEOUT],
  ['x-sluice-attempt', HEADER_X_SLUICE_ATTEMPT],
  ['content-type', HEADER_CONTENT_TYPE],
  ['grpc-timeout', HEADER_GRPC_TIMEOUT],
]

/** Names by id. */
const NAME_OF: string[] = ['']
/** The first id with a given length and first letter, and for each id the next one of the same kind; HEADER_NONE: no more. */
const FIRST_ID = new Uint8Array(32 * 32)
const NEXT_ID = new Uint8Array(32)
for (const [name, id] of NAMES) {
  const key = name.length * 32 + (name.charCodeAt(0) & 31)
  NAME_OF[id] = name
  NEXT_ID[id] = FIRST_ID[key] as number
  FIRST_ID[key] = id
}

/**
 * The id of the field name at [start, end) of `text`, or HEADER_NONE. The name must already be a valid token: OR-ing 32 folds
 * upper case, and among token characters nothing else folds onto a letter or '-'.
 */
export function headerIdAt(text: string, start: number, end: number): number {
  const length = end - start
  if (length >= 32) return HEADER_NONE
  let id = FIRST_ID[length * 32 + (text.charCodeAt(start) & 31)] as number
  next: for (; id !== HEADER_NONE; id = NEXT_ID[id] as number) {
    const name = NAME_OF[id] as string
    for (let k = 0; k < length; k++) {
      if ((text.charCodeAt(start + k) | 32) !== name.charCodeAt(k)) continue next
    }
    return id
  }
  return HEADER_NONE
}

/** The same for a name that stands in bytes. */
export function headerIdIn(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start
  if (length >= 32) return HEADER_NONE
  let id = FIRST_ID[length * 32 + ((bytes[start] as number) & 31)] as number
  next: for (; id !== HEADER_NONE; id = NEXT_ID[id] as number) {
    const name = NAME_OF[id] as string
    for (let k = 0; k < length; k++) {
      if (((bytes[start + k] as number) | 32) !== name.charCodeAt(k)) continue next
    }
    return id
  }
  return HEADER_NONE
}

export function headerIdOf(name: string): number {
  return headerIdAt(name, 0, name.length)
}
