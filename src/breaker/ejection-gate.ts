import type { SharedArea } from '../base/shared-area.ts'
import { maxEjectable } from './ejection.ts'

/** Words of shared memory one gate takes. */
export const EJECTION_GATE_WORDS = 16

/**
 * The number of endpoints of a service that are ejected now, exact over all workers: each worker asks before it ejects one on its
 * own, so that several of them together never eject all.
 */
export class EjectionGate {
  readonly #words: Int32Array
  readonly #at: number
  readonly #allowed: number

  constructor(area: SharedArea, endpoints: number, maxEjectedRatio: number) {
    this.#words = area.words
    this.#at = area.at
    this.#allowed = maxEjectable(endpoints, maxEjectedRatio)
  }

  get ejected(): number {
    return Atomics.load(this.#words, this.#at)
  }

  /** True: eject it, and call `leave` when it returns. */
  tryEnter(): boolean {
    const index = this.#at
    for (let ejected = Atomics.load(this.#words, index); ejected < this.#allowed; ) {
      const seen = Atomics.compareExchange(this.#words, index, ejected, ejected + 1)
      if (seen === ejected) return true
      ejected = seen
    }
    return false
  }

  leave(): void {
    Atomics.sub(this.#words, this.#at, 1)
  }
}
