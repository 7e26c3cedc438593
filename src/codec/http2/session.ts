import type { WireBuffer } from '../../base/wire.ts'
import { growScratch, releaseScratch } from '../scratch-pool.ts'
import {
  CONTINUATION,
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FLAG_PADDED,
  FLAG_PRIORITY,
  FLOW_CONTROL_ERROR,
  FRAME_SIZE_ERROR,
  GOAWAY,
  HEADERS,
  MAX_WINDOW_BYTES,
  matchPreface,
  NO_ERROR,
  PING,
  PREFACE_BYTES,
  PRIORITY,
  PROTOCOL_ERROR,
  PUSH_PROMISE,
  REFUSED_STREAM,
  RST_STREAM,
  readU31,
  readU32,
  SETTINGS,
  STREAM_CLOSED,
  WINDOW_UPDATE,
} from './frame.ts'
import { type FrameHandler, FrameReader } from './frame-reader.ts'
import { ENDED, FORGOTTEN, RESET_BY_US } from './recent-streams.ts'
import { type Http2SessionOptions, SessionCore } from './session-core.ts'
import type { Http2SessionOwner } from './session-owner.ts'
import type { Http2Stream } from './stream.ts'

export type { Http2SessionOptions } from './session-core.ts'
export type { Http2Attack, Http2SessionOwner } from './session-owner.ts'

/** In `#blockFlags`: the stream depends on itself (RFC 7540 section 5.3.1). */
const SELF_DEPENDENT = 0x100
/** Header blocks of 16 KiB frames and less come with few CONTINUATION frames. */
const FREE_CONTINUATIONS = 16
const BYTES_PER_CONTINUATION = 1024
/** Larger frames would only hold up the others. */
const MAX_SENT_FRAME_BYTES = 16_384
/** What a header block takes of the budget of a turn: about the work of so many other frames. */
const FRAMES_PER_BLOCK = 10

/**
 * HTTP/2 (RFC 9113), both roles, without sockets or clocks.
 *
 *   class MyStream extends Http2Stream { ... }                       what belongs to one stream
 *   class MyOwner implements Http2SessionOwner<MyStream> { ... }     session-owner.ts: what the session tells
 *   const session = new Http2Session<MyStream>(owner, options); session.start()
 *
 * In:   session.receive(bytes, start, end, nowMs, budget)            any split; callbacks come from within. Stops after so many frames and
 *                                                                    says where; `budgetLeft` of it then is 0 or less
 * Out:  owner.onOutput() says once that output waits; at the end of the turn `session.takeOutput()` gives the ByteWriter with it, which goes
 *       back with `releaseWriter` (writer-pool.ts) when its bytes have left (or is dropped). `setBlocked(true | false)` says that the socket
 *       is full or free again.
 *
 * Sending a message (server: a response on the stream; client: a request on a new stream):
 *   const writer = session.beginHeaders(stream)                      client: gives the stream its id; only while `session.canOpen`
 *   encodeResponseBlock(encoder, head, writer)                       message.ts; nothing else may be sent in between
 *   session.endHeaders(stream, endStream)
 *   session.sendData(stream, bytes, start, end, stable): boolean     false: stop until onStreamDrain(stream). What does not fit is kept: copied,
 *                                                                    or referred to when `stable`
 *   session.sendEnd(stream, trailers)                                '' or lines; also after false. A server whose client is not done yet
 *                                                                    resets the stream with NO_ERROR behind it (section 8.1)
 *   session.reset(stream, code)                                      no onReset follows, onStreamClosed does
 * Receiving: `consumed(stream, n)` gives the windows back when the consumer has taken n bytes of onBody, now or later; `discarded(stream, n)`
 *   only the connection's, for a stream whose body nobody reads any more. What is neither is given back when the stream closes.
 *   `stream.expectedBytes` (Content-Length) is checked here once set.
 * Ends: `shutdown()` (two GOAWAYs, the second with `finishShutdown`), `fail(code, detail)`, `close()` when the socket is gone.
 * Client: `canOpen`, `remote.maxConcurrentStreams`, `openStreams`, `isGoingAway`; onReset(stream, REFUSED_STREAM) is safe to try again.
 */
