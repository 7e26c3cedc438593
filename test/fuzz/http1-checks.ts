/** What must hold for the HTTP/1.1 codec on any bytes. The codec is an argument, so that a broken one can prove the checks. */

import { FIELD_SIZE, type HeaderBlock } from '../../src/codec/header-block.ts'
import { CHUNK_DATA, CHUNK_END, CHUNK_ERROR, CHUNK_NEED_MORE, ChunkedDecoder } from '../../src/codec/http1/chunked.ts'
import { encodeFields } from '../../src/codec/http1/encode.ts'
import {
  HEAD_INCOMPLETE,
  HEAD_VERSION,
  MessageHead,
  parseFields,
  parseRequestHead,
  parseResponseHead,
  RequestHead,
  ResponseHead,
} from '../../src/codec/http1/head.ts'
import { LIMITS } from '../vectors/http1/vector.ts'

export type Kind = 'request' | 'response' | 'chunked'
export const KINDS: readonly Kind[] = ['request', 'response', 'chunked']

export interface Codec {
  readonly parseRequestHead: typeof parseRequestHead
  readonly parseResponseHead: typeof parseResponseHead
  readonly encodeFields: typeof encodeFields
  createDecoder(maxTrailerBytes: number): Pick<ChunkedDecoder, 'position' | 'dataStart' | 'dataEnd' | 'trailers' | 'next'>
}

export const SLUICE: Codec = {
  parseRequestHead,
  parseResponseHead,
  encodeFields,
  createDecoder: (maxTrailerBytes) => new ChunkedDecoder(maxTrailerBytes),
}

/** Broken invariants are thrown as this, so that they can be told from a codec that throws. */
class Violation extends Error {}

function hold(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Violation(message)
}

/** The broken invariant in words, or null. `cuts` are the offsets to split at. */
export function checkInput(codec: Codec, kind: Kind, text: string, cuts: readonly number[]): string | null {
  try {
    if (kind === 'chunked') checkChunked(codec, text, cuts)
    else checkHead(codec, kind, text, cuts)
    return null
  } catch (reason) {
    return reason instanceof Violation ? reason.message : `it threw: ${reason instanceof Error ? reason.stack : String(reason)}`
  }
}

function parse(codec: Codec, text: string, head: RequestHead | ResponseHead, limits = LIMITS): number {
  return head instanceof RequestHead ? codec.parseRequestHead(text, head, limits) : codec.parseResponseHead(text, head, limits)
}

function dump(head: RequestHead | ResponseHead): string {
  const { minor, contentLength, chunked, connection, hasUnderscore, hosts } = head
  const start = head instanceof RequestHead ? [head.method, head.target] : [head.status, head.reason]
  return JSON.stringify([start, minor, contentLength, chunked, connection, hasUnderscore, hosts, head.headers.seen, head.headers.toPairs()])
}

function checkHead(codec: Codec, kind: Kind, text: string, cuts: readonly number[]): void {
  const create = (): RequestHead | ResponseHead => (kind === 'request' ? new RequestHead() : new ResponseHead())
  const head = create()
  const result = parse(codec, text, head)
  hold(Number.isInteger(result) && result >= HEAD_VERSION && result <= text.length, `result ${result} of ${text.length} bytes`)
  const whole = dump(head)
  if (result > 0) {
    checkAccepted(kind, text.slice(0, result), head)
    checkEncoding(codec, head.headers)
    hold(parse(codec, `${text}\0X`, head) === result && dump(head) === whole, 'what follows the head changes it')
  }
  for (const cut of cuts) {
    const part = parse(codec, text.slice(0, cut), head)
    if (result > 0) hold(part === (cut < result ? HEAD_INCOMPLETE : result), `after ${cut} bytes ${part}, of all ${result}`)
    else hold(part === HEAD_INCOMPLETE || part === result, `after ${cut} bytes ${part}, of all ${result}`)
    hold(parse(codec, text, head) === result && dump(head) === whole, `the parse of all depends on a parse of ${cut} bytes before`)
  }
}

