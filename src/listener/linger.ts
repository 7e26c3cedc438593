import { Timed, type TimerWheel } from '../base/timers.ts'
import type { Wire, WireOwner } from '../base/wire.ts'

/** After the last byte for the client: how long, and how much, it may still talk before the connection is torn down. */
const LINGER_MS = 2000
const LINGER_BYTES = 1024 * 1024

export interface LingerOptions {
  readonly wheel: TimerWheel
  readonly now: () => number
  /** How long the client may stand still while it still has to take what was written; 0 is no limit. */
  readonly sendMs: number
  /** The connection is gone. Called once. */
  readonly onClose: () => void
}

/**
 * The orderly end of a client's connection: our FIN goes out behind what is written, and what the client still sends is read and dropped
 * for a while. Closing with unread data would send an RST that can overtake the response.
 */
export class Linger extends Timed implements WireOwner {
  readonly #wire: Wire
  readonly #options: LingerOptions
  #received = 0
  /** `unsentBytes` when the client was last looked at. */
  #unsent = 0

  /** Takes the wire over. */
  constructor(wire: Wire, options: LingerOptions) {
    super()
    this.#wire = wire
    this.#options = options
    wire.owner = this
    wire.endBulk(false)
    wire.resume()
    if (wire.pendingBytes === 0) {
      wire.end()
      this.#arm(LINGER_MS)
      return
    }
    // The end of the response still waits for a slow client.
    this.#unsent = wire.unsentBytes
    if (options.sendMs > 0) this.#arm(options.sendMs)
    wire.end(() => {
      if (wire.socket.destroyed) return
      this.#unsent = 0
      this.deadlineMs = 0
      this.#arm(LINGER_MS)
    })
  }

  #arm(delayMs: number): void {
    this.#options.wheel.arm(this, this.#options.now() + delayMs)
  }

  onData(_bytes: Buffer, length: number): boolean {
    this.#received += length
    if (this.#received > LINGER_BYTES) this.#cut()
    return true
  }

  onEnd(): void {}

  onDrain(): void {}

  onClose(): void {
    this.#options.wheel.remove(this)
    this.#options.onClose()
  }

  override onDeadline(): void {
    const before = this.#unsent
    this.#unsent = this.#wire.unsentBytes
    // What was written moves, if slowly.
    if (this.#unsent !== 0 && this.#unsent < before) this.#arm(this.#options.sendMs)
    else this.#cut()
  }

  /** With a part of the response unsent, an orderly end would make a client believe that it has a body that runs until the close. */
  #cut(): void {
    if (this.#wire.pendingBytes > 0) this.#wire.reset()
    else this.#wire.destroy()
  }
}
