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
  /**
   * What balancing by key goes by. Null or absent: the request has none, and the endpoint is drawn at random. The three keys are
   * read from the request once, before its first pick (`Service.keys`).
   */
  readonly hashKey?: string | null
  /** The value of the sticky cookie as the client sent it. Null or absent: a new session. */
  readonly stickyKey?: string | null
  /** The subset of endpoints that is asked for. Null or absent: none in particular. */
  readonly subsetKey?: string | null
}

/** `empty`: no endpoint has a weight above 0. `empty-subset`: none of the subset that is asked for. */
export type Pick =
  | { readonly kind: 'endpoint'; readonly endpoint: Endpoint }
  | { readonly kind: 'none'; readonly reason: 'empty' | 'empty-subset' | 'unavailable' }

export const NO_ENDPOINTS: Pick = { kind: 'none', reason: 'empty' }
export const EMPTY_SUBSET: Pick = { kind: 'none', reason: 'empty-subset' }
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
  /** How long the weight of a new or recovered endpoint rises from a tenth to all of it. Default 0: at once. */
  slowStartMs?: number
  /** When less than this share of the endpoints is in normal use, all of them are used. Default 0: only when none is. */
  panicRatio?: number
}
