/**
 * Fuzzing the HTTP/1.1 codec: vectors are damaged at random and must keep the invariants of http1-checks.ts.
 *
 *   node test/fuzz/http1.ts --seconds 60 --seed 1
 *
 * An input that breaks one is written to test/fuzz/crashes/<kind>-<hash>.bin, which the normal tests replay from then on.
 */
import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { CHUNKED } from '../vectors/http1/chunked.ts'
import { REQUEST_FIELDS, REQUEST_HOST } from '../vectors/http1/request-fields.ts'
import { REQUEST_FRAMING } from '../vectors/http1/request-framing.ts'
import { REQUEST_LINE } from '../vectors/http1/request-line.ts'
import { RESPONSE } from '../vectors/http1/response.ts'
import { type Codec, checkInput, checkLinearTime, KINDS, type Kind, SLUICE } from './http1-checks.ts'

export const CRASH_FOLDER = fileURLToPath(new URL('crashes/', import.meta.url))

export interface Crash {
  readonly kind: Kind
  readonly text: string
  readonly message: string
}

export interface FuzzOptions {
  readonly codec?: Codec
  readonly seed: number
  /** Ends after so many inputs or so much time, whichever comes first. */
  readonly maxInputs: number
  readonly maxMs: number
  /** Ends at the first crash. Default: false. */
  readonly stopAtCrash?: boolean
  readonly nowMs: () => number
}

export interface FuzzReport {
  readonly inputs: number
  readonly crashes: readonly Crash[]
}

/** Inputs between two checks of the running time, which cost as much as hundreds of others. */
const LINEAR_EVERY = 500
const MAX_CRASHES = 20
const MAX_INPUT_BYTES = 4096

const short = (vectors: readonly { bytes: string }[]): string[] =>
  vectors.map(({ bytes }) => bytes).filter((bytes) => bytes.length <= MAX_INPUT_BYTES)
const CORPUS: Readonly<Record<Kind, readonly string[]>> = {
  request: short([...REQUEST_LINE, ...REQUEST_HOST, ...REQUEST_FIELDS, ...REQUEST_FRAMING]),
  response: short(RESPONSE),
  chunked: short(CHUNKED),
}

const PIECES: readonly string[] = [
  '\r',
  '\n',
  '\r\n',
  '\r\n\r\n',
  '\n\n',
  '\0',
  ' ',
  '\t',
  '\x0b',
  '\x0c',
  '\x7f',
  '\x80',
  '\xa0',
  '\xff',
  ':',
  ';',
  ',',
  '"',
  '\\',
  '=',
  '_',
  '+',
  '-',
  '0',
  '0x',
  '1',
  '5',
  'a',
  'f',
  'g',
  '\r\n ',
  '\r\n\t',
  'Host: a\r\n',
  'Content-Length: 5\r\n',
  'Content-Length:',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding:',
  'Connection: close\r\n',
  'X: y\r\n',
  'HTTP/1.1',
  'HTTP/1.0',
  'HTTP/1.1 200 OK\r\n',
  'GET / HTTP/1.1\r\n',
  '0\r\n\r\n',
  '5\r\nhello\r\n',
  ';a="',
  'fffffffffffff',
  '0000000000000',
]

/** mulberry32: small, seeded, good enough to choose with. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

function mutate(text: string, other: string, random: () => number): string {
  const at = Math.floor(random() * (text.length + 1))
  const length = Math.floor(random() * Math.min(16, text.length - at + 1))
  switch (Math.floor(random() * 8)) {
    case 0:
      return text.slice(0, at) + text.slice(at + length)
    case 1:
      return text.slice(0, at) + text.slice(at, at + length).repeat(2 + Math.floor(random() * 3)) + text.slice(at + length)
    case 2:
      return text.slice(0, at) + String.fromCharCode(Math.floor(random() * 256)) + text.slice(at + 1)
    case 3:
      return text.slice(0, at) + other.slice(Math.floor(random() * (other.length + 1)))
    case 4:
      return text.slice(0, at)
    case 5:
      return text + other
    default:
      return text.slice(0, at) + (PIECES[Math.floor(random() * PIECES.length)] as string) + text.slice(at + (random() < 0.5 ? 0 : length))
  }
}

function choose(list: readonly string[], random: () => number): string {
  return list[Math.floor(random() * list.length)] as string
}

/** Offsets to split at: some by chance, and those around line ends, where parsers have their states. */
function chooseCuts(text: string, random: () => number): number[] {
  const cuts: number[] = []
  for (let i = 0; i < 6; i++) cuts.push(Math.floor(random() * (text.length + 1)))
  const line = text.indexOf('\n', Math.floor(random() * text.length))
  if (line !== -1) cuts.push(line, line + 1)
  return cuts
}

