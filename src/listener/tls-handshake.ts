import type net from 'node:net'
import { formatSubject } from '../base/subject.ts'
import { Timed, type TimerWheel } from '../base/timers.ts'
import { acceptSecure, finishSecure } from '../base/tls-wire.ts'
import type { SecureSocket } from '../base/wire.ts'
import type { SecureClient } from '../exchange/exchange.ts'
import type { HandshakeResult } from '../observe/tls-metrics.ts'
import type { ListenerTls } from '../proxy/listener-tls.ts'

/** What a handshake needs of its listener. */
export interface HandshakeOwner {
  readonly wheel: TimerWheel
  readonly now: () => number
  /** Done: takes the socket over, within this call. `protocol` is '' when the client offered none. */
  onSecure(handshake: TlsHandshake, socket: SecureSocket, protocol: string): void
  /** It came to nothing; the socket is closed. `reason` is for the log. */
  onHandshakeFailed(handshake: TlsHandshake, result: HandshakeResult, reason: string): void
}

/** One TLS handshake with a client, from accepting the connection to its first byte of HTTP, within the time it may take. */
export class TlsHandshake extends Timed {
  readonly remoteAddress: string
  /** The verified subject of the client's certificate; '' when it has shown none. */
  #subject = ''
  /** The name that it asked for (SNI), in lower case; '' when it asked for none. */
  #serverName = ''
  readonly #tls: ListenerTls
  readonly #owner: HandshakeOwner
  readonly #socket: SecureSocket
  #error: Error | null = null
  #result: HandshakeResult | null = null
  #isOver = false

  private constructor(owner: HandshakeOwner, tls: ListenerTls, socket: SecureSocket, remoteAddress: string) {
    super()
    this.#owner = owner
    this.#tls = tls
    this.#socket = socket
    this.remoteAddress = remoteAddress
    socket.once('secure', this.#onSecure)
    socket.on('error', this.#onError)
    socket.once('end', this.#onEnd)
    socket.once('close', this.#onClose)
    owner.wheel.arm(this, owner.now() + tls.config.handshakeTimeoutMs)
  }

  /** null when the connection is gone already. */
  static start(owner: HandshakeOwner, tls: ListenerTls, accepted: net.Socket, remoteAddress: string): TlsHandshake | null {
    const socket = acceptSecure(accepted, tls.server)
    return socket === null ? null : new TlsHandshake(owner, tls, socket, remoteAddress)
  }

  readonly #onSecure = (): void => {
    if (this.#isOver) return
    const socket = this.#socket
    const { config, metrics } = this.#tls
    const { clientAuth } = config
    const { verified, problem } = finishSecure(socket)
    if (clientAuth !== null) {
      const shown = socket.getPeerX509Certificate()
      // In `optional` no certificate is well; a wrong one is not, whatever the mode.
      if (!verified && (clientAuth.mode === 'require' || shown !== undefined)) return this.#refuse(problem ?? '')
      // A session carries the certificate it began with, and OpenSSL does not look at that again.
      if (shown !== undefined && this.#tls.hasExpired(shown)) return this.#refuse('CERT_HAS_EXPIRED')
      if (verified && shown !== undefined) this.#subject = formatSubject(shown.subject)
    }
    if (typeof socket.servername === 'string') this.#serverName = socket.servername.toLowerCase()
    this.#isOver = true
    this.#owner.wheel.remove(this)
    metrics.count('ok', socket.getProtocol() ?? '-', socket.isSessionReused())
    this.#owner.onSecure(this, socket, typeof socket.alpnProtocol === 'string' ? socket.alpnProtocol : '')
    // A connection may live long: nothing of its beginning stays with it.
    socket.off('error', this.#onError).off('end', this.#onEnd).off('close', this.#onClose)
  }

  #refuse(problem: string): void {
    this.#result = 'refused'
    this.#error = new Error(`the certificate of the client is not believed: ${problem}`)
    this.#socket.destroy()
  }

  /** What requests on the connection need to know; once the handshake is done. */
  client(isTrustedProxy: boolean): SecureClient | null {
    return this.#tls.describeClient(this.#subject, isTrustedProxy ? '' : this.#serverName)
  }

  readonly #onError = (error: Error): void => {
    this.#error ??= error
  }

  /** A FIN before the handshake is done: the socket would stay half-open. */
  readonly #onEnd = (): void => {
    if (!this.#isOver) this.#socket.destroy()
  }

  readonly #onClose = (): void => {
    if (this.#isOver) return
    this.#isOver = true
    this.#owner.wheel.remove(this)
    const error = this.#error as NodeJS.ErrnoException | null
    const result = this.#result ?? resultOf(error)
    this.#tls.metrics.count(result, '-', false)
    this.#owner.onHandshakeFailed(this, result, error === null ? 'the client closed the connection' : describe(error))
  }

  override onDeadline(): void {
    if (this.#isOver) return
    this.#result = 'timeout'
    this.#error = new Error(`not done within ${this.#tls.config.handshakeTimeoutMs} ms`)
    this.#socket.destroy()
  }

  /** Shutting down: who is in the middle of a handshake may finish it; what it is served then says that this is the end. */
  drain(): void {}

  destroy(): void {
    this.#socket.destroy()
  }
}

function resultOf(error: NodeJS.ErrnoException | null): HandshakeResult {
  if (error === null || error.code === 'ECONNRESET' || error.code === 'EPIPE') return 'aborted'
  return error.code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE' ? 'refused' : 'failed'
}

/** OpenSSL's own words, without the numbers around them. */
function describe(error: NodeJS.ErrnoException & { reason?: string }): string {
  return error.reason ?? error.message
}
