import { createSeededRandom, type Random } from '../../../src/base/clock.ts'

/** A decision is one answer of the algorithm under test. In every run some thousands of situations; nightly a hundred times as many. */
export const DECISIONS = process.env.SLUICE_NIGHTLY === '1' ? 10_000_000 : 100_000

/** For `it`: ten million decisions take longer than a test usually may. */
export const LIMITS = { timeout: 600_000 }

/** What an episode, one situation with its own random configuration, is played with. */
export interface Episode {
  readonly random: Random
  /** A whole number from `low` to `high`, both included. */
  int(low: number, high: number): number
  pick<T>(values: readonly T[]): T
  chance(ratio: number): boolean
}

/**
 * Plays episodes until there were enough decisions; `play` returns how many it made. A failure names the seed of its episode, which
 * repeats it alone: `forDecisions(play, thatSeed)`.
 */
export function forDecisions(play: (episode: Episode) => number, onlySeed?: number): void {
  let made = 0
  for (let seed = onlySeed ?? 1; made < DECISIONS; seed++) {
    const random = createSeededRandom(seed)
    const int = (low: number, high: number) => low + Math.floor(random() * (high - low + 1))
    const episode = {
      random,
      int,
      chance: (ratio: number) => random() < ratio,
      pick: <T>(values: readonly T[]) => values[int(0, values.length - 1)]!,
    }
    try {
      made += play(episode)
    } catch (error) {
      throw new Error(`the episode with seed ${seed}: ${(error as Error).message}`, { cause: error })
    }
    if (onlySeed !== undefined) return
  }
}

/** For conditions that are asked millions of times, where an assertion library would be most of the work. */
export function must(condition: boolean, message: () => string): void {
  if (!condition) throw new Error(message())
}
