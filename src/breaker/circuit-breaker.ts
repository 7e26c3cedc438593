import { roundUpToLine, type SharedArea } from '../base/shared-area.ts'
import { SharedWindow, sharedWindowWords } from '../base/shared-window.ts'
import { type Breaker, type BreakerOutcome, type BreakerState, type BreakerStatistics, errorPercent, REJECTED } from './breaker.ts'

/**
 *              enough requests, and too many failed or slow
 *     CLOSED -------------------------------------------------> OPEN
 *       ^                                                      |    ^
 *       | all probes succeeded             the open time passed|    | one probe failed: open for twice as long
 *       +--------------------------------------- HALF-OPEN <---+----+
 *
 * One word holds the state: its kind in the low two bits, a generation in the others. Each change is one compare-and-swap to the
 * next generation, and every token carries the generation it was given in, so a late result of an earlier era counts nowhere.
 *
 *   words    0 state | 1 piece of the last bad result | 2 openings | 4..7 until | 8..11 level | 16..47 probes | window of each worker
 *
 * `until` and `level` belong to a generation (modulo 4) and are written before the swap that makes it current; threads that race for
 * that swap write the same values.
 */
export interface CircuitBreakerConfig {
  /** The time over which requests are counted, in ten pieces. */
  readonly windowMs: number
  /** Requests in the window below which it never opens. At least 1. */
  readonly minRequests: number
  /** Opens when this share of the requests failed, 0 to 1. */
  readonly errorRateRatio: number
  /** Round the share of errors to whole percent before it is compared, as Hystrix does. Default false. */
  readonly roundsToPercent?: boolean
  /** A request that took longer is slow; null: none is. */
  readonly slowCallMs: number | null
  /** Opens when this share of the requests was slow, 0 to 1. */
  readonly slowRateRatio: number
  readonly openForMs: number
  /** Each failed half-open time doubles the open time, up to this. Equal to `openForMs`: it never grows. */
  readonly maxOpenForMs: number
  /** Requests that pass in half-open; all must succeed to close. 1 to 32. */
  readonly probes: number
  /** A probe without a result gives its place to another after this time at least, and after twice this time at most. */
  readonly probeTimeoutMs: number
}

/** Opens at 50 % errors of at least 20 requests in 10 s, for 5 s at first and 30 s at most; one probe. */
export const CIRCUIT_BREAKER_DEFAULTS: CircuitBreakerConfig = {
  windowMs: 10_000,
  minRequests: 20,
  errorRateRatio: 0.5,
  slowCallMs: null,
  slowRateRatio: 1,
  openForMs: 5000,
  maxOpenForMs: 30_000,
  probes: 1,
  probeTimeoutMs: 15_000,
}

export const MAX_PROBES = 32

const CLOSED = 0
const OPEN = 1
const HALF_OPEN = 2

const STATE = 0
const LAST_BAD = 1
const OPENINGS = 2
const UNTIL = 4
const LEVEL = 8
const PROBES = 16
const WINDOW = PROBES + MAX_PROBES

const REQUESTS = 0
const FAILURES = 1
const SLOW = 2
const WINDOW_SHAPE = { counters: 3 }

/** A probe place: 14 bits of the generation, 6 of the worker, 10 of the round it was taken in, and one of these. One of another era is free, too. */
const FREE = 0
const TAKEN = 1
const SUCCEEDED = 2
const FAILED = 3
const ROUND_MASK = 0x3ff
const PLACE_WORKER_MASK = 0x3f
const PLACE_GENERATION_MASK = 0x3fff
const PLACE_MASK = 0x1f
const TOKEN_GENERATION_MASK = 0xffff

/** Two quotients that should be equal may differ in the last digit. */
const EPSILON = 1e-12
const MAX_LEVEL = 20

/** Words of shared memory one breaker takes. */
export function circuitBreakerWords(workers: number): number {
  return roundUpToLine(WINDOW + sharedWindowWords(WINDOW_SHAPE, workers))
}

function next(state: number, kind: number): number {
  return ((((state >>> 2) + 1) << 2) | kind) >> 0
}

/** 16 bits of the generation, 10 of the round, 5 of the place, and a 1 so that no token is 0: a small integer, not on the heap. */
function createToken(state: number, round: number, place: number): number {
  return (((state >>> 2) & TOKEN_GENERATION_MASK) << 16) | ((round & ROUND_MASK) << 6) | (place << 1) | 1
}

function createPlace(state: number, worker: number, round: number, kind: number): number {
  return ((state >>> 2) << 18) | ((worker & PLACE_WORKER_MASK) << 12) | ((round & ROUND_MASK) << 2) | kind
}

function roundOf(place: number): number {
  return (place >>> 2) & ROUND_MASK
}

function isOfEra(place: number, state: number): boolean {
  return place >>> 18 === ((state >>> 2) & PLACE_GENERATION_MASK)
}

