import { type Endpoint, NOT_ASIDE } from '../endpoint.ts'
import type { ChangeCount, Pick, PickContext, PickerOptions } from '../picker.ts'

/** What `refresh` returns when this pick is an ordinary one. */
export const NO_TRIAL = -1

/** The part of its weight with which slow start begins. */
const FIRST_RATIO = 0.1
/** In how many steps the weight rises: each makes every balancer's tables anew. */
const RAMP_STEPS = 20

/** What `UsableEndpoints` needs of a picker's options. */
export type AvailabilityOptions = Omit<PickerOptions, 'random' | 'startOffset' | 'previous'>

/** By address, because a rebuilt service has new Endpoint objects for the same addresses. */
export function isTried(tried: readonly Endpoint[], endpoint: Endpoint): boolean {
  for (let i = 0; i < tried.length; i++) if (tried[i]!.address === endpoint.address) return true
  return false
}

/**
 * Which endpoints of a picker may be chosen now, and with what weight: the part every balancer shares. The shared state is read
 * again only when the service's change count has moved or a put-aside endpoint is due, so an ordinary pick costs one atomic load
 * here, however many endpoints there are (bench/micro/service/pick.ts).
 */
export class UsableEndpoints {
  readonly endpoints: readonly Endpoint[]
  /** The answer for each endpoint, made once so that a pick allocates nothing. */
  readonly picks: readonly Pick[]
  /**
   * Effective weight of each endpoint that may be chosen (less what slow start holds back), 0 for all others. When too few are in
   * normal use (`panicRatio`): the configured weights of all.
   */
  readonly weights: Float64Array
  /** The indexes with a weight above 0: the first `upCount` entries. `upCount` is 0 only when every configured weight is 0. */
  readonly up: Int32Array
  upCount = 0
  totalWeight = 0
  /** All weights above 0 are the same. */
  isEqual = true
  /** Rises whenever `weights` changed: then a balancer makes its own tables anew. */
  revision = 0

  /** Weights above 0 as configured: what the tables of balancing by key are made from, because they must not follow every failure. */
  readonly configured: Float64Array
  readonly #fresh: Float64Array
  readonly #changes: ChangeCount
  #seenCount = 0
  /** When the first of the endpoints put aside may be tried. At the start: at once, so that the first pick reads the state. */
  #nextTrialMs = Number.NEGATIVE_INFINITY
  /** When the states must be read again though nothing has been announced: for the next trial, or the next step of a slow start. */
  #nextReadMs = Number.NEGATIVE_INFINITY
  readonly #slowStartMs: number
  readonly #panicRatio: number

  constructor(endpoints: readonly Endpoint[], options: AvailabilityOptions) {
    this.endpoints = endpoints
    this.picks = endpoints.map((endpoint): Pick => Object.freeze({ kind: 'endpoint', endpoint }))
    this.weights = new Float64Array(endpoints.length)
    this.up = new Int32Array(endpoints.length)
    this.configured = Float64Array.from(endpoints, (endpoint) => Math.max(0, endpoint.weight))
    this.#fresh = new Float64Array(endpoints.length)
    this.#changes = options.changes
    this.#slowStartMs = options.slowStartMs ?? 0
    this.#panicRatio = options.panicRatio ?? 0
  }

  /** Call first in every pick. Returns the index of the endpoint this very request is to try out, or NO_TRIAL. */
  refresh(context: PickContext): number {
    const count = this.#changes.count
    if (count === this.#seenCount && context.nowMs < this.#nextReadMs) return NO_TRIAL
    // Noted before the state is read: a change that comes in between is seen next time.
    this.#seenCount = count
    this.#readStates(context.nowMs)
    this.#adopt()
    return context.nowMs < this.#nextTrialMs ? NO_TRIAL : this.#claimTrial(context)
  }

  /** Whether an endpoint that may be chosen is not among these. */
  hasUntried(tried: readonly Endpoint[]): boolean {
    for (let k = 0; k < this.upCount; k++) if (!isTried(tried, this.endpoints[this.up[k]!]!)) return true
    return false
  }

  /** Fills `#fresh` and finds out when it must be done again. */
  #readStates(nowMs: number): void {
    const { endpoints, configured } = this
    let nextTrialMs = Number.POSITIVE_INFINITY
    let nextStepMs = Number.POSITIVE_INFINITY
    let total = 0
    let up = 0
    for (let i = 0; i < endpoints.length; i++) {
      this.#fresh[i] = 0
      if (configured[i] === 0) continue
      total++
      const { state } = endpoints[i]!
      const asideMs = state.asideMs(nowMs)
      if (asideMs === NOT_ASIDE) {
        const upForMs = this.#slowStartMs === 0 ? 0 : state.upForMs(nowMs)
        if (upForMs < this.#slowStartMs) {
          const stepMs = this.#slowStartMs / RAMP_STEPS
          const steps = Math.floor(upForMs / stepMs)
          this.#fresh[i] = state.effectiveWeight * (FIRST_RATIO + ((1 - FIRST_RATIO) * steps) / RAMP_STEPS)
          nextStepMs = Math.min(nextStepMs, nowMs - upForMs + (steps + 1) * stepMs)
        } else {
          this.#fresh[i] = state.effectiveWeight
        }
        up++
      } else if (nowMs + asideMs < nextTrialMs) {
        nextTrialMs = nowMs + asideMs
      }
    }
    if (up === 0 || up < total * this.#panicRatio) this.#fresh.set(configured)
    this.#nextTrialMs = nextTrialMs
    this.#nextReadMs = Math.min(nextTrialMs, nextStepMs)
  }

  #adopt(): void {
    let isChanged = false
    let upCount = 0
    let total = 0
    let isEqual = true
    let first = 0
    for (let i = 0; i < this.weights.length; i++) {
      const weight = this.#fresh[i]!
      if (this.weights[i] !== weight) {
        this.weights[i] = weight
        isChanged = true
      }
      if (weight === 0) continue
      this.up[upCount++] = i
      total += weight
      if (first === 0) first = weight
      else if (weight !== first) isEqual = false
    }
    if (!isChanged) return
    this.upCount = upCount
    this.totalWeight = total
    this.isEqual = isEqual
    this.revision++
  }

  /** A request that already failed somewhere is not risked on a trial while an untried endpoint is in normal use. */
  #claimTrial(context: PickContext): number {
    const { tried, nowMs } = context
    if (tried !== null && this.hasUntried(tried)) return NO_TRIAL
    for (let i = 0; i < this.endpoints.length; i++) {
      if (this.configured[i] === 0) continue
      const endpoint = this.endpoints[i]!
      if (tried !== null && isTried(tried, endpoint)) continue
      if (endpoint.state.asideMs(nowMs) === 0 && endpoint.state.admit(nowMs)) return i
    }
    return NO_TRIAL
  }
}
