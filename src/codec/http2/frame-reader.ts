import type { WireBuffer } from '../../base/wire.ts'
import { acquireScratch, releaseScratch } from '../scratch-pool.ts'
import {
  CONTINUATION,
  DATA,
  DEFAULT_FRAME_BYTES,
  FLAG_PADDED,
  FRAME_HEADER_BYTES,
  FRAME_SIZE_ERROR,
  PROTOCOL_ERROR,
  readU31,
} from './frame.ts'

/** Who gets the frames. Bytes are valid during the call only. */
export interface FrameHandler {
  /** A whole frame other than DATA. `bytes[start, end)` is its payload, padding included. */
  onFrame(type: number, flags: number, streamId: number, bytes: WireBuffer, start: number, end: number): void
  /** A frame of a type that is not known begins; its payload is dropped. */
  onUnknownFrame(type: number): void
  /** A DATA frame begins; `length` is what it takes from the windows, padding included. */
  onDataFrame(flags: number, streamId: number, length: number): void
  /** A piece of the payload of that DATA frame, without padding. There may be none, or many. */
  onDataPiece(bytes: WireBuffer, start: number, end: number): void
  /** That DATA frame is over. */
  onDataEnd(): void
  /** The framing itself is broken. Nothing can be read after it. */
  onFrameError(code: number, detail: string): void
}

const HEADER = 0
const PAYLOAD = 1
const PAD_LENGTH = 2
const DATA_BYTES = 3
const SKIP = 4

/** What is set aside at first for a frame that comes in pieces: an announced length alone costs nobody anything. */
const FIRST_PARTIAL_BYTES = 1024

/**
 * Cuts a stream of bytes into frames (RFC 9113 section 4.1), whatever pieces it comes in. DATA is handed on as it comes; other
 * frames are handed on whole, from where they lie when they lie in one piece.
 */
export class FrameReader {
  readonly #handler: FrameHandler
  #mode = HEADER
  readonly #header = Buffer.allocUnsafe(FRAME_HEADER_BYTES) as WireBuffer
  #headerAt = 0
  #type = 0
  #flags = 0
  #streamId = 0
  /** Of the payload, or of what is left of it in the modes that take it piece by piece. */
  #length = 0
  #padding = 0
  #partial: WireBuffer | null = null
  #partialAt = 0
  #isStopped = false
  /** Frames that may still begin in this `receive`. */
  budget = 0

  constructor(handler: FrameHandler) {
    this.#handler = handler
  }

  /** Nothing is read any more. */
  stop(): void {
    this.#isStopped = true
    if (this.#partial !== null) releaseScratch(this.#partial)
    this.#partial = null
  }

  /** Where it stopped: at `end`, or before a frame for which there was no budget left. */
  receive(bytes: WireBuffer, start: number, end: number): number {
    let at = start
    // A frame without payload has to be ended although there is no byte left.
    while ((at < end || (this.#mode !== HEADER && this.#length === 0)) && !this.#isStopped) {
      switch (this.#mode) {
        case HEADER:
          if (this.budget <= 0) return at
          at = this.#readHeader(bytes, at, end)
          break
        case PAYLOAD:
          at = this.#readPayload(bytes, at, end)
          break
        case PAD_LENGTH:
          at = this.#readPadLength(bytes, at)
          break
        case DATA_BYTES:
          at = this.#readData(bytes, at, end)
          break
        default:
          at = this.#skip(at, end)
      }
    }
    return at
  }

  #readHeader(bytes: WireBuffer, at: number, end: number): number {
    if (this.#headerAt === 0 && end - at >= FRAME_HEADER_BYTES) {
      this.#startFrame(bytes, at)
      return at + FRAME_HEADER_BYTES
    }
    const take = Math.min(FRAME_HEADER_BYTES - this.#headerAt, end - at)
    bytes.copy(this.#header, this.#headerAt, at, at + take)
    this.#headerAt += take
    if (this.#headerAt === FRAME_HEADER_BYTES) {
      this.#headerAt = 0
      this.#startFrame(this.#header, 0)
    }
    return at + take
  }

  #startFrame(bytes: WireBuffer, at: number): void {
    this.budget--
    const length = ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number)
    const type = bytes[at + 3] as number
    const flags = bytes[at + 4] as number
    const streamId = readU31(bytes, at + 5)
    // Nobody is ever told that larger ones are welcome.
    if (length > DEFAULT_FRAME_BYTES) return this.#handler.onFrameError(FRAME_SIZE_ERROR, 'a frame is longer than SETTINGS_MAX_FRAME_SIZE')
    this.#type = type
    this.#flags = flags
    this.#streamId = streamId
    this.#length = length
    if (type === DATA) {
      this.#padding = 0
      this.#mode = (flags & FLAG_PADDED) !== 0 ? PAD_LENGTH : DATA_BYTES
      if (this.#mode === PAD_LENGTH && length === 0) this.#handler.onFrameError(FRAME_SIZE_ERROR, 'a padded frame is empty')
      else this.#handler.onDataFrame(flags, streamId, length)
    } else if (type > CONTINUATION) {
      this.#mode = SKIP
      this.#handler.onUnknownFrame(type)
    } else {
      this.#mode = PAYLOAD
    }
  }

  #readPayload(bytes: WireBuffer, at: number, end: number): number {
    const length = this.#length
    if (this.#partial === null && end - at >= length) {
      this.#mode = HEADER
      this.#handler.onFrame(this.#type, this.#flags, this.#streamId, bytes, at, at + length)
      return at + length
    }
    const take = Math.min(length - this.#partialAt, end - at)
    const partial = this.#partialFor(this.#partialAt + take)
    bytes.copy(partial, this.#partialAt, at, at + take)
    this.#partialAt += take
    if (this.#partialAt === length) {
      this.#mode = HEADER
      this.#partial = null
      this.#partialAt = 0
      this.#handler.onFrame(this.#type, this.#flags, this.#streamId, partial, 0, length)
      releaseScratch(partial)
    }
    return at + take
  }

  #partialFor(size: number): WireBuffer {
    const { length } = this.#partial ?? { length: 0 }
    if (this.#partial !== null && length >= size) return this.#partial
    const grown = acquireScratch(Math.min(this.#length, Math.max(size, length * 2, FIRST_PARTIAL_BYTES)))
    if (this.#partial !== null) {
      this.#partial.copy(grown, 0, 0, this.#partialAt)
      releaseScratch(this.#partial)
    }
    this.#partial = grown
    return grown
  }

  #readPadLength(bytes: WireBuffer, at: number): number {
    this.#padding = bytes[at] as number
    this.#length -= 1 + this.#padding
    this.#mode = DATA_BYTES
    // RFC 9113 section 6.1.
    if (this.#length < 0) this.#handler.onFrameError(PROTOCOL_ERROR, 'a frame has more padding than payload')
    return at + 1
  }

  #readData(bytes: WireBuffer, at: number, end: number): number {
    const take = Math.min(this.#length, end - at)
    this.#length -= take
    if (take > 0) this.#handler.onDataPiece(bytes, at, at + take)
    if (this.#length === 0) {
      this.#length = this.#padding
      this.#padding = 0
      this.#mode = SKIP
    }
    return at + take
  }

  #skip(at: number, end: number): number {
    const take = Math.min(this.#length, end - at)
    this.#length -= take
    if (this.#length === 0) {
      this.#mode = HEADER
      if (this.#type === DATA) this.#handler.onDataEnd()
    }
    return at + take
  }
}
