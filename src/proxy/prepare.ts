import { isIP } from 'node:net'
import type { AddressSet } from '../base/cidr.ts'
import type { ErrorCode } from '../base/error.ts'
import { FIELD_ID, FIELD_NAME_END, FIELD_NAME_START, FIELD_SIZE, HEADER_REMOVED, type HeaderBlock } from '../codec/header-block.ts'
import {
  HEADER_CONNECTION,
  HEADER_CONTENT_LENGTH,
  HEADER_EXPECT,
  HEADER_FORWARDED,
  HEADER_HOST,
  HEADER_HTTP2_SETTINGS,
  HEADER_KEEP_ALIVE,
  HEADER_PROXY_AUTHENTICATE,
  HEADER_PROXY_AUTHORIZATION,
  HEADER_PROXY_CONNECTION,
  HEADER_TE,
  HEADER_TRAILER,
  HEADER_TRANSFER_ENCODING,
  HEADER_UPGRADE,
  HEADER_VIA,
  HEADER_X_FORWARDED_FOR,
  HEADER_X_FORWARDED_HOST,
  HEADER_X_FORWARDED_PORT,
  HEADER_X_FORWARDED_PROTO,
  HEADER_X_REAL_IP,
  HEADER_X_REQUEST_ID,
  headerIdOf,
} from '../codec/header-id.ts'
import { CONNECTION_OTHER, isHost, type RequestHead } from '../codec/http1/head.ts'
import type { Exchange } from '../exchange/exchange.ts'
import { hostWithoutPort, normalizePath, splitAbsoluteForm } from '../exchange/target.ts'

/** The first steps of every request: what it asks for in one unambiguous form, who asks, and the fields that end at this hop. */

/** RFC 9110 section 7.6.1, plus what only ever concerns one hop. */
const REQUEST_HOP_BY_HOP = [
  HEADER_CONNECTION,
  HEADER_PROXY_CONNECTION,
  HEADER_KEEP_ALIVE,
  HEADER_TRAILER,
  HEADER_UPGRADE,
  HEADER_EXPECT,
  HEADER_HTTP2_SETTINGS,
  HEADER_PROXY_AUTHENTICATE,
  HEADER_PROXY_AUTHORIZATION,
]
/** Framing and Host are written anew for the next hop (upstream/http1.ts), so what came is dropped with the rest. */
const REQUEST_MASK = maskOf([...REQUEST_HOP_BY_HOP, HEADER_HOST, HEADER_CONTENT_LENGTH, HEADER_TRANSFER_ENCODING])

const RESPONSE_HOP_BY_HOP = [
  HEADER_CONNECTION,
  HEADER_PROXY_CONNECTION,
  HEADER_KEEP_ALIVE,
  HEADER_TRAILER,
  HEADER_UPGRADE,
  HEADER_PROXY_AUTHENTICATE,
  HEADER_TE,
]
const RESPONSE_MASK = maskOf([...RESPONSE_HOP_BY_HOP, HEADER_CONTENT_LENGTH, HEADER_TRANSFER_ENCODING, HEADER_X_REQUEST_ID])

const FORWARDED_IDS = [
  HEADER_X_FORWARDED_FOR,
  HEADER_X_FORWARDED_PROTO,
  HEADER_X_FORWARDED_HOST,
  HEADER_X_FORWARDED_PORT,
  HEADER_FORWARDED,
  HEADER_X_REAL_IP,
]
const FORWARDED_MASK = maskOf(FORWARDED_IDS)

const REQUEST_ID_MASK = maskOf([HEADER_X_REQUEST_ID])
const FORWARDING_LINES_MASK = maskOf([
  HEADER_X_FORWARDED_FOR,
  HEADER_X_FORWARDED_PROTO,
  HEADER_X_FORWARDED_HOST,
  HEADER_X_FORWARDED_PORT,
  HEADER_VIA,
])

function maskOf(ids: readonly number[]): number {
  return ids.reduce((mask, id) => mask | (1 << id), 0)
}

/** Names a client may not strip by listing them in Connection: they decide where a message goes, who it is from, or who may send it. */
const NOT_STRIPPABLE = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'authorization',
  'cookie',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'forwarded',
  'x-real-ip',
  'x-request-id',
  'via',
])