export function fuzz({ codec = SLUICE, seed, maxInputs, maxMs, stopAtCrash = false, nowMs }: FuzzOptions): FuzzReport {
  const random = seededRandom(seed)
  const crashes: Crash[] = []
  const endMs = nowMs() + maxMs
  let inputs = 0
  const limit = stopAtCrash ? 1 : MAX_CRASHES
  while (inputs < maxInputs && crashes.length < limit && nowMs() < endMs) {
    const kind = KINDS[inputs % KINDS.length] as Kind
    inputs++
    const corpus = CORPUS[kind]
    let text = choose(corpus, random)
    for (let i = Math.floor(random() * 4); i >= 0; i--) text = mutate(text, choose(corpus, random), random).slice(0, MAX_INPUT_BYTES)
    const message = checkInput(codec, kind, text, chooseCuts(text, random))
    if (message !== null) crashes.push({ kind, text, message })
    if (inputs % LINEAR_EVERY < KINDS.length) {
      const at = Math.floor(random() * text.length)
      const piece = random() < 0.5 ? choose(PIECES, random) : text.slice(at, at + 1 + Math.floor(random() * 24)) || 'x'
      const slow = checkLinearTime(codec, kind, text.slice(0, at), piece, nowMs)
      if (slow !== null) crashes.push({ kind, text: text.slice(0, at) + piece, message: `not linear: ${slow}` })
    }
  }
  return { inputs, crashes }
}

/** Every split of the input: what a crash file is checked with. */
export function replay(kind: Kind, text: string, codec: Codec = SLUICE): string | null {
  return checkInput(
    codec,
    kind,
    text,
    Array.from({ length: Math.min(text.length, 2000) + 1 }, (_, i) => i),
  )
}

/** Crash files as [file name, kind, text]. */
export function readCrashes(folder: string): [string, Kind, string][] {
  const found: [string, Kind, string][] = []
  for (const name of fs.readdirSync(folder).sort()) {
    const kind = KINDS.find((prefix) => name.startsWith(`${prefix}-`) && name.endsWith('.bin'))
    if (kind !== undefined) found.push([name, kind, fs.readFileSync(path.join(folder, name), 'latin1')])
  }
  return found
}

/** Writes the input of a crash and returns the path of its file. The same input has the same name. */
export function writeCrash(folder: string, { kind, text }: Crash): string {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  const file = path.join(folder, `${kind}-${(hash >>> 0).toString(16).padStart(8, '0')}.bin`)
  fs.mkdirSync(folder, { recursive: true })
  fs.writeFileSync(file, text, 'latin1')
  return file
}

function main(): void {
  const { values } = parseArgs({ options: { seconds: { type: 'string', default: '10' }, seed: { type: 'string', default: '1' } } })
  const seconds = Number(values.seconds)
  const seed = Number(values.seed)
  if (!(seconds > 0) || !Number.isInteger(seed)) {
    process.stderr.write('usage: node test/fuzz/http1.ts [--seconds N] [--seed S]\n')
    process.exitCode = 2
    return
  }
  const { inputs, crashes } = fuzz({ seed, maxInputs: Infinity, maxMs: seconds * 1000, nowMs: () => performance.now() })
  process.stdout.write(`seed ${seed}: ${inputs} inputs, ${crashes.length} crashes\n`)
  for (const crash of crashes)
    process.stdout.write(`${writeCrash(CRASH_FOLDER, crash)}\n  ${crash.message}\n  ${JSON.stringify(crash.text.slice(0, 300))}\n`)
  if (crashes.length > 0) process.exitCode = 1
}

if (process.argv[1] !== undefined && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) main()
