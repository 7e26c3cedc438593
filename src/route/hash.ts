/**
 * The hash of the two lookups that must not cut pieces out of a request's text: wildcard hosts by suffix, path segments by place. Their
 * keys come from the configuration alone, so no client can fill them with collisions.
 */

/** One step: the hash of a text with one more character code. Begins with 0. */
export function mixHash(hash: number, code: number): number {
  return Math.imul(hash ^ code, 0x9e3779b1)
}

/** The slot at which the search for a hash begins. `salt` keeps equal texts in different places apart. */
export function slotOf(hash: number, salt: number, mask: number): number {
  const mixed = Math.imul(hash ^ Math.imul(salt, 0x85ebca6b), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 15)) & mask
}

/** A power of two of which `entries` fill at most half. */
export function slotCount(entries: number): number {
  let size = 4
  while (size < entries * 2) size *= 2
  return size
}
