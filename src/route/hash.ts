/**
 * The hash of the two lookups that must not cut pieces out of a request's text: wildcard hosts by suffix, path segments by place. Their
 * keys come from the configuration alone, so no client can fill them with collisions.
 */

/** One step: the hash of a text with one more character code. Begins with 0. */
export function mixHash(hash: number, code: number): number {
  return Math.imul(hash ^ code, 0x9e3779b1)
}

/**
 * A hash and the place it belongs to in one number. For equal hashes, different places give different keys: every step is a bijection.
 */
export function keyOf(hash: number, place: number): number {
  return Math.imul(hash ^ Math.imul(place, 0x85ebca6b), 0xc2b2ae35)
}

/** The slot at which the search for a key begins. */
export function slotOf(key: number, mask: number): number {
  return (key ^ (key >>> 15)) & mask
}

/** A power of two of which `entries` fill at most half. */
export function slotCount(entries: number): number {
  let size = 4
  while (size < entries * 2) size *= 2
  return size
}
