/**
 * The hashes of balancing by key. Every gateway must map a key to the same endpoint, so there is no seed, and what these functions
 * return must never change. They return signed 32-bit integers: larger numbers would be objects on the heap.
 */

const FNV_OFFSET = 0x811c9dc5
const FNV_PRIME = 0x01000193

/** The step between the probes of one key: 2^32 divided by the golden ratio, made odd. */
const STEP = 0x9e3779b1

/** The finaliser of MurmurHash3: every bit of the input changes every bit of the output with probability 1/2. A bijection. */
export function mix32(hash: number): number {
  hash ^= hash >>> 16
  hash = Math.imul(hash, 0x85ebca6b)
  hash ^= hash >>> 13
  hash = Math.imul(hash, 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}

/** FNV-1a over the low byte of every character code, and over the high byte of those that have one; then `mix32`. */
export function hashText(text: string): number {
  let hash = FNV_OFFSET
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    hash = Math.imul(hash ^ (code & 0xff), FNV_PRIME)
    if (code > 0xff) hash = Math.imul(hash ^ (code >>> 8), FNV_PRIME)
  }
  return mix32(hash)
}

/** The n-th of many hashes of one key, made from its first. Number 0 is the hash itself. */
export function hashAt(hash: number, n: number): number {
  return n === 0 ? hash : mix32(hash + Math.imul(n, STEP))
}

/** A hash as a number between 0 and 1, never one of them. */
export function fractionOf(hash: number): number {
  return ((hash >>> 0) + 0.5) / 4294967296
}

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  return crc
})

function addByte(crc: number, byte: number): number {
  return CRC_TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8)
}

/** CRC-32 (IEEE 802.3) of the text in UTF-8, as zlib computes it, but signed and without a call into native code. */
export function crc32(text: string): number {
  let crc = -1
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x80) crc = addByte(crc, code)
    else {
      const point = text.codePointAt(i)!
      crc = addMultiByte(crc, point >= 0xd800 && point <= 0xdfff ? 0xfffd : point)
      if (point > 0xffff) i++
    }
  }
  return ~crc
}

function addMultiByte(crc: number, point: number): number {
  if (point < 0x800) crc = addByte(crc, 0xc0 | (point >>> 6))
  else {
    if (point < 0x10000) crc = addByte(crc, 0xe0 | (point >>> 12))
    else {
      crc = addByte(crc, 0xf0 | (point >>> 18))
      crc = addByte(crc, 0x80 | ((point >>> 12) & 0x3f))
    }
    crc = addByte(crc, 0x80 | ((point >>> 6) & 0x3f))
  }
  return addByte(crc, 0x80 | (point & 0x3f))
}
