import type { WireBuffer } from '../../base/wire.ts'
import type { ByteWriter } from '../byte-writer.ts'
import {
  CONTINUATION,
  DATA,
  errorName,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  GOAWAY,
  HEADERS,
  PING,
  PREFACE,
  PRIORITY,
  PUSH_PROMISE,
  RST_STREAM,
  readU32,
  SETTINGS,
  WINDOW_UPDATE,
} from './frame.ts'
import { Http2Session, type Http2SessionOptions, type Http2SessionOwner } from './session.ts'
import { Http2Stream } from './stream.ts'
import { releaseWriter } from './writer-pool.ts'

/** Frames as bytes, and a session whose owner writes down all it is told: for tests. Header blocks are any bytes here. */
const NAMES: Readonly<Record<number, string>> = {
  [DATA]: 'DATA',
  [HEADERS]: 'HEADERS',
  [PRIORITY]: 'PRIORITY',
  [RST_STREAM]: 'RST_STREAM',
  [SETTINGS]: 'SETTINGS',
  [PUSH_PROMISE]: 'PUSH_PROMISE',
  [PING]: 'PING',
  [GOAWAY]: 'GOAWAY',
  [WINDOW_UPDATE]: 'WINDOW_UPDATE',
  [CONTINUATION]: 'CONTINUATION',
}

export function frame(type: number, flags: number, streamId: number, payload: Buffer | string = ''): Buffer {
  const body = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload
  const header = Buffer.alloc(9)
  header.writeUIntBE(body.length, 0, 3)
  header[3] = type
  header[4] = flags
  header.writeUInt32BE(streamId, 5)
  return Buffer.concat([header, body])
}

export function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4)
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, i * 4)
  return bytes
}

export function settings(...pairs: [number, number][]): Buffer {
  const bytes = Buffer.alloc(pairs.length * 6)
  pairs.forEach(([id, value], i) => {
    bytes.writeUInt16BE(id, i * 6)
    bytes.writeUInt32BE(value, i * 6 + 2)
  })
  return frame(SETTINGS, 0, 0, bytes)
}

export const headers = (id: number, block = 'head', flags = FLAG_END_HEADERS | FLAG_END_STREAM): Buffer => frame(HEADERS, flags, id, block)
/** A head with a body to follow. */
export const openHeaders = (id: number, block = 'head'): Buffer => headers(id, block, FLAG_END_HEADERS)
export const data = (id: number, payload: Buffer | string, ends = false): Buffer => frame(DATA, ends ? FLAG_END_STREAM : 0, id, payload)
export const reset = (id: number, code = 8): Buffer => frame(RST_STREAM, 0, id, u32(code))
export const windowUpdate = (id: number, increment: number): Buffer => frame(WINDOW_UPDATE, 0, id, u32(increment))

/** What every client sends first. */
export const HELLO = Buffer.concat([Buffer.from(PREFACE, 'latin1'), settings()])

/** One line for each frame: `HEADERS 1 END_STREAM "block"`, `RST_STREAM 3 CANCEL`, `WINDOW_UPDATE 0 +100` ... */
export function describeFrames(bytes: Buffer): string[] {
  const lines: string[] = []
  let at = bytes.toString('latin1', 0, PREFACE.length) === PREFACE ? PREFACE.length : 0
  while (at < bytes.length) {
    const length = bytes.readUIntBE(at, 3)
    const type = bytes[at + 3] as number
    const flags = bytes[at + 4] as number
    const id = bytes.readUInt32BE(at + 5)
    lines.push(describeFrame(type, flags, id, bytes.subarray(at + 9, at + 9 + length)))
    at += 9 + length
  }
  return lines
}

function describeFrame(type: number, flags: number, id: number, payload: Buffer): string {
  const name = NAMES[type] ?? `type ${type}`
  const ends = (flags & FLAG_END_STREAM) !== 0 ? ' END_STREAM' : ''
  switch (type) {
    case RST_STREAM:
      return `${name} ${id} ${errorName(readU32(payload, 0))}`
    case WINDOW_UPDATE:
      return `${name} ${id} +${readU32(payload, 0)}`
    case GOAWAY:
      return `${name} ${readU32(payload, 0)} ${errorName(readU32(payload, 4))}`
    case SETTINGS:
    case PING:
      return `${name}${(flags & 1) !== 0 ? ' ACK' : ''}`
    case HEADERS:
    case CONTINUATION: {
      const isOpen = (flags & FLAG_END_HEADERS) === 0 ? ' open' : ''
      return `${name} ${id}${ends}${isOpen} ${payload.length > 40 ? payload.length : JSON.stringify(payload.toString('latin1'))}`
    }
    default:
      return `${name} ${id}${ends} ${payload.length > 40 ? payload.length : JSON.stringify(payload.toString('latin1'))}`
  }
}

export class TestStream extends Http2Stream {}

const OPTIONS: Http2SessionOptions = {
  isServer: true,
  maxConcurrentStreams: 100,
  streamWindowBytes: 65_535,
  connectionWindowBytes: 65_535,
  maxHeaderListBytes: 64 * 1024,
  maxHeaderBlockBytes: 64 * 1024,
  enableConnectProtocol: false,
}

