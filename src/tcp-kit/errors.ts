/** Why a TCP server or connection of this kit failed; the codes are stable. */
export type TcpErrorCode =
  /** `listen` without an address. */
  | 'need-address'
  /** The server was closed. */
  | 'server-closed'
  /** The connection is gone: the other side reset it, or it was closed here. */
  | 'connection-closed'
  /** A read, a write or the whole connection took longer than its limit. */
  | 'read-timeout'
  | 'write-timeout'
  | 'idle-timeout'

/** An error of the server or of one connection. */
export class TcpError extends Error {
  readonly code: TcpErrorCode

  constructor(code: TcpErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'TcpError'
    this.code = code
  }
}

/** What a frame may do wrong; the codes are stable. */
export type FrameErrorCode =
  /** The bytes do not begin with the magic of this framing. */
  | 'bad-magic'
  /** A frame announces, or has reached, more bytes than allowed. */
  | 'too-large'
  /** The stream ended inside a frame. */
  | 'truncated'
  /** A body that this framing cannot carry: it contains the delimiter, or it is longer than the fixed length. */
  | 'bad-body'

/** Bytes that are no frame of the framing, or a body it cannot carry. After one of a decoder, the stream has no next frame. */
export class FrameError extends Error {
  readonly code: FrameErrorCode

  constructor(code: FrameErrorCode, message: string) {
    super(message)
    this.name = 'FrameError'
    this.code = code
  }
}

/** Thrown by a handler that wants its connection closed at once, without a report to `onError`. */
export const abortHandler: Error = new Error('tcp: abort TCPHandler')
abortHandler.name = 'AbortHandler'
