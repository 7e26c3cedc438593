/**
 * What the conformance cases of HTTP/2 towards clients share: a real gateway with a cleartext and a TLS listener, a client that says what a
 * case tells it to, and the ways in which the gateway may answer. Frames are written and cut by hand; only the heads of answers are read
 * with the decoder of the project, which is held to account by its vectors and by node:http2 (codec/http2).
 */
import assert from 'node:assert/strict'
import type http from 'node:http'
import { test } from 'node:test'
import tls from 'node:tls'
import type { WireBuffer } from '../../src/base/wire.ts'
import { HpackDecoder } from '../../src/codec/http2/hpack-decoder.ts'
import { lineOf } from '../../src/codec/http2/hpack-field.ts'
import {
  block,
  CONTINUATION,
  codeOf,
  DATA,
  type Frame,
  frame,
  GOAWAY,
  HEADERS,
  hello,
  openRaw,
  PING,
  type RawClient,
  RST_STREAM,
  rawClient,
  SETTINGS,
} from '../e2e/http2/kit.ts'
import { Authority } from '../e2e/tls/kit.ts'
import type { CleanupScope } from '../support/cleanup.ts'
import { startSluice } from '../support/sluice.ts'
import { startRawUpstream, startUpstream } from '../support/upstream.ts'

export const PRIORITY = 2
export const PUSH_PROMISE = 5
export const END_STREAM = 1
export const ACK = 1
export const END_HEADERS = 4
export const PADDED = 8
export const WITH_PRIORITY = 32

export const NO_ERROR = 0
export const PROTOCOL_ERROR = 1
export const FLOW_CONTROL_ERROR = 3
export const STREAM_CLOSED = 5
export const FRAME_SIZE_ERROR = 6
export const REFUSED_STREAM = 7
export const CANCEL = 8
export const COMPRESSION_ERROR = 9

/** The ids of settings (section 6.5.2, RFC 8441 section 3). */
export const HEADER_TABLE_SIZE = 1
export const ENABLE_PUSH = 2
export const MAX_CONCURRENT_STREAMS = 3
export const INITIAL_WINDOW_SIZE = 4
export const MAX_FRAME_SIZE = 5
export const MAX_HEADER_LIST_SIZE = 6
export const ENABLE_CONNECT_PROTOCOL = 8

export const MAX_WINDOW = 0x7fff_ffff
/** `maxConcurrentStreams` of the listeners here. */
export const STREAMS_ALLOWED = 8
/** Windows of the listeners here, of one stream and of the connection: small, so that a case can use them up. */
export const STREAM_WINDOW = 65_535
export const CONNECTION_WINDOW = 100_000

/** Bytes by their values, or in hexadecimal. */
export function bytes(...values: (number | string)[]): Buffer {
  return Buffer.concat(
    values.map((value) => (typeof value === 'number' ? Buffer.from([value]) : Buffer.from(value.replaceAll(' ', ''), 'hex'))),
  )
}

export interface Answer {
  status: number
  interim: number[]
  fields: Record<string, string>
  trailers: Record<string, string> | null
  body: Buffer
}

/** Reads field blocks in the order they come. */
export class FieldReader {
  readonly #decoder = new HpackDecoder()

  read(block: Buffer): [string, string][] {
    const all: [string, string][] = []
    this.#decoder.begin(Buffer.from(block) as WireBuffer, 0, block.length)
    for (let field = this.#decoder.next(); field !== null; field = this.#decoder.next()) {
      const { text } = field.name
      all.push([text, text.startsWith(':') ? field.value : lineOf(field).slice(text.length + 2, -2)])
    }
    assert.ok(!this.#decoder.hasFailed, 'a field block of the gateway can be decoded')
    return all
  }
}

/** One connection to the gateway that has exchanged SETTINGS with it, or that has said nothing yet. */
export class Connection {
  readonly raw: RawClient
  readonly #reader = new FieldReader()
  /** Frames read for `#answers`. */
  #read = 0
  #answers = new Map<number, Answer>()
  #pings = 0
  #block: Buffer[] = []

  constructor(raw: RawClient) {
    this.raw = raw
  }

  get frames(): readonly Frame[] {
    return this.raw.frames
  }

  send(...frames: (Buffer | string)[]): void {
    this.raw.send(...frames)
  }

  /** Waits for SETTINGS of the gateway, and acknowledges them. */
  async greet(...settings: [number, number][]): Promise<this> {
    this.send(hello(...settings))
    assert.ok(await this.raw.frame(({ type, flags }) => type === SETTINGS && (flags & ACK) === 0), 'the gateway sends SETTINGS')
    this.send(frame(SETTINGS, ACK, 0))
    return this
  }

