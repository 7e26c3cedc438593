import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import net, { type AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import type { WireBuffer } from '../../base/wire.ts'
import { ByteWriter } from '../byte-writer.ts'
import { RequestHead, ResponseHead } from '../http1/head.ts'
import { HpackDecoder } from './hpack-decoder.ts'
import { HpackEncoder } from './hpack-encoder.ts'
import { BLOCK_OK, encodeResponseBlock, readRequestBlock } from './message.ts'

/*
 * Compared with nghttp2, over a real connection of node:http2's client to a server of just enough frames: it encodes requests and we
 * decode them, we encode responses and it decodes them. One connection carries many of both, so tables fill up and evict.
 */

const LIMITS = { headBytes: 60_000, headers: 200, uriBytes: 8000 }
const HEADERS = 1
const SETTINGS = 4
const PING = 6
const ACK = 1
const END_STREAM = 1
const END_HEADERS = 4
const PADDED = 8
const PRIORITY = 32
const SETTINGS_HEADER_TABLE_SIZE = 1
const PREFACE_BYTES = 24

type Pairs = [string, string][]

function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const writer = new ByteWriter()
  writer.u24(payload.length)
  writer.u8(type)
  writer.u8(flags)
  writer.u32(stream)
  return Buffer.concat([writer.bytes.subarray(0, writer.at), payload])
}

/** One connection of the server. What it decoded is in `requests`; responses are taken from `responses`. */
class RawConnection {
  readonly requests: { readonly pseudo: string[]; readonly fields: Pairs }[] = []
  readonly responses: ResponseHead[] = []
  readonly problems: string[] = []
  readonly encoder = new HpackEncoder()
  readonly #decoder: HpackDecoder
  readonly #socket: net.Socket
  #bytes: Buffer = Buffer.alloc(0)
  #sawPreface = false
  readonly #head = new RequestHead()

