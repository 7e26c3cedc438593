import { isIPv4, isIPv6 } from 'node:net'
import { crc32c } from './crc32c.ts'
import { addressToBytes, formatIpv4, formatIpv6, toMapped } from './ip-bytes.ts'

/**
 * The PROXY protocol, versions 1 and 2 (haproxy.org, doc/proxy-protocol.txt): a header in front of a TCP connection that says whose
 * connection it really is.
 */
export interface ProxyHeader {
  /** Bytes of the header; what follows belongs to the connection. */
  readonly length: number
  /**
   * null: the header says nothing about a client (LOCAL, UNKNOWN, families other than IP); the addresses of the connection itself
   * hold.
   */
  readonly source: ProxyAddress | null
  readonly destination: ProxyAddress | null
}

export interface ProxyAddress {
  /** As text, without brackets; an IPv4-mapped address is the IPv4 address. */
  readonly address: string
  readonly port: number
}

export type ProxyVersion = 'v1' | 'v2'

/** `incomplete`: right so far. `invalid`: not a PROXY header, whatever follows. */
export type ProxyHeaderResult = ProxyHeader | 'incomplete' | 'invalid'

/** Largest header that is read: the addresses take at most 232 bytes, the rest is for extensions (TLVs). */
export const MAX_PROXY_HEADER_BYTES = 4096

const SIGNATURE_V1 = Buffer.from('PROXY ', 'latin1')
const SIGNATURE_V2 = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const MAX_V1_BYTES = 107
const FIXED_V2_BYTES = 16

const CR = 13
const LF = 10

/** Reads a header from the start of `bytes`, of which `length` have come so far. Call again with more while `incomplete`. */
export function parseProxyHeader(bytes: Uint8Array, length: number): ProxyHeaderResult {
  if (length === 0) return 'incomplete'
  if (bytes[0] === SIGNATURE_V1[0]) return startsWith(bytes, length, SIGNATURE_V1) ? parseV1(bytes, length) : 'invalid'
  return startsWith(bytes, length, SIGNATURE_V2) ? parseV2(bytes, length) : 'invalid'
}

/** Of what has come so far. */
function startsWith(bytes: Uint8Array, length: number, signature: Uint8Array): boolean {
  const compared = Math.min(length, signature.length)
  for (let i = 0; i < compared; i++) if (bytes[i] !== signature[i]) return false
  return true
}

// ---- version 1 ----

function parseV1(bytes: Uint8Array, length: number): ProxyHeaderResult {
  const limit = Math.min(length, MAX_V1_BYTES)
  let end = SIGNATURE_V1.length
  while (end < limit && bytes[end] !== CR) {
    const byte = bytes[end]!
    if (byte < 0x20 || byte > 0x7e) return 'invalid'
    end++
  }
  if (end + 1 >= limit) return length >= MAX_V1_BYTES ? 'invalid' : 'incomplete'
  if (bytes[end + 1] !== LF) return 'invalid'
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, end).toString('latin1')
  const parts = text.split(' ')
  const headerBytes = end + 2
  // Whatever follows UNKNOWN is to be ignored.
  if (parts[1] === 'UNKNOWN') return { length: headerBytes, source: null, destination: null }
  if (parts.length !== 6) return 'invalid'
  const [, family, source = '', destination = '', sourcePort = '', destinationPort = ''] = parts
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isIPv6 : null
  if (isAddress === null || !isAddress(source) || !isAddress(destination) || source.includes('%') || destination.includes('%'))
    return 'invalid'
  if (!isPort(sourcePort) || !isPort(destinationPort)) return 'invalid'
  return {
    length: headerBytes,
    source: { address: canonical(source), port: Number(sourcePort) },
    destination: { address: canonical(destination), port: Number(destinationPort) },
  }
}

function isPort(text: string): boolean {
  return /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535
}

/** One spelling for each address: lists of addresses, limits and logs compare text. */
function canonical(address: string): string {
  if (!address.includes(':')) return address
  const bytes = addressToBytes(address)
  if (bytes === null) return address
  return bytes.length === 4 ? formatIpv4(bytes, 0) : formatIpv6(bytes, 0)
}

// ---- version 2 ----

const COMMAND_LOCAL = 0x20
const COMMAND_PROXY = 0x21
const FAMILY_UNSPEC = 0
const FAMILY_INET = 1
const FAMILY_INET6 = 2
const FAMILY_UNIX = 3
const INET_BYTES = 12
const INET6_BYTES = 36
const UNIX_BYTES = 216
const TLV_CRC32C = 0x03

