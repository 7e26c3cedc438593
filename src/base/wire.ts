import net from 'node:net'
import type { TLSSocket } from 'node:tls'
import { createWriteError, type DirectWrite, directWrite, type WritableHandle, type WriteRequest } from './direct-write.ts'

/**
 * One TCP socket as the data path uses it. Reads go through `onread` into one buffer that all sockets of the thread share, so a
 * read allocates nothing; the owner must use or copy the bytes before it returns. A socket that carries a lot (`startBulk`) reads
 * into a larger buffer of its own: its bytes may be handed to another socket's write without a copy, because the owner pauses
 * reading until that write is done.
 *
 * Measured against plain `data` events: 67,900 to 57,100 requests per CPU-second (docs/design/0001-data-path.md).
 *
 * A wire over TLS (tls-wire.ts makes its socket) has the same surface. It never has a bulk buffer: OpenSSL hands out all it has read,
 * record by record, whoever asks it to stop, so bytes cannot be promised to keep.
 */
export interface WireOwner {
  /** Bytes [0, length) are valid during the call only. Return false to stop reading until `resume`. */
  onData(bytes: WireBuffer, length: number): boolean
  /** The other side has sent its FIN. Writing is still possible. */
  onEnd(): void
  /** What made a write return false has left this process. */
  onDrain(): void
  /** The last call, exactly once. `error` is null for an orderly close. */
  onClose(error: Error | null): void
}

/** `latin1Slice` is what `toString('latin1', ..)` ends in; called directly it costs half. */
export type WireBuffer = Buffer & { latin1Slice(start: number, end: number): string }

/** Enough for any usual head with a small body in one read; larger bodies switch to a bulk buffer. */
const READ_BUFFER_BYTES = 64 * 1024
/** The size at which the relay of 1 MiB bodies stopped getting faster. */
const BULK_BUFFER_BYTES = 256 * 1024
const BULK_BUFFERS_KEPT = 16
/**
 * Bulk buffers of one thread at a time: 64 MiB. A connection that falls silent right behind much data keeps its buffer, and thousands of
 * them must not add up; who gets none reads into the shared buffer and copies.
 */
export const MAX_BULK_BUFFERS = 256
/**
 * Up to here Node writes text from the stack, without a buffer. Against a copy in a Buffer, an echoed message costs 0.6 % less with 64
 * bytes, 2 % with 1,200, a fifth with 8,000 and more.
 */
const TEXT_MAX_BYTES = 16 * 1024

// One per thread, not per gateway: what makes the shared read buffer possible is that a thread handles one read at a time.
const sharedBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES) as WireBuffer
const freeBulkBuffers: WireBuffer[] = []
let bulkBuffersInUse = 0

// Node asks for the buffer of the next read right after each read callback, through a function without arguments. One function
// serves every socket: the callback leaves its answer here.
let upcomingBuffer: WireBuffer = sharedBuffer

function takeUpcomingBuffer(): WireBuffer {
  const buffer = upcomingBuffer
  upcomingBuffer = sharedBuffer
  return buffer
}

function onRead(this: WireSocket, length: number, buffer: Uint8Array): boolean {
  const { wire } = this
  if (wire === null) return false
  this.hasRead = true
  const proceed = wire.owner.onData(buffer as WireBuffer, length)
  upcomingBuffer = wire.readBuffer
  return proceed
}

const ONREAD = { buffer: takeUpcomingBuffer, callback: onRead as (length: number, buffer: Uint8Array) => boolean }

/** A TLS socket with the wire that reads from it; made by tls-wire.ts. */
export interface SecureSocket extends TLSSocket {
  wire: Wire | null
}

/** Reading from TLS: what comes although the owner has asked to stop is kept until it goes on. */
function onSecureRead(this: SecureSocket, length: number, buffer: Uint8Array): boolean {
  return this.wire?.receive(buffer as WireBuffer, length) ?? false
}

/** The `onread` option of a SecureSocket. */
export const SECURE_ONREAD = {
  buffer: () => sharedBuffer,
  callback: onSecureRead as (length: number, buffer: Uint8Array) => boolean,
}

