import { FrameError } from './errors.ts'

/**
 * Message framing: TCP carries bytes, and where one message ends and the next begins is for the two programs to agree on. A framing
 * turns bodies into frames and back, however the network has split or joined them.
 */
export interface Framing {
  /** The frame of one body. Throws `FrameError` when this framing cannot carry it. */
  encode(body: Uint8Array | string): Buffer
  /** A decoder for one direction of one connection. */
  createDecoder(): FrameDecoder
}

/** Takes bytes as they come and gives whole bodies. Any `FrameError` is final: every later call throws it again. */
export interface FrameDecoder {
  /** Adds bytes; they are copied, so the caller may reuse its buffer. */
  push(bytes: Uint8Array): void
  /** The next whole body, a buffer of its own, or null when more bytes are needed. Throws `FrameError`. */
  next(): Buffer | null
  /** The stream has ended. Throws `FrameError` when it ended inside a frame. */
  end(): void
  /** Bytes pushed that no body has been made of. */
  readonly pendingBytes: number
}

export const DEFAULT_MAX_FRAME_BYTES = 1024 * 1024

const FIRST_BUFFER_BYTES = 1024

/**
 * Holds what has arrived of frames that are not complete. It grows with the bytes that are there, never with a length that somebody
 * has only announced.
 */
export abstract class BufferedDecoder implements FrameDecoder {
  protected bytes: Buffer = Buffer.alloc(0)
  protected start = 0
  protected endAt = 0
  #failure: FrameError | null = null

  /** Length of the frame at `start` (all of it), or -1 when more bytes are needed to know. Throws `FrameError`. */
  protected abstract measure(): number
  /** The body in the frame of `frameBytes` bytes at `start`, as a view. */
  protected abstract extract(frameBytes: number): Buffer

  get pendingBytes(): number {
    return this.endAt - this.start
  }

  push(bytes: Uint8Array): void {
    if (this.#failure !== null) throw this.#failure
    this.#makeRoom(bytes.length)
    this.bytes.set(bytes, this.endAt)
    this.endAt += bytes.length
  }

  next(): Buffer | null {
    if (this.#failure !== null) throw this.#failure
    try {
      const frameBytes = this.measure()
      if (frameBytes === -1 || frameBytes > this.pendingBytes) return null
      const body = Buffer.from(this.extract(frameBytes))
      this.start += frameBytes
      if (this.start === this.endAt) this.#forget()
      return body
    } catch (error) {
      if (error instanceof FrameError) this.#fail(error)
      throw error
    }
  }

  end(): void {
    if (this.#failure !== null) throw this.#failure
    if (this.pendingBytes === 0) return
    throw this.#fail(new FrameError('truncated', `the stream ended inside a frame, after ${this.pendingBytes} of its bytes`))
  }

  #fail(error: FrameError): FrameError {
    this.#failure = error
    this.#forget()
    return error
  }

  /** An idle connection keeps no buffer. */
  #forget(): void {
    this.bytes = Buffer.alloc(0)
    this.start = 0
    this.endAt = 0
  }

  #makeRoom(more: number): void {
    if (this.endAt + more <= this.bytes.length) return
    const used = this.pendingBytes
    // Twice what is there, so that bytes that come one at a time are copied a few times only.
    const grown =
      used + more <= this.bytes.length / 2 ? this.bytes : Buffer.allocUnsafeSlow(Math.max(FIRST_BUFFER_BYTES, 2 * (used + more)))
    this.bytes.copy(grown, 0, this.start, this.endAt)
    this.bytes = grown
    this.start = 0
    this.endAt = used
  }
}

export interface LengthPrefixedOptions {
  /** Bytes (or ASCII text) in front of every frame. Default none. */
  magic?: Uint8Array | string
  /** Size of the length field. Default 4. */
  lengthBytes?: 1 | 2 | 3 | 4
  /** Default 'big'. */
  byteOrder?: 'big' | 'little'
  /** The longest body, both ways. Default 1 MiB. */
  maxFrameBytes?: number
}

