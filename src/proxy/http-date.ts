import type { Clock } from '../base/clock.ts'

/** A Date field (RFC 9110 section 5.6.7), made anew once a second. */
export class HttpDate {
  readonly #clock: Clock
  #line = ''
  #untilMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The whole line, with its CRLF: the same string for a second. */
  line(): string {
    const nowMs = this.#clock.wallClock()
    if (nowMs >= this.#untilMs || nowMs < this.#untilMs - 1000) {
      this.#line = `Date: ${new Date(nowMs).toUTCString()}\r\n`
      this.#untilMs = nowMs - (nowMs % 1000) + 1000
    }
    return this.#line
  }
}