  /** When it returns, everything sent before has been read by the gateway. */
  async ping(): Promise<void> {
    const payload = Buffer.from(`case ${String(this.#pings++).padStart(3, '0')}`)
    this.send(frame(PING, 0, 0, payload))
    const pong = await this.raw.frame((one) => one.type === PING && one.payload.equals(payload))
    assert.ok(pong, `the connection was ended: ${describe(this)}`)
    assert.equal(pong.flags, ACK)
  }

  find(type: number, id: number): Frame | undefined {
    return this.frames.find((one) => one.type === type && one.id === id)
  }

  /** The whole response on a stream. Fails when the stream or the connection is broken off instead. */
  async answer(id: number): Promise<Answer> {
    const over = ({ type, flags, id: on }: Frame) =>
      type === GOAWAY || (on === id && (type === RST_STREAM || ((type === DATA || type === HEADERS) && (flags & END_STREAM) !== 0)))
    const last = await this.raw.frame(over)
    assert.ok(last !== null && (last.type === DATA || last.type === HEADERS), `stream ${id} was broken off: ${describe(this)}`)
    this.#readAnswers()
    return this.#answers.get(id) as Answer
  }

  /** What has come of a response so far. */
  async partial(id: number): Promise<Answer | undefined> {
    await this.ping()
    this.#readAnswers()
    return this.#answers.get(id)
  }

  #readAnswers(): void {
    for (; this.#read < this.frames.length; this.#read++) {
      const { type, flags, id, payload } = this.frames[this.#read] as Frame
      if (type === DATA) {
        const answer = this.#answers.get(id) as Answer
        answer.body = Buffer.concat([answer.body, payload])
      } else if (type === HEADERS || type === CONTINUATION) {
        this.#block.push(payload)
        if ((flags & END_HEADERS) === 0) continue
        this.#readHead(id, this.#reader.read(Buffer.concat(this.#block)))
        this.#block = []
      }
    }
  }

  #readHead(id: number, fields: [string, string][]): void {
    const status = Number(fields.find(([name]) => name === ':status')?.[1] ?? 0)
    const before = this.#answers.get(id) ?? { status: 0, interim: [], fields: {}, trailers: null, body: Buffer.alloc(0) }
    if (status >= 100 && status < 200) before.interim.push(status)
    else if (status !== 0) Object.assign(before, { status, fields: Object.fromEntries(fields) })
    else before.trailers = Object.fromEntries(fields)
    this.#answers.set(id, before)
  }
}

/** The frames that matter, for messages. */
function describe({ raw }: Connection): string {
  const told = raw.frames.filter(({ type }) => type === GOAWAY || type === RST_STREAM)
  return `${raw.ended ?? 'open'}, ${JSON.stringify(told.map((one) => [one.type, one.id, codeOf(one), one.payload.toString('latin1', 8)]))}`
}

/** What a case permits. */
export type Outcome = (connection: Connection) => Promise<void>

/** The connection ends with GOAWAY and one of these codes, and is closed. */
export function connectionError(...codes: number[]): Outcome {
  return async (connection) => {
    const goaway = await connection.raw.frame(({ type }) => type === GOAWAY)
    assert.ok(goaway, `GOAWAY before the end: ${describe(connection)}`)
    assert.ok(codes.includes(codeOf(goaway)), `one of ${codes}: ${describe(connection)}`)
    assert.equal(goaway.id, 0)
    await connection.raw.end()
    assert.equal(connection.frames.filter(({ type }) => type === GOAWAY).length, 1)
  }
}

/** One stream is reset with one of these codes, and the connection goes on. */
export function streamError(id: number, ...codes: number[]): Outcome {
  return async (connection) => {
    const reset = await connection.raw.frame(({ type, id: on }) => (type === RST_STREAM && on === id) || type === GOAWAY)
    assert.ok(reset !== null && reset.type === RST_STREAM, `RST_STREAM on ${id}: ${describe(connection)}`)
    assert.ok(codes.includes(codeOf(reset)), `one of ${codes}: ${describe(connection)}`)
    await isServed(connection)
    assert.equal(connection.frames.filter(({ type, id: on }) => type === RST_STREAM && on === id).length, 1)
  }
}

/** Nobody objects, and the connection goes on. `ids`: streams that get their answer. */
export function accepted(...ids: number[]): Outcome {
  return async (connection) => {
    for (const id of ids) assert.equal((await connection.answer(id)).status, 200)
    await isServed(connection)
    assert.ok(!connection.frames.some(({ type }) => type === RST_STREAM), describe(connection))
  }
}

/** The stream id that no case uses. */
const LAST_ID = 100_001

/** Another request on the same connection gets its answer. */
async function isServed(connection: Connection): Promise<void> {
  await connection.ping()
  connection.send(frame(HEADERS, END_STREAM | END_HEADERS, LAST_ID, block('GET', '/after')))
  assert.equal((await connection.answer(LAST_ID)).status, 200)
  assert.equal(connection.find(GOAWAY, 0), undefined)
}

/** What a case does: frames to send at once, or steps. */
export type Steps = (Buffer | string)[] | ((connection: Connection) => Promise<void> | void)

