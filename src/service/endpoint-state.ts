import { type EndpointState, NOT_ASIDE, type Outcome } from './endpoint.ts'
import {
  type EndpointSegment,
  HEALTH_UNHEALTHY,
  SLOT_ASIDE_COUNT,
  SLOT_CHANGES,
  SLOT_EJECTED_MS,
  SLOT_FAILS,
  SLOT_HEALTH,
  SLOT_LATENCY,
  SLOT_LATENCY_AT,
  SLOT_MARK,
  SLOT_PENALTY,
  SLOT_UP_SINCE,
  SLOT_WINDOW_AT,
  TALLY_ERRORS,
  TALLY_FAILURES,
  TALLY_IN_FLIGHT,
  TALLY_LATENCIES,
  TALLY_LATENCY_MS,
  TALLY_REQUESTS,
  TALLY_RESULTS,
} from './endpoint-segment.ts'
import type { ChangeCount } from './picker.ts'

/** When failures put an endpoint aside; null is never, nor does anything else. */
export type Ejection = {
  /** 0: failures alone do not, only the comparison with the others (ejection-watch.ts). */
  readonly maxFails: number
  readonly failTimeoutMs: number
  /** When set, results are counted for the comparison. */
  readonly outliers?: object | null
} | null

/**
 * How response times are averaged; null is not at all. A sample counts for less as it ages, by e in each `decayMs`. `peak`: one above
 * the estimate replaces it at once, so that it rises fast and falls slowly.
 */
export type LatencyTracking = { readonly kind: 'mean' | 'peak'; readonly decayMs: number } | null

export interface EndpointStateOptions {
  readonly weight: number
  readonly ejection: Ejection
  readonly latency: LatencyTracking
}

/**
 * A mark is 0 while the endpoint is in normal use. Otherwise its low two bits say which of these it is, and the other thirty say
 * since when: milliseconds, modulo 2^30 (12 days). One word holds both so that one compare-and-swap moves between states:
 *
 *        maxFails failures             failTimeout passed, one caller wins
 *   0 ---------------------> ASIDE ----------------------------------------> TRIAL --(success)--> 0
 *   |                          ^                                             ^ |  ^ |
 *   |                          +-----------------(failure)-------------------|-+  +-+ failTimeout passed without an answer
 *   +---> EJECTED -----------------------------------------------------------+
 *    an outlier (main thread)          its own time passed, one caller wins
 */
const ASIDE = 1
const TRIAL = 2
const EJECTED = 3

/**
 * A request carries the time at which it was read, so a mark may be newer than the time it is asked with. One up to this far
 * ahead is believed; one further ahead is from long ago, seen through the modulus.
 */
const MAX_SKEW_MS = 600_000
/** Half the range of a mark's time, less the skew: about six days. */
export const MAX_ASIDE_MS = 2 ** 29 - 1 - MAX_SKEW_MS

/** From then on, when an endpoint was added makes no difference to anything. */
const LONG_AGO_MS = 2 ** 30
const MIN_LATENCY_MS = 0.001
/**
 * A failure counts as an answer that took so many times what the endpoint takes anyway: otherwise one that fails at once would look fast,
 * and get all the traffic. Where a tenth of the answers are failures, the estimate becomes half as much again.
 */
const FAILURE_FACTOR = 4
/** ... where nothing is known of it, as this much, ... */
const UNKNOWN_FAILURE_MS = 100
/** ... and never more than this, so that it is soon forgotten when all is well again. */
const MAX_FAILURE_MS = 10_000

function createMark(nowMs: number, kind: number): number {
  return (nowMs << 2) | kind
}

/** Of an endpoint that is worse than the others; SLOT_EJECTED_MS says for how long. */
export function createEjectedMark(nowMs: number): number {
  return createMark(nowMs, EJECTED)
}

/** What a mark stands for. */
export function kindOfMark(mark: number): 'none' | 'failures' | 'trial' | 'outlier' {
  const kind = mark & 3
  return kind === ASIDE ? 'failures' : kind === TRIAL ? 'trial' : kind === EJECTED ? 'outlier' : 'none'
}

/** What is left of a time that began with the mark; 0 when it is over. */
export function markLeftMs(mark: number, durationMs: number, nowMs: number): number {
  const ageMs = markAgeMs(mark, nowMs)
  return ageMs < durationMs && ageMs > -MAX_SKEW_MS ? durationMs - ageMs : 0
}

/** Milliseconds since the mark, from -2^29 to 2^29. */
function markAgeMs(mark: number, nowMs: number): number {
  return ((nowMs << 2) - (mark & ~3)) >> 2
}