/** One worker's view. */
export class CircuitBreaker implements Breaker {
  readonly #words: Int32Array
  readonly #at: number
  readonly #worker: number
  readonly #window: SharedWindow
  readonly #config: CircuitBreakerConfig
  readonly #slowCallMs: number
  readonly #minRequests: number
  readonly #probes: number

  constructor(area: SharedArea, config: CircuitBreakerConfig) {
    this.#words = area.words
    this.#at = area.at
    this.#worker = area.worker
    this.#config = config
    this.#slowCallMs = config.slowCallMs ?? Number.POSITIVE_INFINITY
    this.#minRequests = Math.max(1, config.minRequests)
    this.#probes = Math.min(Math.max(1, config.probes), MAX_PROBES)
    this.#window = new SharedWindow(area, WINDOW, WINDOW_SHAPE, config.windowMs)
  }

  allow(nowMs: number): number {
    const state = this.#load(STATE)
    const kind = state & 3
    if (kind === CLOSED) return createToken(state, 0, 0)
    if (kind === HALF_OPEN) return this.#claimProbe(state, nowMs)
    if (this.#openLeftMs(state, nowMs) > 0) return REJECTED
    const halfOpen = next(state, HALF_OPEN)
    this.#prepare(halfOpen, nowMs, this.#load(LEVEL + this.#phase(state)))
    this.#swap(state, halfOpen)
    const after = this.#load(STATE)
    return (after & 3) === HALF_OPEN ? this.#claimProbe(after, nowMs) : REJECTED
  }

  record(token: number, outcome: BreakerOutcome, latencyMs: number, nowMs: number): void {
    const state = this.#load(STATE)
    if (token === REJECTED || token >>> 16 !== ((state >>> 2) & TOKEN_GENERATION_MASK)) return
    const kind = state & 3
    if (kind === CLOSED) this.#recordClosed(state, outcome, latencyMs, nowMs)
    else if (kind === HALF_OPEN) this.#recordProbe(state, token, outcome, latencyMs, nowMs)
  }

  state(nowMs: number): BreakerState {
    const state = this.#load(STATE)
    const kind = state & 3
    if (kind === CLOSED) return 'closed'
    return kind === HALF_OPEN || this.#openLeftMs(state, nowMs) === 0 ? 'half-open' : 'open'
  }

  retryAfterMs(nowMs: number): number {
    const state = this.#load(STATE)
    return (state & 3) === OPEN ? this.#openLeftMs(state, nowMs) : 0
  }

  statistics(nowMs: number): BreakerStatistics {
    const state = this.#load(STATE)
    const totals = this.#window.sum(nowMs, this.#countedEra(state))
    const requests = totals[REQUESTS]!
    const failures = totals[FAILURES]!
    return {
      state: this.state(nowMs),
      requests,
      failures,
      slow: totals[SLOW]!,
      errorPercent: errorPercent(failures, requests),
      openings: this.#load(OPENINGS),
    }
  }

  /** Frees the probe places of a worker that died. Call before another worker starts under the same index. */
  clearWorker(worker: number): void {
    const state = this.#load(STATE)
    if ((state & 3) !== HALF_OPEN) return
    for (let place = 0; place < MAX_PROBES; place++) {
      const held = this.#load(PROBES + place)
      const isTheirs = isOfEra(held, state) && (held & 3) === TAKEN && ((held >>> 12) & PLACE_WORKER_MASK) === worker
      if (isTheirs) Atomics.compareExchange(this.#words, this.#at + PROBES + place, held, (held & ~3) | FREE)
    }
  }

  /** Nothing is counted while it is open or half-open: what is then in the window is what opened it, as long as it lasts. */
  #countedEra(state: number): number {
    const generation = state >>> 2
    const kind = state & 3
    if (kind === CLOSED) return generation
    // Each failed half-open time took two generations.
    const rounds = this.#load(LEVEL + this.#phase(state))
    return (generation - 2 * rounds - (kind === OPEN ? 1 : 2)) & 0x3fffffff
  }

  #recordClosed(state: number, outcome: BreakerOutcome, latencyMs: number, nowMs: number): void {
    if (outcome === 'neutral') return
    const era = state >>> 2
    const at = this.#window.bucketAt(nowMs, era)
    if (at === -1) return
    const isFailure = outcome === 'failure'
    const isSlow = latencyMs > this.#slowCallMs
    if (isFailure || isSlow) {
      if (isFailure) Atomics.add(this.#words, at + FAILURES, 1)
      if (isSlow) Atomics.add(this.#words, at + SLOW, 1)
      Atomics.store(this.#words, this.#at + LAST_BAD, this.#window.pieceAt(nowMs))
    }
    Atomics.add(this.#words, at + REQUESTS, 1)
    // Without a bad result in the window there is no rate to look at: the healthy case reads no other worker's memory.
    if (!isFailure && !isSlow && !this.#window.isRecent(this.#load(LAST_BAD), nowMs)) return
    if (this.#isTooBad(nowMs, era)) this.#open(state, 0, nowMs)
  }

  #isTooBad(nowMs: number, era: number): boolean {
    const totals = this.#window.sum(nowMs, era)
    const requests = totals[REQUESTS]!
    if (requests < this.#minRequests) return false
    const { errorRateRatio, slowRateRatio, roundsToPercent } = this.#config
    const failures = totals[FAILURES]!
    const errorRate = roundsToPercent === true ? errorPercent(failures, requests) / 100 : failures / requests
    const slow = totals[SLOW]!
    return (failures > 0 && errorRate >= errorRateRatio - EPSILON) || (slow > 0 && slow / requests >= slowRateRatio - EPSILON)
  }

  #open(state: number, level: number, nowMs: number): void {
    const open = next(state, OPEN)
    const { openForMs, maxOpenForMs } = this.#config
    this.#prepare(open, nowMs + Math.min(openForMs * 2 ** level, Math.max(openForMs, maxOpenForMs)), level)
    if (this.#swap(state, open)) Atomics.add(this.#words, this.#at + OPENINGS, 1)
  }

  /** A place is free when it was never taken in this era, was given back, or was taken two rounds ago. */
  #claimProbe(state: number, nowMs: number): number {
    const words = this.#words
    const since = this.#load(UNTIL + this.#phase(state))
    const round = Math.floor(Math.max(0, ((nowMs | 0) - since) | 0) / this.#config.probeTimeoutMs)
    for (let place = 0; place < this.#probes; place++) {
      const index = this.#at + PROBES + place
      const held = Atomics.load(words, index)
      if (isOfEra(held, state)) {
        const kind = held & 3
        if (kind === SUCCEEDED || kind === FAILED) continue
        if (kind === TAKEN && ((round - roundOf(held)) & ROUND_MASK) < 2) continue
      }
      const taken = createPlace(state, this.#worker, round, TAKEN)
      if (Atomics.compareExchange(words, index, held, taken) !== held) continue
      if (this.#load(STATE) === state) return createToken(state, round, place)
      // The era ended between reading the state and taking the place.
      Atomics.compareExchange(words, index, taken, held)
      return REJECTED
    }
    return REJECTED
  }

  #recordProbe(state: number, token: number, outcome: BreakerOutcome, latencyMs: number, nowMs: number): void {
    const words = this.#words
    const index = this.#at + PROBES + ((token >>> 1) & PLACE_MASK)
    const held = Atomics.load(words, index)
    const isMine = isOfEra(held, state) && (held & 3) === TAKEN && roundOf(held) === ((token >>> 6) & ROUND_MASK)
    if (!isMine) return
    const isSuccess = outcome === 'success' && latencyMs <= this.#slowCallMs
    // After a failure the place stays taken, or somebody could send one more probe before the state has changed.
    const kind = outcome === 'neutral' ? FREE : isSuccess ? SUCCEEDED : FAILED
    if (Atomics.compareExchange(words, index, held, (held & ~3) | kind) !== held || outcome === 'neutral') return
    if (!isSuccess) this.#open(state, Math.min(this.#load(LEVEL + this.#phase(state)) + 1, MAX_LEVEL), nowMs)
    else if (this.#haveAllSucceeded(state)) this.#swap(state, next(state, CLOSED))
  }

  #haveAllSucceeded(state: number): boolean {
    for (let place = 0; place < this.#probes; place++) {
      const held = this.#load(PROBES + place)
      if (!isOfEra(held, state) || (held & 3) !== SUCCEEDED) return false
    }
    return true
  }

  /** Writes what belongs to the generation of `state`, before anybody can see it. `atMs`: end of OPEN, start of HALF-OPEN. */
  #prepare(state: number, atMs: number, level: number): void {
    Atomics.store(this.#words, this.#at + UNTIL + this.#phase(state), atMs | 0)
    Atomics.store(this.#words, this.#at + LEVEL + this.#phase(state), level)
  }

  #openLeftMs(state: number, nowMs: number): number {
    const leftMs = (this.#load(UNTIL + this.#phase(state)) - (nowMs | 0)) | 0
    // More than the longest open time: the end lies so far back that the 32 bits have come round.
    return leftMs > 0 && leftMs <= Math.max(this.#config.openForMs, this.#config.maxOpenForMs) + 1 ? leftMs : 0
  }

  #phase(state: number): number {
    return (state >>> 2) & 3
  }

  #load(word: number): number {
    return Atomics.load(this.#words, this.#at + word)
  }

  #swap(from: number, to: number): boolean {
    return Atomics.compareExchange(this.#words, this.#at + STATE, from, to) === from
  }
}
