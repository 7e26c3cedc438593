import type { Socket } from 'node:net'
import type { Clock } from '../base/clock.ts'
import { Timed, type TimerWheel } from '../base/timers.ts'
import { TcpError } from './errors.ts'
import type { FrameDecoder, Framing } from './framing.ts'

/** Limits of one connection in milliseconds; 0 is none. */
export interface ConnectionTimeouts {
  readMs: number
  writeMs: number
  idleMs: number
}

/** What a connection needs from its server. */
export interface ConnectionHost {
  readonly clock: Clock
  readonly timers: TimerWheel
  readonly timeouts: ConnectionTimeouts
  /** The server is closing: handlers end at the next border between messages. */
  readonly isClosing: boolean
}

/** While the handler is slower than the client, this much is read ahead. */
const READ_AHEAD_BYTES = 64 * 1024
/** How long the end of a connection waits for the other side to close too, so that it is not reset before it has read everything. */
const LINGER_MS = 2_000

interface Waiter<T> {
  resolve(value: T): void
  reject(error: Error): void
}

class Deadline extends Timed {
  readonly #expire: () => void

  constructor(expire: () => void) {
    super()
    this.#expire = expire
  }

  override onDeadline(): void {
    this.#expire()
  }
}

/**
 * One connection as a handler sees it: reads that wait, writes that wait until the other side keeps up. Every promise of it that
 * nobody awaits is harmless when it fails, because a write that is not waited for must not end the process.
 */
export class TcpConnection {
  readonly #socket: Socket
  readonly #host: ConnectionHost
  /** Of the client. */
  readonly remoteAddress: string
  readonly remotePort: number
  /** Where the client connected to (the context key `local-addr`). */
  readonly localAddress: string
  readonly localPort: number
  /** Aborted when the connection is gone. */
  readonly signal: AbortSignal
  readonly #gone = new AbortController()
  readonly #chunks: Buffer[] = []
  #chunkBytes = 0
  #hasEnded = false
  #failure: Error | null = null
  #reader: Waiter<Buffer | null> | null = null
  /** The pending read stands between two messages, where a closing server may end it. */
  #isBetweenMessages = false
  #writers: Waiter<void>[] = []
  /** What the kernel had not taken when the write limit began to run. */
  #unsentBytes = 0
  readonly #readDeadline: Deadline
  readonly #writeDeadline: Deadline
  readonly #idleDeadline: Deadline

