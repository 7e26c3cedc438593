import {
  type EndpointSegment,
  HEALTH_HEALTHY,
  HEALTH_UNHEALTHY,
  HEALTH_UNKNOWN,
  SLOT_FAILS,
  SLOT_HEALTH,
  SLOT_MARK,
  SLOT_UP_SINCE,
} from './endpoint-segment.ts'
import { isMarkAfter, type ServiceChanges } from './endpoint-state.ts'

/** What active checks say of an endpoint. `unknown`, not checked or not yet, is as good as healthy to a picker. */
export type Health = 'unknown' | 'healthy' | 'unhealthy'

const WORDS: Readonly<Record<Health, number>> = { unknown: HEALTH_UNKNOWN, healthy: HEALTH_HEALTHY, unhealthy: HEALTH_UNHEALTHY }

/** The main thread's hand on an endpoint's slot: publishes to all workers what active checks found. Good for as long as a lease holds the slot. */
export class EndpointControl {
  readonly #words: Int32Array
  readonly #slot: number
  readonly #changes: ServiceChanges

  constructor(segment: EndpointSegment, localSlot: number, changes: ServiceChanges) {
    this.#words = segment.words
    this.#slot = segment.slotWord(localSlot)
    this.#changes = changes
  }

  get isUnhealthy(): boolean {
    return Atomics.load(this.#words, this.#slot + SLOT_HEALTH) === HEALTH_UNHEALTHY
  }

  setHealth(health: Health, nowMs: number): void {
    if (health === 'healthy' && this.isUnhealthy) this.#noteUp(nowMs)
    const before = Atomics.exchange(this.#words, this.#slot + SLOT_HEALTH, WORDS[health])
    // Unknown and healthy are the same to a picker.
    if ((before === HEALTH_UNHEALTHY) !== (health === 'unhealthy')) this.#changes.announce()
  }

  /**
   * Takes back that the endpoint was put aside by failures of traffic, and their count; weight lost to them comes back with successes.
   * Nothing happens when it was put aside after `sinceMs`: what is known since then is newer. Returns whether anything was taken back.
   */
  reinstate(sinceMs: number, nowMs: number): boolean {
    const mark = Atomics.load(this.#words, this.#slot + SLOT_MARK)
    if (mark === 0 || isMarkAfter(mark, sinceMs)) return false
    // Counted from zero before anybody may see the endpoint in normal use.
    Atomics.store(this.#words, this.#slot + SLOT_FAILS, 0)
    this.#noteUp(nowMs)
    if (Atomics.compareExchange(this.#words, this.#slot + SLOT_MARK, mark, 0) !== mark) return false
    this.#changes.announce()
    return true
  }

  /** Before pickers see the endpoint again: slow start counts from here. */
  #noteUp(nowMs: number): void {
    Atomics.store(this.#words, this.#slot + SLOT_UP_SINCE, nowMs | 0 || 1)
  }
}
