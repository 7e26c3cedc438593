import type { Endpoint } from '../endpoint.ts'
import type { Pick, PickContext, PickerOptions } from '../picker.ts'
import { isTried, UsableEndpoints } from './usable-endpoints.ts'
import { WeightedDraw } from './weighted-draw.ts'

/** What balancing by key needs beside its table: whom this pick must leave out, and what becomes of a request without a key. */
export class KeyedEndpoints {
  readonly usable: UsableEndpoints
  readonly #draw: WeightedDraw
  /** The number of the pick that left this one out. */
  readonly #leftOut: Int32Array
  #pick = 0

  constructor(endpoints: readonly Endpoint[], options: PickerOptions) {
    this.usable = new UsableEndpoints(endpoints, options)
    this.#draw = new WeightedDraw(this.usable, options.random)
    this.#leftOut = new Int32Array(endpoints.length)
  }

  pickWithoutKey(context: PickContext): Pick {
    const { usable } = this
    if (context.tried !== null && usable.hasUntried(context.tried)) return usable.picks[this.#draw.drawUntried(context.tried)]!
    return usable.picks[usable.up[this.#draw.draw()]!]!
  }

  /** A new pick: those the request has tried are left out, unless nobody else is in use. */
  begin(context: PickContext): void {
    this.#pick = (this.#pick + 1) | 0
    const { tried } = context
    if (tried === null || !this.usable.hasUntried(tried)) return
    const { endpoints } = this.usable
    for (let i = 0; i < endpoints.length; i++) if (isTried(tried, endpoints[i]!)) this.leaveOut(i)
  }

  leaveOut(index: number): void {
    this.#leftOut[index] = this.#pick
  }

  isOut(index: number): boolean {
    return this.usable.weights[index] === 0 || this.#leftOut[index] === this.#pick
  }

  /** The first that is not left out. */
  firstIn(): number {
    const { up, upCount } = this.usable
    for (let k = 0; k < upCount; k++) if (this.#leftOut[up[k]!] !== this.#pick) return up[k]!
    return up[0]!
  }

  /** How many are not left out. */
  countIn(): number {
    let count = 0
    for (let k = 0; k < this.usable.upCount; k++) if (this.#leftOut[this.usable.up[k]!] !== this.#pick) count++
    return count
  }
}
