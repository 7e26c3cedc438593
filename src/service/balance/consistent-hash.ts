import type { Endpoint } from '../endpoint.ts'
import { NO_ENDPOINTS, type Pick, type PickContext, type Picker, type PickerOptions } from '../picker.ts'
import { crc32, hashAt, hashText } from './hash.ts'
import { KeyedEndpoints } from './keyed-endpoints.ts'
import { HashRing } from './ring.ts'

export interface ConsistentHashConfig {
  /**
   * `fnv1a`: FNV-1a with a finaliser, and several places on the ring for each key. `crc32`: one place, CRC-32 of the key; the points
   * of an endpoint are the CRC-32 of 0, 1, 2 ... written in front of its address.
   */
  readonly hash: 'fnv1a' | 'crc32'
  /** Points on the ring for each unit of weight. */
  readonly virtualNodes: number
  /** No endpoint gets more than this many times its share of the requests in flight; null: no bound. Above 1. */
  readonly loadFactor: number | null
}

/**
 * Places of a key on the ring. The one with the shortest way to the next point wins (multi-probe consistent hashing, Appleton and
 * O'Reilly 2015): with 160 points for each endpoint one place leaves shares that differ by 8% (standard deviation), five by 2.6%.
 */
const PROBES = 5

/**
 * The same key to the same endpoint, on every gateway: the owner of the first point of the ring at or behind the hash of the key.
 * When an endpoint goes, only its own keys move, and they move by weight over all others. The ring is made from configured weights:
 * failures do not move keys until the endpoint is put aside. A request without a key goes to an endpoint drawn by weight.
 *
 * Bounded load (Mirrokni, Thorup, Zadimoghaddam 2018): an endpoint that has `loadFactor` times its share of all requests in flight
 * is passed over, so a hot key spills to the next endpoints on its way and always to the same ones.
 */
export function createConsistentHashPicker(endpoints: readonly Endpoint[], options: PickerOptions, config: ConsistentHashConfig): Picker {
  return new ConsistentHashPicker(endpoints, options, config)
}

class ConsistentHashPicker implements Picker {
  readonly #keyed: KeyedEndpoints
  readonly #ring: HashRing
  readonly #isCrc: boolean
  readonly #probes: number
  readonly #loads: LoadBound | null

  constructor(endpoints: readonly Endpoint[], options: PickerOptions, config: ConsistentHashConfig) {
    this.#keyed = new KeyedEndpoints(endpoints, options)
    this.#ring = new HashRing(endpoints, config.virtualNodes, config.hash)
    this.#isCrc = config.hash === 'crc32'
    this.#probes = this.#isCrc ? 1 : PROBES
    this.#loads = config.loadFactor === null ? null : new LoadBound(endpoints, config.loadFactor)
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
    const hash = this.#isCrc ? crc32(key) : hashText(key)
    const owner = this.#find(hash)
    return usable.picks[this.#loads === null ? owner : this.#findBelowBound(hash, owner, this.#loads)]!
  }

  /** The owner of a hash among those not left out. There is always one. */
  #find(hash: number): number {
    const keyed = this.#keyed
    const { points, owners } = this.#ring
    let best = 0
    let shortest = Number.POSITIVE_INFINITY
    for (let probe = 0; probe < this.#probes; probe++) {
      const place = hashAt(hash, probe)
      let i = this.#ring.find(place)
      if (keyed.anyOut) i = this.#skip(i)
      // Modulo 2^32, for the way round the end of the ring.
      const way = (points[i]! - place) >>> 0
      if (way < shortest) {
        shortest = way
        best = owners[i]!
      }
    }
    return best
  }

  /** The first point from here on whose owner is not left out. */
  #skip(i: number): number {
    const { owners } = this.#ring
    for (let step = 0; step < owners.length && this.#keyed.isOut(owners[i]!); step++) i = i + 1 === owners.length ? 0 : i + 1
    return i
  }

  #findBelowBound(hash: number, owner: number, loads: LoadBound): number {
    const keyed = this.#keyed
    const { weights, totalWeight } = keyed.usable
    loads.readOne()
    if (!loads.isFull(owner, weights, totalWeight)) return owner
    let index = owner
    while (keyed.inCount > 1) {
      keyed.leaveOut(index)
      index = this.#find(hash)
      if (!loads.isFull(index, weights, totalWeight)) return index
    }
    return owner
  }
}

/** Requests in flight over all endpoints, as far as known, and who has more than its share of them. */
class LoadBound {
  readonly #endpoints: readonly Endpoint[]
  readonly #loads: Int32Array
  readonly #factor: number
  #total = 0
  #next = 0

  constructor(endpoints: readonly Endpoint[], factor: number) {
    this.#endpoints = endpoints
    this.#loads = new Int32Array(endpoints.length)
    this.#factor = factor
  }

  /** Call once in each pick: the sum is made of counts that are read in turn, so it is as many picks old as there are endpoints. */
  readOne(): void {
    this.#read(this.#next)
    this.#next = this.#next + 1 === this.#loads.length ? 0 : this.#next + 1
  }

  /** Whether one request more would be too many here: more than the share of all there would be then, rounded up. */
  isFull(index: number, weights: Float64Array, totalWeight: number): boolean {
    const load = this.#read(index)
    return load + 1 > Math.ceil((this.#factor * (this.#total + 1) * weights[index]!) / totalWeight)
  }

  #read(index: number): number {
    const load = this.#endpoints[index]!.state.inFlight
    this.#total += load - this.#loads[index]!
    this.#loads[index] = load
    return load
  }
}
