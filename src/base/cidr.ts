/**
 * Address lists: IPv4 and IPv6 addresses and CIDR blocks (RFC 4632, RFC 4291) compiled to sorted, merged ranges, so that a lookup is
 * one parse and one binary search, whatever the length of the list.
 *
 * An IPv4-mapped IPv6 address (`::ffff:10.0.0.1`, what a dual-stack socket reports for an IPv4 client) is the IPv4 address. An IPv6
 * block therefore never contains an IPv4 address: `::/0` is every IPv6 address, and `0.0.0.0/0` every IPv4 one.
 */

/** A block of addresses, first and last included. */
export interface Cidr {
  readonly family: 4 | 6
  readonly first: bigint
  readonly last: bigint
}

/** A compiled list. `has` takes an address as text, allocates nothing, and is false for what is not an address. */
export interface AddressSet {
  has(address: string): boolean
}

const INVALID = -2
const IS_IPV6 = -1
const GROUPS = 8

const DOT = 46
const COLON = 58
const ZERO = 48
const NINE = 57

/**
 * Parses a single address or a CIDR block; bits below the prefix length are ignored, as in `10.1.2.3/8`.
 * Throws an Error that quotes the text and says what is wrong with it.
 */
export function parseCidr(text: string): Cidr {
  const slash = text.indexOf('/')
  const address = slash < 0 ? text : text.slice(0, slash)
  if (address.includes('%')) throw invalid(text, 'a zone id has no place in an address list')
  const groups = new Uint16Array(GROUPS)
  const parsed = parseAddress(address, groups)
  if (parsed === INVALID) throw invalid(text, `"${address}" is neither an IPv4 nor an IPv6 address`)
  if (parsed === IS_IPV6) return block(6, groupsToBigInt(groups), 128, slash < 0 ? 128 : parseLength(text, slash, 0, 128))
  // The length of a mapped block counts the 96 bits in front of the IPv4 address.
  const mappedBits = address.includes(':') ? 96 : 0
  const length = slash < 0 ? 32 : parseLength(text, slash, mappedBits, mappedBits + 32) - mappedBits
  return block(4, BigInt(parsed), 32, length)
}

/** Compiles addresses and CIDR blocks. Throws as `parseCidr` does, for the first entry that is not valid. */
export function createAddressSet(list: readonly string[]): AddressSet {
  return new RangeSet(list.map(parseCidr))
}

class RangeSet implements AddressSet {
  readonly #first4: Uint32Array
  readonly #last4: Uint32Array
  /** Eight 16-bit groups per range. */
  readonly #first6: Uint16Array
  readonly #last6: Uint16Array
  readonly #groups = new Uint16Array(GROUPS)

  constructor(blocks: readonly Cidr[]) {
    const ranges4 = mergeRanges(blocks.filter((range) => range.family === 4))
    const ranges6 = mergeRanges(blocks.filter((range) => range.family === 6))
    this.#first4 = Uint32Array.from(ranges4, (range) => Number(range.first))
    this.#last4 = Uint32Array.from(ranges4, (range) => Number(range.last))
    this.#first6 = Uint16Array.from(ranges6.flatMap((range) => bigIntToGroups(range.first)))
    this.#last6 = Uint16Array.from(ranges6.flatMap((range) => bigIntToGroups(range.last)))
  }

  has(address: string): boolean {
    const parsed = parseAddress(address, this.#groups)
    if (parsed === INVALID) return false
    return parsed === IS_IPV6 ? this.#hasGroups() : this.#hasNumber(parsed)
  }

  #hasNumber(value: number): boolean {
    let low = 0
    let high = this.#first4.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#first4[middle]! <= value) low = middle + 1
      else high = middle
    }
    return low > 0 && value <= this.#last4[low - 1]!
  }

  #hasGroups(): boolean {
    let low = 0
    let high = this.#first6.length / GROUPS
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareGroups(this.#first6, middle * GROUPS, this.#groups) <= 0) low = middle + 1
      else high = middle
    }
    return low > 0 && compareGroups(this.#last6, (low - 1) * GROUPS, this.#groups) >= 0
  }
}

/**
 * An IPv4 (or IPv4-mapped) address as its number; IS_IPV6 with the eight groups written to `groups`; or INVALID. A zone id after an
 * IPv6 address is allowed and ignored. Octets with a leading zero are refused: some systems read them as octal.
 */
