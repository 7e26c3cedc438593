import type { Random } from '../../src/base/clock.ts'

/** Draws how long a request takes a server, in milliseconds. */
export type ServiceTime = (random: Random) => number

export function exponential(random: Random, meanMs: number): number {
  return -meanMs * Math.log(1 - random())
}

/** `leastMs`, and on top of it an exponential part of `meanExtraMs` on average. */
export function atLeast(leastMs: number, meanExtraMs: number): ServiceTime {
  return (random) => leastMs + exponential(random, meanExtraMs)
}

/** As `usual`, but this share of the requests takes `factor` times as long: collections of garbage, cold caches. */
export function withStragglers(usual: ServiceTime, ratio: number, factor: number): ServiceTime {
  return (random) => usual(random) * (random() < ratio ? factor : 1)
}
