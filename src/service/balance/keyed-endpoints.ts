import type { Endpoint } from '../endpoint.ts'
import type { Pick, PickContext, PickerOptions } from '../picker.ts'
import { isTried, UsableEndpoints } from './usable-endpoints.ts'
import { WeightedDraw } from './weighted-draw.ts'

/** What balancing by key needs beside its table: whom this pick must leave out, and what becomes of a request without a key. */
export class KeyedEndpoints {
  readonly usable: UsableEndpoints
  /** Whether `isOut` may be true of any, in this pick. */
  anyOut = false
  /** How many are not left out, in this pick. */
  inCount = 0
  /** How many have a weight above 0. */
  readonly #live: number
  readonly #draw: WeightedDraw
  /** The number of the pick that left this one out. */
  readonly #leftOut: Int32Array
  #pick = 0

  constructor(endpoints: readonly Endpoint[], options: PickerOptions) {
    this.usable = new UsableEndpoints(endpoints, options)
    this.#draw = new WeightedDraw(this.usable, options.random)
    this.#leftOut = new Int32Array(endpoints.length)
    this.#live = this.usable.configured.reduce((count, weight) => (weight > 0 ? count + 1 : count), 0)
  }

  pickWithoutKey(context: PickContext): Pick {
    const { usable } = this
    if (context.tried !== null && usable.hasUntried(context.tried)) return usable.picks[this.#draw.drawUntried(context.tried)]!
    return usable.picks[usable.up[this.#draw.draw()]!]!
  }

  /** A new pick: those the request has tried are left out, unless nobody else is in use. */
  begin(context: PickContext): void {
    this.#pick = (this.#pick + 1) | 0
    this.inCount = this.usable.upCount
    this.anyOut = this.inCount < this.#live
    const { tried } = context
    if (tried === null || !this.usable.hasUntried(tried)) return
    const { endpoints } = this.usable
    for (let i = 0; i < endpoints.length; i++) if (isTried(tried, endpoints[i]!)) this.leaveOut(i)
  }

  leaveOut(index: number): void {
    if (this.isOut(index)) return
    this.#leftOut[index] = this.#pick
    this.anyOut = true
    this.inCount--
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
}