export interface CaseOptions {
  /** Begin with nothing said; by default SETTINGS have been exchanged. */
  isRaw?: boolean
  /** Only over 'cleartext' or 'TLS'; default both. */
  only?: 'cleartext' | 'TLS'
}

export interface Suite {
  /** Registers a case, one test for each transport. `section`: of RFC 9113, unless it says otherwise. */
  check(section: string, name: string, outcome: Outcome, steps: Steps, options?: CaseOptions): void
  /** Paths that the service was asked for. */
  paths: Set<string>
  port(name: 'cleartext' | 'TLS'): number
  ca: string
}

/** A gateway with one worker, so that one that dies takes the other connections with it, and a service that echoes. */
export async function startSuite(scope: CleanupScope): Promise<Suite> {
  const authority = new Authority(scope)
  const { certPath, keyPath } = authority.issue('a.test')
  const paths = new Set<string>()
  const upstream = await startUpstream(scope, (incoming, outgoing) => {
    paths.add(incoming.url as string)
    answer(incoming, outgoing)
  })
  // It never says that it speaks HTTP/2: bodies for it stay in the gateway.
  const silent = await startRawUpstream(scope, () => {})
  const http2 = { maxConcurrentStreams: STREAMS_ALLOWED, streamWindow: `${STREAM_WINDOW}B`, connectionWindow: `${CONNECTION_WINDOW}B` }
  const sluice = await startSluice(scope, {
    workers: 1,
    accessLog: null,
    listeners: {
      cleartext: { address: '127.0.0.1:0', http2 },
      TLS: { address: '127.0.0.1:0', http2, tls: { certificates: [{ cert: certPath, key: keyPath }] } },
    },
    services: {
      app: { endpoints: [upstream.address], ejection: null },
      silent: { endpoints: [silent.address], protocol: 'http2', ejection: null, retry: null },
    },
    routes: { silent: { match: { path: '/silent' }, to: 'silent' }, all: { to: 'app' } },
  })
  const ca = authority.cert
  const open = {
    cleartext: async (within: CleanupScope) => new Connection(await openRaw(within, sluice.port('cleartext'))),
    TLS: async (within: CleanupScope) => new Connection(await openTls(within, sluice.port('TLS'), ca)),
  }
  const witness = await (await open.cleartext(scope)).greet()
  let witnessId = 1
  return {
    paths,
    ca,
    port: (name) => sluice.port(name),
    check(section, name, outcome, steps, { isRaw = false, only } = {}) {
      for (const transport of ['cleartext', 'TLS'] as const) {
        if (only !== undefined && only !== transport) continue
        test(`${section}: ${name} (${transport})`, async (t) => {
          const connection = await open[transport](t)
          if (!isRaw) await connection.greet()
          if (typeof steps === 'function') await steps(connection)
          else connection.send(...steps)
          await outcome(connection)
          // Whatever became of this one, others are served.
          witness.send(frame(HEADERS, END_STREAM | END_HEADERS, witnessId, block('GET', '/witness')))
          assert.equal((await witness.answer(witnessId)).status, 200)
          witnessId += 2
        })
      }
    },
  }
}

/**
 * `/hold` is never answered, `/big` has 100,000 bytes, `/fields` tells the fields of the request, `/trailers` its trailers in a trailer
 * field, `/hop` has fields that belong to HTTP/1.1 only; everything else gets its body back.
 */
function answer(incoming: http.IncomingMessage, outgoing: http.ServerResponse): void {
  const path = incoming.url as string
  if (path === '/hold') return void incoming.resume()
  if (path === '/big') return void outgoing.end(BIG)
  const pieces: Buffer[] = []
  incoming.on('data', (piece: Buffer) => pieces.push(piece))
  incoming.on('error', () => {})
  incoming.on('end', () => {
    if (path === '/fields') return void outgoing.end(JSON.stringify(incoming.headers))
    if (path === '/hop')
      outgoing.writeHead(200, { Connection: 'close, X-Hop', 'X-Hop': 'no', 'Keep-Alive': 'timeout=5', 'X-Mixed-Case': 'Yes' })
    if (path === '/trailers') {
      outgoing.writeHead(200, { Trailer: 'X-After' })
      outgoing.addTrailers({ 'X-After': JSON.stringify(incoming.trailers) })
    }
    outgoing.end(Buffer.concat(pieces))
  })
}

export const BIG = Buffer.alloc(100_000, 'conformance ')

async function openTls(scope: CleanupScope, port: number, ca: string): Promise<RawClient> {
  const socket = tls.connect({ port, host: '127.0.0.1', ca, servername: 'a.test', ALPNProtocols: ['h2'] })
  socket.setNoDelay(true)
  scope.after(() => void socket.destroy())
  const client = rawClient(socket)
  await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
  assert.equal(socket.alpnProtocol, 'h2')
  return client
}
