import { Ring } from '../../base/ring.ts'
import type { ByteWriter } from '../byte-writer.ts'
import {
  CONTINUATION,
  DATA,
  DEFAULT_FRAME_BYTES,
  DEFAULT_WINDOW_BYTES,
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FRAME_HEADER_BYTES,
  GOAWAY,
  HEADERS,
  MAX_WINDOW_BYTES,
  PING,
  patchFrameLength,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
  writeFrameHeader,
} from './frame.ts'
import { type Http2Stream, PendingPiece } from './stream.ts'
import { acquireWriter } from './writer-pool.ts'

/** What the sending half needs of the session. */
export interface SenderHost<S extends Http2Stream> {
  /** The first byte of output since it was last taken. */
  onOutput(): void
  /** There is much output: take it now, or what comes next has to wait. */
  onOutputFull(): void
  /** Everything that was given to `sendData` is in the output. */
  onDrained(stream: S): void
  /** END_STREAM is in the output. */
  onLocalEnd(stream: S): void
  onDataSent(): void
  encodeTrailers(lines: string, writer: ByteWriter): void
}

/** Beyond this the output is taken in the middle of a turn. With one frame more it fits into what a ByteWriter keeps. */
const FULL_BYTES = 47 * 1024

/**
 * The sending half of a session: frames gathered in one buffer, DATA as far as both windows allow. What they do not allow waits in
 * its stream; streams that wait for the connection take turns, one frame each.
 */
export class Http2Sender<S extends Http2Stream> {
  readonly #host: SenderHost<S>
  #writer: ByteWriter | null = null
  /** Rises when the output is taken: frames of an earlier turn cannot be changed any more. */
  #turn = 0
  /** Of the connection. */
  window = DEFAULT_WINDOW_BYTES
  /** How long a frame of header bytes may be. */
  maxFrameBytes = DEFAULT_FRAME_BYTES
  /** The socket is full: DATA waits. */
  isBlocked = false
  readonly #ready = new Ring<S>()

  constructor(host: SenderHost<S>) {
    this.#host = host
  }

  output(): ByteWriter {
    if (this.#writer === null) {
      this.#writer = acquireWriter()
      this.#host.onOutput()
    }
    return this.#writer
  }

  take(): ByteWriter | null {
    const writer = this.#writer
    this.#writer = null
    this.#turn++
    return writer
  }

  // ---- heads ----

  beginHeaders(stream: S): ByteWriter {
    if (this.#writer !== null && this.#writer.at > FULL_BYTES) this.#host.onOutputFull()
    const writer = this.output()
    stream.frameAt = writer.at
    stream.frameTurn = this.#turn
    writeFrameHeader(writer, 0, HEADERS, FLAG_END_HEADERS, stream.id)
    return writer
  }

  endHeaders(stream: S, endStream: boolean): void {
    const writer = this.#writer as ByteWriter
    const start = stream.frameAt + FRAME_HEADER_BYTES
    const length = writer.at - start
    if (length <= this.maxFrameBytes) patchFrameLength(writer, stream.frameAt, length)
    else this.#splitHeaders(stream, writer, start)
    if (endStream) writer.bytes[stream.frameAt + 4] = (writer.bytes[stream.frameAt + 4] as number) | FLAG_END_STREAM
  }

  #splitHeaders(stream: S, writer: ByteWriter, start: number): void {
    const block = Buffer.from(writer.bytes.subarray(start, writer.at))
    const size = this.maxFrameBytes
    patchFrameLength(writer, stream.frameAt, size)
    writer.bytes[stream.frameAt + 4] = 0
    writer.at = start + size
    for (let at = size; at < block.length; at += size) {
      const end = Math.min(at + size, block.length)
      writeFrameHeader(writer, end - at, CONTINUATION, end === block.length ? FLAG_END_HEADERS : 0, stream.id)
      writer.copy(block, at, end)
    }
  }

  // ---- bodies ----

  sendData(stream: S, bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (stream.isLocalClosed || stream.isEndPending) return true
    let at = start
    if (stream.pendingBytes === 0) at = this.#writeData(stream, bytes, start, end)
    if (at === end) return true
    const piece = stable ? new PendingPiece(bytes, at, end) : new PendingPiece(Buffer.from(bytes.subarray(at, end)), 0, end - at)
    if (stream.lastPiece === null) stream.firstPiece = piece
    else stream.lastPiece.next = piece
    stream.lastPiece = piece
    stream.pendingBytes += end - at
    this.queue(stream)
    return false
  }

