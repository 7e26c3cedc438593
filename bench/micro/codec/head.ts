/**
 * Nanoseconds per HTTP/1.1 head: `node bench/micro/codec/head.ts`.
 *
 * Every parse gets a string decoded just before, as on a connection: a string that lives on becomes another kind of string to V8, and
 * its characters another price. The cost of decoding is shown apart and is contained in the others. Rounds of all variants alternate;
 * minimum and median count. Below the functions of the codec stand the ways of doing their parts that were tried and lost.
 */
import { CHAR_CLASS, CHAR_TOKEN, CHAR_VALUE } from '../../../src/codec/chars.ts'
import { headerIdAt } from '../../../src/codec/header-id.ts'
import { encodeFields } from '../../../src/codec/http1/encode.ts'
import { parseRequestHead, parseResponseHead, RequestHead, ResponseHead } from '../../../src/codec/http1/head.ts'
import { BROWSER, BY_LENGTH, RESPONSE, SMALL } from './inputs.ts'

const LIMITS = { headBytes: 61_440, headers: 100, uriBytes: 8192 }
const ROUNDS = 21
const ROUND_CHARS = 12_000_000

const CR = 13
const COLON = 58

/** Reads all field lines and returns a number that depends on every name and value: equal for all ways of doing it. */
type Scan = (text: string, bytes: Uint8Array, at: number) => number

/** What the codec does: one class look-up per character. */
const scanText: Scan = (text, _bytes, start) => {
  let at = start
  let sum = 0
  for (;;) {
    const name = at
    let code = text.charCodeAt(at)
    while (code < 256 && ((CHAR_CLASS[code] as number) & CHAR_TOKEN) !== 0) code = text.charCodeAt(++at)
    if (code !== COLON) return code === CR ? sum : -1
    const value = ++at
    code = text.charCodeAt(at)
    while (code < 256 && ((CHAR_CLASS[code] as number) & CHAR_VALUE) !== 0) code = text.charCodeAt(++at)
    if (code !== CR || text.charCodeAt(at + 1) !== 10) return -1
    sum += (value - name) * 3 + (at - value)
    at += 2
  }
}

/** The same over the bytes: about a third less, but names and values are wanted as text, so the head is decoded anyway. */
const scanBytes: Scan = (_text, bytes, start) => {
  let at = start
  let sum = 0
  for (;;) {
    const name = at
    while (((CHAR_CLASS[bytes[at] as number] as number) & CHAR_TOKEN) !== 0) at++
    if (bytes[at] !== COLON) return bytes[at] === CR ? sum : -1
    const value = ++at
    while (((CHAR_CLASS[bytes[at] as number] as number) & CHAR_VALUE) !== 0) at++
    if (bytes[at] !== CR || bytes[at + 1] !== 10) return -1
    sum += (value - name) * 3 + (at - value)
    at += 2
  }
}

const FIELD = /([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t\x20-\x7e\x80-\xff]*\r\n/y

/** One sticky expression per line: the match objects cost more than the characters. */
const scanRegex: Scan = (text, _bytes, start) => {
  FIELD.lastIndex = start
  let at = start
  let sum = 0
  for (let match = FIELD.exec(text); match !== null; match = FIELD.exec(text)) {
    const nameLength = (match[1] as string).length
    sum += (nameLength + 1) * 3 + (match[0].length - nameLength - 3)
    at = FIELD.lastIndex
  }
  return text.charCodeAt(at) === CR ? sum : -1
}

const FORBIDDEN = /[^\t\r\n\x20-\x7e\x80-\xff]/

/** All values at once by one expression, line ends by indexOf: the expression alone costs what the loop costs. */
const scanIndexOf: Scan = (text, _bytes, start) => {
  if (FORBIDDEN.test(text)) return -1
  let at = start
  let sum = 0
  for (;;) {
    const name = at
    let code = text.charCodeAt(at)
    while (code < 256 && ((CHAR_CLASS[code] as number) & CHAR_TOKEN) !== 0) code = text.charCodeAt(++at)
    if (code !== COLON) return code === CR ? sum : -1
    const value = ++at
    at = text.indexOf('\r', at)
    const lf = text.indexOf('\n', value)
    if (at === -1 || lf !== at + 1) return -1
    sum += (value - name) * 3 + (at - value)
    at += 2
  }
}

/**
 * Four bytes at a time for control characters and line ends, then line ends by indexOf. The fastest for long heads, but it needs the
 * bytes beside the text and their place in memory divisible by four, and gains nothing for small heads.
 */
const scanWords: Scan = (text, bytes, start) => {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2)
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as number
    const del = word ^ 0x7f7f7f7f
    const hit = (((word - 0x20202020) & ~word) | ((del - 0x01010101) & ~del)) & 0x80808080
    if (hit !== 0 && !areControlsInPlace(bytes, i * 4, i * 4 + 4)) return -1
  }
  if (!areControlsInPlace(bytes, words.length * 4, bytes.length)) return -1
  let at = start
  let sum = 0
  for (;;) {
    const name = at
    let code = text.charCodeAt(at)
    while (code < 256 && ((CHAR_CLASS[code] as number) & CHAR_TOKEN) !== 0) code = text.charCodeAt(++at)
    if (code !== COLON) return code === CR ? sum : -1
    const value = ++at
    at = text.indexOf('\r', at)
    if (at === -1) return -1
    sum += (value - name) * 3 + (at - value)
    at += 2
  }
}

