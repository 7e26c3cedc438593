import { maxEjectable } from '../breaker/ejection.ts'
import { type EndpointSegment, HEALTH_UNHEALTHY, SLOT_HEALTH, SLOT_MARK } from './endpoint-segment.ts'

/** Where the slot of one endpoint lies. */
export interface SlotPlace {
  readonly segment: EndpointSegment
  readonly localSlot: number
}

/**
 * The endpoints of a service that take traffic, seen together: how many of them may be ejected. There is no counter that could get
 * out of step with the marks: who ejects one counts them before and after setting its own, and takes it back when they are too many,
 * because workers put endpoints aside in the same instant.
 */
export class EjectionGroup {
  readonly #places: readonly { readonly words: Int32Array; readonly at: number }[]
  readonly #allowed: number

  /** `maxEjectedRatio`: 0 to 1; at least one may go where there are two, and never all. */
  constructor(places: readonly SlotPlace[], maxEjectedRatio: number) {
    this.#places = places.map(({ segment, localSlot }) => ({ words: segment.words, at: segment.slotWord(localSlot) }))
    this.#allowed = maxEjectable(places.length, maxEjectedRatio)
  }

  /** Most endpoints that may be out of use at once. */
  get allowed(): number {
    return this.#allowed
  }

  /**
   * Whether the marks that are set now, and `more`, are not too many, and leave an endpoint that active checks do not speak against.
   * Call with 1 before ejecting one, and with 0 after it.
   */
  hasRoom(more: 0 | 1): boolean {
    let aside = more
    let usable = -more
    for (let i = 0; i < this.#places.length; i++) {
      const { words, at } = this.#places[i]!
      if (Atomics.load(words, at + SLOT_MARK) !== 0) aside++
      else if (Atomics.load(words, at + SLOT_HEALTH) !== HEALTH_UNHEALTHY) usable++
    }
    return aside <= this.#allowed && usable > 0
  }
}