  constructor(socket: net.Socket, tableBytes: number) {
    this.#socket = socket
    this.#decoder = new HpackDecoder(tableBytes)
    const setting = new ByteWriter()
    setting.u16(SETTINGS_HEADER_TABLE_SIZE)
    setting.u32(tableBytes)
    socket.write(frame(SETTINGS, 0, 0, setting.bytes.subarray(0, setting.at)))
    socket.on('error', () => {})
    socket.on('data', (bytes) => this.#take(bytes))
  }

  #take(bytes: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes])
    if (!this.#sawPreface) {
      if (this.#bytes.length < PREFACE_BYTES) return
      this.#bytes = this.#bytes.subarray(PREFACE_BYTES)
      this.#sawPreface = true
    }
    while (this.#bytes.length >= 9) {
      const length = this.#bytes.readUIntBE(0, 3)
      if (this.#bytes.length < 9 + length) return
      const [type, flags, stream] = [this.#bytes[3] as number, this.#bytes[4] as number, this.#bytes.readUInt32BE(5)]
      const payload = this.#bytes.subarray(9, 9 + length)
      this.#bytes = this.#bytes.subarray(9 + length)
      this.#onFrame(type, flags, stream, payload)
    }
  }

  #onFrame(type: number, flags: number, stream: number, payload: Buffer): void {
    if (type === SETTINGS) this.#onSettings(flags, payload)
    else if (type === PING && flags === 0) this.#socket.write(frame(PING, ACK, 0, payload))
    else if (type === HEADERS) this.#onHeaders(flags, stream, payload)
  }

  #onSettings(flags: number, payload: Buffer): void {
    if (flags === ACK) {
      this.#decoder.settingsAcknowledged()
      return
    }
    for (let at = 0; at < payload.length; at += 6) {
      if (payload.readUInt16BE(at) === SETTINGS_HEADER_TABLE_SIZE) this.encoder.setPeerTableBytes(payload.readUInt32BE(at + 2))
    }
    this.#socket.write(frame(SETTINGS, ACK, 0, Buffer.alloc(0)))
  }

  #onHeaders(flags: number, stream: number, payload: Buffer): void {
    if ((flags & END_HEADERS) === 0 || (flags & PADDED) !== 0) this.problems.push(`flags ${flags}`)
    const block = Buffer.from(payload.subarray((flags & PRIORITY) === 0 ? 0 : 5)) as WireBuffer
    const head = this.#head
    const result = readRequestBlock(this.#decoder, block, 0, block.length, head, LIMITS)
    if (result !== BLOCK_OK) this.problems.push(`result ${result} for ${block.toString('hex')}`)
    this.requests.push({ pseudo: [head.method, head.scheme, head.target], fields: head.headers.toPairs() })
    const response = this.responses.shift() as ResponseHead
    const writer = new ByteWriter()
    encodeResponseBlock(this.encoder, response, writer)
    this.#socket.write(frame(HEADERS, END_HEADERS | END_STREAM, stream, writer.bytes.subarray(0, writer.at)))
  }
}

/** A stated sequence of numbers in [0, below). */
function sequence(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const NAMES = [
  'accept',
  'user-agent',
  'x-a',
  'x-custom-name',
  'cache-control',
  'etag',
  'server',
  'vary',
  'x-tëst'.replace('ë', 'e'),
  'authorization',
]
const CHARS = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join('')

function makeValue(next: (below: number) => number): string {
  switch (next(5)) {
    case 0:
      return ['gzip', 'no-cache', '*/*', 'text/html; charset=utf-8'][next(4)] as string
    case 1:
      return String(next(1000))
    case 2:
      return `${'long value '.repeat(next(30))}end`
    case 3:
      return `${'latin \xe9\xff'.slice(0, next(9))}.`
    default:
      return Array.from({ length: next(40) }, () => CHARS[next(95)])
        .join('')
        .trim()
  }
}

function makeFields(next: (below: number) => number): Pairs {
  const names = [...NAMES, `x-unique-${next(1_000_000)}`].filter(() => next(2) === 0)
  return names.map((name) => [name, makeValue(next)])
}

function makeResponse(next: (below: number) => number): ResponseHead {
  const head = new ResponseHead()
  head.status = [200, 404, 302, 503, 204, 500, 226][next(7)] as number
  head.contentLength = next(2) === 0 ? -1 : 0
  for (const [name, value] of makeFields(next)) head.headers.add(name, value)
  if (next(3) === 0) head.headers.add('Set-Cookie', `a=${next(100)}`)
  return head
}

function expectedResponse(head: ResponseHead): Pairs {
  const pairs: Pairs = [[':status', String(head.status)]]
  if (head.contentLength >= 0 && head.status !== 204) pairs.push(['content-length', String(head.contentLength)])
  return [...pairs, ...head.headers.toPairs().map(([name, value]): [string, string] => [name.toLowerCase(), value])]
}

function pairsOf(raw: readonly string[]): Pairs {
  const pairs: Pairs = []
  for (let i = 0; i < raw.length; i += 2) pairs.push([raw[i] as string, raw[i + 1] as string])
  return pairs
}

async function exchange(session: http2.ClientHttp2Session, headers: http2.OutgoingHttpHeaders): Promise<Pairs> {
  const stream = session.request(headers, { endStream: true })
  const raw = await new Promise<string[]>((resolve, reject) => {
    // The third argument, the fields as they came, is not among Node's types.
    stream.on('response', ((_headers: unknown, _flags: unknown, rawHeaders: string[]) => resolve(rawHeaders)) as () => void)
    stream.on('error', reject)
  })
  stream.resume()
  return pairsOf(raw)
}

async function compare(seed: number, ourTableBytes: number, theirTableBytes: number): Promise<void> {
  const next = sequence(seed)
  let connection: RawConnection | undefined
  const server = net.createServer((socket) => {
    connection = new RawConnection(socket, ourTableBytes)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const session = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, {
    settings: { headerTableSize: theirTableBytes },
  })
  try {
    await once(session, 'remoteSettings')
    const raw = connection as RawConnection
    for (let round = 0; round < 150; round++) {
      const fields = makeFields(next)
      const path = `/${makeValue(next).replace(/[^a-z0-9/]/gi, '')}`
      const crumbs = next(3) === 0 ? ['a=b', `c=${round}`] : null
      const response = makeResponse(next)
      raw.responses.push(response)
      const got = await exchange(session, {
        ':method': 'GET',
        ':path': path,
        ':authority': 'example.com',
        ...Object.fromEntries(fields),
        ...(crumbs === null ? {} : { cookie: crumbs }),
      })
      assert.deepEqual(raw.problems, [])
      assert.deepEqual(got, expectedResponse(response), `response ${round}`)
      const expected: Pairs = [['host', 'example.com'], ...fields]
      if (crumbs !== null) expected.push(['cookie', crumbs.join('; ')])
      assert.deepEqual(raw.requests.pop(), { pseudo: ['GET', 'http', path], fields: expected }, `request ${round}`)
    }
  } finally {
    session.destroy()
    server.close()
  }
}

describe('compared with nghttp2', () => {
  for (const [ours, theirs] of [
    [4096, 4096],
    [0, 0],
    [256, 200],
    [16_384, 65_536],
    [64, 1000],
  ] as const) {
    it(`both ways give the same fields with tables of ${ours} and ${theirs} bytes`, async () => {
      await compare(ours * 31 + theirs, ours, theirs)
    })
  }
})
