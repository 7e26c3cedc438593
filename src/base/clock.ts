// Imported: the global of this name is a getter, which costs a fifth of the call.
import { performance } from 'node:perf_hooks'

/**
 * The only place where the data plane asks for the time or for chance. Everything below `gateway.ts` receives these as
 * arguments, so a test or the simulator can own them.
 */
export interface Clock {
  /**
   * Milliseconds, monotonic, with a fraction, comparable between the threads of this process (each thread's `performance.now()`
   * starts at its own zero). For durations and deadlines.
   */
  now(): number
  /** Milliseconds since the Unix epoch. For logs and headers only. */
  wallClock(): number
}

/** A number in [0, 1), as `Math.random` gives. */
export type Random = () => number

/** This thread's zero of `performance.now()` on the common scale. */
const ORIGIN_MS = performance.timeOrigin

export const systemClock: Clock = {
  now: () => ORIGIN_MS + performance.now(),
  wallClock: () => Date.now(),
}

export const systemRandom: Random = Math.random

/** A clock that stands still until told. For tests and simulation. */
export class ManualClock implements Clock {
  #now: number
  readonly #epoch: number

  constructor(nowMs = 0, epochMs = 1_700_000_000_000) {
    this.#now = nowMs
    this.#epoch = epochMs
  }

  now(): number {
    return this.#now
  }

  wallClock(): number {
    return this.#epoch + this.#now
  }

  advance(ms: number): void {
    this.#now += ms
  }
}

/** A seeded generator (mulberry32) for repeatable tests and simulations. Not for secrets. */
export function createSeededRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