export class Http2Session<S extends Http2Stream> extends SessionCore<S> implements FrameHandler {
  readonly #reader = new FrameReader(this)
  /** Bytes of the preface seen; PREFACE_BYTES: it is over. */
  #preface = 0
  #hasSettings = false
  /** The other side has acknowledged our settings. */
  #isAcknowledged = false

  // The DATA frame being read; null: nobody wants it.
  #dataStream: S | null = null
  #dataEnds = false

  // The header block being read.
  #blockId = 0
  #blockFlags = 0
  #block: WireBuffer | null = null
  #blockBytes = 0
  #blockFrames = 0

  constructor(owner: Http2SessionOwner<S>, options: Http2SessionOptions) {
    super(owner, options)
    if (!options.isServer) this.#preface = PREFACE_BYTES
  }

  /** A header block has begun and is not complete. */
  get isReadingBlock(): boolean {
    return this.#blockId !== 0
  }

  // ---- receiving ----

  /**
   * `nowMs`: monotonic; what fills up the budgets against floods. `budget`: how many frames to take at most, a header block counts for ten.
   * Returns where it stopped: at `end`, or where that was used up.
   */
  receive(bytes: WireBuffer, start: number, end: number, nowMs: number, budget = Number.POSITIVE_INFINITY): number {
    if (this.isClosed) return end
    this.flood.refill(nowMs)
    this.#reader.budget = budget
    let at = start
    if (this.#preface < PREFACE_BYTES) {
      const matched = matchPreface(bytes, start, end, this.#preface)
      if (matched < 0) {
        this.fail(PROTOCOL_ERROR, 'the connection preface is not that of HTTP/2')
        return end
      }
      at += matched - this.#preface
      this.#preface = matched
    }
    return this.#reader.receive(bytes, at, end)
  }

  get budgetLeft(): number {
    return this.#reader.budget
  }

  onFrameError(code: number, detail: string): void {
    this.fail(code, detail)
  }

  /** The first frame is SETTINGS; within a header block there is nothing but CONTINUATION. */
  #isInPlace(type: number, streamId: number): boolean {
    if (!this.#hasSettings && type !== SETTINGS) this.fail(PROTOCOL_ERROR, 'the first frame is not SETTINGS')
    else if (this.#blockId !== 0 && (type !== CONTINUATION || streamId !== this.#blockId))
      this.fail(PROTOCOL_ERROR, 'a header block is interrupted by another frame')
    return !this.isClosed
  }

  onUnknownFrame(type: number): void {
    if (this.#isInPlace(type, -1)) this.payControl()
  }

  onFrame(type: number, flags: number, streamId: number, bytes: WireBuffer, start: number, end: number): void {
    if (!this.#isInPlace(type, streamId)) return
    switch (type) {
      case HEADERS:
        return this.#onHeaders(flags, streamId, bytes, start, end)
      case PRIORITY:
        return this.#onPriority(streamId, bytes, start, end)
      case RST_STREAM:
        return this.#onReset(streamId, bytes, start, end)
      case SETTINGS:
        return this.#onSettings(flags, streamId, bytes, start, end)
      case PUSH_PROMISE:
        return this.fail(PROTOCOL_ERROR, 'PUSH_PROMISE came although push is off')
      case PING:
        return this.#onPing(flags, streamId, bytes, start, end)
      case GOAWAY:
        return this.#onGoaway(streamId, bytes, start, end)
      case WINDOW_UPDATE:
        return this.#onWindowUpdate(streamId, bytes, start, end)
      default:
        return this.#onContinuation(flags, bytes, start, end)
    }
  }

  /** The stream has not begun: its id is beyond all that were used, or not one the other side or we would use. */
  #isIdle(streamId: number): boolean {
    const isClients = (streamId & 1) === 1
    if (!isClients) return true
    return this.isServer ? streamId > this.lastId : streamId >= this.nextId
  }

  override close(): void {
    super.close()
    this.#reader.stop()
    if (this.#block !== null) releaseScratch(this.#block)
    this.#block = null
  }

  // ---- DATA ----

  onDataFrame(flags: number, streamId: number, length: number): void {
    this.#dataStream = null
    if (!this.#isInPlace(0, streamId)) return
    if (this.#isIdle(streamId)) return this.fail(PROTOCOL_ERROR, 'DATA on a stream that is not open')
    if (length > this.windowLeft) {
      this.owner.onAttack('window_overflow')
      return this.fail(FLOW_CONTROL_ERROR, 'more DATA than the window of the connection allows')
    }
    this.windowLeft -= length
    const ends = (flags & FLAG_END_STREAM) !== 0
    if (length === 0 && !ends && !this.payControl()) return
    const stream = this.streams.get(streamId)
    if (stream === undefined || stream.isRemoteClosed) {
      this.creditConnection(length)
      return this.#onLateData(stream, streamId)
    }
    if (!stream.hasHead) {
      this.creditConnection(length)
      return this.streamError(stream, PROTOCOL_ERROR)
    }
    if (length > stream.receiveWindow) {
      this.creditConnection(length)
      this.owner.onAttack('window_overflow')
      return this.streamError(stream, FLOW_CONTROL_ERROR)
    }
    stream.receiveWindow -= length
    // Padding is consumed as it comes: here all is counted as payload, the pieces then say what was.
    stream.unconsumed += length
    stream.paddingBytes = length
    this.#dataStream = stream
    this.#dataEnds = ends
  }

  #onLateData(stream: S | undefined, streamId: number): void {
    if (stream !== undefined) return this.streamError(stream, STREAM_CLOSED)
    if (this.recent.endOf(streamId) === RESET_BY_US) return
    if (this.payControl()) this.sender.sendReset(streamId, STREAM_CLOSED)
  }

  onDataPiece(bytes: WireBuffer, start: number, end: number): void {
    const stream = this.#dataStream
    if (stream === null || stream.isClosed) return
    const size = end - start
    stream.paddingBytes -= size
    stream.receivedBytes += size
    if (stream.expectedBytes >= 0 && stream.receivedBytes > stream.expectedBytes) return this.streamError(stream, PROTOCOL_ERROR)
    this.owner.onBody(stream, bytes, start, end)
  }

  onDataEnd(): void {
    const stream = this.#dataStream
    this.#dataStream = null
    if (stream === null || stream.isClosed) return
    const { paddingBytes } = stream
    if (paddingBytes > 0) {
      stream.paddingBytes = 0
      this.consumed(stream, paddingBytes)
    }
    if (!this.#dataEnds) return
    if (!this.#isLengthRight(stream)) return
    stream.isRemoteClosed = true
    this.owner.onBodyEnd(stream)
    this.closeIfDone(stream)
  }

  /** RFC 9113 section 8.1.1: the body must have the length that the head told. */
  #isLengthRight(stream: S): boolean {
    if (stream.expectedBytes < 0 || stream.receivedBytes === stream.expectedBytes) return true
    this.streamError(stream, PROTOCOL_ERROR)
    return false
  }

  // ---- header blocks ----

  #onHeaders(flags: number, streamId: number, bytes: WireBuffer, start: number, end: number): void {
    if (streamId === 0 || (streamId & 1) === 0) return this.fail(PROTOCOL_ERROR, 'HEADERS on a stream that cannot have any')
    let from = start
    let to = end
    if ((flags & FLAG_PADDED) !== 0) {
      if (from === to) return this.fail(FRAME_SIZE_ERROR, 'a padded frame is empty')
      to -= bytes[from] as number
      from++
    }
    if ((flags & FLAG_PRIORITY) !== 0) {
      from += 5
      if (from > end) return this.fail(FRAME_SIZE_ERROR, 'HEADERS too short for their priority')
    }
    if (from > to) return this.fail(PROTOCOL_ERROR, 'a frame has more padding than payload')
    this.#blockFlags = flags
    if ((flags & FLAG_PRIORITY) !== 0 && readU31(bytes, from - 5) === streamId) this.#blockFlags |= SELF_DEPENDENT
    if ((flags & FLAG_END_HEADERS) !== 0) return this.#onBlock(streamId, bytes, from, to)
    this.#blockId = streamId
    this.#blockBytes = 0
    this.#blockFrames = 0
    this.#addToBlock(bytes, from, to)
  }

  #onContinuation(flags: number, bytes: WireBuffer, start: number, end: number): void {
    if (this.#blockId === 0) return this.fail(PROTOCOL_ERROR, 'CONTINUATION without HEADERS')
    this.#addToBlock(bytes, start, end)
    if (this.isClosed || (flags & FLAG_END_HEADERS) === 0) return
    const streamId = this.#blockId
    const block = this.#block as WireBuffer
    this.#blockId = 0
    this.#block = null
    this.#onBlock(streamId, block, 0, this.#blockBytes)
    releaseScratch(block)
  }

  #addToBlock(bytes: WireBuffer, start: number, end: number): void {
    const size = this.#blockBytes + end - start
    this.#blockFrames++
    // A block that comes in crumbs is meant to keep us busy.
    if (size > this.options.maxHeaderBlockBytes || this.#blockFrames > FREE_CONTINUATIONS + size / BYTES_PER_CONTINUATION) {
      return this.attack('continuation_flood', 'a header block is too long')
    }
    this.#block = growScratch(this.#block, this.#blockBytes, size)
    bytes.copy(this.#block, this.#blockBytes, start, end)
    this.#blockBytes = size
  }

  /** A whole header block. Whatever becomes of its stream, it has to be decoded. */
  #onBlock(streamId: number, bytes: WireBuffer, start: number, end: number): void {
    const flags = this.#blockFlags
    this.#reader.budget -= FRAMES_PER_BLOCK - 1
    const endStream = (flags & FLAG_END_STREAM) !== 0
    let stream = this.streams.get(streamId)
    if (stream === undefined) {
      if (!this.#isIdle(streamId)) return this.#onLateBlock(streamId, bytes, start, end)
      if (!this.isServer) return this.fail(PROTOCOL_ERROR, 'HEADERS on a stream that is not open')
      const opened = this.#acceptStream(streamId, (flags & SELF_DEPENDENT) !== 0)
      if (opened === null) return this.#ignoreBlock(bytes, start, end)
      stream = opened
    } else {
      let code = NO_ERROR
      if (stream.isRemoteClosed) code = STREAM_CLOSED
      else if ((flags & SELF_DEPENDENT) !== 0 || (stream.hasHead && !endStream)) code = PROTOCOL_ERROR
      if (code !== NO_ERROR) {
        this.owner.onIgnoredHeaders(bytes, start, end)
        return this.streamError(stream, code)
      }
      if (stream.hasHead) {
        this.#onTrailers(stream, bytes, start, end)
        return
      }
    }
    stream.hasHead = this.isServer
    stream.isRemoteClosed = endStream
    this.owner.onHeaders(stream, bytes, start, end, endStream)
    if (endStream) this.closeIfDone(stream)
  }

  #ignoreBlock(bytes: WireBuffer, start: number, end: number): void {
    if (!this.isClosed) this.owner.onIgnoredHeaders(bytes, start, end)
  }

  #onTrailers(stream: S, bytes: WireBuffer, start: number, end: number): void {
    if (!this.#isLengthRight(stream)) return this.owner.onIgnoredHeaders(bytes, start, end)
    stream.isRemoteClosed = true
    this.owner.onTrailers(stream, bytes, start, end)
    this.closeIfDone(stream)
  }

  #onLateBlock(streamId: number, bytes: WireBuffer, start: number, end: number): void {
    const end_ = this.recent.endOf(streamId)
    // A server opens no streams: what is not known any more was reset here, and its answer has been on its way for long.
    if (end_ === RESET_BY_US || (end_ === FORGOTTEN && !this.isServer)) {
      if (this.payControl()) this.owner.onIgnoredHeaders(bytes, start, end)
    } else if (end_ === ENDED) this.fail(STREAM_CLOSED, 'HEADERS on a stream that is closed')
    else this.fail(PROTOCOL_ERROR, 'the id of a new stream is not beyond those before')
  }

  /** A stream for a client's request, or null when it gets none. */
  #acceptStream(streamId: number, isSelfDependent: boolean): S | null {
    this.lastId = streamId
    if (streamId > this.goawayId) {
      this.recent.add(streamId, RESET_BY_US)
      this.payControl()
      return null
    }
    const isTooMany = this.streams.size >= this.options.maxConcurrentStreams
    if (isTooMany || isSelfDependent) {
      this.recent.add(streamId, RESET_BY_US)
      this.sender.sendReset(streamId, isTooMany ? REFUSED_STREAM : PROTOCOL_ERROR)
      // Before it knows our limit, a client may honestly exceed it.
      if (isTooMany && !this.#isAcknowledged) this.payControl()
      else this.payReset(isTooMany ? 'too_many_streams' : 'rapid_reset')
      return null
    }
    this.flood.streamOpened()
    const stream = this.owner.createStream()
    this.register(stream, streamId)
    return stream
  }

  // ---- the other frames ----

  #onPriority(streamId: number, bytes: WireBuffer, start: number, end: number): void {
    if (streamId === 0) return this.fail(PROTOCOL_ERROR, 'PRIORITY without a stream')
    if (!this.payControl()) return
    const stream = this.streams.get(streamId)
    let code = NO_ERROR
    if (end - start !== 5) code = FRAME_SIZE_ERROR
    else if (readU31(bytes, start) === streamId) code = PROTOCOL_ERROR
    if (code === NO_ERROR) return
    if (stream !== undefined) this.streamError(stream, code)
    // Section 6.4: a stream that has not begun cannot be reset.
    else if (this.#isIdle(streamId)) this.fail(code, 'PRIORITY that is not valid on a stream that is not open')
    else this.sender.sendReset(streamId, code)
  }

  #onReset(streamId: number, bytes: WireBuffer, start: number, end: number): void {
    if (end - start !== 4) return this.fail(FRAME_SIZE_ERROR, 'RST_STREAM of a wrong length')
    if (streamId === 0 || this.#isIdle(streamId)) return this.fail(PROTOCOL_ERROR, 'RST_STREAM on a stream that is not open')
    const stream = this.streams.get(streamId)
    if (stream === undefined) {
      this.payControl()
      return
    }
    this.remove(stream, ENDED)
    this.owner.onReset(stream, readU32(bytes, start), true)
    this.owner.onStreamClosed(stream)
    if (this.isServer) this.payReset('rapid_reset')
  }

  #onSettings(flags: number, streamId: number, bytes: WireBuffer, start: number, end: number): void {
    if (streamId !== 0) return this.fail(PROTOCOL_ERROR, 'SETTINGS on a stream')
    if ((flags & FLAG_ACK) !== 0) {
      if (end !== start) return this.fail(FRAME_SIZE_ERROR, 'an acknowledgement of SETTINGS with a payload')
      if (!this.#hasSettings) return this.fail(PROTOCOL_ERROR, 'the first frame is not SETTINGS')
      if (this.#isAcknowledged) return void this.payControl()
      this.#isAcknowledged = true
      return this.owner.onSettingsAcknowledged()
    }
    if ((end - start) % 6 !== 0) return this.fail(FRAME_SIZE_ERROR, 'SETTINGS of a wrong length')
    if (this.#hasSettings && !this.payControl()) return
    this.#hasSettings = true
    const before = this.remote.initialWindowBytes
    const code = this.remote.read(bytes, start, end, this.isServer)
    if (code !== NO_ERROR) return this.fail(code, 'a setting has a value that it cannot have')
    this.sender.maxFrameBytes = Math.min(this.remote.maxFrameBytes, MAX_SENT_FRAME_BYTES)
    this.sender.sendSettingsAck()
    if (before !== this.remote.initialWindowBytes && !this.#moveWindows(this.remote.initialWindowBytes - before)) return
    this.owner.onSettings()
    this.sender.pump()
  }

  /** RFC 9113 section 6.9.2: a new initial window changes the windows of all streams. */
  #moveWindows(by: number): boolean {
    for (const stream of this.streams.values()) {
      stream.sendWindow += by
      if (stream.sendWindow > MAX_WINDOW_BYTES) {
        this.fail(FLOW_CONTROL_ERROR, 'a window has become too large')
        return false
      }
      this.sender.queue(stream)
    }
    return true
  }

  #onPing(flags: number, streamId: number, bytes: WireBuffer, start: number, end: number): void {
    if (streamId !== 0) return this.fail(PROTOCOL_ERROR, 'PING on a stream')
    if (end - start !== 8) return this.fail(FRAME_SIZE_ERROR, 'PING of a wrong length')
    if (!this.payControl()) return
    if ((flags & FLAG_ACK) !== 0) this.owner.onPong()
    else this.sender.sendPing(FLAG_ACK, bytes, start)
  }

  #onGoaway(streamId: number, bytes: WireBuffer, start: number, end: number): void {
    if (streamId !== 0) return this.fail(PROTOCOL_ERROR, 'GOAWAY on a stream')
    if (end - start < 8) return this.fail(FRAME_SIZE_ERROR, 'GOAWAY of a wrong length')
    if (!this.payControl()) return
    this.isGoingAway = true
    const lastId = readU31(bytes, start)
    if (!this.isServer) {
      for (const stream of this.streams.values()) {
        if (stream.id <= lastId || stream.isClosed) continue
        this.remove(stream, RESET_BY_US)
        this.owner.onReset(stream, REFUSED_STREAM, true)
        this.owner.onStreamClosed(stream)
      }
    }
    this.owner.onGoaway(lastId, readU32(bytes, start + 4))
  }

  #onWindowUpdate(streamId: number, bytes: WireBuffer, start: number, end: number): void {
    if (end - start !== 4) return this.fail(FRAME_SIZE_ERROR, 'WINDOW_UPDATE of a wrong length')
    if (!this.payControl()) return
    const increment = readU31(bytes, start)
    if (streamId === 0) {
      if (increment === 0) return this.fail(PROTOCOL_ERROR, 'WINDOW_UPDATE by nothing')
      if (!this.sender.widen(increment)) {
        this.owner.onAttack('window_overflow')
        return this.fail(FLOW_CONTROL_ERROR, 'the window of the connection has become too large')
      }
      return this.sender.pump()
    }
    if (this.#isIdle(streamId)) return this.fail(PROTOCOL_ERROR, 'WINDOW_UPDATE on a stream that is not open')
    const stream = this.streams.get(streamId)
    if (stream === undefined) return
    if (increment === 0) return this.streamError(stream, PROTOCOL_ERROR)
    stream.sendWindow += increment
    if (stream.sendWindow > MAX_WINDOW_BYTES) {
      this.owner.onAttack('window_overflow')
      return this.streamError(stream, FLOW_CONTROL_ERROR)
    }
    this.sender.queue(stream)
    this.sender.pump()
  }
}
