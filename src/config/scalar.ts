/**
 * The small languages inside strings: durations, sizes, addresses, host names, header names and values, CIDR ranges, patterns.
 * Each parser is pure and says in plain words what it expected. A text that starts with `expected` gets what was found put in
 * front of it when it is printed (issues.ts); any other text stands alone, because the value may be a secret.
 */
import { isIP, isIPv4, isIPv6 } from 'node:net'
import { parseCidr } from '../base/cidr.ts'
import type { AddressConfig } from './types.ts'

export type Parsed<T> = { readonly value: T } | { readonly problem: string }

/** Longest duration: what a 32-bit timer holds, rounded down to whole days. */
export const MAX_DURATION_MS = 24 * 24 * 3_600_000

const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/
const DURATION_UNITS_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
export const DURATION_EXPECTED = 'expected a duration such as 250ms, 5s, 1m or 1h'

/** `250ms`, `5s`, `1.5m`, `1h`, or 0. In milliseconds, at most 24 days. A bare number is refused: its unit would be a guess. */
export function parseDuration(value: unknown): Parsed<number> {
  if (value === 0) return { value: 0 }
  if (typeof value === 'number') return { problem: 'expected a duration with its unit: ms, s, m or h (only 0 needs none)' }
  if (typeof value !== 'string') return { problem: DURATION_EXPECTED }
  const match = DURATION.exec(value)
  if (match === null) return { problem: DURATION_EXPECTED }
  const ms = Number(match[1]) * DURATION_UNITS_MS[match[2]!]!
  if (ms > MAX_DURATION_MS) return { problem: 'expected a duration of at most 576h (24 days)' }
  if (!Number.isInteger(ms)) return { problem: 'expected a duration of whole milliseconds' }
  return { value: ms }
}

const SIZE = /^(\d+(?:\.\d+)?)(B|KB|MB|GB|KiB|MiB|GiB)$/
const SIZE_UNITS: Record<string, number> = { B: 1, KB: 1e3, MB: 1e6, GB: 1e9, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }
export const SIZE_EXPECTED = 'expected a size such as 64KiB, 10MB, 1GiB, or a number of bytes'

/** `64KiB` (1024), `10KB` (1000), `1GiB`, or a bare number of bytes. */
export function parseSize(value: unknown): Parsed<number> {
  let bytes = Number.NaN
  if (typeof value === 'number') bytes = value
  else if (typeof value === 'string') {
    const match = SIZE.exec(value)
    if (match !== null) bytes = Number(match[1]) * SIZE_UNITS[match[2]!]!
  }
  return Number.isSafeInteger(bytes) && bytes >= 0 ? { value: bytes } : { problem: SIZE_EXPECTED }
}

const HOST_LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/

/** A DNS name of at most 253 characters. All-numeric names are refused: they are IP addresses with a slip. */
export function isHostName(host: string): boolean {
  if (host.length === 0 || host.length > 253) return false
  const labels = host.toLowerCase().split('.')
  if (/^\d+$/.test(labels.at(-1)!)) return false
  return labels.every((label) => HOST_LABEL.test(label))
}

/** One spelling for each IPv6 address: lower case, longest run of zeros shortened (RFC 5952). */
function normaliseIPv6(host: string): string {
  return new URL(`http://[${host}]/`).hostname.slice(1, -1)
}

const HOST_AND_PORT = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d{1,5})$/

function splitHostAndPort(text: string): AddressConfig | null {
  const match = HOST_AND_PORT.exec(text)
  if (match === null) return null
  const port = Number(match[3])
  if (port > 65535) return null
  if (match[1] !== undefined) return isIPv6(match[1]) && !match[1].includes('%') ? { host: normaliseIPv6(match[1]), port } : null
  const host = match[2]!.toLowerCase()
  return host === '' || isIPv4(host) || isHostName(host) ? { host, port } : null
}

export const ADDRESS_EXPECTED = 'expected an address to listen on such as ":8080", "127.0.0.1:8080" or "[::1]:8080"'

/** Where to listen: `:8080` is every address, port 0 lets the system choose one. */
export function parseListenAddress(text: string): Parsed<AddressConfig> {
  const address = splitHostAndPort(text)
  return address === null ? { problem: ADDRESS_EXPECTED } : { value: address }
}

export const ENDPOINT_EXPECTED = 'expected "host:port" such as "127.0.0.1:9001", "users.internal:80" or "[::1]:9001"'

