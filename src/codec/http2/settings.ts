import type { ByteWriter } from '../byte-writer.ts'
import {
  DEFAULT_FRAME_BYTES,
  DEFAULT_WINDOW_BYTES,
  FLOW_CONTROL_ERROR,
  MAX_FRAME_BYTES,
  MAX_WINDOW_BYTES,
  NO_ERROR,
  PROTOCOL_ERROR,
  readU32,
  SETTINGS,
  SETTINGS_ENABLE_CONNECT_PROTOCOL,
  SETTINGS_ENABLE_PUSH,
  SETTINGS_HEADER_TABLE_SIZE,
  SETTINGS_INITIAL_WINDOW_SIZE,
  SETTINGS_MAX_CONCURRENT_STREAMS,
  SETTINGS_MAX_FRAME_SIZE,
  SETTINGS_MAX_HEADER_LIST_SIZE,
  writeFrameHeader,
} from './frame.ts'

/** What the other side has said of itself (RFC 9113 section 6.5.2); before it speaks, the defaults. */
export class RemoteSettings {
  headerTableBytes = 4096
  /** The least value since the encoder was last told: it has to say that it went through it (RFC 7541 section 4.2). */
  leastHeaderTableBytes = 4096
  /** How many streams we may open. Until the other side speaks, what RFC 9113 recommends as the least to allow. */
  maxConcurrentStreams = 100
  initialWindowBytes = DEFAULT_WINDOW_BYTES
  maxFrameBytes = DEFAULT_FRAME_BYTES
  maxHeaderListBytes = Number.POSITIVE_INFINITY
  enableConnectProtocol = false
  #isFirst = true

  /** Takes in the payload of a SETTINGS frame. NO_ERROR, or the code of the connection error it is. `isServer`: we are the server. */
  read(bytes: Uint8Array, start: number, end: number, isServer: boolean): number {
    // Not to name a limit is to have none.
    if (this.#isFirst) this.maxConcurrentStreams = Number.POSITIVE_INFINITY
    this.#isFirst = false
    this.leastHeaderTableBytes = this.headerTableBytes
    for (let at = start; at < end; at += 6) {
      const id = ((bytes[at] as number) << 8) | (bytes[at + 1] as number)
      const code = this.#set(id, readU32(bytes, at + 2), isServer)
      if (code !== NO_ERROR) return code
    }
    return NO_ERROR
  }

  #set(id: number, value: number, isServer: boolean): number {
    switch (id) {
      case SETTINGS_HEADER_TABLE_SIZE:
        this.headerTableBytes = value
        if (value < this.leastHeaderTableBytes) this.leastHeaderTableBytes = value
        return NO_ERROR
      case SETTINGS_ENABLE_PUSH:
        return value === 0 || (value === 1 && isServer) ? NO_ERROR : PROTOCOL_ERROR
      case SETTINGS_MAX_CONCURRENT_STREAMS:
        this.maxConcurrentStreams = value
        return NO_ERROR
      case SETTINGS_INITIAL_WINDOW_SIZE:
        if (value > MAX_WINDOW_BYTES) return FLOW_CONTROL_ERROR
        this.initialWindowBytes = value
        return NO_ERROR
      case SETTINGS_MAX_FRAME_SIZE:
        if (value < DEFAULT_FRAME_BYTES || value > MAX_FRAME_BYTES) return PROTOCOL_ERROR
        this.maxFrameBytes = value
        return NO_ERROR
      case SETTINGS_MAX_HEADER_LIST_SIZE:
        this.maxHeaderListBytes = value
        return NO_ERROR
      case SETTINGS_ENABLE_CONNECT_PROTOCOL:
        if (value > 1 || (value === 0 && this.enableConnectProtocol)) return PROTOCOL_ERROR
        this.enableConnectProtocol = value === 1
        return NO_ERROR
      default:
        return NO_ERROR
    }
  }
}

/** What we say of ourselves. */
export interface LocalSettings {
  /** Server only: streams the other side may have open. */
  readonly maxConcurrentStreams: number
  /** Bytes of body that may be on the way or unread for one stream. */
  readonly streamWindowBytes: number
  /** The same over all streams of the connection; at least 65,535. */
  readonly connectionWindowBytes: number
  /** Size of a decoded header section we are ready to take, as RFC 9113 counts it: 32 bytes more for each field. */
  readonly maxHeaderListBytes: number
  /** Server only: RFC 8441. */
  readonly enableConnectProtocol: boolean
}

/** Writes the SETTINGS frame that opens a connection. */
export function writeSettings(writer: ByteWriter, local: LocalSettings, isServer: boolean): void {
  const pairs: number[] = [SETTINGS_INITIAL_WINDOW_SIZE, local.streamWindowBytes, SETTINGS_MAX_HEADER_LIST_SIZE, local.maxHeaderListBytes]
  if (isServer) pairs.push(SETTINGS_MAX_CONCURRENT_STREAMS, local.maxConcurrentStreams)
  else pairs.push(SETTINGS_ENABLE_PUSH, 0)
  if (isServer && local.enableConnectProtocol) pairs.push(SETTINGS_ENABLE_CONNECT_PROTOCOL, 1)
  writeFrameHeader(writer, (pairs.length / 2) * 6, SETTINGS, 0, 0)
  for (let i = 0; i < pairs.length; i += 2) {
    writer.u16(pairs[i] as number)
    writer.u32(pairs[i + 1] as number)
  }
}