/** CR only before LF, LF only behind CR, and no other control character but HTAB. */
function areControlsInPlace(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) {
    const code = bytes[i] as number
    if (code === CR ? bytes[i + 1] !== 10 : code === 10 ? bytes[i - 1] !== CR : ((CHAR_CLASS[code] as number) & CHAR_VALUE) === 0)
      return false
  }
  return true
}

function idByLength(text: string, start: number, end: number): number {
  const candidates = BY_LENGTH[end - start]
  if (candidates === undefined) return 0
  next: for (let c = 0; c < candidates.length; c++) {
    const { name, id } = candidates[c] as { name: string; id: number }
    for (let k = 0; k < name.length; k++) if ((text.charCodeAt(start + k) | 32) !== name.charCodeAt(k)) continue next
    return id
  }
  return 0
}

/** Ids of all names of a head, by either way. */
function sumIds(text: string, find: (text: string, start: number, end: number) => number): number {
  let sum = 0
  for (let at = text.indexOf('\n') + 1; text.charCodeAt(at) !== CR; at = text.indexOf('\n', at) + 1)
    sum += find(text, at, text.indexOf(':', at))
  return sum
}

function startsLikeGet(text: string): number {
  return text.startsWith('GET ', 0) && text.startsWith('HTTP/1.1\r\n', text.indexOf(' ', 4) + 1) ? 1 : 0
}

function charsLikeGet(text: string): number {
  if (text.charCodeAt(0) !== 71 || text.charCodeAt(1) !== 69 || text.charCodeAt(2) !== 84 || text.charCodeAt(3) !== 32) return 0
  const at = text.indexOf(' ', 4) + 1
  for (let i = 0; i < 10; i++) if (text.charCodeAt(at + i) !== VERSION.charCodeAt(i)) return 0
  return 1
}
const VERSION = 'HTTP/1.1\r\n'

interface Variant {
  readonly name: string
  readonly bytes: Buffer
  run(text: string, bytes: Buffer): number
  readonly times: number[]
}

const variants: Variant[] = []
function add(name: string, text: string, run: (text: string, bytes: Buffer) => number): void {
  // In memory of its own, at a multiple of eight.
  const bytes = Buffer.from(new ArrayBuffer(text.length))
  bytes.write(text, 'latin1')
  variants.push({ name, bytes, run, times: [] })
}

const request = new RequestHead()
const response = new ResponseHead()
const parsed = new RequestHead()
const changed = new RequestHead()
parseRequestHead(BROWSER, parsed, LIMITS)
parseRequestHead(BROWSER, changed, LIMITS)
changed.headers.remove('connection')
changed.headers.add('X-Forwarded-For', '192.0.2.1')

for (const [name, text] of [
  ['small request', SMALL],
  ['browser request', BROWSER],
  ['response', RESPONSE],
] as const)
  add(`decode ${name}`, text, (decoded) => decoded.length)
add('parseRequestHead, small', SMALL, (text) => parseRequestHead(text, request, LIMITS))
add('parseRequestHead, browser', BROWSER, (text) => parseRequestHead(text, request, LIMITS))
add('parseResponseHead', RESPONSE, (text) => parseResponseHead(text, response, LIMITS))
add('encodeFields, unchanged', SMALL, () => encodeFields(parsed.headers).length)
add('encodeFields, one removed and one added', SMALL, () => encodeFields(changed.headers).length)

const fieldsAt = BROWSER.indexOf('\n') + 1
const scans: [string, Scan][] = [
  ['by character (kept)', scanText],
  ['by byte', scanBytes],
  ['by sticky expression', scanRegex],
  ['by one expression and indexOf', scanIndexOf],
  ['by words and indexOf', scanWords],
]
const expected = scanText(BROWSER, Buffer.from(BROWSER, 'latin1'), fieldsAt)
for (const [name, scan] of scans) {
  add(`field lines, browser, ${name}`, BROWSER, (text, bytes) => scan(text, bytes, fieldsAt))
  const { bytes } = variants.at(-1) as Variant
  if (expected <= 0 || scan(BROWSER, bytes, fieldsAt) !== expected) throw new Error(`${name} reads something else`)
}
add('header ids, browser, length and first letter (kept)', BROWSER, (text) => sumIds(text, headerIdAt))
add('header ids, browser, by length', BROWSER, (text) => sumIds(text, idByLength))
if (sumIds(BROWSER, headerIdAt) !== sumIds(BROWSER, idByLength)) throw new Error('the ids differ')
add('method and version by character', SMALL, charsLikeGet)
add('method and version by startsWith (kept)', SMALL, startsLikeGet)

let sink = 0
for (let round = 0; round < ROUNDS; round++) {
  for (const { bytes, run, times } of variants) {
    const count = Math.ceil(ROUND_CHARS / (bytes.length + 200) / 3)
    const from = process.hrtime.bigint()
    for (let i = 0; i < count; i++) sink += run(bytes.toString('latin1'), bytes)
    // The first rounds compile.
    if (round >= 3) times.push(Number(process.hrtime.bigint() - from) / count)
  }
}

process.stdout.write(
  `small request ${SMALL.length} bytes, browser request ${BROWSER.length}, response ${RESPONSE.length} (check ${sink % 10})\n`,
)
for (const { name, times } of variants) {
  times.sort((a, b) => a - b)
  const format = (value: number | undefined): string => (value ?? 0).toFixed(0).padStart(6)
  process.stdout.write(`${name.padEnd(56)} min ${format(times[0])} ns   median ${format(times[times.length >> 1])} ns\n`)
}
