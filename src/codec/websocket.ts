import { createHash } from 'node:crypto'

/**
 * The WebSocket protocol (RFC 6455) as far as a gateway looks into it: the handshake key, where frames begin and end, and Close frames.
 * Payloads are neither unmasked nor copied.
 */
export const WEBSOCKET_VERSION = '13'
const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
/** 16 bytes in base64: the last character carries two bits. */
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/

export function isWebSocketKey(key: string): boolean {
  return KEY.test(key)
}

/** A key for a handshake of our own (section 4.1). It protects nothing: it shows that whoever answers has understood. */
export function createWebSocketKey(random: () => number): string {
  const bytes = Buffer.allocUnsafe(16)
  for (let i = 0; i < 16; i++) bytes[i] = random() * 256
  return bytes.toString('base64')
}

/** What the server answers to a key (section 4.2.2). */
export function acceptKeyOf(key: string): string {
  return createHash('sha1').update(`${key}${ACCEPT_GUID}`).digest('base64')
}

export const CLOSE_GOING_AWAY = 1001
export const CLOSE_POLICY = 1008
export const CLOSE_TOO_BIG = 1009

/** A Close frame as a server sends it, unmasked. The reason is ASCII of at most 123 characters. */
export function createCloseFrame(code: number, reason: string): Buffer {
  const frame = Buffer.allocUnsafe(4 + reason.length)
  frame[0] = 0x88
  frame[1] = 2 + reason.length
  frame.writeUInt16BE(code, 2)
  frame.write(reason, 4, 'latin1')
  return frame
}

/** An empty Ping of a server. */
export const PING_FRAME: Buffer = Buffer.from([0x89, 0])

const OPCODE_CONTINUATION = 0
const OPCODE_BINARY = 2
const OPCODE_CLOSE = 8

const FIRST_BYTE = 0
const SECOND_BYTE = 1
const LENGTH = 2
const MASK = 3
const PAYLOAD = 4

/** Follows the frames of one direction through bytes that come split anywhere. Costs nothing for the inside of a frame. */
export class FrameTracker {
  frames = 0
  /** Text and binary messages that are complete. */
  messages = 0
  /** A Close frame has begun: nothing that matters comes behind it. */
  isClosing = false
  /** Payload of the message under way, its frames together. */
  messageBytes = 0
  /** The largest `messageBytes` since the start. */
  largestBytes = 0
  #state = FIRST_BYTE
  #needed = 0
  #length = 0
  #isFinal = false
  #isData = false
  #isMasked = false

  /** Between two frames: the only place where a frame may be put in. */
  get isAtBoundary(): boolean {
    return this.#state === FIRST_BYTE
  }

  /** Reads [start, end). Returns the index behind the last frame that ended here, or -1 when none did. */
  read(bytes: Uint8Array, start: number, end: number): number {
    let boundary = -1
    let at = start
    while (at < end) {
      switch (this.#state) {
        case PAYLOAD: {
          const taken = Math.min(this.#length, end - at)
          this.#length -= taken
          at += taken
          break
        }
        case FIRST_BYTE:
          this.#begin(bytes[at++] as number)
          break
        case SECOND_BYTE:
          this.#takeLength(bytes[at++] as number)
          break
        case LENGTH:
          this.#length = this.#length * 256 + (bytes[at++] as number)
          if (--this.#needed === 0) this.#measured()
          break
        default:
          at++
          if (--this.#needed === 0) this.#state = PAYLOAD
      }
      if (this.#state === PAYLOAD && this.#length === 0) {
        this.#finish()
        boundary = at
      }
    }
    return boundary
  }

  #begin(byte: number): void {
    const opcode = byte & 0x0f
    this.#isFinal = (byte & 0x80) !== 0
    this.#isData = opcode <= OPCODE_BINARY
    if (this.#isData && opcode !== OPCODE_CONTINUATION) this.messageBytes = 0
    if (opcode === OPCODE_CLOSE) this.isClosing = true
    this.#state = SECOND_BYTE
  }

  #takeLength(byte: number): void {
    this.#isMasked = (byte & 0x80) !== 0
    const length = byte & 0x7f
    if (length < 126) {
      this.#length = length
      this.#measured()
    } else {
      this.#length = 0
      this.#needed = length === 126 ? 2 : 8
      this.#state = LENGTH
    }
  }

  #measured(): void {
    if (this.#isData) {
      this.messageBytes += this.#length
      if (this.messageBytes > this.largestBytes) this.largestBytes = this.messageBytes
    }
    this.#needed = 4
    this.#state = this.#isMasked ? MASK : PAYLOAD
  }

  #finish(): void {
    this.frames++
    if (this.#isData && this.#isFinal) this.messages++
    this.#state = FIRST_BYTE
  }
}
