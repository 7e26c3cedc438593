import type { Endpoint } from '../endpoint.ts'
import { NO_ENDPOINTS, type Pick, type PickContext, type Picker, type PickerOptions } from '../picker.ts'
import { hashAt, hashText, mix32 } from './hash.ts'
import { KeyedEndpoints } from './keyed-endpoints.ts'

/** Prime, so that every step from 1 to one less goes through the whole table. Each is a hundred times the endpoints it is for. */
const SIZES: readonly { readonly upTo: number; readonly size: number }[] = [
  { upTo: 40, size: 4093 },
  { upTo: 160, size: 16_381 },
]
const LARGEST_SIZE = 65_537

/** How often a key whose endpoint is out of use is hashed again before the table is searched from there. */
const MAX_REHASHES = 16

/**
 * The same key to the same endpoint by one look into a table (Eisenbud and others, Maglev, NSDI 2016). Shares are within one part in
 * a hundred of the weights; when an endpoint goes, its keys move and a few of the others' with them. The table is made from configured
 * weights: 4093 places for up to 40 endpoints, 16,381 for up to 160, 65,537 for more; going from one size to the next moves most keys.
 * A request without a key goes to an endpoint drawn by weight.
 */
export function createMaglevPicker(endpoints: readonly Endpoint[], options: PickerOptions): Picker {
  return new MaglevPicker(endpoints, options)
}

class MaglevPicker implements Picker {
  readonly #keyed: KeyedEndpoints
  readonly #table: Int32Array

  constructor(endpoints: readonly Endpoint[], options: PickerOptions) {
    this.#keyed = new KeyedEndpoints(endpoints, options)
    this.#table = fillTable(endpoints)
  }

  pick(context: PickContext): Pick {
    const keyed = this.#keyed
    const { usable } = keyed
    const trial = usable.refresh(context)
    if (trial >= 0) return usable.picks[trial]!
    if (usable.upCount === 0) return NO_ENDPOINTS
    const key = context.hashKey
    if (key === null || key === undefined) return keyed.pickWithoutKey(context)
    keyed.begin(context)
    return usable.picks[this.#find(hashText(key))]!
  }

  #find(hash: number): number {
    const keyed = this.#keyed
    const table = this.#table
    let place = 0
    for (let n = 0; n < MAX_REHASHES; n++) {
      place = (hashAt(hash, n) >>> 0) % table.length
      if (!keyed.isOut(table[place]!)) return table[place]!
    }
    for (let step = 1; step < table.length; step++) {
      place = place + 1 === table.length ? 0 : place + 1
      if (!keyed.isOut(table[place]!)) return table[place]!
    }
    // Only one so light that it has no place in the table is left.
    return keyed.firstIn()
  }
}

/** Fills the table in turns: each endpoint takes the next free place of its own permutation, one of half the weight every second turn. */
function fillTable(endpoints: readonly Endpoint[]): Int32Array {
  const live = endpoints.map((_, index) => index).filter((index) => endpoints[index]!.weight > 0)
  // By address, so that all gateways have the same table, whatever the order of their lists.
  live.sort((a, b) => (endpoints[a]!.address < endpoints[b]!.address ? -1 : 1))
  const size = SIZES.find(({ upTo }) => live.length <= upTo)?.size ?? LARGEST_SIZE
  const table = new Int32Array(size).fill(-1)
  if (live.length === 0) return table
  const heaviest = live.reduce((most, index) => Math.max(most, endpoints[index]!.weight), 0)
  const turns = live.map((index) => {
    const hash = hashText(endpoints[index]!.address)
    const step = ((mix32(hash ^ 0x5bd1e995) >>> 0) % (size - 1)) + 1
    return { index, place: (hash >>> 0) % size, step, gain: endpoints[index]!.weight / heaviest, credit: 0 }
  })
  for (let filled = 0; filled < size; ) {
    for (const turn of turns) {
      turn.credit += turn.gain
      if (turn.credit < 1) continue
      turn.credit -= 1
      while (table[turn.place] !== -1) turn.place = (turn.place + turn.step) % size
      table[turn.place] = turn.index
      if (++filled === size) break
    }
  }
  return table
}