const REQUEST_LINE = /^(?:\r\n)?[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [!$-;=?-[\]-~]+ HTTP\/1\.[01]$/
const STATUS_LINE = /^HTTP\/1\.[01] [1-9]\d\d(?: [\t\x20-\x7e\x80-\xff]*)?$/
const FIELD_LINE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*$/

/** The grammar once more, as slow and plain as it can be. `text` is the head alone. */
function checkAccepted(kind: Kind, text: string, head: MessageHead): void {
  hold(text.endsWith('\r\n\r\n') && text.indexOf('\r\n\r\n', 1) === text.length - 4, 'the head does not end with its first empty line')
  const skip = text.startsWith('\r\n') ? 2 : 0
  const lines = text.slice(skip, -4).split('\r\n')
  hold((kind === 'request' ? REQUEST_LINE : STATUS_LINE).test(lines[0] as string), 'the start line is not one')
  const pairs = head.headers.toPairs()
  hold(pairs.length === lines.length - 1, 'not one field per line')
  for (let i = 0; i < pairs.length; i++) {
    const line = lines[i + 1] as string
    hold(FIELD_LINE.test(line), 'a field line is not one')
    const colon = line.indexOf(':')
    const [name, value] = pairs[i] as [string, string]
    hold(
      name === line.slice(0, colon) && value === line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, ''),
      'a name or value is not what the line says',
    )
  }
  checkFraming(kind, head, pairs)
  checkOffsets(head.headers, text.length)
}

function checkFraming(kind: Kind, head: MessageHead, pairs: readonly [string, string][]): void {
  const values = (name: string): string[] => pairs.filter((pair) => pair[0].toLowerCase() === name).map((pair) => pair[1])
  const lengths = values('content-length')
  const codings = values('transfer-encoding')
  hold(lengths.length + codings.length <= 1, 'more than one framing field')
  hold(
    lengths.length === 0 ? head.contentLength === -1 : /^\d{1,15}$/.test(lengths[0] as string) && head.contentLength === Number(lengths[0]),
    'Content-Length',
  )
  hold(
    codings.length === 0 ? !head.chunked : head.chunked && head.minor === 1 && codings[0]?.toLowerCase() === 'chunked',
    'Transfer-Encoding',
  )
  if (kind === 'request') hold(values('host').length === 1 || (head.minor === 0 && values('host').length === 0), 'Host')
}

function checkOffsets({ fields, used }: HeaderBlock, length: number): void {
  let last = 0
  hold(used % FIELD_SIZE === 0 && used <= fields.length, 'the field table')
  for (let i = 0; i < used; i += FIELD_SIZE) {
    const [nameStart, nameEnd, valueStart, valueEnd, next] = fields.slice(i, i + 5) as [number, number, number, number, number]
    hold(
      last <= nameStart && nameStart < nameEnd && nameEnd < valueStart && valueStart <= valueEnd && valueEnd < next && next <= length - 2,
      'a field offset',
    )
    last = next
  }
}

function checkEncoding(codec: Codec, headers: HeaderBlock): void {
  const again = new MessageHead()
  const lines = `${codec.encodeFields(headers)}\r\n`
  hold(parseFields(lines, 0, again, { ...LIMITS, headBytes: LIMITS.headBytes * 2 }) === lines.length, 'the encoded fields do not parse')
  hold(JSON.stringify(again.headers.toPairs()) === JSON.stringify(headers.toPairs()), 'the encoded fields parse to others')
}

interface Decoded {
  readonly answer: number
  readonly data: string
  readonly trailers: string
  readonly consumed: number
}

const MAX_TRAILER_BYTES = 4096

function decode(codec: Codec, text: string, cuts: readonly number[], maxTrailerBytes = MAX_TRAILER_BYTES): Decoded {
  const decoder = codec.createDecoder(maxTrailerBytes)
  const bytes = Buffer.from(text, 'latin1')
  const data: string[] = []
  let from = 0
  for (const to of [...cuts, bytes.length]) {
    // A buffer of its own for each piece: a look behind its ends would find other bytes.
    const piece = Buffer.concat([Buffer.from('\n\n'), bytes.subarray(from, to), Buffer.from('0\r\n\r\n')])
    const end = 2 + to - from
    decoder.position = 2
    let event = decoder.next(piece, end)
    for (let turns = 0; event === CHUNK_DATA; event = decoder.next(piece, end)) {
      hold(decoder.dataStart >= 2 && decoder.dataStart < decoder.dataEnd && decoder.dataEnd <= end && turns++ <= end, 'the data span')
      data.push(piece.toString('latin1', decoder.dataStart, decoder.dataEnd))
    }
    if (event === CHUNK_END) {
      hold(decoder.position > 2 && decoder.position <= end, 'the position at the end')
      return { answer: event, data: data.join(''), trailers: decoder.trailers, consumed: from + decoder.position - 2 }
    }
    if (event === CHUNK_ERROR) return { answer: event, data: data.join(''), trailers: '', consumed: 0 }
    hold(event === CHUNK_NEED_MORE && decoder.position === end, `event ${event} at ${decoder.position}`)
    from = to
  }
  return { answer: CHUNK_NEED_MORE, data: data.join(''), trailers: '', consumed: 0 }
}

