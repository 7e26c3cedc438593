const HEAD_BYTES = 5
const EMPTY = Buffer.alloc(0)

/** What a message may not be. */
export class GrpcFrameError extends Error {}

/** Puts a message into a frame: not compressed, its length, its bytes. */
export function encodeGrpcFrame(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(HEAD_BYTES + message.length)
  frame[0] = 0
  frame.writeUInt32BE(message.length, 1)
  frame.set(message, HEAD_BYTES)
  return frame
}

/** Takes whole messages out of a stream of frames, however it is cut. Holds one message at most. */
export class GrpcMessageReader {
  readonly #maxBytes: number
  #held: Buffer = EMPTY
  #used = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Nothing is left over: the stream may end here. */
  get isComplete(): boolean {
    return this.#used === 0
  }

  /** The messages that [start, end) completes, valid as long as the bytes are. Throws GrpcFrameError for one too large or compressed. */
  read(bytes: Buffer, start: number, end: number): Buffer[] {
    const messages: Buffer[] = []
    let at = start
    while (at < end) {
      if (this.#used === 0 && end - at >= HEAD_BYTES) {
        const length = this.#check(bytes, at)
        if (end - at >= HEAD_BYTES + length) {
          messages.push(bytes.subarray(at + HEAD_BYTES, at + HEAD_BYTES + length))
          at += HEAD_BYTES + length
          continue
        }
      }
      at += this.#hold(bytes, at, end)
      const message = this.#takeHeld()
      if (message !== null) messages.push(message)
    }
    return messages
  }

  /** The length a head announces. */
  #check(bytes: Buffer, at: number): number {
    if (bytes[at] !== 0) throw new GrpcFrameError('a message is compressed, which was not asked for')
    const length = bytes.readUInt32BE(at + 1)
    if (length > this.#maxBytes) throw new GrpcFrameError(`a message has ${length} bytes; at most ${this.#maxBytes} are read here`)
    return length
  }

  /** Keeps the rest of one frame, as far as it is there. Returns how many bytes that were. */
  #hold(bytes: Buffer, start: number, end: number): number {
    const wanted = this.#used < HEAD_BYTES ? HEAD_BYTES : HEAD_BYTES + this.#check(this.#held, 0)
    const count = Math.min(wanted - this.#used, end - start)
    if (this.#held.length < this.#used + count) {
      const larger = Buffer.allocUnsafe(Math.min(Math.max(64, this.#held.length * 2, this.#used + count), HEAD_BYTES + this.#maxBytes))
      this.#held.copy(larger, 0, 0, this.#used)
      this.#held = larger
    }
    bytes.copy(this.#held, this.#used, start, start + count)
    this.#used += count
    return count
  }

  #takeHeld(): Buffer | null {
    if (this.#used < HEAD_BYTES) return null
    const length = this.#check(this.#held, 0)
    if (this.#used < HEAD_BYTES + length) return null
    const message = this.#held.subarray(HEAD_BYTES, HEAD_BYTES + length)
    this.#held = EMPTY
    this.#used = 0
    return message
  }
}
