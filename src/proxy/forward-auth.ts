import { createHash, timingSafeEqual } from 'node:crypto'
import type { ProxyAuthConfig } from '../config/forward-types.ts'

/** Basic proxy authentication (RFC 7617). How long a check takes says nothing about how much of a password is right. */
export class ProxyAuth {
  /** For the 407 response. */
  readonly challenge: string
  readonly #digests: readonly Buffer[]

  constructor({ realm, passwords }: ProxyAuthConfig) {
    this.challenge = `Basic realm="${realm}", charset="UTF-8"`
    this.#digests = Object.entries(passwords).map(([user, password]) => digest(Buffer.from(`${user}:${password}`, 'utf8')))
  }

  /** Whether this Proxy-Authorization is one of the users. */
  accepts(authorization: string | undefined): boolean {
    const match = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(authorization ?? '')
    const given = digest(Buffer.from(match?.[1] ?? '', 'base64'))
    let isKnown = false
    // All of them, whoever it is.
    for (const known of this.#digests) if (timingSafeEqual(known, given)) isKnown = true
    return match !== null && isKnown
  }
}

/** Of equal length, whatever is digested. */
function digest(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest()
}
