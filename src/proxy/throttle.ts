import { Timed, type TimerWheel } from '../base/timers.ts'

/** What may come at once after a pause. */
const BURST_MS = 100

/**
 * Bytes per second in one direction of one connection: a bucket that may go into debt by one read. While it is in debt, nothing is
 * read.
 */
export class Throttle extends Timed {
  readonly #bytesPerMs: number
  readonly #wheel: TimerWheel
  readonly #onPaid: () => void
  readonly #burstBytes: number
  #credit: number
  #atMs: number

  constructor(bytesPerSecond: number, nowMs: number, wheel: TimerWheel, onPaid: () => void) {
    super()
    this.#bytesPerMs = bytesPerSecond / 1000
    this.#burstBytes = this.#bytesPerMs * BURST_MS
    this.#credit = this.#burstBytes
    this.#atMs = nowMs
    this.#wheel = wheel
    this.#onPaid = onPaid
  }

  /** Bytes have gone through. False: no more until `onPaid`. */
  take(bytes: number, nowMs: number): boolean {
    this.#earn(nowMs)
    this.#credit -= bytes
    if (this.#credit >= 0) return true
    this.#wheel.arm(this, nowMs - this.#credit / this.#bytesPerMs)
    return false
  }

  #earn(nowMs: number): void {
    this.#credit = Math.min(this.#burstBytes, this.#credit + (nowMs - this.#atMs) * this.#bytesPerMs)
    this.#atMs = nowMs
  }

  override onDeadline(): void {
    this.#onPaid()
  }

  close(): void {
    this.#wheel.remove(this)
  }
}
