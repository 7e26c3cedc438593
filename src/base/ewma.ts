/**
 * A mean that forgets: a value weighs half after `halfLifeMs`, however many came since, so that it does not matter how often
 * values arrive. The first value is taken as it is.
 */
export class Ewma {
  readonly #tauMs: number
  #value = Number.NaN
  #atMs = 0

  constructor(halfLifeMs: number) {
    this.#tauMs = halfLifeMs / Math.LN2
  }

  /** NaN until something was added. */
  get value(): number {
    return this.#value
  }

  add(value: number, nowMs: number): void {
    if (Number.isNaN(this.#value)) {
      this.#value = value
      this.#atMs = nowMs
      return
    }
    const elapsedMs = Math.max(0, nowMs - this.#atMs)
    this.#value = value + (this.#value - value) * Math.exp(-elapsedMs / this.#tauMs)
    if (nowMs > this.#atMs) this.#atMs = nowMs
  }

  /** Jumps to a value, as a peak does. */
  set(value: number, nowMs: number): void {
    this.#value = value
    this.#atMs = nowMs
  }
}
