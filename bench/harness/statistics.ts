import type { Spread } from '../types.ts'

/** Minimum, median (the mean of the middle two for an even count) and maximum. Throws on an empty list. */
export function spread(values: readonly number[]): Spread {
  if (values.length === 0) throw new Error('no values to summarise')
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle]!
  const median = sorted.length % 2 === 1 ? upper : (sorted[middle - 1]! + upper) / 2
  return { min: sorted[0]!, median, max: sorted.at(-1)! }
}

/** The median alone; the same rules as `spread`. */
export function median(values: readonly number[]): number {
  return spread(values).median
}

/** Ours to theirs, round by round: the two figures of a pair were taken one right after the other. Throws when the lists do not match. */
export function pairedRatios(ours: readonly number[], theirs: readonly number[]): number[] {
  if (ours.length !== theirs.length) throw new Error(`${ours.length} rounds of ours, ${theirs.length} of theirs`)
  return ours.map((value, round) => value / theirs[round]!)
}
