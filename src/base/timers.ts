import type { Clock } from './clock.ts'

/**
 * Coarse timers for things that exist in thousands and rarely expire: one wheel per thread, one tick for all.
 *
 * Moving a deadline later costs one assignment: the entry stays where it is and is looked at again when its old time comes.
 * Only an earlier deadline moves it. An entry fires at most one tick late and never early.
 */
export abstract class Timed {
  /** When to fire, on the clock's scale; 0: not armed. */
  deadlineMs = 0
  /** When the wheel looks at this entry next; 0: not in the wheel. */
  checkMs = 0
  previousTimed: Timed | null = null
  nextTimed: Timed | null = null

  abstract onDeadline(nowMs: number): void
}

class SlotHead extends Timed {
  override onDeadline(): void {}
}

/** An empty list: a circle of one. */
function createList(): SlotHead {
  const head = new SlotHead()
  head.nextTimed = head
  head.previousTimed = head
  return head
}

const SLOTS = 512

export class TimerWheel {
  readonly #clock: Clock
  readonly #tickMs: number
  readonly #slots: SlotHead[] = []
  readonly #due = createList()
  #lastTick: number
  #count = 0
  #interval: NodeJS.Timeout | null = null
  readonly #automatic: boolean

  /** `automatic: false` leaves the ticking to the caller (tests, simulation). */
  constructor(clock: Clock, options: { tickMs?: number; automatic?: boolean } = {}) {
    this.#clock = clock
    this.#tickMs = options.tickMs ?? 20
    this.#automatic = options.automatic ?? true
    this.#lastTick = Math.floor(clock.now() / this.#tickMs)
    for (let i = 0; i < SLOTS; i++) this.#slots.push(createList())
  }

  /** Entries now in the wheel, armed or waiting to be forgotten. */
  get size(): number {
    return this.#count
  }

  arm(timed: Timed, deadlineMs: number): void {
    timed.deadlineMs = deadlineMs
    if (timed.checkMs !== 0) {
      if (timed.checkMs <= deadlineMs) return
      this.#unlink(timed)
    }
    this.#link(timed, deadlineMs)
  }

  /** The entry is forgotten when the wheel next comes by. */
  disarm(timed: Timed): void {
    timed.deadlineMs = 0
  }

  /** Takes the entry out at once: for objects that are thrown away, so that the wheel does not keep them alive. */
  remove(timed: Timed): void {
    timed.deadlineMs = 0
    if (timed.checkMs !== 0) this.#unlink(timed)
  }

  stop(): void {
    if (this.#interval !== null) clearInterval(this.#interval)
    this.#interval = null
  }

  /** Fires what is due. Called by the interval, or by a test. */
  tick(): void {
    const nowMs = this.#clock.now()
    const nowTick = Math.floor(nowMs / this.#tickMs)
    let from = this.#lastTick + 1
    if (nowTick - from >= SLOTS) from = nowTick - SLOTS + 1
    // Moved on before anything fires, so that an entry armed by a callback lands in a slot still to come.
    this.#lastTick = nowTick
    for (let t = from; t <= nowTick; t++) this.#expire(this.#slots[t % SLOTS] as SlotHead, nowMs)
  }

  #expire(head: SlotHead, nowMs: number): void {
    if (head.nextTimed === head) return
    // The entries move to a list of their own first: callbacks may arm or remove any entry while it is emptied.
    const due = this.#due
    const first = head.nextTimed as Timed
    const last = head.previousTimed as Timed
    head.nextTimed = head
    head.previousTimed = head
    due.nextTimed = first
    first.previousTimed = due
    due.previousTimed = last
    last.nextTimed = due
    while (due.nextTimed !== due) {
      const timed = due.nextTimed as Timed
      this.#unlink(timed)
      if (timed.deadlineMs === 0) continue
      if (timed.deadlineMs <= nowMs) {
        timed.deadlineMs = 0
        timed.onDeadline(nowMs)
      } else {
        this.#link(timed, timed.deadlineMs)
      }
    }
    if (this.#count === 0) this.stop()
  }

  #link(timed: Timed, deadlineMs: number): void {
    // After a standstill the wheel starts at the present instead of walking through the time in between.
    if (this.#count === 0) this.#lastTick = Math.max(this.#lastTick, Math.floor(this.#clock.now() / this.#tickMs))
    // Rounded up: never early. At least one tick ahead, at most one turn of the wheel.
    let tick = Math.ceil(deadlineMs / this.#tickMs)
    if (tick <= this.#lastTick) tick = this.#lastTick + 1
    if (tick >= this.#lastTick + SLOTS) tick = this.#lastTick + SLOTS - 1
    const head = this.#slots[tick % SLOTS] as SlotHead
    timed.checkMs = tick * this.#tickMs
    const before = head.previousTimed as Timed
    before.nextTimed = timed
    timed.previousTimed = before
    timed.nextTimed = head
    head.previousTimed = timed
    this.#count++
    if (this.#interval === null && this.#automatic) {
      this.#interval = setInterval(() => this.tick(), this.#tickMs)
      this.#interval.unref()
    }
  }

  #unlink(timed: Timed): void {
    const { previousTimed, nextTimed } = timed
    if (previousTimed !== null) previousTimed.nextTimed = nextTimed
    if (nextTimed !== null) nextTimed.previousTimed = previousTimed
    timed.previousTimed = null
    timed.nextTimed = null
    timed.checkMs = 0
    this.#count--
  }
}
