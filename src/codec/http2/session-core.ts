import type { ByteWriter } from '../byte-writer.ts'
import { FloodGuard } from './flood.ts'
import { DEFAULT_WINDOW_BYTES, ENHANCE_YOUR_CALM, MAX_STREAM_ID, NO_ERROR, PREFACE } from './frame.ts'
import { ENDED, RESET_BY_US, RecentStreams } from './recent-streams.ts'
import { Http2Sender, type SenderHost } from './sender.ts'
import type { Http2Attack, Http2SessionOwner } from './session-owner.ts'
import { type LocalSettings, RemoteSettings, writeSettings } from './settings.ts'
import type { Http2Stream } from './stream.ts'
import { StreamTable } from './stream-table.ts'

const PING_PAYLOAD = Buffer.from('sluice  ', 'latin1')

export interface Http2SessionOptions extends LocalSettings {
  readonly isServer: boolean
  /** Compressed bytes of one header block; what is longer ends the connection. */
  readonly maxHeaderBlockBytes: number
}

/** What both halves of a session have: its streams, what is sent on them, and how they and the connection end. */
export abstract class SessionCore<S extends Http2Stream> implements SenderHost<S> {
  readonly streams = new StreamTable<S>()
  readonly remote = new RemoteSettings()
  /** The other side has sent a GOAWAY. */
  isGoingAway = false
  /** After `fail` or `close`: nothing goes in or out any more. */
  isClosed = false
  protected readonly owner: Http2SessionOwner<S>
  protected readonly options: Http2SessionOptions
  protected readonly isServer: boolean
  protected readonly sender: Http2Sender<S>
  protected readonly flood = new FloodGuard()
  protected readonly recent = new RecentStreams()
  /** The newest stream of the other side, and the next one of ours. */
  protected lastId = 0
  protected nextId = 1
  /** Streams of the other side beyond this one are not served: our last GOAWAY said so. */
  protected goawayId = MAX_STREAM_ID
  #hasSentGoaway = false
  /** What the other side may still send on all streams, and what was consumed since it was last told. */
  protected windowLeft: number
  #windowCredit = 0

  constructor(owner: Http2SessionOwner<S>, options: Http2SessionOptions) {
    this.owner = owner
    this.options = options
    this.isServer = options.isServer
    this.sender = new Http2Sender<S>(this)
    this.windowLeft = options.connectionWindowBytes
  }

  /** Says who we are. Once, first. */
  start(): void {
    const writer = this.sender.output()
    if (!this.isServer) writer.latin1(PREFACE)
    writeSettings(writer, this.options, this.isServer)
    const more = this.options.connectionWindowBytes - DEFAULT_WINDOW_BYTES
    if (more > 0) this.sender.sendWindowUpdate(0, more)
  }

  get openStreams(): number {
    return this.streams.size
  }

  /** Client: another stream may be opened now. */
  get canOpen(): boolean {
    return !this.isClosed && !this.isGoingAway && this.streams.size < this.remote.maxConcurrentStreams && this.nextId <= MAX_STREAM_ID
  }

  // ---- receive windows ----
  /** The consumer has taken `count` bytes of body: the other side may send as many more. */
  consumed(stream: S, count: number): void {
    if (stream.isClosed) return
    stream.unconsumed -= count
    this.creditConnection(count)
    stream.credit += count
    if (stream.isRemoteClosed || stream.credit * 2 < this.options.streamWindowBytes) return
    stream.receiveWindow += stream.credit
    this.sender.sendWindowUpdate(stream.id, stream.credit)
    stream.credit = 0
  }

  /** `count` bytes of a body that nobody reads any more: only the connection gets them back. */
  discarded(stream: S, count: number): void {
    if (stream.isClosed) return
    stream.unconsumed -= count
    this.creditConnection(count)
  }

