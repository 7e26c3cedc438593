import type { Wire, WireBuffer, WireOwner } from '../base/wire.ts'
import type { Counter } from '../observe/metrics-types.ts'
import type { Throttle } from './throttle.ts'

/** What owns the two sides of a relay. */
export interface RelayOwner {
  /** Bytes before the sides are joined. Return false to stop reading until then. */
  onEarlyData(side: RelaySide, bytes: WireBuffer, length: number): boolean
  /** A FIN before the sides are joined. */
  onEarlyEnd(side: RelaySide): void
  /** Bytes came in on either side. Returns the time, which it has read anyway. */
  onActivity(): number
  /** One of the sockets is closed; `side.wire` is null from now on. Without an error and with `side.hasEnded` it was in order. */
  onSideClosed(side: RelaySide, error: Error | null): void
}

/** Reads the bytes that pass by; for counting only. */
export interface RelayReader {
  read(bytes: Buffer, length: number): void
}

/** A read of this size or more says that much is on its way: the next goes into a bulk buffer, which is not copied. */
const BULK_FROM_BYTES = 32 * 1024
/** A read this small into a bulk buffer gives the buffer back. */
const BULK_BELOW_BYTES = 8 * 1024

/**
 * One of two sockets whose bytes go to the other. A FIN is passed on behind the bytes before it, and the other direction goes on:
 * `printf x | nc -N` still gets its whole answer. A socket that is full pauses the other.
 */
export class RelaySide implements WireOwner {
  wire: Wire | null = null
  /** Bytes received here and passed on. */
  bytes = 0
  /** The FIN of this side has come. */
  hasEnded = false
  /** null: as fast as it goes. */
  throttle: Throttle | null = null
  /** null: nobody looks. */
  reader: RelayReader | null = null
  readonly #owner: RelayOwner
  #other: RelaySide | null = null
  #counter: Counter | null = null
  #isOtherFull = false
  #isThrottled = false

  constructor(owner: RelayOwner) {
    this.#owner = owner
  }

  /** From now on, what comes in here goes to `other`. Reading starts with `resume`. */
  join(other: RelaySide, counter: Counter): void {
    this.#other = other
    this.#counter = counter
  }

  /** Reads again, unless something speaks against it. */
  resume(): void {
    if (!this.#isOtherFull && !this.#isThrottled) this.wire?.resume()
  }

  onData(bytes: WireBuffer, length: number): boolean {
    const from = this.wire
    if (this.#other === null) return this.#owner.onEarlyData(this, bytes, length)
    const to = this.#other.wire
    // The other side is gone: the owner is about to end this one.
    if (from === null || to === null) return true
    const nowMs = this.#owner.onActivity()
    this.bytes += length
    this.#counter?.add(length)
    this.reader?.read(bytes, length)
    this.#isOtherFull = !to.writeBytes(bytes, 0, length, from.isBulk)
    if (this.throttle !== null) this.#isThrottled = !this.throttle.take(length, nowMs)
    else if (length >= BULK_FROM_BYTES) from.startBulk()
    else if (length < BULK_BELOW_BYTES && from.isBulk && !this.#isOtherFull) from.endBulk(true)
    return !this.#isOtherFull && !this.#isThrottled
  }

  onThrottlePaid(): void {
    this.#isThrottled = false
    this.resume()
  }

  onEnd(): void {
    this.hasEnded = true
    if (this.#other === null) this.#owner.onEarlyEnd(this)
    else this.#other.wire?.end()
  }

  /** What goes to this side has left: the other may read again. */
  onDrain(): void {
    const other = this.#other
    if (other === null) return
    other.#isOtherFull = false
    other.resume()
  }

  onClose(error: Error | null): void {
    this.wire = null
    this.throttle?.close()
    this.#owner.onSideClosed(this, error)
  }
}
