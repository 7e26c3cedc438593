/**
 * One stream of a session. Whoever owns the session puts what belongs to a stream into a class of its own that extends this one.
 * Only the session changes what is declared here, except where a field says otherwise.
 */
export abstract class Http2Stream {
  /** 0: a stream of the client role that has not sent its head yet. */
  id = 0
  /** The other side has said all: END_STREAM came, or the stream is gone. */
  isRemoteClosed = false
  /** We have said all: END_STREAM or RST_STREAM is on its way, or the stream is gone. */
  isLocalClosed = false
  /** Gone: not among the session's streams any more. Nothing that is sent on it does anything. */
  isClosed = false

  // Receiving.
  /** The first head (of a client: the final one) has come; what follows are trailers. The owner of a client sets it. */
  hasHead = false
  /** The Content-Length, set by the owner when it has read the head; -1: none. The session holds the other side to it. */
  expectedBytes = -1
  receivedBytes = 0
  /** What the other side may still send. */
  receiveWindow = 0
  /** Delivered and not yet consumed. */
  unconsumed = 0
  /** Of the DATA frame being read: what of its length was not delivered. */
  paddingBytes = 0
  /** Consumed and not yet told the other side. */
  credit = 0

  // Sending.
  /** Below 0 after the other side has made its windows smaller. */
  sendWindow = 0
  /** Given to `sendData` and not yet in the output. */
  pendingBytes = 0
  firstPiece: PendingPiece | null = null
  lastPiece: PendingPiece | null = null
  /** `sendEnd` was called, and what is to follow the pending pieces: trailers, or ''. */
  isEndPending = false
  trailers = ''
  /** Waits in the queue of those who could send. */
  isQueued = false
  /** Where the header of this stream's last frame stands in the output, while it can still be changed. */
  frameAt = -1
  frameTurn = -1
}

/** Bytes that wait for a window. */
export class PendingPiece {
  readonly bytes: Buffer
  start: number
  readonly end: number
  next: PendingPiece | null = null

  constructor(bytes: Buffer, start: number, end: number) {
    this.bytes = bytes
    this.start = start
    this.end = end
  }
}