/** `magic, length of the body, body`. A wrong magic or a length above the limit is refused as soon as its first byte tells. */
export function lengthPrefixed(options: LengthPrefixedOptions = {}): Framing {
  const magic = toBytes(options.magic ?? '')
  const lengthBytes = options.lengthBytes ?? 4
  const littleEndian = options.byteOrder === 'little'
  const maxBytes = checkLimit('maxFrameBytes', options.maxFrameBytes ?? DEFAULT_MAX_FRAME_BYTES)
  const limit = Math.min(maxBytes, 2 ** (8 * lengthBytes) - 1)
  const headBytes = magic.length + lengthBytes

  class LengthPrefixedDecoder extends BufferedDecoder {
    protected override measure(): number {
      this.#checkMagic()
      if (this.pendingBytes < headBytes) return -1
      const at = this.start + magic.length
      const length = littleEndian ? this.bytes.readUIntLE(at, lengthBytes) : this.bytes.readUIntBE(at, lengthBytes)
      if (length > limit) throw tooLarge(length, limit)
      return headBytes + length
    }

    #checkMagic(): void {
      const count = Math.min(magic.length, this.pendingBytes)
      for (let i = 0; i < count; i++) {
        if (this.bytes[this.start + i] !== magic[i]) throw new FrameError('bad-magic', 'msg_header error: the frame has another magic')
      }
    }

    protected override extract(frameBytes: number): Buffer {
      return this.bytes.subarray(this.start + headBytes, this.start + frameBytes)
    }
  }

  return {
    encode(body) {
      const bytes = toBytes(body)
      if (bytes.length > limit) throw tooLarge(bytes.length, limit)
      const frame = Buffer.allocUnsafe(headBytes + bytes.length)
      frame.set(magic, 0)
      if (littleEndian) frame.writeUIntLE(bytes.length, magic.length, lengthBytes)
      else frame.writeUIntBE(bytes.length, magic.length, lengthBytes)
      frame.set(bytes, headBytes)
      return frame
    },
    createDecoder: () => new LengthPrefixedDecoder(),
  }
}

export interface FixedLengthOptions {
  /** Bytes of every frame. */
  frameBytes: number
  /** Fills shorter bodies up to the length, at the end; the decoder leaves it there. Default: a shorter body is an error. */
  padding?: number
}

/** Every frame has the same length. */
export function fixedLength(options: FixedLengthOptions): Framing {
  const frameBytes = checkLimit('frameBytes', options.frameBytes)
  const { padding } = options

  class FixedLengthDecoder extends BufferedDecoder {
    protected override measure(): number {
      return frameBytes
    }

    protected override extract(length: number): Buffer {
      return this.bytes.subarray(this.start, this.start + length)
    }
  }

  return {
    encode(body) {
      const bytes = toBytes(body)
      if (bytes.length > frameBytes || (bytes.length < frameBytes && padding === undefined)) {
        throw new FrameError('bad-body', `the body has ${bytes.length} bytes, a frame ${frameBytes}`)
      }
      const frame = Buffer.alloc(frameBytes, padding ?? 0)
      frame.set(bytes, 0)
      return frame
    },
    createDecoder: () => new FixedLengthDecoder(),
  }
}

export interface DelimitedOptions {
  /** What stands behind every body. Default a line feed. */
  delimiter?: Uint8Array | string
  /** The longest body. Default 1 MiB. */
  maxFrameBytes?: number
}

/** `body, delimiter`. The body cannot contain the delimiter. */
export function delimited(options: DelimitedOptions = {}): Framing {
  const delimiter = toBytes(options.delimiter ?? '\n')
  if (delimiter.length === 0) throw new RangeError('delimiter must not be empty')
  const limit = checkLimit('maxFrameBytes', options.maxFrameBytes ?? DEFAULT_MAX_FRAME_BYTES)

  class DelimitedDecoder extends BufferedDecoder {
    /** Bytes behind `start` in which no delimiter begins, so that a slow body is not searched again for every byte. */
    #searched = 0

    protected override measure(): number {
      const pending = this.bytes.subarray(this.start, this.endAt)
      const at = pending.indexOf(delimiter, this.#searched)
      const bodyBytes = at === -1 ? pending.length - delimiter.length + 1 : at
      if (bodyBytes > limit) throw tooLarge(bodyBytes, limit)
      this.#searched = at === -1 ? Math.max(0, bodyBytes) : 0
      return at === -1 ? -1 : at + delimiter.length
    }

    protected override extract(frameBytes: number): Buffer {
      return this.bytes.subarray(this.start, this.start + frameBytes - delimiter.length)
    }
  }

  return {
    encode(body) {
      const bytes = toBytes(body)
      if (bytes.length > limit) throw tooLarge(bytes.length, limit)
      const frame = Buffer.concat([bytes, delimiter])
      // Looked for in the frame, not in the body: a body may end in the first half of a delimiter.
      if (frame.indexOf(delimiter) !== bytes.length) throw new FrameError('bad-body', 'the body contains the delimiter')
      return frame
    },
    createDecoder: () => new DelimitedDecoder(),
  }
}

/** The bodies in a stream of bytes: a socket, a file, anything that gives buffers. Throws `FrameError`. */
export async function* decodeFrames(framing: Framing, source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, void> {
  const decoder = framing.createDecoder()
  for await (const bytes of source) {
    decoder.push(bytes)
    for (let body = decoder.next(); body !== null; body = decoder.next()) yield body
  }
  decoder.end()
}

function toBytes(value: Uint8Array | string): Buffer {
  if (typeof value === 'string') return Buffer.from(value, 'utf8')
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
}

function tooLarge(bytes: number, limit: number): FrameError {
  return new FrameError('too-large', `a body of ${bytes} bytes or more; ${limit} is the limit`)
}

function checkLimit(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0 && value <= 2 ** 31 - 1) return value
  throw new RangeError(`${name} must be a whole number of bytes between 1 and ${2 ** 31 - 1}, not ${value}`)
}