const QUOTED = '"(?:[\\t\\x20!#-\\[\\]-~\\x80-\\xff]|\\\\[\\t\\x20-~\\x80-\\xff])*"'
const SIZE_LINE = new RegExp(`^([0-9A-Fa-f]{1,13})(;(?:[!#$%&'*+\\-.^_\`|~0-9A-Za-z=; \\t]|${QUOTED})*)?\\r\\n`)

/** A complete body as the grammar has it, or null. */
function decodePlainly(text: string): Decoded | null {
  let at = 0
  let data = ''
  for (;;) {
    const line = SIZE_LINE.exec(text.slice(at, at + 600))
    if (line === null || (line[2] ?? '').length > 257) return null
    at += line[0].length
    const size = Number.parseInt(line[1] as string, 16)
    if (size === 0) break
    if (text.slice(at + size, at + size + 2) !== '\r\n') return null
    data += text.slice(at, at + size)
    at += size + 2
  }
  const end = text.startsWith('\r\n', at) ? at : text.indexOf('\r\n\r\n', at) + 2
  const trailers = text.slice(at, end)
  if (end < at || trailers.length > MAX_TRAILER_BYTES) return null
  for (const line of trailers === '' ? [] : trailers.slice(0, -2).split('\r\n')) if (!FIELD_LINE.test(line)) return null
  return { answer: CHUNK_END, data, trailers, consumed: end + 2 }
}

function checkChunked(codec: Codec, text: string, cuts: readonly number[]): void {
  const whole = decode(codec, text, [])
  const plain = decodePlainly(text)
  if (plain !== null || whole.answer === CHUNK_END)
    hold(JSON.stringify(whole) === JSON.stringify(plain), `decoded ${JSON.stringify(whole)}, by the grammar ${JSON.stringify(plain)}`)
  const check = (how: string, offsets: readonly number[]): void => {
    hold(JSON.stringify(decode(codec, text, offsets)) === JSON.stringify(whole), `${how} it is another body`)
  }
  for (const cut of cuts) check(`split at ${cut}`, [cut])
  check(
    'split at several places',
    [...cuts].sort((a, b) => a - b),
  )
  if (text.length <= 2000)
    check(
      'byte by byte',
      Array.from({ length: text.length }, (_, i) => i),
    )
}

const LARGE_BYTES = 65_536
const ROOM = { headBytes: LARGE_BYTES * 4, headers: LARGE_BYTES, uriBytes: LARGE_BYTES * 4 }

/**
 * The time for an input must grow like its length: `piece` repeated behind `start` to 64 KiB may cost at most 10 times what 16 KiB
 * cost (4 times would be exact; 16 times is quadratic). Measured again before it is believed. Returns the violation, or null.
 */
export function checkLinearTime(codec: Codec, kind: Kind, start: string, piece: string, nowMs: () => number): string | null {
  const run = (length: number): number => {
    const text = (start + piece.repeat(Math.ceil(length / piece.length))).slice(0, length)
    let best = Infinity
    for (let i = 0; i < 3; i++) {
      const from = nowMs()
      if (kind === 'chunked')
        decode(
          codec,
          text,
          Array.from({ length: Math.floor(length / 512) }, (_, k) => k * 512),
          ROOM.headBytes,
        )
      else parse(codec, text, kind === 'request' ? new RequestHead() : new ResponseHead(), ROOM)
      best = Math.min(best, nowMs() - from)
    }
    return best
  }
  for (let attempt = 0; attempt < 4; attempt++) {
    const small = run(LARGE_BYTES / 4)
    const large = run(LARGE_BYTES)
    if (large <= small * 10 || large < 3) return null
    if (attempt === 3) return `${LARGE_BYTES / 4} bytes took ${small.toFixed(2)} ms, ${LARGE_BYTES} took ${large.toFixed(2)} ms`
  }
  return null
}
