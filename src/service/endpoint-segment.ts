/**
 * The layout of the shared memory that holds endpoint state. One segment is one SharedArrayBuffer:
 *
 *   header   16 words   layout version, number of workers, number of slots
 *   slots    16 words each (one cache line)            written by every worker: failures, put aside, lost weight, latency;
 *                                                      and by the main thread: health, ejection
 *   tallies  16 words for each worker and slot         written by one worker only: in flight, requests, failures, errors, latencies
 *
 * The tallies lie grouped by worker, so that counting a request never touches a cache line another worker writes to, and so that
 * the share of a worker that died can be found and taken back.
 */
const LAYOUT_VERSION = 3
const HEADER_WORDS = 16
const SLOT_WORDS = 16
const TALLY_WORDS = 16

/** More than this many workers would make `inFlight`, a sum over all of them, too slow to balance by. */
export const MAX_WORKERS = 64

/** Words of an endpoint's slot. Those not named are free. */
export const SLOT_MARK = 0
export const SLOT_FAILS = 1
export const SLOT_WINDOW_AT = 2
export const SLOT_PENALTY = 3
/** When the endpoint was added or came back, in milliseconds modulo 2^32; 0 is long ago. */
export const SLOT_UP_SINCE = 4
/** What active checks found: one of the HEALTH words. Written by the main thread only. */
export const SLOT_HEALTH = 5
/** The latency estimate and its time, two 8-byte numbers: indexes into `doubles`, counted from half the slot's first word. */
export const SLOT_LATENCY = 3
export const SLOT_LATENCY_AT = 4

/** How long the endpoint is ejected, in milliseconds; written by the main thread before the mark that it belongs to. */
export const SLOT_EJECTED_MS = 10
/** How often failures put the endpoint aside, modulo 2^32; trials that fail do not count. */
export const SLOT_ASIDE_COUNT = 11

export const HEALTH_UNKNOWN = 0
export const HEALTH_HEALTHY = 1
export const HEALTH_UNHEALTHY = 2

/** Word of a service's own slot. */
export const SLOT_CHANGES = 0

/** In a tally: the word of the in-flight count, and the 8-byte numbers of the totals, counted in 8-byte steps. */
export const TALLY_IN_FLIGHT = 0
export const TALLY_REQUESTS = 1
export const TALLY_FAILURES = 2
/** What outlier ejection compares: requests that ended with a result, those of them that failed or got a 5xx, and latencies. */
export const TALLY_RESULTS = 3
export const TALLY_ERRORS = 4
export const TALLY_LATENCIES = 5
export const TALLY_LATENCY_MS = 6

export function createSegment(workers: number, slots: number): SharedArrayBuffer {
  const words = HEADER_WORDS + slots * SLOT_WORDS + workers * slots * TALLY_WORDS
  const buffer = new SharedArrayBuffer(words * 4)
  new Int32Array(buffer).set([LAYOUT_VERSION, workers, slots])
  return buffer
}

/** One thread's view of a segment. */
export class EndpointSegment {
  readonly words: Int32Array
  /**
   * The same memory as 8-byte numbers, for the totals. They are written without Atomics, by one worker each, because integer
   * atomics of this width mean BigInts, and so an allocation for each request. Aligned 8-byte stores do not tear on 64-bit machines.
   */
  readonly doubles: Float64Array
  readonly workers: number
  readonly slots: number
  /** Words from one worker's tally of a slot to the next worker's. */
  readonly workerStride: number

  constructor(buffer: SharedArrayBuffer) {
    this.words = new Int32Array(buffer)
    this.doubles = new Float64Array(buffer)
    if (this.words[0] !== LAYOUT_VERSION) throw new Error(`endpoint state has layout version ${this.words[0]}, expected ${LAYOUT_VERSION}`)
    this.workers = this.words[1] ?? 0
    this.slots = this.words[2] ?? 0
    this.workerStride = this.slots * TALLY_WORDS
  }

  /** Index of the first word of a slot. */
  slotWord(slot: number): number {
    return HEADER_WORDS + slot * SLOT_WORDS
  }

  /** Index of the first word of a worker's tally of a slot; always even. */
  tallyWord(slot: number, worker: number): number {
    return HEADER_WORDS + this.slots * SLOT_WORDS + worker * this.workerStride + slot * TALLY_WORDS
  }

  /** Only for a slot that nobody uses. */
  clear(slot: number): void {
    const at = this.slotWord(slot)
    for (let word = at; word < at + SLOT_WORDS; word++) Atomics.store(this.words, word, 0)
    for (let worker = 0; worker < this.workers; worker++) {
      const tally = this.tallyWord(slot, worker)
      for (let word = tally; word < tally + TALLY_WORDS; word++) Atomics.store(this.words, word, 0)
    }
  }

  /**
   * Read without Atomics, which cost a call each: balancers read many of these for one pick, aligned words do not tear, and a sum over
   * words that others write is of no single moment anyway.
   */
  inFlight(slot: number): number {
    const { words, workers, workerStride } = this
    let sum = 0
    let word = this.tallyWord(slot, 0) + TALLY_IN_FLIGHT
    for (let worker = 0; worker < workers; worker++, word += workerStride) sum += words[word]!
    return sum
  }

  /** Sum over all workers of one of the totals (TALLY_REQUESTS and those after it). */
  total(slot: number, kind: number): number {
    let sum = 0
    for (let worker = 0; worker < this.workers; worker++) sum += this.doubles[this.tallyWord(slot, worker) / 2 + kind] ?? 0
    return sum
  }

  /** Takes back what a dead worker had in flight. */
  clearInFlight(worker: number): void {
    for (let slot = 0; slot < this.slots; slot++) Atomics.store(this.words, this.tallyWord(slot, worker) + TALLY_IN_FLIGHT, 0)
  }
}