  /** Writes what the windows allow. Returns the first byte that was not written. */
  #writeData(stream: S, bytes: Buffer, start: number, end: number): number {
    let at = start
    while (at < end && !this.isBlocked) {
      const next = this.#writeFrame(stream, bytes, at, end)
      if (next === at) break
      at = next
    }
    return at
  }

  #writeFrame(stream: S, bytes: Buffer, at: number, end: number): number {
    const size = Math.min(end - at, stream.sendWindow, this.window, DEFAULT_FRAME_BYTES)
    if (size <= 0) return at
    const writer = this.output()
    stream.frameAt = writer.at
    stream.frameTurn = this.#turn
    writeFrameHeader(writer, size, DATA, 0, stream.id)
    writer.copy(bytes, at, at + size)
    stream.sendWindow -= size
    this.window -= size
    this.#host.onDataSent()
    if (writer.at > FULL_BYTES) this.#host.onOutputFull()
    return at + size
  }

  sendEnd(stream: S, trailers: string): void {
    if (stream.isLocalClosed || stream.isEndPending) return
    stream.trailers = trailers
    if (stream.pendingBytes > 0) stream.isEndPending = true
    else this.#writeEnd(stream)
  }

  #writeEnd(stream: S): void {
    const { trailers } = stream
    if (trailers !== '') {
      const writer = this.beginHeaders(stream)
      this.#host.encodeTrailers(trailers, writer)
      this.endHeaders(stream, true)
    } else if (stream.frameTurn === this.#turn && this.#writer !== null && stream.frameAt >= 0) {
      // Its last frame has not left yet: it can say that it is the last.
      const { bytes } = this.#writer
      bytes[stream.frameAt + 4] = (bytes[stream.frameAt + 4] as number) | FLAG_END_STREAM
    } else {
      writeFrameHeader(this.output(), 0, DATA, FLAG_END_STREAM, stream.id)
    }
    stream.isLocalClosed = true
    this.#host.onLocalEnd(stream)
  }

  /** The stream has bytes that wait and may send some of them. */
  queue(stream: S): void {
    if (stream.isQueued || stream.pendingBytes === 0 || stream.sendWindow <= 0) return
    stream.isQueued = true
    this.#ready.push(stream)
  }

  /** Sends what waits, as far as it goes now. */
  pump(): void {
    while (this.#ready.length > 0 && !this.isBlocked && this.window > 0) {
      const stream = this.#ready.shift() as S
      stream.isQueued = false
      if (!stream.isClosed && stream.pendingBytes > 0) this.#sendPending(stream)
    }
  }

  #sendPending(stream: S): void {
    const piece = stream.firstPiece as PendingPiece
    const next = this.#writeFrame(stream, piece.bytes, piece.start, piece.end)
    // Taking the output may have closed the connection.
    if (stream.isClosed) return
    stream.pendingBytes -= next - piece.start
    piece.start = next
    if (next === piece.end) {
      stream.firstPiece = piece.next
      if (piece.next === null) stream.lastPiece = null
    }
    if (stream.pendingBytes > 0) this.queue(stream)
    else if (stream.isEndPending) this.#writeEnd(stream)
    else this.#host.onDrained(stream)
  }

  /** The stream is gone: what it had to send is of no use. */
  drop(stream: S): void {
    stream.firstPiece = null
    stream.lastPiece = null
    stream.pendingBytes = 0
  }

  // ---- windows ----

  /** False: the other side has let a window grow too large. */
  widen(increment: number): boolean {
    if (this.window + increment > MAX_WINDOW_BYTES) return false
    this.window += increment
    return true
  }

  // ---- frames of the connection ----

  sendReset(streamId: number, code: number): void {
    const writer = this.output()
    writeFrameHeader(writer, 4, RST_STREAM, 0, streamId)
    writer.u32(code)
  }

  sendWindowUpdate(streamId: number, increment: number): void {
    const writer = this.output()
    writeFrameHeader(writer, 4, WINDOW_UPDATE, 0, streamId)
    writer.u32(increment)
  }

  sendSettingsAck(): void {
    writeFrameHeader(this.output(), 0, SETTINGS, FLAG_ACK, 0)
  }

  sendPing(flags: number, bytes: Buffer, start: number): void {
    const writer = this.output()
    writeFrameHeader(writer, 8, PING, flags, 0)
    writer.copy(bytes, start, start + 8)
  }

  sendGoaway(lastStreamId: number, code: number, detail: string): void {
    const writer = this.output()
    writeFrameHeader(writer, 8 + detail.length, GOAWAY, 0, 0)
    writer.u32(lastStreamId)
    writer.u32(code)
    writer.latin1(detail)
  }
}