function parseAddress(text: string, groups: Uint16Array): number {
  if (text.indexOf(':') < 0) return parseIpv4(text, 0, text.length)
  const zone = text.indexOf('%')
  if (zone === text.length - 1) return INVALID
  if (!parseIpv6(text, zone < 0 ? text.length : zone, groups)) return INVALID
  return isMapped(groups) ? groups[6]! * 65536 + groups[7]! : IS_IPV6
}

function parseIpv4(text: string, start: number, end: number): number {
  let value = 0
  let at = start
  for (let octets = 0; octets < 4; octets++) {
    if (octets > 0 && (at >= end || text.charCodeAt(at++) !== DOT)) return INVALID
    const first = at
    let octet = 0
    while (at < end && at - first < 3 && isDigit(text.charCodeAt(at))) octet = octet * 10 + text.charCodeAt(at++) - ZERO
    if (at === first || octet > 255 || (at - first > 1 && text.charCodeAt(first) === ZERO)) return INVALID
    value = value * 256 + octet
  }
  return at === end ? value : INVALID
}

function parseIpv6(text: string, end: number, groups: Uint16Array): boolean {
  let count = 0
  let gap = -1
  let at = 0
  if (text.charCodeAt(0) === COLON) {
    if (text.charCodeAt(1) !== COLON) return false
    gap = 0
    at = 2
  }
  while (at < end) {
    if (count === GROUPS) return false
    const first = at
    let group = 0
    for (; at < end; at++) {
      const digit = hexValue(text.charCodeAt(at))
      if (digit < 0) break
      if (at - first === 4) return false
      group = group * 16 + digit
    }
    if (at < end && text.charCodeAt(at) === DOT) {
      const tail = count > GROUPS - 2 ? INVALID : parseIpv4(text, first, end)
      if (tail === INVALID) return false
      groups[count++] = Math.floor(tail / 65536)
      groups[count++] = tail % 65536
      break
    }
    if (at === first) return false
    groups[count++] = group
    if (at === end) break
    if (text.charCodeAt(at++) !== COLON || at === end) return false
    if (text.charCodeAt(at) === COLON) {
      if (gap >= 0) return false
      gap = count
      at++
    }
  }
  return fillGap(groups, count, gap)
}

/** Moves the groups right of `::` to the end and zeroes what it stands for, which is at least one group. */
function fillGap(groups: Uint16Array, count: number, gap: number): boolean {
  if (gap < 0) return count === GROUPS
  if (count === GROUPS) return false
  groups.copyWithin(GROUPS - (count - gap), gap, count)
  groups.fill(0, gap, GROUPS - (count - gap))
  return true
}

function isMapped(groups: Uint16Array): boolean {
  for (let i = 0; i < 5; i++) if (groups[i] !== 0) return false
  return groups[5] === 0xffff
}

function isDigit(code: number): boolean {
  return code >= ZERO && code <= NINE
}

function hexValue(code: number): number {
  if (code >= ZERO && code <= NINE) return code - ZERO
  const lower = code | 0x20
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}

function compareGroups(ranges: Uint16Array, offset: number, groups: Uint16Array): number {
  for (let i = 0; i < GROUPS; i++) {
    const difference = ranges[offset + i]! - groups[i]!
    if (difference !== 0) return difference
  }
  return 0
}

function parseLength(text: string, slash: number, min: number, max: number): number {
  const digits = text.slice(slash + 1)
  const length = /^(0|[1-9][0-9]{0,2})$/.test(digits) ? Number(digits) : -1
  if (length < min || length > max) throw invalid(text, `the prefix length must be a number from ${min} to ${max}`)
  return length
}

function block(family: 4 | 6, address: bigint, bits: number, length: number): Cidr {
  const free = BigInt(bits - length)
  const first = (address >> free) << free
  return { family, first, last: first + (1n << free) - 1n }
}

function mergeRanges(blocks: readonly Cidr[]): Cidr[] {
  const sorted = [...blocks].sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))
  const merged: Cidr[] = []
  for (const range of sorted) {
    const previous = merged.at(-1)
    if (previous === undefined || range.first > previous.last + 1n) merged.push(range)
    else if (range.last > previous.last) merged[merged.length - 1] = { ...previous, last: range.last }
  }
  return merged
}

function groupsToBigInt(groups: Uint16Array): bigint {
  let value = 0n
  for (const group of groups) value = (value << 16n) | BigInt(group)
  return value
}

function bigIntToGroups(value: bigint): number[] {
  const groups: number[] = []
  for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(Number((value >> shift) & 0xffffn))
  return groups
}

function invalid(text: string, why: string): Error {
  return new Error(`"${text}" is not an address or CIDR block: ${why}`)
}
