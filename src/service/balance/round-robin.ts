import type { Endpoint } from '../endpoint.ts'
import { NO_ENDPOINTS, type Pick, type PickContext, type Picker, type PickerOptions } from '../picker.ts'
import { isTried, UsableEndpoints } from './usable-endpoints.ts'

/** One endpoint as an operator sees it: what it has saved up, and its share now (0: put aside or drained). */
export interface RoundRobinRow {
  address: string
  currentWeight: number
  effectiveWeight: number
}

/**
 * Smooth weighted round robin: every usable endpoint's current weight rises by its effective weight, the highest is chosen (the
 * first of equals) and pays the sum of all. With weights 4, 3, 2 that is A B C A B A C B A, then again. With equal weights it is
 * plain turn-taking, which is done by an index instead.
 *
 * An endpoint that is put aside, or that this request has already tried, saves nothing up meanwhile; otherwise it would be
 * flooded afterwards.
 */
export function createRoundRobinPicker(endpoints: readonly Endpoint[], options: PickerOptions): RoundRobinPicker {
  return new RoundRobinPicker(endpoints, options)
}

export class RoundRobinPicker implements Picker {
  readonly #usable: UsableEndpoints
  /** Weights saved up; in use while the weights differ. Their sum stays near 0, so that a newcomer at 0 is on a par. */
  readonly #current: Float64Array
  /** Whose turn it is; in use while all weights are equal. */
  #next = 0
  #isInTurn = true
  #revision = -1
  /** Turns to skip before the first pick. */
  #skip: number

  constructor(endpoints: readonly Endpoint[], options: PickerOptions) {
    this.#usable = new UsableEndpoints(endpoints, options)
    this.#current = new Float64Array(endpoints.length)
    this.#skip = options.startOffset ?? 0
    if (options.previous instanceof RoundRobinPicker) this.#continueFrom(options.previous)
  }

  pick(context: PickContext): Pick {
    const usable = this.#usable
    const trial = usable.refresh(context)
    if (usable.revision !== this.#revision) this.#adapt()
    if (trial >= 0) return usable.picks[trial]!
    if (usable.upCount === 0) return NO_ENDPOINTS
    const tried = context.tried !== null && usable.hasUntried(context.tried) ? context.tried : null
    return usable.picks[this.#isInTurn ? this.#takeTurn(tried) : this.#takeHighest(tried)]!
  }

  /** A table for people: after a pick, what each endpoint has saved up. */
  inspect(): RoundRobinRow[] {
    const { endpoints, weights } = this.#usable
    const saved = this.#isInTurn ? this.#savedInTurn() : this.#current
    return endpoints.map((endpoint, i) => ({ address: endpoint.address, currentWeight: saved[i]!, effectiveWeight: weights[i]! }))
  }

  #takeTurn(tried: readonly Endpoint[] | null): number {
    const { endpoints, weights, up } = this.#usable
    let index = this.#next
    for (let step = 0; step < weights.length; step++) {
      const candidate = index
      index = candidate + 1 === weights.length ? 0 : candidate + 1
      if (weights[candidate] === 0 || (tried !== null && isTried(tried, endpoints[candidate]!))) continue
      this.#next = index
      return candidate
    }
    return up[0]!
  }

  #takeHighest(tried: readonly Endpoint[] | null): number {
    const { endpoints, weights, up, upCount } = this.#usable
    const current = this.#current
    if (tried === null) return this.#takeHighestOfAll(weights, current)
    let best = up[0]!
    let highest = Number.NEGATIVE_INFINITY
    let total = 0
    for (let k = 0; k < upCount; k++) {
      const index = up[k]!
      if (isTried(tried, endpoints[index]!)) continue
      const weight = weights[index]!
      const saved = current[index]! + weight
      current[index] = saved
      total += weight
      if (saved > highest) {
        highest = saved
        best = index
      }
    }
    current[best] = highest - total
    return best
  }

  /** The usual case, that nothing was tried: without the detour over `up` it takes half the time (bench/micro/service/pick.ts). */
  #takeHighestOfAll(weights: Float64Array, current: Float64Array): number {
    let best = 0
    let highest = Number.NEGATIVE_INFINITY
    for (let i = 0; i < weights.length; i++) {
      const weight = weights[i]!
      if (weight === 0) continue
      const saved = current[i]! + weight
      current[i] = saved
      if (saved > highest) {
        highest = saved
        best = i
      }
    }
    current[best] = highest - this.#usable.totalWeight
    return best
  }

  /** The weights have changed: keep the order as it was as far as that has a meaning. */
  #adapt(): void {
    const usable = this.#usable
    this.#revision = usable.revision
    if (this.#isInTurn !== usable.isEqual) {
      if (this.#isInTurn) this.#current.set(this.#savedInTurn())
      else this.#next = this.#indexOfHighest()
      this.#isInTurn = usable.isEqual
    }
    if (!this.#isInTurn) this.#level()
    for (; this.#skip > 0 && usable.upCount > 0; this.#skip--) {
      if (this.#isInTurn) this.#takeTurn(null)
      else this.#takeHighest(null)
    }
  }

  /** Takes away what those out of use had saved, and shifts the others so that their sum is about 0 again. */
  #level(): void {
    const { weights, up, upCount } = this.#usable
    const current = this.#current
    let sum = 0
    for (let i = 0; i < weights.length; i++) {
      if (weights[i] === 0) current[i] = 0
      else sum += current[i]!
    }
    const shift = Math.trunc(sum / upCount)
    if (shift === 0) return
    for (let k = 0; k < upCount; k++) current[up[k]!]! -= shift
  }

  /** What turn-taking would have saved up, had it been done by weights: those who had their turn have paid for it. */
  #savedInTurn(): Float64Array {
    const { weights, up, upCount, totalWeight } = this.#usable
    const saved = new Float64Array(weights.length)
    const weight = upCount === 0 ? 0 : Math.trunc(totalWeight / upCount)
    let served = 0
    for (let k = 0; k < upCount; k++) if (up[k]! < this.#next) served++
    for (let k = 0; k < upCount; k++) saved[up[k]!] = (k < served ? served - upCount : served) * weight
    return saved
  }

  #indexOfHighest(): number {
    const { up, upCount } = this.#usable
    let best = upCount === 0 ? 0 : up[0]!
    for (let k = 1; k < upCount; k++) if (this.#current[up[k]!]! > this.#current[best]!) best = up[k]!
    return best
  }

  /** Takes over the position of the picker this one replaces, by address. */
  #continueFrom(previous: RoundRobinPicker): void {
    const indexes = new Map<string, number>()
    for (const [index, endpoint] of this.#usable.endpoints.entries()) indexes.set(endpoint.address, index)
    const before = previous.#usable.endpoints
    for (const [i, endpoint] of before.entries()) {
      const index = indexes.get(endpoint.address)
      if (index !== undefined) this.#current[index] = previous.#current[i]!
    }
    for (let step = 0; step < before.length; step++) {
      const index = indexes.get(before[(previous.#next + step) % before.length]!.address)
      if (index === undefined) continue
      this.#next = index
      break
    }
    this.#isInTurn = previous.#isInTurn
    this.#skip = previous.#skip
  }
}
