/**
 * Heads of Thrift messages in the framed transport and the strict binary protocol: a frame length, the version with the message
 * type, the method name, the sequence number. Bodies are stepped over, whatever their size; nothing is kept but a head.
 */

export type ThriftMessageType = 'call' | 'reply' | 'exception' | 'oneway'

/** Told of each message, as soon as its head is complete. `service` is '' unless the call is multiplexed (`service:method`). */
export type OnThriftMessage = (type: ThriftMessageType, service: string, method: string, sequence: number) => void

/** Longest method name that is read, with the service of a multiplexed call. */
export const MAX_THRIFT_NAME_BYTES = 512
/** Longest frame that is believed: what Thrift's own servers take by default is 16 MB. */
export const MAX_THRIFT_FRAME_BYTES = 256 * 1024 * 1024

const TYPES: readonly (ThriftMessageType | null)[] = [null, 'call', 'reply', 'exception', 'oneway']
const FRAME_BYTES = 4
/** Frame length, version and type, length of the name. */
const FIXED_BYTES = 12
const SEQUENCE_BYTES = 4
const VERSION_1 = 0x8001_00

/** Follows one direction of a connection. Bytes may be split anywhere. */
export class ThriftReader {
  /** Something came that is no message; nothing is read any more. */
  isBroken = false
  readonly #onMessage: OnThriftMessage
  readonly #head = Buffer.alloc(FIXED_BYTES + MAX_THRIFT_NAME_BYTES + SEQUENCE_BYTES)
  #filled = 0
  /** Bytes of the present message still to be stepped over. */
  #skip = 0

  constructor(onMessage: OnThriftMessage) {
    this.#onMessage = onMessage
  }

  read(bytes: Buffer, length: number): void {
    let at = 0
    while (at < length && !this.isBroken) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, length - at)
        this.#skip -= skipped
        at += skipped
        continue
      }
      const needed = this.#headBytes()
      const taken = Math.min(needed - this.#filled, length - at)
      bytes.copy(this.#head, this.#filled, at, at + taken)
      this.#filled += taken
      at += taken
      if (this.#filled === needed) this.#advance()
    }
  }

  /** How much of the head is known to be needed so far. */
  #headBytes(): number {
    return this.#filled < FIXED_BYTES ? FIXED_BYTES : FIXED_BYTES + this.#head.readUInt32BE(8) + SEQUENCE_BYTES
  }

  #advance(): void {
    const head = this.#head
    const frameBytes = head.readUInt32BE(0)
    const nameBytes = head.readUInt32BE(8)
    const headBytes = FIXED_BYTES + nameBytes + SEQUENCE_BYTES
    if (this.#filled < headBytes || nameBytes === 0) {
      const isMessage = head.readUIntBE(4, 3) === VERSION_1 && (TYPES[head[7]!] ?? null) !== null
      this.isBroken =
        !isMessage || nameBytes > MAX_THRIFT_NAME_BYTES || frameBytes > MAX_THRIFT_FRAME_BYTES || FRAME_BYTES + frameBytes < headBytes
      if (this.isBroken || this.#filled < headBytes) return
    }
    const name = head.toString('utf8', FIXED_BYTES, FIXED_BYTES + nameBytes)
    const colon = name.indexOf(':')
    this.#filled = 0
    this.#skip = FRAME_BYTES + frameBytes - headBytes
    const sequence = head.readInt32BE(headBytes - SEQUENCE_BYTES)
    this.#onMessage(TYPES[head[7]!] as ThriftMessageType, colon < 0 ? '' : name.slice(0, colon), name.slice(colon + 1), sequence)
  }
}