interface WithWritableHandle {
  _handle: WritableHandle | null
}

class WireSocket extends net.Socket {
  wire: Wire | null = null
  /** A write has failed, but what the other side said before may still lie in the kernel. */
  #writeError: Error | null = null
  hasRead = false
  /** A write begun on the handle, on its way into `_write`. */
  #begun: WriteRequest | null = null

  /**
   * The handle, when nothing is on its way through the stream: then what is written on it comes behind all before, and the stream takes
   * a further write at once. Otherwise null.
   */
  get #quietHandle(): WritableHandle | null {
    if (this.writableLength !== 0 || this.writableCorked !== 0 || this.connecting) return null
    if (this.destroyed || this.writableEnded || this.errored !== null) return null
    return (this as unknown as WithWritableHandle)._handle
  }

  /** As `write`. `onWritten` is called only when not all is written right now. */
  writeText(text: string, onWritten: (() => void) | undefined): boolean {
    const handle = directWrite === null ? null : this.#quietHandle
    if (handle !== null) {
      this.#begun = (directWrite as DirectWrite).text(handle, text)
      if (this.#begun === null) return true
    }
    return this.write(text, 'latin1', onWritten)
  }

  /** The same with bytes, which must keep until then. */
  writeBytes(bytes: Buffer, onWritten: (() => void) | undefined): boolean {
    const handle = directWrite === null ? null : this.#quietHandle
    if (handle !== null) {
      this.#begun = (directWrite as DirectWrite).bytes(handle, bytes)
      if (this.#begun === null) return true
    }
    return this.write(bytes, onWritten)
  }

  /** The stream takes over a write that the handle has begun, and knows from then on that it is under way. */
  override _write(chunk: unknown, encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    const begun = this.#begun
    if (begun === null) return super._write(chunk, encoding, callback)
    this.#begun = null
    if (begun.status === 0) begun.onEnd = callback
    else callback(createWriteError(begun.status))
  }

  /**
   * Node closes a socket at once when a write fails. An endpoint that answers an upload early and then closes makes the next write
   * fail while its answer is there to be read: so we read what there is first.
   */
  override destroy(error?: Error): this {
    const isLate = this.wire?.readsAfterWriteError === true && !this.destroyed
    if (!isLate || error === undefined || (error as NodeJS.ErrnoException).syscall !== 'write') return super.destroy(error)
    if (this.#writeError !== null) return this
    this.#writeError = error
    if (this.wire !== null) this.wire.hasFailed = true
    this.#closeWhenRead()
    return this
  }

  /** Two turns of the event loop have one poll for certain between them. */
  #closeWhenRead(): void {
    this.hasRead = false
    setImmediate(() =>
      setImmediate(() => {
        if (this.destroyed) return
        if (this.hasRead) this.#closeWhenRead()
        else super.destroy(this.#writeError as Error)
      }),
    )
  }
}

function onEnd(this: WireSocket | SecureSocket): void {
  this.wire?.endReading()
}

function onDrain(this: WireSocket | SecureSocket): void {
  this.wire?.owner.onDrain()
}

function onError(this: WireSocket | SecureSocket, error: Error): void {
  if (this.wire === null) return
  this.wire.error = error
  // Node tells of a fatal TLS alert after the handshake, or of a record that cannot be read, and leaves the socket open and silent.
  if (!this.destroyed) this.destroy()
}

function onClose(this: WireSocket | SecureSocket): void {
  const { wire } = this
  if (wire === null) return
  this.wire = null
  wire.release()
  wire.owner.onClose(wire.error)
}

/** The TCP handle under an accepted socket. Node's types do not show it. */
interface WithHandle {
  _handle: object | null
}

export class Wire {
  readonly socket: net.Socket
  owner: WireOwner
  error: Error | null = null
  /** Of connections to endpoints. A client that takes no response any more has nothing to say either. */
  readsAfterWriteError = false
  /** A write has failed: what can still be read is read, then the socket closes. */
  hasFailed = false
  // The drain event comes only above the high-water mark; a stable buffer is busy until its last byte has left.
  #onStableWritten: (() => void) | null = null
  /** Where the next read goes: the shared buffer, or this wire's bulk buffer. */
  readBuffer: WireBuffer = sharedBuffer
  /** A bulk buffer that is not read into any more, but still written from. */
  #lentBulk: WireBuffer | null = null

  /** The socket; null: over TLS. */
  readonly #plain: WireSocket | null
  /** Over TLS. */
  readonly isSecure: boolean
  // Over TLS: the owner has asked to stop, and to go on; what came in between.
  #isStopped = false
  #isResuming = false
  #held: WireBuffer[] | null = null
  #isEndHeld = false

  private constructor(socket: WireSocket | SecureSocket, owner: WireOwner) {
    this.#plain = socket instanceof WireSocket ? socket : null
    this.isSecure = this.#plain === null
    this.socket = socket
    this.owner = owner
    socket.wire = this
    socket.on('end', onEnd)
    socket.on('drain', onDrain)
    socket.on('error', onError)
    socket.on('close', onClose)
  }

  /**
   * Takes over a socket accepted by a server with `pauseOnConnect`: its handle moves to a socket that reads through `onread`.
   * null when the connection is gone already. Reading starts with `resume`.
   */
  static accept(accepted: net.Socket, owner: WireOwner): Wire | null {
    if (isSecureSocket(accepted)) return Wire.adopt(accepted, owner)
    const holder = accepted as unknown as WithHandle
    const handle = holder._handle
    if (handle === null || handle === undefined) return null
    // What was read before, such as bytes behind a PROXY header.
    const first = accepted.readableLength > 0 ? (accepted.read() as WireBuffer | null) : null
    holder._handle = null
    // `handle` is how Node itself builds the sockets of a server; its types do not list it.
    const options = { handle, onread: ONREAD, allowHalfOpen: true, pauseOnCreate: true, manualStart: true }
    const wire = new Wire(new WireSocket(options as net.SocketConstructorOpts), owner)
    if (first !== null) wire.unread(first)
    return wire
  }

  /** Puts bytes back in front of what is to be read: they come first after the next `resume`. They must keep. */
  unread(bytes: WireBuffer): void {
    this.#isStopped = true
    this.#held ??= []
    this.#held.unshift(bytes)
  }

  /** Goes on with a TLS socket, once the handshake is done or before. null when it is gone already. */
  static adopt(socket: SecureSocket, owner: WireOwner): Wire | null {
    return socket.destroyed ? null : new Wire(socket, owner)
  }

  /** Opens a connection. `onConnected` comes once it is usable; a failure comes as `onClose` with the error. */
  static connect(options: net.TcpNetConnectOpts, owner: WireOwner, onConnected: () => void): Wire {
    const socket = new WireSocket({ onread: ONREAD, allowHalfOpen: true } as net.SocketConstructorOpts)
    const wire = new Wire(socket, owner)
    wire.readsAfterWriteError = true
    socket.once('connect', onConnected)
    socket.setNoDelay(true)
    socket.connect(options)
    return wire
  }

  /** Bytes given to `write` that the kernel has not taken yet. */
  get pendingBytes(): number {
    return this.socket.writableLength
  }

  /**
   * Of those, what is in the write under way: it shrinks as the other side reads. Over TLS, where one write becomes many, only that
   * holds, not the number.
   */
  get unsentBytes(): number {
    const { _handle: handle } = this.socket as unknown as { _handle: SendingHandle | null }
    if (handle === null) return 0
    const tcp = handle._parent
    if (!this.isSecure || tcp === undefined) return handle.writeQueueSize ?? 0
    return this.socket.writableLength === 0 ? 0 : Number.MAX_SAFE_INTEGER - ((tcp.bytesWritten ?? 0) - (tcp.writeQueueSize ?? 0))
  }

  /** Writes latin1 text. False: stop producing until `onDrain`. */
  writeText(text: string): boolean {
    const onWritten = this.#isStableWriting ? (this.#onStableWritten as () => void) : undefined
    return this.#plain === null ? this.socket.write(text, 'latin1', onWritten) : this.#plain.writeText(text, onWritten)
  }

  /** A stable write is under way. What is written behind it has to tell when it is done, or nobody tells that all is. */
  get #isStableWriting(): boolean {
    return this.#onStableWritten !== null && this.socket.writableLength !== 0
  }

  /**
   * Writes bytes. `stable` says that the bytes keep until the write is done (they lie in a bulk buffer whose wire will be paused
   * when this returns false); otherwise they are copied.
   */
  writeBytes(bytes: Buffer, start: number, end: number, stable: boolean): boolean {
    if (!stable) {
      if (end - start <= TEXT_MAX_BYTES) return this.writeText((bytes as WireBuffer).latin1Slice(start, end))
      return this.#writeBuffer(Buffer.from(bytes.subarray(start, end)))
    }
    this.#onStableWritten ??= () => {
      if (this.socket.writableLength === 0 && !this.socket.destroyed) this.owner.onDrain()
    }
    if (this.#plain !== null) this.#plain.writeBytes(bytes.subarray(start, end), this.#onStableWritten)
    else this.socket.write(bytes.subarray(start, end), this.#onStableWritten)
    return this.socket.writableLength === 0
  }

  #writeBuffer(bytes: Buffer): boolean {
    const onWritten = this.#isStableWriting ? (this.#onStableWritten as () => void) : undefined
    return this.#plain === null ? this.socket.write(bytes, onWritten) : this.#plain.writeBytes(bytes, onWritten)
  }

  /**
   * Writes bytes that the caller leaves alone until `pendingBytes` has been 0 again: it gives them away unless it finds that so right after
   * this. False: stop producing until `onDrain`.
   */
  writeOwned(bytes: Buffer, start: number, end: number): boolean {
    return this.#writeBuffer(bytes.subarray(start, end))
  }

  /** Writes text, bytes and text in one system call, with the same promises as `writeBytes`. Either text may be ''. */
  writeGathered(before: string, bytes: Buffer, start: number, end: number, after: string, stable: boolean): boolean {
    if (before === '' && after === '') return this.writeBytes(bytes, start, end, stable)
    const { socket } = this
    socket.cork()
    if (before !== '') socket.write(before, 'latin1')
    let proceed = this.writeBytes(bytes, start, end, stable)
    if (after !== '') proceed = socket.write(after, 'latin1')
    socket.uncork()
    return stable ? socket.writableLength === 0 : proceed
  }

  /** Starts or restarts reading. */
  resume(): void {
    if (this.socket.destroyed) return
    if (this.#lentBulk !== null) this.#returnBulk()
    if (!this.#isStopped) {
      this.socket.resume()
    } else if (!this.#isResuming) {
      this.#isResuming = true
      process.nextTick(deliverHeld, this)
    }
  }

  /** Bytes of a TLS socket. Not for owners. */
  receive(buffer: WireBuffer, length: number): boolean {
    if (this.#isStopped) {
      this.#held ??= []
      this.#held.push(Buffer.from(buffer.subarray(0, length)) as WireBuffer)
      return false
    }
    this.#isStopped = !this.owner.onData(buffer, length)
    return !this.#isStopped
  }

  /** Hands out what was kept, then goes on reading. Not for owners. */
  deliver(): void {
    this.#isResuming = false
    this.#isStopped = false
    while (this.#held !== null) {
      const piece = this.#held.shift() as WireBuffer
      if (this.#held.length === 0) this.#held = null
      this.receive(piece, piece.length)
      if (this.#isStopped || this.socket.destroyed) return
    }
    if (this.#isEndHeld) {
      this.endReading()
      if (this.socket.writableFinished) this.socket.destroy()
    } else this.socket.resume()
  }

  /** The FIN of the other side, behind all it has sent; like that, it waits while the owner does not read. Not for owners. */
  endReading(): void {
    this.#isEndHeld = this.#held !== null || this.#isStopped
    if (this.isSecure) closeWhenBothEnd(this.socket, !this.#isEndHeld)
    if (!this.#isEndHeld) this.owner.onEnd()
  }

  get isBulk(): boolean {
    return this.readBuffer !== sharedBuffer
  }

  /** From the next read on, read into a large buffer of this wire's own. */
  startBulk(): void {
    if (this.isSecure || this.readBuffer !== sharedBuffer || bulkBuffersInUse >= MAX_BULK_BUFFERS) return
    bulkBuffersInUse++
    this.readBuffer = freeBulkBuffers.pop() ?? (Buffer.allocUnsafeSlow(BULK_BUFFER_BYTES) as WireBuffer)
  }

  /** Back to the shared buffer. `settled`: no write refers to the bulk buffer any more, so it may serve another wire. */
  endBulk(settled: boolean): void {
    if (this.readBuffer === sharedBuffer) return
    giveBack(settled ? this.readBuffer : null)
    this.readBuffer = sharedBuffer
  }

  /**
   * The same in a lull of a connection that stays: an idle one has no buffer of its own. Only within `onData`, with the buffer it was given.
   * When a write still refers to it (not `settled`), it serves again after the `resume` that follows that write's end.
   */
  restBulk(settled: boolean): void {
    if (settled || this.readBuffer === sharedBuffer) return this.endBulk(true)
    if (this.#lentBulk !== null) giveBack(null)
    this.#lentBulk = this.readBuffer
    this.readBuffer = sharedBuffer
  }

  #returnBulk(): void {
    giveBack(this.#lentBulk)
    this.#lentBulk = null
  }

  /** Sends a FIN behind what is written. `onSent` is called when the kernel has all of it. */
  end(onSent?: () => void): void {
    this.socket.end(onSent)
  }

  /** Closes at once, dropping what is not written. */
  destroy(): void {
    this.socket.destroy()
  }

  /** Closes at once with an RST, so that the other side can tell this from an orderly end. */
  reset(): void {
    if (this.socket.connecting) this.socket.destroy()
    else if (this.isSecure) resetSecure(this.socket)
    else this.socket.resetAndDestroy()
  }

  /** The socket is closed: nothing may refer to its bulk buffer as reusable, a write of it may have been cut off. */
  release(): void {
    if (this.readBuffer !== sharedBuffer) giveBack(null)
    if (this.#lentBulk !== null) giveBack(null)
    this.readBuffer = sharedBuffer
    this.#lentBulk = null
    this.#held = null
  }
}

/** A bulk buffer is in use no more. null: something may still refer to it, so it serves no other wire. */
function giveBack(buffer: WireBuffer | null): void {
  bulkBuffersInUse--
  if (buffer !== null && freeBulkBuffers.length < BULK_BUFFERS_KEPT) freeBulkBuffers.push(buffer)
}

function isSecureSocket(socket: net.Socket): socket is SecureSocket {
  return 'wire' in socket
}

function deliverHeld(wire: Wire): void {
  if (!wire.socket.destroyed) wire.deliver()
}

/**
 * Node closes a socket by itself when both directions have ended. With what a wire still holds from it, that would be lost: then the wire
 * closes it, when it has handed that out.
 */
function closeWhenBothEnd(socket: net.Socket, isAllowed: boolean): void {
  ;(socket as unknown as { _writableState: { autoDestroy: boolean } })._writableState.autoDestroy = isAllowed
}

interface SendingHandle {
  readonly writeQueueSize?: number
  readonly bytesWritten?: number
  /** Below a handle of TLS. */
  readonly _parent?: SendingHandle
}

interface TcpHandle {
  close(callback?: () => void): void
  reset(callback?: () => void): number
}

/** Node resets plain TCP sockets only: here the TCP handle below TLS is told to close with an RST when it is to close. */
function resetSecure(socket: net.Socket): void {
  const handle = (socket as unknown as { _handle: { _parent?: TcpHandle } | null })._handle?._parent
  if (handle?.reset !== undefined) {
    const { close } = handle
    handle.close = (callback) => {
      // A socket that is shutting down cannot be reset any more.
      if (handle.reset(callback) !== 0) close.call(handle, callback)
    }
  }
  socket.destroy()
}