/** Whether a mark was made after this moment; every mark of today and no other is believed. */
export function isMarkAfter(mark: number, nowMs: number): boolean {
  const ageMs = markAgeMs(mark, nowMs)
  return ageMs < 0 && ageMs > -MAX_SKEW_MS
}

/** The words of a service that all its endpoints share. */
export class ServiceChanges implements ChangeCount {
  readonly #words: Int32Array
  readonly #index: number

  constructor(segment: EndpointSegment, slot: number) {
    this.#words = segment.words
    this.#index = segment.slotWord(slot) + SLOT_CHANGES
  }

  get count(): number {
    return Atomics.load(this.#words, this.#index)
  }

  /** After the change, never before: who reads the new count must see what it announces. */
  announce(): void {
    Atomics.add(this.#words, this.#index, 1)
  }
}

/**
 * One worker's view of an endpoint's slot. Passive failure counting after nginx's max_fails and fail_timeout: `maxFails` failures
 * in a row within `failTimeoutMs` put the endpoint aside for `failTimeoutMs`; then one request in each `failTimeoutMs`, over all
 * workers, tries it. A success brings it back, a failure puts it aside again at once, and a trial that never reports gives way
 * to the next after failTimeout. Answers that arrive between being put aside and the trial are to requests sent before: they say
 * nothing new and change nothing.
 *
 * Each failure takes `weight / maxFails` (rounded up) off the effective weight, each success gives 1 back. It stays at 1 at
 * least: at 0 the endpoint would get no request, so no success, so never its weight back.
 */
export class SharedEndpointState implements EndpointState {
  readonly #segment: EndpointSegment
  readonly #words: Int32Array
  readonly #doubles: Float64Array
  readonly #changes: ServiceChanges
  readonly #localSlot: number
  readonly #slot: number
  readonly #tally: number
  readonly #totals: number
  readonly #weight: number
  /** Whether marks mean anything. */
  readonly #isEjecting: boolean
  readonly #isCompared: boolean
  /** 0: failures alone put nothing aside. */
  readonly #maxFails: number
  readonly #failTimeoutMs: number
  readonly #penaltyStep: number
  readonly #maxPenalty: number
  readonly #latency: number
  /** 0 when latencies are not kept. */
  readonly #decayMs: number
  readonly #isPeak: boolean

  constructor(segment: EndpointSegment, localSlot: number, worker: number, changes: ServiceChanges, options: EndpointStateOptions) {
    const { weight, ejection, latency } = options
    this.#segment = segment
    this.#words = segment.words
    this.#doubles = segment.doubles
    this.#changes = changes
    this.#localSlot = localSlot
    this.#slot = segment.slotWord(localSlot)
    this.#tally = segment.tallyWord(localSlot, worker)
    this.#totals = this.#tally / 2
    this.#weight = weight
    this.#isEjecting = ejection !== null
    this.#isCompared = ejection?.outliers != null
    this.#maxFails = ejection === null ? 0 : Math.max(0, ejection.maxFails)
    this.#failTimeoutMs = ejection === null ? 0 : Math.min(Math.max(1, ejection.failTimeoutMs), MAX_ASIDE_MS)
    this.#penaltyStep = this.#maxFails === 0 ? 0 : Math.ceil(weight / this.#maxFails)
    this.#maxPenalty = Math.max(0, Math.ceil(weight) - 1)
    this.#latency = this.#slot / 2
    this.#decayMs = latency === null ? 0 : latency.decayMs
    this.#isPeak = latency?.kind === 'peak'
    if (this.#maxFails > 0) this.#lowerPenalty()
  }

  get inFlight(): number {
    return this.#segment.inFlight(this.#localSlot)
  }

  get effectiveWeight(): number {
    if (this.#maxFails === 0) return this.#weight
    const penalty = Atomics.load(this.#words, this.#slot + SLOT_PENALTY)
    return this.#weight - Math.max(0, Math.min(penalty, this.#maxPenalty))
  }

  asideMs(nowMs: number): number {
    if (this.#isUnhealthy()) return Number.POSITIVE_INFINITY
    const mark = Atomics.load(this.#words, this.#slot + SLOT_MARK)
    return mark === 0 || !this.#isEjecting ? NOT_ASIDE : this.#waitMs(mark, nowMs)
  }

  isAvailable(nowMs: number): boolean {
    return this.asideMs(nowMs) <= 0
  }

  admit(nowMs: number): boolean {
    if (this.#isUnhealthy()) return false
    const mark = Atomics.load(this.#words, this.#slot + SLOT_MARK)
    if (mark === 0 || !this.#isEjecting) return true
    return this.#waitMs(mark, nowMs) === 0 && this.#swapMark(mark, createMark(nowMs, TRIAL))
  }

  upForMs(nowMs: number): number {
    const index = this.#slot + SLOT_UP_SINCE
    const since = Atomics.load(this.#words, index)
    if (since === 0) return Number.POSITIVE_INFINITY
    const ageMs = (nowMs - since) | 0
    if (ageMs >= 0 && ageMs < LONG_AGO_MS) return ageMs
    if (ageMs < 0 && ageMs > -MAX_SKEW_MS) return 0
    // Forgotten before the modulus comes round and makes it look new again.
    Atomics.compareExchange(this.#words, index, since, 0)
    return Number.POSITIVE_INFINITY
  }

  latencyMs(nowMs: number): number {
    if (this.#decayMs === 0) return 0
    const estimateMs = this.#doubles[this.#latency + SLOT_LATENCY]!
    const ageMs = nowMs - this.#doubles[this.#latency + SLOT_LATENCY_AT]!
    return estimateMs === 0 || ageMs <= 0 ? estimateMs : estimateMs * Math.exp(-ageMs / this.#decayMs)
  }

  begin(): void {
    Atomics.add(this.#words, this.#tally + TALLY_IN_FLIGHT, 1)
    this.#doubles[this.#totals + TALLY_REQUESTS]! += 1
  }

  end(outcome: Outcome, nowMs: number, latencyMs = -1, isError = false): void {
    Atomics.sub(this.#words, this.#tally + TALLY_IN_FLIGHT, 1)
    this.settle(outcome, nowMs, latencyMs, isError)
  }

  settle(outcome: Outcome, nowMs: number, latencyMs = -1, isError = false): void {
    if (outcome === 'neutral') return
    const isFailure = outcome === 'failure'
    if (this.#decayMs > 0) {
      if (isFailure || isError) this.#observeFailure(Math.max(0, latencyMs), nowMs)
      else if (latencyMs >= 0) this.#observe(latencyMs, nowMs)
    }
    if (this.#isCompared) this.#count(latencyMs, isFailure || isError)
    if (isFailure) {
      this.#doubles[this.#totals + TALLY_FAILURES]! += 1
      if (this.#isEjecting) this.#onFailure(nowMs)
    } else if (this.#isEjecting) {
      this.#onSuccess(nowMs)
    }
  }

  overtaken(latencyMs: number, nowMs: number): void {
    if (this.#decayMs > 0 && latencyMs > this.latencyMs(nowMs)) this.#observe(latencyMs, nowMs)
    if (this.#isCompared) this.#count(latencyMs, false)
  }

  /** For the comparison with other endpoints: totals of this worker, which nobody else writes. */
  #count(latencyMs: number, isError: boolean): void {
    const doubles = this.#doubles
    const at = this.#totals
    doubles[at + TALLY_RESULTS]! += 1
    if (isError) doubles[at + TALLY_ERRORS]! += 1
    if (latencyMs < 0) return
    doubles[at + TALLY_LATENCIES]! += 1
    doubles[at + TALLY_LATENCY_MS]! += latencyMs
  }

  #observe(sampleMs: number, nowMs: number): void {
    const estimateMs = this.#doubles[this.#latency + SLOT_LATENCY]!
    const kept = this.#keptAt(nowMs)
    const isPeak = this.#isPeak && sampleMs > estimateMs * kept
    this.#setLatency(isPeak ? sampleMs : estimateMs * kept + sampleMs * (1 - kept), nowMs)
  }

  #observeFailure(sampleMs: number, nowMs: number): void {
    const estimateMs = this.#doubles[this.#latency + SLOT_LATENCY]!
    if (estimateMs === 0) return this.#setLatency(Math.max(UNKNOWN_FAILURE_MS, sampleMs), nowMs)
    const kept = this.#keptAt(nowMs)
    const sunkMs = estimateMs * kept
    if (sampleMs > sunkMs) return this.#observe(sampleMs, nowMs)
    const countedMs = Math.max(sunkMs, Math.min(FAILURE_FACTOR * sunkMs, MAX_FAILURE_MS))
    this.#setLatency(sunkMs + countedMs * (1 - kept), nowMs)
  }

  /** How much of the estimate still counts. */
  #keptAt(nowMs: number): number {
    if (this.#doubles[this.#latency + SLOT_LATENCY] === 0) return 0
    return Math.exp(-Math.max(0, nowMs - this.#doubles[this.#latency + SLOT_LATENCY_AT]!) / this.#decayMs)
  }

  /**
   * Workers that report in the same instant may overwrite each other's sample: the estimate is one of many samples, and none of them
   * is worth a lock.
   */
  #setLatency(estimateMs: number, nowMs: number): void {
    // 0 would say that nothing is known.
    this.#doubles[this.#latency + SLOT_LATENCY] = Math.max(MIN_LATENCY_MS, estimateMs)
    this.#doubles[this.#latency + SLOT_LATENCY_AT] = nowMs
  }

  #isUnhealthy(): boolean {
    return Atomics.load(this.#words, this.#slot + SLOT_HEALTH) === HEALTH_UNHEALTHY
  }

  #onSuccess(nowMs: number): void {
    const mark = Atomics.load(this.#words, this.#slot + SLOT_MARK)
    if (mark !== 0) {
      if ((mark & 3) !== TRIAL) return
      // Counted from zero before anybody may see the endpoint in normal use.
      Atomics.store(this.#words, this.#slot + SLOT_FAILS, 0)
      Atomics.store(this.#words, this.#slot + SLOT_UP_SINCE, nowMs | 0 || 1)
      if (!this.#swapMark(mark, 0)) return
    } else if (Atomics.load(this.#words, this.#slot + SLOT_FAILS) !== 0) {
      Atomics.store(this.#words, this.#slot + SLOT_FAILS, 0)
    }
    if (Atomics.load(this.#words, this.#slot + SLOT_PENALTY) !== 0) this.#addPenalty(-1)
  }

  #onFailure(nowMs: number): void {
    const mark = Atomics.load(this.#words, this.#slot + SLOT_MARK)
    if (mark !== 0) {
      if ((mark & 3) === TRIAL) this.#swapMark(mark, createMark(nowMs, ASIDE))
      return
    }
    if (this.#maxFails === 0) return
    this.#addPenalty(this.#penaltyStep)
    this.#openWindow(nowMs)
    if (Atomics.add(this.#words, this.#slot + SLOT_FAILS, 1) + 1 >= this.#maxFails && this.#swapMark(0, createMark(nowMs, ASIDE)))
      Atomics.add(this.#words, this.#slot + SLOT_ASIDE_COUNT, 1)
  }

  /**
   * Starts counting anew when the window is over. Of several workers that see this at the same moment one does it; a failure
   * another of them counts in that instant may still fall into the old window.
   */
  #openWindow(nowMs: number): void {
    const index = this.#slot + SLOT_WINDOW_AT
    const startedAt = Atomics.load(this.#words, index)
    const ageMs = (nowMs - startedAt) | 0
    const isFirst = Atomics.load(this.#words, this.#slot + SLOT_FAILS) === 0
    if (!isFirst && ageMs < this.#failTimeoutMs && ageMs > -MAX_SKEW_MS) return
    if (Atomics.compareExchange(this.#words, index, startedAt, nowMs | 0) !== startedAt || isFirst) return
    Atomics.store(this.#words, this.#slot + SLOT_FAILS, 0)
  }

  /** What is left of the time aside; 0 when it is over. */
  #waitMs(mark: number, nowMs: number): number {
    const isOutlier = (mark & 3) === EJECTED
    return markLeftMs(mark, isOutlier ? Atomics.load(this.#words, this.#slot + SLOT_EJECTED_MS) : this.#failTimeoutMs, nowMs)
  }

  #swapMark(from: number, to: number): boolean {
    if (Atomics.compareExchange(this.#words, this.#slot + SLOT_MARK, from, to) !== from) return false
    this.#changes.announce()
    return true
  }

  /**
   * Adds first and takes back what went beyond the bounds, so that no worker has to try again and nothing is lost; for that
   * moment the word may be out of bounds, which is why `effectiveWeight` clamps what it reads.
   */
  #addPenalty(amount: number): void {
    const index = this.#slot + SLOT_PENALTY
    const after = Atomics.add(this.#words, index, amount) + amount
    let excess = 0
    if (amount > 0 && after > this.#maxPenalty) excess = Math.min(amount, after - this.#maxPenalty)
    else if (amount < 0 && after < 0) excess = Math.max(amount, after)
    if (excess !== 0) Atomics.sub(this.#words, index, excess)
    if (excess !== amount) this.#changes.announce()
  }

  /** A penalty from before a reload that lowered the weight counts for no more than the weight allows. */
  #lowerPenalty(): void {
    const index = this.#slot + SLOT_PENALTY
    const penalty = Atomics.load(this.#words, index)
    if (penalty > this.#maxPenalty) Atomics.compareExchange(this.#words, index, penalty, this.#maxPenalty)
  }
}
