import type { Clock } from '../base/clock.ts'

/** The value of a Date field (RFC 9110 section 5.6.7), made anew once a second. */
export class HttpDate {
  readonly #clock: Clock
  #text = ''
  #untilMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  text(): string {
    const nowMs = this.#clock.wallClock()
    if (nowMs >= this.#untilMs || nowMs < this.#untilMs - 1000) {
      this.#text = new Date(nowMs).toUTCString()
      this.#untilMs = nowMs - (nowMs % 1000) + 1000
    }
    return this.#text
  }
}
