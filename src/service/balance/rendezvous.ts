import type { Endpoint } from '../endpoint.ts'
import { NO_ENDPOINTS, type Pick, type PickContext, type Picker, type PickerOptions } from '../picker.ts'
import { fractionOf, hashText, mix32 } from './hash.ts'
import { KeyedEndpoints } from './keyed-endpoints.ts'

/** Keys fall into this many classes by the upper bits of their hash; a class goes to one endpoint. A power of two. */
const CLASS_BITS = 16
const UNKNOWN = -1

/**
 * The same key to the same endpoint: the one that bids highest for it (Thaler and Ravishankar 1998), with bids of `-weight / ln(u)`,
 * where u is the hash of key and address as a fraction. Shares go exactly by weight, and when an endpoint goes only its own keys
 * move. Bids are made for 65,536 classes of keys and remembered until an endpoint goes out of use or comes back, because asking all
 * endpoints for each request would cost microseconds at a hundred of them. Bids are made with configured weights. A request without a
 * key goes to an endpoint drawn by weight.
 */
export function createRendezvousPicker(endpoints: readonly Endpoint[], options: PickerOptions): Picker {
  return new RendezvousPicker(endpoints, options)
}

class RendezvousPicker implements Picker {
  readonly #keyed: KeyedEndpoints
  readonly #seeds: Int32Array
  /** The highest bidder of each class, or UNKNOWN. */
  readonly #winners = new Int32Array(2 ** CLASS_BITS).fill(UNKNOWN)
  readonly #wasUp: Uint8Array
  #revision = -1

  constructor(endpoints: readonly Endpoint[], options: PickerOptions) {
    this.#keyed = new KeyedEndpoints(endpoints, options)
    this.#seeds = Int32Array.from(endpoints, (endpoint) => hashText(endpoint.address))
    this.#wasUp = new Uint8Array(endpoints.length)
  }

  pick(context: PickContext): Pick {
    const keyed = this.#keyed
    const { usable } = keyed
    const trial = usable.refresh(context)
    if (trial >= 0) return usable.picks[trial]!
    if (usable.upCount === 0) return NO_ENDPOINTS
    const key = context.hashKey
    if (key === null || key === undefined) return keyed.pickWithoutKey(context)
    if (usable.revision !== this.#revision) this.#adapt()
    const keyClass = hashText(key) >>> (32 - CLASS_BITS)
    keyed.begin(context)
    if (context.tried !== null) return usable.picks[this.#askAll(keyClass)]!
    let winner = this.#winners[keyClass]!
    if (winner === UNKNOWN) {
      winner = this.#askAll(keyClass)
      this.#winners[keyClass] = winner
    }
    return usable.picks[winner]!
  }

  /** Forgets all winners when the set of endpoints in use has changed; a change of effective weights is none. */
  #adapt(): void {
    const { weights, revision } = this.#keyed.usable
    this.#revision = revision
    let isSame = true
    for (let i = 0; i < weights.length; i++) {
      const isUp = weights[i] === 0 ? 0 : 1
      if (this.#wasUp[i] !== isUp) isSame = false
      this.#wasUp[i] = isUp
    }
    if (!isSame) this.#winners.fill(UNKNOWN)
  }

  #askAll(keyClass: number): number {
    const keyed = this.#keyed
    const { configured } = keyed.usable
    const hash = mix32(keyClass + 1)
    let winner = keyed.firstIn()
    let lowest = Number.POSITIVE_INFINITY
    for (let i = 0; i < configured.length; i++) {
      if (keyed.isOut(i)) continue
      // The lowest of the inverse: one logarithm, and no division by zero.
      const bid = -Math.log(fractionOf(mix32(hash ^ this.#seeds[i]!))) / configured[i]!
      if (bid < lowest) {
        lowest = bid
        winner = i
      }
    }
    return winner
  }
}
