import { crc32, hashAt, hashText } from './hash.ts'

/** A point for each of these endpoints on the circle of 2^32 hashes, as many as it has virtual nodes. */
export interface RingEntry {
  readonly address: string
  /** Configured weight; 0 has no points. */
  readonly weight: number
}

/**
 * Points of a ring: 131,072. Beyond it the number for each unit of weight is halved until they fit, so that a weight of 10,000 does
 * not cost seconds and gigabytes.
 */
export const MAX_POINTS = 2 ** 17

/** Where the points of an endpoint lie: point n of `address`. */
type PointHash = (address: string, n: number) => number

/** `fnv1a`: the hash of the address and its successors. `crc32`: of the number, in decimal digits, and the address behind it. */
const POINT_HASHES: { readonly [name in 'fnv1a' | 'crc32']: PointHash } = {
  fnv1a: (address, n) => hashAt(hashText(address), n + 1),
  crc32: (address, n) => crc32(`${n}${address}`),
}

/**
 * The circle of virtual nodes, sorted, with an index by the upper bits of the hash: the search for a place takes a step or two,
 * however many points there are. Where two endpoints have a point in the same place, the one with the lower address owns it whatever
 * their order, so that all gateways agree.
 */
export class HashRing {
  readonly points: Uint32Array
  /** Whose point it is: index into the entries. */
  readonly owners: Int32Array
  readonly #starts: Int32Array
  readonly #shift: number

  constructor(entries: readonly RingEntry[], virtualNodes: number, hash: 'fnv1a' | 'crc32') {
    const { points, owners } = sortPoints(entries, pointCounts(entries, virtualNodes), POINT_HASHES[hash])
    this.points = points
    this.owners = owners
    let bits = 1
    while (2 ** bits < points.length) bits++
    this.#shift = 32 - bits
    this.#starts = new Int32Array(2 ** bits)
    let point = 0
    for (let slot = 0; slot < this.#starts.length; slot++) {
      const first = slot * 2 ** this.#shift
      while (point < points.length && points[point]! < first) point++
      this.#starts[slot] = point
    }
  }

  /** The first point at this hash or after it, the very first behind the last. Only for a ring that has points. */
  find(hash: number): number {
    const { points } = this
    const place = hash >>> 0
    let i = this.#starts[hash >>> this.#shift]!
    while (i < points.length && points[i]! < place) i++
    return i === points.length ? 0 : i
  }
}

function pointCounts(entries: readonly RingEntry[], virtualNodes: number): number[] {
  let perWeight = virtualNodes
  for (;;) {
    const counts = entries.map(({ weight }) => (weight > 0 ? Math.max(1, Math.round(weight * perWeight)) : 0))
    const total = counts.reduce((sum, count) => sum + count, 0)
    // One point for each endpoint is the least there can be.
    if (total <= Math.max(MAX_POINTS, entries.length)) return counts
    perWeight /= 2
  }
}

const PLACES = 2 ** 20

function sortPoints(
  entries: readonly RingEntry[],
  counts: readonly number[],
  hash: PointHash,
): { points: Uint32Array; owners: Int32Array } {
  const byAddress = entries.map((_, index) => index).sort((a, b) => (entries[a]!.address < entries[b]!.address ? -1 : 1))
  // Hash and rank in one number, which sorts natively: 32 bits and 20 are less than the 53 of a double.
  const all = new Float64Array(counts.reduce((sum, count) => sum + count, 0))
  let used = 0
  byAddress.forEach((index, rank) => {
    for (let n = 0; n < counts[index]!; n++) all[used++] = (hash(entries[index]!.address, n) >>> 0) * PLACES + rank
  })
  all.sort()
  const points = new Uint32Array(all.length)
  const owners = new Int32Array(all.length)
  let kept = 0
  for (const value of all) {
    const point = Math.floor(value / PLACES)
    if (kept > 0 && points[kept - 1] === point) continue
    points[kept] = point
    owners[kept++] = byAddress[value % PLACES]!
  }
  return { points: points.slice(0, kept), owners: owners.slice(0, kept) }
}
