import type { ByteWriter } from '../byte-writer.ts'

/** HTTP/2 frames (RFC 9113 sections 4 and 6): their numbers, and the nine bytes before each. */
export const FRAME_HEADER_BYTES = 9

export const DATA = 0
export const HEADERS = 1
export const PRIORITY = 2
export const RST_STREAM = 3
export const SETTINGS = 4
export const PUSH_PROMISE = 5
export const PING = 6
export const GOAWAY = 7
export const WINDOW_UPDATE = 8
export const CONTINUATION = 9

export const FLAG_ACK = 0x1
export const FLAG_END_STREAM = 0x1
export const FLAG_END_HEADERS = 0x4
export const FLAG_PADDED = 0x8
export const FLAG_PRIORITY = 0x20

/** Error codes (RFC 9113 section 7). */
export const NO_ERROR = 0
export const PROTOCOL_ERROR = 1
export const INTERNAL_ERROR = 2
export const FLOW_CONTROL_ERROR = 3
export const SETTINGS_TIMEOUT = 4
export const STREAM_CLOSED = 5
export const FRAME_SIZE_ERROR = 6
export const REFUSED_STREAM = 7
export const CANCEL = 8
export const COMPRESSION_ERROR = 9
export const CONNECT_ERROR = 10
export const ENHANCE_YOUR_CALM = 11
export const INADEQUATE_SECURITY = 12
export const HTTP_1_1_REQUIRED = 13

const ERROR_NAMES = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY',
  'HTTP_1_1_REQUIRED',
]

/** The name of an error code, for messages: `PROTOCOL_ERROR`, or its number when it has no name. */
export function errorName(code: number): string {
  return ERROR_NAMES[code] ?? `error ${code}`
}

/** Settings (RFC 9113 section 6.5.2, RFC 8441 section 3). */
export const SETTINGS_HEADER_TABLE_SIZE = 1
export const SETTINGS_ENABLE_PUSH = 2
export const SETTINGS_MAX_CONCURRENT_STREAMS = 3
export const SETTINGS_INITIAL_WINDOW_SIZE = 4
export const SETTINGS_MAX_FRAME_SIZE = 5
export const SETTINGS_MAX_HEADER_LIST_SIZE = 6
export const SETTINGS_ENABLE_CONNECT_PROTOCOL = 8

/** What a window and a frame may hold before anything else is agreed (RFC 9113 sections 6.9.2 and 6.5.2). */
export const DEFAULT_WINDOW_BYTES = 65_535
export const DEFAULT_FRAME_BYTES = 16_384
export const MAX_FRAME_BYTES = 16_777_215
export const MAX_WINDOW_BYTES = 0x7fff_ffff
export const MAX_STREAM_ID = 0x7fff_ffff

/** What a client sends first (RFC 9113 section 3.4). */
export const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
export const PREFACE_BYTES = PREFACE.length
const PREFACE_CODES = Uint8Array.from(PREFACE, (character) => character.charCodeAt(0))

/**
 * How far the bytes at [start, end) agree with the preface, of which `matched` bytes have come before. The count of agreeing bytes
 * so far, `PREFACE_BYTES` when it is complete, or -1 when this is something else.
 */
export function matchPreface(bytes: Uint8Array, start: number, end: number, matched: number): number {
  let at = matched
  for (let i = start; i < end && at < PREFACE_BYTES; i++, at++) {
    if (bytes[i] !== PREFACE_CODES[at]) return -1
  }
  return at
}

/** The same for what came in `before` (null: nothing) and then at [start, end) of `bytes`. */
export function matchPrefaceInParts(before: Uint8Array | null, bytes: Uint8Array, start: number, end: number): number {
  const matched = before === null ? 0 : matchPreface(before, 0, before.length, 0)
  return matched < 0 ? -1 : matchPreface(bytes, start, end, matched)
}

export function writeFrameHeader(writer: ByteWriter, length: number, type: number, flags: number, streamId: number): void {
  writer.reserve(FRAME_HEADER_BYTES)
  const { bytes, at } = writer
  bytes[at] = length >>> 16
  bytes[at + 1] = length >>> 8
  bytes[at + 2] = length
  bytes[at + 3] = type
  bytes[at + 4] = flags
  bytes[at + 5] = streamId >>> 24
  bytes[at + 6] = streamId >>> 16
  bytes[at + 7] = streamId >>> 8
  bytes[at + 8] = streamId
  writer.at = at + FRAME_HEADER_BYTES
}

/** Corrects the length of the frame whose header begins at `frameAt`. */
export function patchFrameLength(writer: ByteWriter, frameAt: number, length: number): void {
  const { bytes } = writer
  bytes[frameAt] = length >>> 16
  bytes[frameAt + 1] = length >>> 8
  bytes[frameAt + 2] = length
}

/** An unsigned number of four bytes. */
export function readU32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) | ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)) >>> 0
  )
}

/** A number of 31 bits: the reserved bit before it is ignored. */
export function readU31(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at) & 0x7fff_ffff
}
