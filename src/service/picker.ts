import type { Random } from '../base/clock.ts'
import type { Endpoint } from './endpoint.ts'

/**
 * A choice of an endpoint, decided synchronously. A Picker is built once for each change of a service's endpoint set and is
 * replaced, never mutated from outside, when the set changes; it may keep counters of its own (round robin).
 */
export interface Picker {
  /**
   * Chooses, in this order of preference: an endpoint in normal use that this request has not tried; one that was put aside and
   * is due for its trial request; one already tried; and when every endpoint is put aside, any of them (refusing all traffic
   * would be worse). Fails only when there is no endpoint with a weight above 0.
   */
  pick(context: PickContext): Pick
}

/** What a balancer may look at. The Exchange implements it, so a pick allocates nothing. */
export interface PickContext {
  /** The endpoints this request already failed on, null for the first attempt: they are only chosen when nothing else is left. */
  readonly tried: readonly Endpoint[] | null
  /** The time of this attempt, so that no clock is read for each endpoint. The clock of `EndpointState`. */
  readonly nowMs: number
}

export type Pick =
  | { readonly kind: 'endpoint'; readonly endpoint: Endpoint }
  | { readonly kind: 'none'; readonly reason: 'empty' | 'unavailable' }

export const NO_ENDPOINTS: Pick = { kind: 'none', reason: 'empty' }
export const NONE_AVAILABLE: Pick = { kind: 'none', reason: 'unavailable' }

/**
 * Rises whenever the availability or the effective weight of any endpoint of a service changes, on whichever worker: a picker
 * that has already seen `count` need not look at its endpoints again. Wraps around; compare with `===` only.
 */
export interface ChangeCount {
  readonly count: number
}

/** What every balancer is built with, beside its endpoints. */
export interface PickerOptions {
  random: Random
  changes: ChangeCount
  /** How many turns to skip at the start, so that several workers do not all begin with the first endpoint. Default 0. */
  startOffset?: number
  /** The picker this one replaces; a balancer of the same kind continues where it stood. Default null. */
  previous?: Picker | null
}