/** Sets path, query, host and authority of the exchange. Returns what is wrong with them, or null. */
export function resolveTarget(x: Exchange): ErrorCode | null {
  const { request } = x
  const { target, method } = request
  const policy = x.listener.config.path
  let authority = x.hostField
  let rest = target
  if (target.charCodeAt(0) !== 47) {
    if (method === 'CONNECT') return 'method_not_allowed'
    if (target === '*') {
      if (method !== 'OPTIONS') return 'bad_request'
    } else {
      // RFC 9112 section 3.2.2: the absolute form overrides Host.
      const parts = splitAbsoluteForm(target)
      if (parts === null || !isHost(parts.authority)) return 'bad_request'
      authority = parts.authority
      // RFC 9112 section 3.2.4: OPTIONS on an absolute form without a path is meant for the server as a whole.
      rest = parts.rest === '' ? (method === 'OPTIONS' ? '*' : '/') : parts.rest
      x.targetChanged = true
    }
  } else if (method === 'CONNECT') {
    return 'bad_request'
  }
  x.authority = authority
  x.host = hostWithoutPort(authority)
  const question = rest.indexOf('?')
  const rawPath = question === -1 ? rest : rest.slice(0, question)
  x.queryOrNull = question === -1 ? null : rest.slice(question + 1)
  if (rawPath === '*') {
    x.path = '*'
    return null
  }
  const path = normalizePath(rawPath, policy)
  if (path === null) return 'bad_request'
  if (path !== rawPath) x.targetChanged = true
  x.path = path
  return null
}

/**
 * Who the client is. Forwarding fields count only when the connection comes from a trusted proxy; then the client is the rightmost
 * address in X-Forwarded-For that is not trusted itself.
 */
export function resolveClient(x: Exchange, trusted: AddressSet | null): void {
  if (trusted === null || !trusted.has(x.remoteAddress)) return
  x.isTrusted = true
  const { headers } = x.request
  const list = headers.getAll('x-forwarded-for').join(',')
  if (list !== '') {
    const addresses = list.split(',')
    for (let i = addresses.length - 1; i >= 0; i--) {
      const address = bareAddress((addresses[i] as string).trim())
      // Anything that is not an address ends the chain of trust: the last hop that vouched for something stands.
      if (address === null) break
      x.clientIp = address
      if (!trusted.has(address)) break
    }
  }
  const proto = headers.getById(HEADER_X_FORWARDED_PROTO)
  if (proto === 'https' || proto === 'http') x.scheme = proto
}

/** `1.2.3.4`, `1.2.3.4:80`, `[::1]:80` or `::1` without port and brackets; null when it is no address. */
function bareAddress(text: string): string | null {
  let address = text
  if (address.startsWith('[')) {
    const end = address.indexOf(']')
    if (end === -1) return null
    address = address.slice(1, end)
  } else if (address.indexOf(':') === address.lastIndexOf(':') && address.includes(':')) {
    address = address.slice(0, address.indexOf(':'))
  }
  return isIP(address) === 0 ? null : address
}

/** Expect (RFC 9110 section 10.1.1): only 100-continue is known, and only HTTP/1.1 clients may use it. */
export function readExpect(x: Exchange): ErrorCode | null {
  const expect = x.request.headers.getById(HEADER_EXPECT)
  if (expect === undefined) return null
  if (expect.toLowerCase() !== '100-continue') return 'expectation_failed'
  x.expectsContinue = x.request.minor === 1
  return null
}

/**
 * Field names with an underscore: many upstreams cannot tell `X_Real_IP` from `X-Real-IP`. Also where they are kept, a stranger
 * cannot say in this way who it is. False: refuse the request.
 */
export function applyUnderscorePolicy(x: Exchange): boolean {
  const policy = x.listener.config.headers.underscore
  if (policy === 'reject') return false
  if (policy === 'keep' && x.isTrusted) return true
  const { fields, used, text } = x.request.headers
  for (let i = 0; i < used; i += FIELD_SIZE) {
    const start = fields[i + FIELD_NAME_START] as number
    const end = fields[i + FIELD_NAME_END] as number
    const at = text.indexOf('_', start)
    if (at === -1 || at >= end) continue
    if (policy === 'drop' || isForwardingName(text.slice(start, end).replaceAll('_', '-'))) fields[i + FIELD_ID] = HEADER_REMOVED
  }
  return true
}

function isForwardingName(name: string): boolean {
  return (FORWARDED_MASK & (1 << headerIdOf(name))) !== 0
}

/** Takes out what concerns only the hop before us. Runs before any filter, so that filters cannot be tricked and can add anew. */
export function stripRequestHopByHop(x: Exchange): void {
  const { headers, connection } = x.request
  if ((connection & CONNECTION_OTHER) !== 0) stripConnectionListed(headers)
  // TE goes on only as exactly "trailers": the one value that makes sense beyond a hop.
  const te = headers.getById(HEADER_TE)
  if (te !== undefined && (te.toLowerCase() !== 'trailers' || headers.countById(HEADER_TE) > 1)) headers.removeById(HEADER_TE)
  headers.removeMask(REQUEST_MASK)
}

export function stripResponseHopByHop(headers: HeaderBlock, connection: number): void {
  if ((connection & CONNECTION_OTHER) !== 0) stripConnectionListed(headers)
  headers.removeMask(RESPONSE_MASK)
}

