import type net from 'node:net'
import type { AddressSet } from '../base/cidr.ts'
import { Timed, type TimerWheel } from '../base/timers.ts'
import { type ProxyHeader, parseProxyHeader } from '../codec/proxy-protocol.ts'
import { clientAddress } from './acceptor.ts'

/** What happens with a connection whose PROXY header is there; bytes behind the header are still to be read from the socket. */
export type OnProxyHeader = (socket: net.Socket, header: ProxyHeader) => void

/**
 * Accepted connections whose PROXY header has not come yet. A connection is closed with an RST when it may not send a header, when
 * what it sends is none, and when it takes too long.
 */
export class ProxyHeaders {
  readonly #wheel: TimerWheel
  readonly #now: () => number
  readonly #waits = new Set<HeaderWait>()
  readonly #onHeader: OnProxyHeader
  readonly #onRefused: () => void

  constructor(options: { wheel: TimerWheel; now: () => number; onHeader: OnProxyHeader; onRefused: () => void }) {
    this.#wheel = options.wheel
    this.#now = options.now
    this.#onHeader = options.onHeader
    this.#onRefused = options.onRefused
  }

  /** `sources` are the addresses that may send a header, at most `most` at a time; a timeout of 0 is none. */
  read(socket: net.Socket, sources: AddressSet, timeoutMs: number, most: number): void {
    if (!sources.has(clientAddress(socket)) || this.#waits.size >= most) {
      socket.on('error', () => undefined)
      socket.resetAndDestroy()
      this.#onRefused()
      return
    }
    const wait = new HeaderWait(socket, (header) => {
      this.#waits.delete(wait)
      this.#wheel.remove(wait)
      if (header === null) this.#onRefused()
      else this.#onHeader(socket, header)
    })
    this.#waits.add(wait)
    if (timeoutMs > 0) this.#wheel.arm(wait, this.#now() + timeoutMs)
    wait.start()
  }

  close(): void {
    for (const wait of this.#waits) wait.fail()
  }
}

class HeaderWait extends Timed {
  readonly #socket: net.Socket
  /** null: it came to nothing, and the socket is closed. */
  readonly #done: (header: ProxyHeader | null) => void
  #isDone = false
  #bytes: Buffer | null = null

  constructor(socket: net.Socket, done: (header: ProxyHeader | null) => void) {
    super()
    this.#socket = socket
    this.#done = done
  }

  start(): void {
    const socket = this.#socket
    socket.on('readable', this.#onReadable)
    socket.on('end', this.#onClosed)
    socket.on('close', this.#onClosed)
    socket.on('error', this.#onClosed)
  }

  readonly #onReadable = (): void => {
    const piece: Buffer | null = this.#socket.read()
    if (piece === null || this.#isDone) return
    const bytes = this.#bytes === null ? piece : Buffer.concat([this.#bytes, piece])
    const header = parseProxyHeader(bytes, bytes.length)
    if (header === 'incomplete') this.#bytes = bytes
    else if (header === 'invalid') this.fail()
    else this.#finish(header, bytes)
  }

  #finish(header: ProxyHeader, bytes: Buffer): void {
    const socket = this.#socket
    this.#isDone = true
    socket.off('readable', this.#onReadable).off('end', this.#onClosed).off('close', this.#onClosed).off('error', this.#onClosed)
    if (bytes.length > header.length) socket.unshift(bytes.subarray(header.length))
    this.#done(header)
  }

  readonly #onClosed = (): void => this.fail()

  override onDeadline(): void {
    this.fail()
  }

  fail(): void {
    if (this.#isDone) return
    this.#isDone = true
    this.#socket.resetAndDestroy()
    this.#done(null)
  }
}
