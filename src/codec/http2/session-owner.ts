import type { WireBuffer } from '../../base/wire.ts'
import type { ByteWriter } from '../byte-writer.ts'
import type { Http2Stream } from './stream.ts'

/** Names of what a session takes for an attack, for a metric. */
export type Http2Attack = 'rapid_reset' | 'control_flood' | 'continuation_flood' | 'window_overflow' | 'too_many_streams'

/**
 * What a session tells its owner, synchronously, from within `receive` unless it says otherwise. Bytes are valid during the call
 * only. The owner may call the session back from within any of these.
 */
export interface Http2SessionOwner<S extends Http2Stream> {
  /** Server: the other side opens a stream. */
  createStream(): S
  /**
   * A header block with a message head. Server: once for each stream. Client: for each interim head and the final one, after which the
   * owner sets `stream.hasHead`. The block must be decoded in any case, or the compression is out of step: on an error there the
   * owner calls `fail`. `endStream`: there is no body and no `onBodyEnd`.
   */
  onHeaders(stream: S, bytes: WireBuffer, start: number, end: number, endStream: boolean): void
  /** A header block with trailers: the end of the stream; no `onBodyEnd` follows. */
  onTrailers(stream: S, bytes: WireBuffer, start: number, end: number): void
  /** A header block of a stream that nobody wants: to be decoded and forgotten. */
  onIgnoredHeaders(bytes: WireBuffer, start: number, end: number): void
  /** A piece of body. It counts against the windows until the owner calls `consumed` (or `discarded`). */
  onBody(stream: S, bytes: WireBuffer, start: number, end: number): void
  /** The body is complete, without trailers. */
  onBodyEnd(stream: S): void
  /**
   * The stream was broken off: by the other side (`isRemote`), or by the session, because of what the other side did on it. Client:
   * REFUSED_STREAM says that the server has not begun with it, also when it follows from a GOAWAY.
   */
  onReset(stream: S, code: number, isRemote: boolean): void
  /** The stream has left the session, whatever the way. Once for each stream, last. */
  onStreamClosed(stream: S): void
  /** After `sendData` has returned false: everything is in the output. Not only from within `receive`. */
  onStreamDrain(stream: S): void
  /** The other side's settings have come or changed: `session.remote`. The encoder's table limit is in there. */
  onSettings(): void
  /** The other side has taken note of our settings. */
  onSettingsAcknowledged(): void
  /** The other side will answer (or open) nothing beyond this stream. A client opens no further streams. */
  onGoaway(lastStreamId: number, code: number): void
  /** The answer to `ping`. */
  onPong(): void
  /** The first output since it was last taken: `takeOutput` is to be called at the end of the turn. Not only from within `receive`. */
  onOutput(): void
  /** Much output waits: take and write it now. The owner calls `setBlocked(true)` when the socket is full. */
  onOutputFull(): void
  encodeTrailers(lines: string, writer: ByteWriter): void
  onAttack(attack: Http2Attack): void
  /**
   * The connection is beyond repair; GOAWAY is in the output, and nothing is read any more. What is open is in `session.streams`: the
   * owner ends it, writes the output and closes.
   */
  onConnectionError(code: number, detail: string): void
}
