/** Times of everything that was counted, up to a second, in steps of 20 microseconds: no list that grows while load is made. */
const STEP_MS = 0.02
const STEPS = 50_000

/** Counts, and prints at the end what harness/ reads: one line of JSON, a LoadReport. */
export class Report {
  readonly #startMs = performance.now()
  readonly #times = new Uint32Array(STEPS)
  readonly #errors = new Map<string, number>()
  #count = 0

  /** One more, which took that long. */
  add(ms: number): void {
    this.#count++
    const step = Math.min(STEPS - 1, Math.floor(ms / STEP_MS))
    this.#times[step]!++
  }

  fail(message: string): void {
    this.#errors.set(message, (this.#errors.get(message) ?? 0) + 1)
  }

  print(): void {
    const seconds = (performance.now() - this.#startMs) / 1000
    const errors = [...this.#errors].map(([message, times]) => `${times} times: ${message}`)
    if (this.#count === 0) errors.push('nothing was done')
    const report = { requests: this.#count, seconds, p50Ms: this.#percentile(0.5), p99Ms: this.#percentile(0.99), errors }
    console.log(JSON.stringify(report))
  }

  #percentile(rank: number): number {
    let left = this.#count * rank
    for (let step = 0; step < STEPS; step++) {
      left -= this.#times[step]!
      if (left <= 0) return (step + 1) * STEP_MS
    }
    return 0
  }
}
