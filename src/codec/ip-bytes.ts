import { parseCidr } from '../base/cidr.ts'

/** IP addresses as bytes in network order. */

/** 4 or 16 bytes; null for what is no address. A zone id is left out, and an IPv4-mapped address is the IPv4 address. */
export function addressToBytes(address: string): Uint8Array | null {
  const zone = address.indexOf('%')
  const bare = zone < 0 ? address : address.slice(0, zone)
  if (bare.includes('/')) return null
  try {
    const { family, first } = parseCidr(bare)
    const bytes = new Uint8Array(family === 4 ? 4 : 16)
    let rest = first
    for (let i = bytes.length - 1; i >= 0; i--) {
      bytes[i] = Number(rest & 0xffn)
      rest >>= 8n
    }
    return bytes
  } catch {
    return null
  }
}

/** The same address in 16 bytes: IPv4 as `::ffff:a.b.c.d`. */
export function toMapped(bytes: Uint8Array): Uint8Array {
  if (bytes.length === 16) return bytes
  const mapped = new Uint8Array(16)
  mapped[10] = 0xff
  mapped[11] = 0xff
  mapped.set(bytes, 12)
  return mapped
}

export function formatIpv4(bytes: Uint8Array, at: number): string {
  return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`
}

const GROUPS = 8

/** In the form of RFC 5952; an IPv4-mapped address as IPv4. */
export function formatIpv6(bytes: Uint8Array, at: number): string {
  if (isMapped(bytes, at)) return formatIpv4(bytes, at + 12)
  let bestStart = -1
  let bestLength = 1
  for (let start = 0; start < GROUPS; start++) {
    let length = 0
    while (start + length < GROUPS && group(bytes, at, start + length) === 0) length++
    if (length > bestLength) {
      bestStart = start
      bestLength = length
    }
  }
  let text = ''
  for (let i = 0; i < GROUPS; i++) {
    if (i === bestStart) {
      text += '::'
      i += bestLength - 1
      continue
    }
    if (text !== '' && !text.endsWith(':')) text += ':'
    text += group(bytes, at, i).toString(16)
  }
  return text
}

function group(bytes: Uint8Array, at: number, index: number): number {
  return (bytes[at + index * 2]! << 8) | bytes[at + index * 2 + 1]!
}

function isMapped(bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < 10; i++) if (bytes[at + i] !== 0) return false
  return bytes[at + 10] === 0xff && bytes[at + 11] === 0xff
}
