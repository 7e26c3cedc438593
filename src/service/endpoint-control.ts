import type { EjectionGroup } from './ejection-group.ts'
import {
  type EndpointSegment,
  HEALTH_HEALTHY,
  HEALTH_UNHEALTHY,
  HEALTH_UNKNOWN,
  SLOT_ASIDE_COUNT,
  SLOT_EJECTED_MS,
  SLOT_FAILS,
  SLOT_HEALTH,
  SLOT_MARK,
  SLOT_UP_SINCE,
  TALLY_ERRORS,
  TALLY_LATENCIES,
  TALLY_LATENCY_MS,
  TALLY_RESULTS,
} from './endpoint-segment.ts'
import { createEjectedMark, isMarkAfter, kindOfMark, MAX_ASIDE_MS, markLeftMs, type ServiceChanges } from './endpoint-state.ts'

/** What active checks say of an endpoint. `unknown`, not checked or not yet, is as good as healthy to a picker. */
export type Health = 'unknown' | 'healthy' | 'unhealthy'

const WORDS: Readonly<Record<Health, number>> = { unknown: HEALTH_UNKNOWN, healthy: HEALTH_HEALTHY, unhealthy: HEALTH_UNHEALTHY }

/** Why an endpoint gets no request: failures in a row, being worse than the others, or a trial request that is under way. */
export interface Aside {
  readonly kind: 'failures' | 'trial' | 'outlier'
  /** Until it may be tried. */
  readonly leftMs: number
}

/** What requests found, since the endpoint was added. */
export interface EndpointTotals {
  readonly results: number
  readonly errors: number
  readonly latencies: number
  readonly latencyMs: number
}

/** The main thread's hand on an endpoint's slot: publishes to all workers what active checks found. Good for as long as a lease holds the slot. */
export class EndpointControl {
  readonly #segment: EndpointSegment
  readonly #localSlot: number
  readonly #words: Int32Array
  readonly #slot: number
  readonly #changes: ServiceChanges

  constructor(segment: EndpointSegment, localSlot: number, changes: ServiceChanges) {
    this.#segment = segment
    this.#localSlot = localSlot
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

  /**
   * Ejects an endpoint in normal use for this long; then one request tries it, as after failures. False when it was put aside already,
   * or when the group has no room for one more.
   */
  eject(durationMs: number, group: EjectionGroup, nowMs: number): boolean {
    const index = this.#slot + SLOT_MARK
    if (Atomics.load(this.#words, index) !== 0 || !group.hasRoom(1)) return false
    const mark = createEjectedMark(nowMs)
    // Nobody reads it while there is no mark.
    Atomics.store(this.#words, this.#slot + SLOT_EJECTED_MS, Math.min(Math.max(1, Math.round(durationMs)), MAX_ASIDE_MS))
    if (Atomics.compareExchange(this.#words, index, 0, mark) !== 0) return false
    const hasRoom = group.hasRoom(0)
    if (!hasRoom) Atomics.compareExchange(this.#words, index, mark, 0)
    this.#changes.announce()
    return hasRoom
  }

  /** null in normal use. `failTimeoutMs`: how long failures put it aside. */
  aside(failTimeoutMs: number, nowMs: number): Aside | null {
    const mark = Atomics.load(this.#words, this.#slot + SLOT_MARK)
    const kind = kindOfMark(mark)
    if (kind === 'none') return null
    const durationMs = kind === 'outlier' ? Atomics.load(this.#words, this.#slot + SLOT_EJECTED_MS) : failTimeoutMs
    return { kind, leftMs: markLeftMs(mark, durationMs, nowMs) }
  }

  /** How often failures put it aside, modulo 2^32. */
  get asideCount(): number {
    return Atomics.load(this.#words, this.#slot + SLOT_ASIDE_COUNT)
  }

  /** Milliseconds since it was added or came back; null when that is long ago. */
  upForMs(nowMs: number): number | null {
    const since = Atomics.load(this.#words, this.#slot + SLOT_UP_SINCE)
    const ageMs = (nowMs - since) | 0
    return since === 0 || ageMs < 0 ? null : ageMs
  }

  totals(): EndpointTotals {
    const total = (kind: number) => this.#segment.total(this.#localSlot, kind)
    return {
      results: total(TALLY_RESULTS),
      errors: total(TALLY_ERRORS),
      latencies: total(TALLY_LATENCIES),
      latencyMs: total(TALLY_LATENCY_MS),
    }
  }

  /** Before pickers see the endpoint again: slow start counts from here. */
  #noteUp(nowMs: number): void {
    Atomics.store(this.#words, this.#slot + SLOT_UP_SINCE, nowMs | 0 || 1)
  }
}