  constructor(socket: Socket, host: ConnectionHost) {
    this.#socket = socket
    this.#host = host
    this.remoteAddress = socket.remoteAddress ?? ''
    this.remotePort = socket.remotePort ?? 0
    this.localAddress = socket.localAddress ?? ''
    this.localPort = socket.localPort ?? 0
    this.signal = this.#gone.signal
    const fail = (code: 'read-timeout' | 'write-timeout' | 'idle-timeout', ms: number, what: string) =>
      this.#fail(new TcpError(code, `${what} for ${ms} ms`))
    const { readMs, writeMs, idleMs } = host.timeouts
    this.#readDeadline = new Deadline(() => fail('read-timeout', readMs, 'nothing came'))
    this.#writeDeadline = new Deadline(() => {
      if (!this.#hasSentSome()) fail('write-timeout', writeMs, 'the other side took nothing')
    })
    this.#idleDeadline = new Deadline(() => fail('idle-timeout', idleMs, 'nothing was sent either way'))
    socket.on('data', (bytes: Buffer) => this.#onData(bytes))
    socket.on('end', () => this.#onEnd())
    socket.on('drain', () => this.#onDrain())
    socket.on('error', (error) => this.#fail(new TcpError('connection-closed', error.message, { cause: error })))
    socket.on('close', () => this.#fail(new TcpError('connection-closed', 'the connection is closed')))
    this.#touch()
    // Read ahead from the start: a client that leaves is noticed while the handler does something else.
    socket.resume()
  }

  /** The server is closing: a handler that serves messages in a loop of its own should end after the present one. */
  get isClosing(): boolean {
    return this.#host.isClosing
  }

  /**
   * The next bytes, as many as there are, or null when the client has said that no more will come (writing is still possible).
   * Throws `TcpError`: `read-timeout` when none came in time, `connection-closed` when the connection broke. One read at a time.
   */
  read(): Promise<Buffer | null> {
    return this.#read(false)
  }

  /** Writes, and waits while the other side is behind. Throws `TcpError`: `write-timeout` or `connection-closed`. */
  write(data: Uint8Array | string): Promise<void> {
    if (this.#failure !== null) return harmless(Promise.reject(this.#failure))
    this.#touch()
    if (this.#socket.write(data)) return Promise.resolve()
    this.#expectProgress()
    return harmless(new Promise<void>((resolve, reject) => this.#writers.push({ resolve, reject })))
  }

  /** Writes one message. */
  send(framing: Framing, body: Uint8Array | string): Promise<void> {
    return this.write(framing.encode(body))
  }

  /**
   * The messages that come in, until the client ends its half, or the server closes and no message has begun. The idle limit holds
   * between messages, the read limit from the first byte of a message to its last. Throws `FrameError` for bytes that are no message.
   */
  async *messages(framing: Framing): AsyncGenerator<Buffer, void, void> {
    const decoder = framing.createDecoder()
    for (;;) {
      const body = await this.#readMessage(decoder)
      if (body === null) return
      yield body
    }
  }

  /** Closes at once; what is not written is lost. Pending reads and writes end with `connection-closed`. */
  destroy(): void {
    this.#socket.destroy()
    this.#fail(new TcpError('connection-closed', 'the connection was closed on this side'))
  }

  /**
   * The handler has returned: what it wrote goes out, then the connection closes. Not for handlers.
   * @internal
   */
  finish(): void {
    const { readMs } = this.#host.timeouts
    this.#host.timers.remove(this.#idleDeadline)
    this.#failure ??= new TcpError('connection-closed', 'the handler has returned')
    if (this.#socket.destroyed) return
    // Bytes that nobody reads would make the kernel answer with a reset, which can destroy a reply on its way.
    this.#socket.removeAllListeners('data')
    this.#socket.on('data', () => {})
    this.#socket.resume()
    this.#expectProgress()
    this.#socket.end(() => {
      this.#host.timers.remove(this.#writeDeadline)
      if (!this.#socket.destroyed) this.#arm(this.#readDeadline, readMs === 0 ? LINGER_MS : Math.min(LINGER_MS, readMs))
    })
  }

  /**
   * The server has begun to close. Not for handlers.
   * @internal
   */
  noticeClosing(): void {
    if (this.#isBetweenMessages) this.#settleRead(null)
  }

  async #readMessage(decoder: FrameDecoder): Promise<Buffer | null> {
    let deadlineMs = 0
    for (;;) {
      const body = decoder.next()
      if (body !== null) return body
      const isBetween = decoder.pendingBytes === 0
      if (isBetween) {
        if (this.isClosing && this.#chunkBytes === 0) return null
      } else if (deadlineMs === 0) deadlineMs = this.#host.clock.now() + this.#host.timeouts.readMs
      const bytes = await this.#read(isBetween, deadlineMs)
      if (bytes === null) {
        decoder.end()
        return null
      }
      decoder.push(bytes)
    }
  }

  /** `deadlineMs` 0: the read limit from now on. Between messages there is the idle limit only. */
  #read(isBetweenMessages: boolean, deadlineMs = 0): Promise<Buffer | null> {
    if (this.#reader !== null) return harmless(Promise.reject(new Error('another read of this connection is pending')))
    const bytes = this.#chunks.shift()
    if (bytes !== undefined) {
      this.#chunkBytes -= bytes.length
      this.#resume()
      return Promise.resolve(bytes)
    }
    if (this.#hasEnded) return Promise.resolve(null)
    if (this.#failure !== null) return harmless(Promise.reject(this.#failure))
    this.#isBetweenMessages = isBetweenMessages
    const { readMs } = this.#host.timeouts
    if (!isBetweenMessages && readMs !== 0) this.#host.timers.arm(this.#readDeadline, deadlineMs || this.#host.clock.now() + readMs)
    const pending = new Promise<Buffer | null>((resolve, reject) => {
      this.#reader = { resolve, reject }
    })
    this.#resume()
    return harmless(pending)
  }

  #settleRead(bytes: Buffer | null): void {
    const reader = this.#reader
    this.#reader = null
    this.#isBetweenMessages = false
    this.#host.timers.remove(this.#readDeadline)
    reader?.resolve(bytes)
  }

  #resume(): void {
    if (this.#chunkBytes < READ_AHEAD_BYTES && !this.#socket.destroyed) this.#socket.resume()
  }

  #onData(bytes: Buffer): void {
    this.#touch()
    if (this.#reader !== null) {
      this.#settleRead(bytes)
      return
    }
    this.#chunks.push(bytes)
    this.#chunkBytes += bytes.length
    if (this.#chunkBytes >= READ_AHEAD_BYTES) this.#socket.pause()
  }

  #onEnd(): void {
    this.#hasEnded = true
    if (this.#reader !== null) this.#settleRead(null)
  }

  #onDrain(): void {
    this.#touch()
    this.#host.timers.remove(this.#writeDeadline)
    const writers = this.#writers
    this.#writers = []
    for (const { resolve } of writers) resolve()
  }

  /** The connection is over, or never to be used again. What has been read stays readable. */
  #fail(error: Error): void {
    const { timers } = this.#host
    for (const deadline of [this.#readDeadline, this.#writeDeadline, this.#idleDeadline]) timers.remove(deadline)
    this.#failure ??= error
    const reader = this.#reader
    this.#reader = null
    this.#isBetweenMessages = false
    reader?.reject(this.#failure)
    const writers = this.#writers
    this.#writers = []
    for (const { reject } of writers) reject(this.#failure)
    if (!this.#socket.destroyed) this.#socket.destroy()
    if (!this.#gone.signal.aborted) this.#gone.abort(this.#failure)
  }

  #expectProgress(): void {
    if (this.#writeDeadline.deadlineMs !== 0) return
    this.#unsentBytes = unsentBytes(this.#socket)
    this.#arm(this.#writeDeadline, this.#host.timeouts.writeMs)
  }

  /** A large write to a slow reader takes its time; it is late only when nothing at all has left. */
  #hasSentSome(): boolean {
    const before = this.#unsentBytes
    this.#unsentBytes = unsentBytes(this.#socket)
    if (this.#unsentBytes >= before) return false
    this.#arm(this.#writeDeadline, this.#host.timeouts.writeMs)
    return true
  }

  #touch(): void {
    if (this.#failure === null) this.#arm(this.#idleDeadline, this.#host.timeouts.idleMs)
  }

  #arm(deadline: Deadline, ms: number): void {
    if (ms !== 0) this.#host.timers.arm(deadline, this.#host.clock.now() + ms)
  }
}

/** Of the write under way: what the kernel has not taken yet. It shrinks as the other side reads. Node's types do not show it. */
function unsentBytes(socket: Socket): number {
  return (socket as unknown as { _handle: { readonly writeQueueSize?: number } | null })._handle?.writeQueueSize ?? 0
}

/** A failure that nobody waits for is not an unhandled rejection; who awaits the promise still gets it. */
function harmless<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}