function stripConnectionListed(headers: HeaderBlock): void {
  for (const value of headers.getAll('connection')) {
    for (const part of value.toLowerCase().split(',')) {
      const name = part.trim()
      if (name !== '' && name !== 'te' && !NOT_STRIPPABLE.has(name)) headers.remove(name)
    }
  }
}

/**
 * X-Forwarded-For/Proto/Host/Port, X-Real-IP, Forwarded (RFC 7239) and Via (RFC 9110 section 7.6.3) for the upstream. What an
 * untrusted client sent under these names is dropped first; what a trusted proxy sent is extended.
 */
export function addForwardingFields(x: Exchange): void {
  const { headers } = x.request
  const { forwarded, via } = x.listener.config.headers
  const isKnown = (headers.seen & FORWARDED_MASK) !== 0
  if (isKnown && !x.isTrusted) headers.removeMask(FORWARDED_MASK)
  if (forwarded === 'x-forwarded' && !x.isTrusted && (headers.seen & (1 << HEADER_VIA)) === 0) {
    headers.addFixedLines(forwardingLines(x), FORWARDING_LINES_MASK)
    return
  }
  if (forwarded === 'x-forwarded' || forwarded === 'both') addXForwarded(x, headers, isKnown && x.isTrusted)
  if (forwarded === 'rfc7239' || forwarded === 'both') addForwarded(x, headers)
  if (via !== null) {
    const earlier = headers.getById(HEADER_VIA)
    if (earlier === undefined) {
      headers.add('Via', `${versionOf(x.request)} ${via}`)
    } else {
      headers.set('Via', `${headers.getAll('via').join(', ')}, ${versionOf(x.request)} ${via}`)
    }
  }
}

/** What Via says of how the request came. One connection speaks one major version, so kept lines need not look at it. */
function versionOf(request: RequestHead): string {
  if (request.major === 2) return '2.0'
  return request.minor === 1 ? '1.1' : '1.0'
}

/**
 * The usual case, without a trusted proxy before us: all of it is the same for request after request of a connection, so it is kept there
 * as ready lines.
 */
function forwardingLines(x: Exchange): string {
  const { client, listener } = x
  const { forwarding } = client
  if (forwarding.listener !== listener || forwarding.minor !== x.request.minor || forwarding.host !== x.authority) {
    const { via } = listener.config.headers
    forwarding.listener = listener
    forwarding.minor = x.request.minor
    forwarding.host = x.authority
    let text = `X-Forwarded-For: ${x.remoteAddress}\r\nX-Forwarded-Proto: ${x.scheme}\r\nX-Forwarded-Port: ${listener.port}\r\n`
    if (via !== null) text += `Via: ${versionOf(x.request)} ${via}\r\n`
    if (x.authority !== '') text += `X-Forwarded-Host: ${x.authority}\r\n`
    forwarding.text = text
  }
  return forwarding.text
}

function addXForwarded(x: Exchange, headers: HeaderBlock, extend: boolean): void {
  if (!extend) {
    headers.add('X-Forwarded-For', x.remoteAddress)
    headers.add('X-Forwarded-Proto', x.scheme)
    if (x.authority !== '') headers.add('X-Forwarded-Host', x.authority)
    headers.add('X-Forwarded-Port', String(x.listener.port))
    return
  }
  const earlier = headers.getAll('x-forwarded-for').join(', ')
  headers.set('X-Forwarded-For', earlier === '' ? x.remoteAddress : `${earlier}, ${x.remoteAddress}`)
  if (!headers.has('x-forwarded-proto')) headers.add('X-Forwarded-Proto', x.scheme)
  if (!headers.has('x-forwarded-host') && x.authority !== '') headers.add('X-Forwarded-Host', x.authority)
  if (!headers.has('x-forwarded-port')) headers.add('X-Forwarded-Port', String(x.listener.port))
}

function addForwarded(x: Exchange, headers: HeaderBlock): void {
  const client = x.remoteAddress.includes(':') ? `"[${x.remoteAddress}]"` : x.remoteAddress
  const host = x.authority === '' ? '' : `;host=${/[^A-Za-z0-9.-]/.test(x.authority) ? `"${x.authority}"` : x.authority}`
  const element = `for=${client};proto=${x.scheme}${host}`
  const earlier = headers.getAll('forwarded').join(', ')
  headers.set('Forwarded', earlier === '' ? element : `${earlier}, ${element}`)
}

/** The request id: a trusted proxy's own, or a new one; passed upstream either way. */
export function assignRequestId(x: Exchange, next: () => string): void {
  const { headers } = x.request
  const given = headers.getById(HEADER_X_REQUEST_ID)
  if (given !== undefined) {
    if (x.isTrusted && given.length > 0 && given.length <= 128) {
      x.requestId = given
      return
    }
    headers.removeById(HEADER_X_REQUEST_ID)
  }
  x.requestId = next()
  headers.addLines(`X-Request-Id: ${x.requestId}\r\n`, REQUEST_ID_MASK)
}