function parseV2(bytes: Uint8Array, length: number): ProxyHeaderResult {
  if (length > 12 && bytes[12] !== COMMAND_LOCAL && bytes[12] !== COMMAND_PROXY) return 'invalid'
  if (length < FIXED_V2_BYTES) return 'incomplete'
  const total = FIXED_V2_BYTES + readUint16(bytes, 14)
  if (total > MAX_PROXY_HEADER_BYTES) return 'invalid'
  if (length < total) return 'incomplete'
  // A health check of the sender itself: its addresses are not to be looked at.
  if (bytes[12] === COMMAND_LOCAL) return { length: total, source: null, destination: null }
  const family = bytes[13]! >>> 4
  if ((bytes[13]! & 0x0f) > 2) return 'invalid'
  const addressBytes = family === FAMILY_INET ? INET_BYTES : family === FAMILY_INET6 ? INET6_BYTES : family === FAMILY_UNIX ? UNIX_BYTES : 0
  const tlvsAt = FIXED_V2_BYTES + addressBytes
  if (family > FAMILY_UNIX || tlvsAt > total) return 'invalid'
  // Without a family there is nothing to say where the extensions would begin.
  if (family === FAMILY_UNSPEC) return { length: total, source: null, destination: null }
  if (!areTlvsValid(bytes, tlvsAt, total)) return 'invalid'
  if (family === FAMILY_UNIX) return { length: total, source: null, destination: null }
  const format = family === FAMILY_INET ? formatIpv4 : formatIpv6
  const each = family === FAMILY_INET ? 4 : 16
  const portsAt = FIXED_V2_BYTES + 2 * each
  return {
    length: total,
    source: { address: format(bytes, FIXED_V2_BYTES), port: readUint16(bytes, portsAt) },
    destination: { address: format(bytes, FIXED_V2_BYTES + each), port: readUint16(bytes, portsAt + 2) },
  }
}

/** Extensions are stepped over; a checksum that is there must be right. */
function areTlvsValid(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start
  while (at < end) {
    if (at + 3 > end) return false
    const valueAt = at + 3
    const next = valueAt + readUint16(bytes, at + 1)
    if (next > end) return false
    if (bytes[at] === TLV_CRC32C && !isChecksumRight(bytes, valueAt, next, end)) return false
    at = next
  }
  return true
}

/** Over the whole header, with the checksum itself as zeros. */
function isChecksumRight(bytes: Uint8Array, valueAt: number, valueEnd: number, headerEnd: number): boolean {
  if (valueEnd - valueAt !== 4) return false
  const header = Buffer.from(bytes.subarray(0, headerEnd))
  const expected = header.readUInt32BE(valueAt)
  header.writeUInt32BE(0, valueAt)
  return crc32c(header) === expected
}

function readUint16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!
}

// ---- building ----

/**
 * The header for a connection from `source` to `destination`. When either is no IP address, the header says that nothing is known
 * (UNKNOWN, UNSPEC). An IPv4 address beside an IPv6 one is written as IPv4-mapped.
 */
export function buildProxyHeader(version: ProxyVersion, source: ProxyAddress, destination: ProxyAddress): Buffer {
  let from = addressToBytes(source.address)
  let to = addressToBytes(destination.address)
  if (from === null || to === null)
    return version === 'v1' ? Buffer.from('PROXY UNKNOWN\r\n', 'latin1') : buildV2(COMMAND_PROXY, FAMILY_UNSPEC, [])
  if (from.length !== to.length) {
    from = toMapped(from)
    to = toMapped(to)
  }
  const isV4 = from.length === 4
  if (version === 'v1') {
    const text = isV4 ? formatIpv4 : formatV1Ipv6
    const addresses = `${text(from, 0)} ${text(to, 0)} ${source.port} ${destination.port}`
    return Buffer.from(`PROXY ${isV4 ? 'TCP4' : 'TCP6'} ${addresses}\r\n`, 'latin1')
  }
  const ports = Buffer.alloc(4)
  ports.writeUInt16BE(source.port, 0)
  ports.writeUInt16BE(destination.port, 2)
  return buildV2(COMMAND_PROXY, isV4 ? FAMILY_INET : FAMILY_INET6, [from, to, ports])
}

/** The header of a connection that the gateway makes for itself, such as a health check. */
export function buildLocalProxyHeader(version: ProxyVersion): Buffer {
  return version === 'v1' ? Buffer.from('PROXY UNKNOWN\r\n', 'latin1') : buildV2(COMMAND_LOCAL, FAMILY_UNSPEC, [])
}

/** TCP6 needs IPv6 spelling also for a mapped address. */
function formatV1Ipv6(bytes: Uint8Array, at: number): string {
  const text = formatIpv6(bytes, at)
  return text.includes(':') ? text : `::ffff:${text}`
}

const STREAM = 1

function buildV2(command: number, family: number, parts: readonly Uint8Array[]): Buffer {
  const payload = Buffer.concat(parts)
  const head = Buffer.alloc(FIXED_V2_BYTES)
  SIGNATURE_V2.copy(head)
  head[12] = command
  head[13] = family === FAMILY_UNSPEC ? 0 : (family << 4) | STREAM
  head.writeUInt16BE(payload.length, 14)
  return Buffer.concat([head, payload])
}