  protected creditConnection(count: number): void {
    if (this.isClosed) return
    this.#windowCredit += count
    if (this.#windowCredit * 2 < this.options.connectionWindowBytes) return
    this.windowLeft += this.#windowCredit
    this.sender.sendWindowUpdate(0, this.#windowCredit)
    this.#windowCredit = 0
  }

  // ---- floods ----

  protected payControl(): boolean {
    if (this.flood.takeControl()) return true
    this.attack('control_flood', 'too many frames that ask for nothing')
    return false
  }

  protected payReset(attack: Http2Attack): void {
    if (!this.isServer || this.flood.takeReset()) return
    this.attack(attack, 'too many streams that come to nothing')
  }

  protected attack(attack: Http2Attack, detail: string): void {
    if (this.isClosed) return
    this.owner.onAttack(attack)
    this.fail(ENHANCE_YOUR_CALM, detail)
  }

  // ---- the ends of streams ----

  /** The other side has done something on this stream that breaks it, and only it. */
  protected streamError(stream: S, code: number): void {
    this.sender.sendReset(stream.id, code)
    this.remove(stream, RESET_BY_US)
    this.owner.onReset(stream, code, false)
    this.owner.onStreamClosed(stream)
    this.payReset('rapid_reset')
  }

  protected closeIfDone(stream: S): void {
    if (!stream.isRemoteClosed || !stream.isLocalClosed || stream.isClosed) return
    this.flood.streamCompleted()
    this.remove(stream, ENDED)
    this.owner.onStreamClosed(stream)
  }

  protected remove(stream: S, end: number): void {
    this.streams.delete(stream.id)
    this.recent.add(stream.id, end)
    stream.isClosed = true
    stream.isRemoteClosed = true
    stream.isLocalClosed = true
    this.sender.drop(stream)
    if (stream.unconsumed > 0) this.creditConnection(stream.unconsumed)
    stream.unconsumed = 0
  }

  /** Breaks a stream off. */
  reset(stream: S, code: number): void {
    if (stream.isClosed || this.isClosed) return
    if (stream.id === 0) {
      stream.isClosed = true
      return
    }
    this.sender.sendReset(stream.id, code)
    this.remove(stream, RESET_BY_US)
    this.owner.onStreamClosed(stream)
  }

  /** Resets a stream because of what the other side said on it (a head that is none): counts as such. */
  refuse(stream: S, code: number): void {
    if (stream.isClosed || this.isClosed) return
    this.reset(stream, code)
    this.payReset('rapid_reset')
  }

  // ---- sending ----
  protected register(stream: S, streamId: number): void {
    stream.id = streamId
    stream.receiveWindow = this.options.streamWindowBytes
    stream.sendWindow = this.remote.initialWindowBytes
    this.streams.add(stream)
  }

  /** A header block begins; whoever gets the writer writes it, then calls `endHeaders`. Client: the stream is opened with it. */
  beginHeaders(stream: S): ByteWriter {
    if (stream.id === 0) {
      this.register(stream, this.nextId)
      this.nextId += 2
      this.flood.streamOpened()
    }
    return this.sender.beginHeaders(stream)
  }

  /** `endStream`: there is neither body nor trailers. */
  endHeaders(stream: S, endStream: boolean): void {
    this.sender.endHeaders(stream, endStream)
    if (!endStream) return
    stream.isLocalClosed = true
    this.onLocalEnd(stream)
  }

  /** False: stop until `onStreamDrain`. `stable`: the bytes keep until then, otherwise what cannot be sent now is copied. */
  sendData(stream: S, bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (this.isClosed) return true
    return this.sender.sendData(stream, bytes, start, end, stable)
  }

  /** The message is complete. `trailers`: lines, or ''. Only trailers are handed to `encodeTrailers`, when their turn comes. */
  sendEnd(stream: S, trailers: string): void {
    if (!this.isClosed) this.sender.sendEnd(stream, trailers)
  }

  onLocalEnd(stream: S): void {
    if (stream.isRemoteClosed) {
      this.closeIfDone(stream)
    } else if (this.isServer) {
      // RFC 9113 section 8.1: the answer is complete, the rest of the request is not wanted.
      this.flood.streamCompleted()
      this.reset(stream, NO_ERROR)
    }
  }

  onDrained(stream: S): void {
    this.owner.onStreamDrain(stream)
  }

  onDataSent(): void {
    this.flood.dataSent()
  }

  onOutput(): void {
    this.owner.onOutput()
  }

  onOutputFull(): void {
    this.owner.onOutputFull()
  }

  encodeTrailers(lines: string, writer: ByteWriter): void {
    this.owner.encodeTrailers(lines, writer)
  }

  /** What is to be written, or null. The caller gives the writer back to the pool when its bytes have left. */
  takeOutput(): ByteWriter | null {
    return this.sender.take()
  }

  /** The socket is full. */
  get isBlocked(): boolean {
    return this.sender.isBlocked
  }

  /** Whether the socket is full. When it is free again, what waits goes on. */
  setBlocked(isBlocked: boolean): void {
    this.sender.isBlocked = isBlocked
    if (!isBlocked && !this.isClosed) this.sender.pump()
  }

  ping(): void {
    this.sender.sendPing(0, PING_PAYLOAD, 0)
  }

  // ---- the end of the connection ----

  /** Server: says that no more streams are wanted, and still takes those on their way (RFC 9113 section 6.8). A PING tells when. */
  shutdown(): void {
    if (this.isClosed || this.#hasSentGoaway) return
    this.#hasSentGoaway = true
    this.sender.sendGoaway(MAX_STREAM_ID, NO_ERROR, '')
    this.ping()
  }

  /** What comes from now on is not served; what has come is. */
  finishShutdown(): void {
    if (this.isClosed || this.goawayId !== MAX_STREAM_ID) return
    this.#hasSentGoaway = true
    this.goawayId = this.lastId
    this.sender.sendGoaway(this.lastId, NO_ERROR, '')
  }

  /** Ends the connection for an error of the other side (or of ours: INTERNAL_ERROR). */
  fail(code: number, detail: string): void {
    if (this.isClosed) return
    this.sender.sendGoaway(this.lastId, code, detail)
    this.close()
    this.owner.onConnectionError(code, detail)
  }

  /** The socket is gone, or will be: nothing is read or sent any more. Streams stay in `streams` for the owner to end. */
  close(): void {
    this.isClosed = true
    for (const stream of this.streams.values()) {
      stream.isClosed = true
      stream.isLocalClosed = true
      stream.isRemoteClosed = true
      this.sender.drop(stream)
    }
  }
}
