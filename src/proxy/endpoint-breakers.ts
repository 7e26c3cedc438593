import { type Breaker, REJECTED } from '../breaker/breaker.ts'
import type { Endpoint } from '../service/endpoint.ts'
import type { Pick, PickContext, Picker } from '../service/picker.ts'

/**
 * So many endpoints a request passes over at most: each pick looks through those before it, and in an outage of a service with hundreds
 * of endpoints that would cost more than the answer is worth.
 */
const MAX_PASSED_OVER = 32

/** Who asks for an endpoint: an exchange, a connection. */
export interface BreakerPickContext extends PickContext {
  tried: Endpoint[] | null
}

/** The breakers of a service that has one for each endpoint. An endpoint whose breaker is open is passed over by the request. */
export class EndpointBreakers {
  /** Of the endpoint that `pick` chose last. */
  token = REJECTED
  readonly #breakers: ReadonlyMap<string, Breaker>
  readonly #maxPassedOver: number

  constructor(breakers: ReadonlyMap<string, Breaker>) {
    this.#breakers = breakers
    this.#maxPassedOver = Math.min(breakers.size, MAX_PASSED_OVER)
  }

  /** null: an endpoint that came after the configuration. */
  of(endpoint: Endpoint): Breaker | null {
    return this.#breakers.get(endpoint.address) ?? null
  }

  /**
   * Picks until a breaker lets the request pass, and leaves its token in `token`; those that refuse count as tried. With `token`
   * REJECTED, none did, as far as the picker showed them.
   */
  pick(x: BreakerPickContext, picker: Picker): Pick {
    for (let left = this.#maxPassedOver; ; left--) {
      const pick = picker.pick(x)
      if (pick.kind === 'none') return pick
      const breaker = this.of(pick.endpoint)
      // Any token that no breaker has given out will do where there is no breaker: it is never handed back.
      this.token = breaker === null ? 1 : breaker.allow(x.nowMs)
      if (this.token !== REJECTED || left <= 0) return pick
      if (x.tried === null) x.tried = []
      x.tried.push(pick.endpoint)
    }
  }

  /** Milliseconds until the first breaker may let a request pass. */
  retryAfterMs(nowMs: number): number {
    let firstMs = Number.POSITIVE_INFINITY
    for (const breaker of this.#breakers.values()) firstMs = Math.min(firstMs, breaker.retryAfterMs(nowMs))
    return Number.isFinite(firstMs) ? firstMs : 0
  }
}
