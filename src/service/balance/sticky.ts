import type { StickyConfig } from '../../config/types.ts'
import { type Endpoint, NOT_ASIDE } from '../endpoint.ts'
import type { Pick, PickContext, Picker } from '../picker.ts'
import { hashText, mix32 } from './hash.ts'
import { isTried } from './usable-endpoints.ts'

/**
 * What the sticky cookie says instead of the address of an endpoint: 64 bits of hash, in hexadecimal digits, the same on every
 * gateway. It keeps addresses out of sight, but it is no secret: who knows the address can make it.
 */
export function stickyIdOf(address: string): string {
  return hex(hashText(address)) + hex(mix32(hashText(`${address}#`)))
}

function hex(hash: number): string {
  return (hash >>> 0).toString(16).padStart(8, '0')
}

/**
 * Wraps another picker: a request whose cookie names an endpoint of the set goes there, as long as that one is in normal use, has a
 * weight above 0 and was not tried by this request; otherwise the other picker chooses, and the response moves the session.
 */
export class StickyPicker implements Picker {
  /** The picker that chooses for new sessions. */
  readonly inner: Picker
  readonly #byId = new Map<string, Pick & { kind: 'endpoint' }>()

  constructor(inner: Picker, endpoints: readonly Endpoint[]) {
    this.inner = inner
    for (const endpoint of endpoints) {
      if (endpoint.weight > 0) this.#byId.set(stickyIdOf(endpoint.address), Object.freeze({ kind: 'endpoint', endpoint }))
    }
  }

  pick(context: PickContext): Pick {
    const { stickyKey, tried, nowMs } = context
    if (stickyKey !== null && stickyKey !== undefined) {
      const pick = this.#byId.get(stickyKey)
      if (pick !== undefined && pick.endpoint.state.asideMs(nowMs) === NOT_ASIDE && !(tried !== null && isTried(tried, pick.endpoint)))
        return pick
    }
    return this.inner.pick(context)
  }
}

/** The response's side of a sticky session. */
export class StickyCookie {
  readonly #name: string
  readonly #attributes: string

  constructor(config: StickyConfig) {
    this.#name = config.cookie
    const ttl = config.ttlMs === null ? '' : `; Max-Age=${Math.max(1, Math.round(config.ttlMs / 1000))}`
    this.#attributes = `; Path=/${ttl}; HttpOnly; SameSite=Lax`
  }

  /**
   * The Set-Cookie value that ties the session to the endpoint which answered; null when the client's cookie (`sent`) says so already.
   * `isSecure`: the client came over TLS.
   */
  setCookie(endpoint: Endpoint, sent: string | null, isSecure: boolean): string | null {
    const id = stickyIdOf(endpoint.address)
    return id === sent ? null : `${this.#name}=${id}${this.#attributes}${isSecure ? '; Secure' : ''}`
  }
}