export class TestSession implements Http2SessionOwner<TestStream> {
  readonly session: Http2Session<TestStream>
  /** Everything that was told, in order. Pieces of one body are joined, so that it does not matter how they came. */
  readonly events: string[] = []
  readonly byId = new Map<number, TestStream>()
  /** Body is given back to the windows as it comes. */
  consumes = true
  hasOutput = false
  nowMs = 0
  #bodies = new Map<TestStream, string>()

  constructor(options: Partial<Http2SessionOptions> = {}) {
    this.session = new Http2Session<TestStream>(this, { ...OPTIONS, ...options })
    this.session.start()
  }

  /** A server to which a client has said hello. */
  static server(options: Partial<Http2SessionOptions> = {}): TestSession {
    const test = new TestSession(options)
    test.receive(HELLO)
    test.output()
    test.events.length = 0
    return test
  }

  /** A client to which a server has said hello. */
  static client(options: Partial<Http2SessionOptions> = {}, hello: Buffer = settings()): TestSession {
    const test = new TestSession({ ...options, isServer: false })
    test.receive(hello)
    test.output()
    test.events.length = 0
    return test
  }

  receive(...pieces: Buffer[]): void {
    for (const piece of pieces) this.session.receive(piece as WireBuffer, 0, piece.length, this.nowMs)
  }

  bytes(): Buffer {
    const writer = this.session.takeOutput()
    this.hasOutput = false
    if (writer === null) return Buffer.alloc(0)
    const bytes = Buffer.from(writer.bytes.subarray(0, writer.at))
    releaseWriter(writer)
    return bytes
  }

  output(): string[] {
    return describeFrames(this.bytes())
  }

  /** Events so far, forgotten then. */
  told(): string[] {
    return this.events.splice(0)
  }

  stream(id: number): TestStream {
    return this.byId.get(id) as TestStream
  }

  /** Sends a head of any bytes. */
  sendHead(stream: TestStream, block: string, ends = false): void {
    this.session.beginHeaders(stream).latin1(block)
    this.session.endHeaders(stream, ends)
    this.byId.set(stream.id, stream)
  }

  open(block = 'request', ends = true): TestStream {
    const stream = new TestStream()
    this.sendHead(stream, block, ends)
    return stream
  }

  createStream(): TestStream {
    return new TestStream()
  }

  onHeaders(stream: TestStream, bytes: WireBuffer, start: number, end: number, endStream: boolean): void {
    this.byId.set(stream.id, stream)
    stream.hasHead = true
    this.events.push(`headers ${stream.id} ${bytes.toString('latin1', start, end)}${endStream ? ' end' : ''}`)
  }

  onTrailers(stream: TestStream, bytes: WireBuffer, start: number, end: number): void {
    this.#flushBody(stream)
    this.events.push(`trailers ${stream.id} ${bytes.toString('latin1', start, end)}`)
  }

  onIgnoredHeaders(bytes: WireBuffer, start: number, end: number): void {
    this.events.push(`ignored ${bytes.toString('latin1', start, end)}`)
  }

  onBody(stream: TestStream, bytes: WireBuffer, start: number, end: number): void {
    this.#bodies.set(stream, (this.#bodies.get(stream) ?? '') + bytes.toString('latin1', start, end))
    if (this.consumes) this.session.consumed(stream, end - start)
  }

  onBodyEnd(stream: TestStream): void {
    this.#flushBody(stream)
    this.events.push(`end ${stream.id}`)
  }

  #flushBody(stream: TestStream): void {
    const body = this.#bodies.get(stream)
    this.#bodies.delete(stream)
    if (body !== undefined) this.events.push(`body ${stream.id} ${body.length > 40 ? body.length : body}`)
  }

  onReset(stream: TestStream, code: number, isRemote: boolean): void {
    this.#flushBody(stream)
    this.events.push(`${isRemote ? 'reset' : 'broken'} ${stream.id} ${errorName(code)}`)
  }

  onStreamClosed(stream: TestStream): void {
    this.events.push(`closed ${stream.id}`)
  }

  onStreamDrain(stream: TestStream): void {
    this.events.push(`drain ${stream.id}`)
  }

  onSettings(): void {
    this.events.push('settings')
  }

  onSettingsAcknowledged(): void {
    this.events.push('acknowledged')
  }

  onGoaway(lastStreamId: number, code: number): void {
    this.events.push(`goaway ${lastStreamId} ${errorName(code)}`)
  }

  onPong(): void {
    this.events.push('pong')
  }

  onOutput(): void {
    this.hasOutput = true
  }

  onOutputFull(): void {}

  encodeTrailers(lines: string, writer: ByteWriter): void {
    writer.latin1(lines)
  }

  onAttack(attack: string): void {
    this.events.push(`attack ${attack}`)
  }

  onConnectionError(code: number): void {
    this.events.push(`failed ${errorName(code)}`)
  }
}
