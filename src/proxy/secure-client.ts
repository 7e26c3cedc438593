import type { SecureClient } from '../exchange/exchange.ts'

/** Which certificate of a listener is for a host; -1: none is, so the first one is as good as any. */
export type CertificateIndex = (host: string) => number

/** A client that has only shown who it is, or asked for no name that matters. */
export class KnownClient implements SecureClient {
  readonly subject: string

  constructor(subject: string) {
    this.subject = subject
  }

  misdirects(): boolean {
    return false
  }
}

/**
 * A client that asked for a name (SNI) where there are several certificates. Requests for a host that another one is for have no
 * business on this connection (RFC 9110 section 7.4): a client that checks certificates sends none, and may do so when the one it was
 * shown is for that host, too, as browsers do over HTTP/2.
 */
export class NamedClient implements SecureClient {
  readonly subject: string
  readonly #serverName: string
  readonly #indexOf: CertificateIndex
  readonly #covers: (host: string) => boolean

  constructor(subject: string, serverName: string, indexOf: CertificateIndex, covers: (host: string) => boolean) {
    this.subject = subject
    this.#serverName = serverName
    this.#indexOf = indexOf
    this.#covers = covers
  }

  misdirects(host: string): boolean {
    return host !== this.#serverName && this.#indexOf(host) !== -1 && !this.#covers(host)
  }
}
