import type { ByteWriter } from '../byte-writer.ts'

/**
 * The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B).
 *
 * Decoding is a state machine that takes a whole byte per step: a state is an inner vertex of the code tree, and a step gives at most two
 * symbols because the shortest code has five bits. Its table of 65,536 words is made at the first use of a thread.
 */

/** Codes of one length are consecutive and in the order of their symbols, so the lengths say everything. */
const SYMBOLS_BY_BITS: readonly [bits: number, symbols: readonly (string | number)[]][] = [
  [5, ['012aceiost']],
  [6, [' %-./3456789=A_bdfghlmnpru']],
  [7, [':BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz']],
  [8, ['&*,;XZ']],
  [10, ['!"()?']],
  [11, ["'+|"]],
  [12, ['#>']],
  [13, [0, '$@[]~']],
  [14, ['^}']],
  [15, ['<`{']],
  [19, ['\\', 195, 208]],
  [20, [128, 130, 131, 162, 184, 194, 224, 226]],
  [21, [153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230]],
  [22, [129, 132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187, 189, 190, 196, 198, 228, 232, 233]],
  [
    23,
    [
      1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165, 166, 168, 174, 175, 180, 182, 183, 188, 191, 197,
      231, 239,
    ],
  ],
  [24, [9, 142, 144, 145, 148, 159, 171, 206, 215, 225, 236, 237]],
  [25, [199, 207, 234, 235]],
  [26, [192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242, 243, 255]],
  [27, [203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251, 252, 253, 254]],
  [28, [2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 127, 220, 249]],
  [30, [10, 13, 22, 256]],
]

const END_OF_STRING = 256
const CODES = new Uint32Array(257)
const CODE_BITS = new Uint8Array(257)

let nextCode = 0
let lastBits = 5
for (const [bits, symbols] of SYMBOLS_BY_BITS) {
  nextCode <<= bits - lastBits
  lastBits = bits
  for (const part of symbols) {
    const ofPart = typeof part === 'number' ? [part] : Array.from(part, (char) => char.charCodeAt(0))
    for (const symbol of ofPart) {
      CODES[symbol] = nextCode++
      CODE_BITS[symbol] = bits
    }
  }
}

/** Word of the table: next state, first symbol, second symbol, number of symbols; or STEP_INVALID. */
const STATE_SHIFT = 18
const SECOND_SHIFT = 8
const COUNT_SHIFT = 16
const STEP_INVALID = -1
const STATES = 256

let steps: Int32Array | null = null
/** 1: the string may end in this state (only a padding of at most seven 1-bits stands behind the last symbol). */
const mayEnd = new Uint8Array(STATES)

/** The tree as two children per inner vertex: another vertex (0..255), or a symbol as -1 - symbol. */
function codeTree(): Int32Array {
  const children = new Int32Array(STATES * 2)
  let used = 1
  for (let symbol = 0; symbol <= END_OF_STRING; symbol++) {
    let at = 0
    const bits = CODE_BITS[symbol] as number
    for (let bit = bits - 1; bit > 0; bit--) {
      const slot = at * 2 + (((CODES[symbol] as number) >>> bit) & 1)
      if (children[slot] === 0) children[slot] = used++
      at = children[slot] as number
    }
    children[at * 2 + ((CODES[symbol] as number) & 1)] = -1 - symbol
  }
  return children
}

function makeSteps(): Int32Array {
  const children = codeTree()
  const table = new Int32Array(STATES * 256)
  for (let state = 0; state < STATES; state++) {
    for (let byte = 0; byte < 256; byte++) table[state * 256 + byte] = stepOf(children, state, byte)
  }
  let onlyOnes = 0
  for (let depth = 0; depth < 8; depth++) {
    mayEnd[onlyOnes] = 1
    onlyOnes = children[onlyOnes * 2 + 1] as number
  }
  return table
}

function stepOf(children: Int32Array, from: number, byte: number): number {
  let state = from
  let symbols = 0
  let count = 0
  for (let bit = 7; bit >= 0; bit--) {
    const child = children[state * 2 + ((byte >>> bit) & 1)] as number
    if (child >= 0) {
      state = child
      continue
    }
    // RFC 7541 section 5.2: an end-of-string symbol in the text is an error.
    if (child === -1 - END_OF_STRING) return STEP_INVALID
    symbols |= (-1 - child) << (count * SECOND_SHIFT)
    count++
    state = 0
  }
  return (state << STATE_SHIFT) | (count << COUNT_SHIFT) | symbols
}

/** Bytes that a coded string of `count` bytes can become at most; `huffmanDecode` needs this much room. */
export function huffmanRoom(count: number): number {
  return count * 2 + 2
}

/**
 * Decodes bytes[start, end) to `out` from `at` on. Returns the index behind the last symbol, or -1: an end-of-string symbol, a padding
 * longer than seven bits or one that is not all ones.
 */
export function huffmanDecode(bytes: Uint8Array, start: number, end: number, out: Uint8Array, at: number): number {
  steps ??= makeSteps()
  const table = steps
  let state = 0
  for (let i = start; i < end; i++) {
    const step = table[(state << 8) | (bytes[i] as number)] as number
    if (step === STEP_INVALID) return -1
    // Both places are written always: what is too much is overwritten by the next step.
    out[at] = step
    out[at + 1] = step >>> SECOND_SHIFT
    at += (step >>> COUNT_SHIFT) & 3
    state = step >>> STATE_SHIFT
  }
  return mayEnd[state] === 1 ? at : -1
}

/** Bytes that text[start, end) takes when coded. */
export function huffmanLength(text: string, start: number, end: number): number {
  let bits = 0
  for (let i = start; i < end; i++) bits += CODE_BITS[text.charCodeAt(i) & 255] as number
  return (bits + 7) >>> 3
}

/** Writes text[start, end) coded; the caller knows that it takes `length` bytes. */
export function huffmanEncode(text: string, start: number, end: number, length: number, writer: ByteWriter): void {
  writer.reserve(length)
  const { bytes } = writer
  let { at } = writer
  // Up to 7 bits wait here; with the longest code that makes 37, so codes above 24 bits are added in two parts.
  let waiting = 0
  let count = 0
  for (let i = start; i < end; i++) {
    const symbol = text.charCodeAt(i) & 255
    let code = CODES[symbol] as number
    let bits = CODE_BITS[symbol] as number
    if (bits > 24) {
      waiting = (waiting << (bits - 16)) | (code >>> 16)
      count += bits - 16
      code &= 0xffff
      bits = 16
      while (count >= 8) {
        count -= 8
        bytes[at++] = waiting >>> count
      }
    }
    waiting = (waiting << bits) | code
    count += bits
    while (count >= 8) {
      count -= 8
      bytes[at++] = waiting >>> count
    }
  }
  if (count > 0) bytes[at++] = (waiting << (8 - count)) | (0xff >>> count)
  writer.at = at
}
