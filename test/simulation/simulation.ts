import { createSeededRandom, type Random } from '../../src/base/clock.ts'

/** Something that will happen; `cancel` takes it back. */
export interface SimulationEvent {
  readonly atMs: number
  readonly order: number
  run: (() => void) | null
}

/** The algorithms are handed times far from 0, as they are in a process. */
const START_MS = 1_000_000

/**
 * Virtual time: events happen in the order of their times, those of the same time in the order they were planned, and nothing happens
 * in between. The same seed gives the same run, to the last digit.
 */
export class Simulation {
  readonly #heap: SimulationEvent[] = []
  readonly #seeds: Random
  #nowMs = START_MS
  #order = 0

  constructor(seed: number) {
    this.#seeds = createSeededRandom(seed)
  }

  /** The clock that algorithms see. */
  get nowMs(): number {
    return this.#nowMs
  }

  /** Since the start. */
  get elapsedMs(): number {
    return this.#nowMs - START_MS
  }

  /** A generator of its own for each part of the model, so that a change in one does not shift the others. */
  createRandom(): Random {
    return createSeededRandom(this.#seeds() * 2 ** 32)
  }

  /** Plans `run` for `delayMs` from now. */
  after(delayMs: number, run: () => void): SimulationEvent {
    const event: SimulationEvent = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, run }
    this.#push(event)
    return event
  }

  /** Plans `run` for a time since the start. */
  at(elapsedMs: number, run: () => void): SimulationEvent {
    return this.after(elapsedMs - this.elapsedMs, run)
  }

  /** Every `intervalMs` from now on, as long as the simulation runs. */
  every(intervalMs: number, run: () => void): void {
    this.after(intervalMs, () => {
      run()
      this.every(intervalMs, run)
    })
  }

  cancel(event: SimulationEvent | null): void {
    if (event !== null) event.run = null
  }

  /** Runs everything up to a time since the start. */
  run(untilElapsedMs: number): void {
    const untilMs = START_MS + untilElapsedMs
    for (let next = this.#heap[0]; next !== undefined && next.atMs <= untilMs; next = this.#heap[0]) {
      this.#pop()
      if (next.run === null) continue
      this.#nowMs = next.atMs
      next.run()
    }
    this.#nowMs = untilMs
  }

  #push(event: SimulationEvent): void {
    const heap = this.#heap
    let at = heap.length
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(event, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let at = 0
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
  }
}

function isBefore(a: SimulationEvent, b: SimulationEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
