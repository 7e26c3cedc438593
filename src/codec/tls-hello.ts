/**
 * The greeting of a TLS client (ClientHello, RFC 8446 section 4.1.2) as far as routing needs it: the server name (RFC 6066 section 3)
 * and the application protocols (RFC 7301). Nothing is decrypted or changed; the bytes go on as they came.
 */
export interface ClientHello {
  /** Lower case, without a dot at its end; '' when the client names none. */
  readonly serverName: string
  readonly protocols: readonly string[]
}

/** `incomplete`: TLS so far. `invalid`: no TLS, or a greeting that breaks the rules or is too long. */
export type ClientHelloResult = ClientHello | 'incomplete' | 'invalid'

/** Longest greeting that is read, with its record headers. */
export const MAX_CLIENT_HELLO_BYTES = 16 * 1024

const RECORD_HANDSHAKE = 22
const RECORD_HEADER_BYTES = 5
const MAX_RECORD_BYTES = 16_384
const HANDSHAKE_CLIENT_HELLO = 1
const HANDSHAKE_HEADER_BYTES = 4
const EXTENSION_SERVER_NAME = 0
const EXTENSION_ALPN = 16
const NAME_TYPE_HOST = 0
const VERSION_AND_RANDOM_BYTES = 34
const MAX_NAME_BYTES = 255

/** Reads a greeting from the start of `bytes`, of which `length` have come so far. Call again with more while `incomplete`. */
export function parseClientHello(bytes: Uint8Array, length: number): ClientHelloResult {
  const end = Math.min(length, MAX_CLIENT_HELLO_BYTES)
  const pieces: Uint8Array[] = []
  let gathered = 0
  let needed = HANDSHAKE_HEADER_BYTES
  let at = 0
  // The greeting may be spread over several records, and records over several reads.
  while (at < end) {
    if (bytes[at] !== RECORD_HANDSHAKE || (at + 1 < end && bytes[at + 1] !== 3)) return 'invalid'
    if (at + RECORD_HEADER_BYTES > end) break
    const recordBytes = readUint16(bytes, at + 3)
    if (recordBytes === 0 || recordBytes > MAX_RECORD_BYTES) return 'invalid'
    const start = at + RECORD_HEADER_BYTES
    const piece = bytes.subarray(start, Math.min(start + recordBytes, end))
    pieces.push(piece)
    gathered += piece.length
    if (needed === HANDSHAKE_HEADER_BYTES && gathered > 0 && byteOf(pieces, 0) !== HANDSHAKE_CLIENT_HELLO) return 'invalid'
    if (needed === HANDSHAKE_HEADER_BYTES && gathered >= HANDSHAKE_HEADER_BYTES) {
      needed += (byteOf(pieces, 1) << 16) | (byteOf(pieces, 2) << 8) | byteOf(pieces, 3)
      if (needed > MAX_CLIENT_HELLO_BYTES) return 'invalid'
    }
    if (needed > HANDSHAKE_HEADER_BYTES && gathered >= needed) return parseBody(join(pieces), needed)
    at = start + recordBytes
  }
  return length >= MAX_CLIENT_HELLO_BYTES ? 'invalid' : 'incomplete'
}

function byteOf(pieces: readonly Uint8Array[], index: number): number {
  let rest = index
  for (const piece of pieces) {
    if (rest < piece.length) return piece[rest]!
    rest -= piece.length
  }
  return -1
}

function join(pieces: readonly Uint8Array[]): Uint8Array {
  return pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces)
}

/** `end` is where the greeting ends; no length inside may point beyond it. */
function parseBody(bytes: Uint8Array, end: number): ClientHelloResult {
  let at = HANDSHAKE_HEADER_BYTES + VERSION_AND_RANDOM_BYTES
  // Session id, cipher suites, compression methods.
  if (at + 1 > end) return 'invalid'
  at += 1 + bytes[at]!
  if (at + 2 > end) return 'invalid'
  at += 2 + readUint16(bytes, at)
  if (at + 1 > end) return 'invalid'
  at += 1 + bytes[at]!
  if (at === end) return { serverName: '', protocols: [] }
  if (at + 2 > end || at + 2 + readUint16(bytes, at) !== end) return 'invalid'
  at += 2
  let serverName: string | null = null
  let protocols: string[] | null = null
  while (at < end) {
    if (at + 4 > end) return 'invalid'
    const type = readUint16(bytes, at)
    const start = at + 4
    const next = start + readUint16(bytes, at + 2)
    if (next > end) return 'invalid'
    if (type === EXTENSION_SERVER_NAME) {
      if (serverName !== null) return 'invalid'
      serverName = parseServerName(bytes, start, next)
      if (serverName === null) return 'invalid'
    } else if (type === EXTENSION_ALPN) {
      if (protocols !== null) return 'invalid'
      protocols = parseProtocols(bytes, start, next)
      if (protocols === null) return 'invalid'
    }
    at = next
  }
  return { serverName: serverName ?? '', protocols: protocols ?? [] }
}

/** The first host name of the list; null when the extension is malformed. */
function parseServerName(bytes: Uint8Array, start: number, end: number): string | null {
  if (start + 2 > end || start + 2 + readUint16(bytes, start) !== end) return null
  let at = start + 2
  while (at < end) {
    if (at + 3 > end) return null
    const nameAt = at + 3
    const next = nameAt + readUint16(bytes, at + 1)
    if (next > end || next === nameAt) return null
    if (bytes[at] === NAME_TYPE_HOST) return readName(bytes, nameAt, next)
    at = next
  }
  return null
}

/** Letters, digits, hyphens, dots and underscores: what else a name may hold would end in logs and routing tables. */
function readName(bytes: Uint8Array, start: number, end: number): string | null {
  if (end - start > MAX_NAME_BYTES) return null
  const name = textOf(bytes, start, end).toLowerCase()
  const bare = name.endsWith('.') ? name.slice(0, -1) : name
  return /^[a-z0-9_.-]+$/.test(bare) ? bare : null
}

function parseProtocols(bytes: Uint8Array, start: number, end: number): string[] | null {
  if (start + 2 > end || start + 2 + readUint16(bytes, start) !== end) return null
  const protocols: string[] = []
  let at = start + 2
  while (at < end) {
    const nameAt = at + 1
    const next = nameAt + bytes[at]!
    if (next > end || next === nameAt) return null
    protocols.push(textOf(bytes, nameAt, next))
    at = next
  }
  return protocols
}

function textOf(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1')
}

function readUint16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!
}