/** One endpoint. `address` is the normalised spelling and the key of its live state. */
export function parseEndpointAddress(text: string): Parsed<{ address: string; host: string; port: number }> {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return { problem: `${ENDPOINT_EXPECTED}, without a scheme` }
  const address = splitHostAndPort(text)
  if (address === null || address.host === '') return { problem: ENDPOINT_EXPECTED }
  if (address.port === 0) return { problem: 'expected a port from 1 to 65535' }
  const host = isIPv6(address.host) ? `[${address.host}]` : address.host
  return { value: { address: `${host}:${address.port}`, ...address } }
}

/** True for an address only this machine can reach. '' is every address, so it is not. */
export function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '::1') return true
  return isIPv4(host) && host.startsWith('127.')
}

export const HOST_EXPECTED = 'expected a host name such as api.example.com or *.example.com'

/** A host to match: lower case, exact or with `*.` in front, without port. A last dot is dropped. */
export function parseHostPattern(text: string): Parsed<string> {
  if (text === '*') return { problem: 'expected a host name; leave host out to match every host' }
  const host = text.toLowerCase().replace(/\.$/, '')
  if (host.startsWith('[')) {
    const inner = host.slice(1, -1)
    return host.endsWith(']') && isIPv6(inner) && !inner.includes('%') ? { value: `[${normaliseIPv6(inner)}]` } : { problem: HOST_EXPECTED }
  }
  if (/:\d*$/.test(host)) return { problem: `${HOST_EXPECTED}, without a port` }
  const name = host.startsWith('*.') ? host.slice(2) : host
  if (isHostName(name) || (name === host && isIPv4(host))) return { value: host }
  return { problem: HOST_EXPECTED }
}

export const RANGE_EXPECTED = 'expected an IP address or a range such as 10.0.0.0/8 or fd00::/8'

/** A single address or a CIDR range, as written. */
export function parseAddressRange(text: string): Parsed<string> {
  const slash = text.indexOf('/')
  try {
    parseCidr(text)
    return { value: text }
  } catch {
    if (slash < 0 || isIP(text.slice(0, slash)) === 0) return { problem: RANGE_EXPECTED }
    return { problem: `expected a prefix length from 0 to ${text.includes(':') ? 128 : 32} after the slash` }
  }
}

/** A token of RFC 9110, section 5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

export const HEADER_NAME_EXPECTED = 'expected a header name: letters, digits and -, without spaces or a colon'

/** A field name, in lower case. */
export function parseHeaderName(text: string): Parsed<string> {
  return TOKEN.test(text) && text.length <= 256 ? { value: text.toLowerCase() } : { problem: HEADER_NAME_EXPECTED }
}

export function isToken(text: string): boolean {
  return TOKEN.test(text)
}

/** A field value: no control characters but tab, nothing above U+00FF, no white space at its ends. Never printed: it may be a secret. */
export function parseHeaderValue(text: string): Parsed<string> {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if ((code < 0x20 && code !== 0x09) || code === 0x7f) {
      return { problem: `has a control character (${codeName(code)}) at position ${i + 1}; a header value is one line of text` }
    }
    if (code > 0xff) return { problem: `has a character outside Latin-1 (${codeName(code)}) at position ${i + 1}; encode it` }
  }
  if (/^[ \t]|[ \t]$/.test(text)) return { problem: 'has white space at its start or end, which HTTP does not carry; remove it' }
  return { value: text }
}

function codeName(code: number): string {
  return `U+${code.toString(16).toUpperCase().padStart(4, '0')}`
}

export const METHOD_EXPECTED = 'expected a method in upper case such as GET or POST'

export function parseMethod(text: string): Parsed<string> {
  return TOKEN.test(text) && text === text.toUpperCase() && text.length <= 32 ? { value: text } : { problem: METHOD_EXPECTED }
}

/** A JavaScript regular expression, without flags. */
export function parsePattern(text: string): Parsed<string> {
  const reason = patternProblem(text)
  return reason === null ? { value: text } : { problem: `expected a regular expression, but it does not compile: ${reason}` }
}

function patternProblem(text: string): string | null {
  try {
    new RegExp(text)
    return null
  } catch (reason) {
    const message = reason instanceof Error ? reason.message : String(reason)
    // V8 repeats the pattern: "Invalid regular expression: /(/: Unterminated group".
    return message.slice(message.lastIndexOf(': ') + 2)
  }
}

/** How many groups a pattern that compiles has, and their names. */
export function patternGroups(pattern: string): { count: number; names: string[] } {
  const match = new RegExp(`${pattern}|`).exec('')
  return { count: match === null ? 0 : match.length - 1, names: Object.keys(match?.groups ?? {}) }
}
