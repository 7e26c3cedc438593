import type { Goal, MeasuredRow, Sample, Scenario, Side } from '../types.ts'
import type { Contender } from './contender.ts'
import { measureLoadPair } from './load-pair.ts'
import { measureMemoryPair } from './memory-pair.ts'
import { pairedRatios, spread } from './statistics.ts'

/** How long and how often. */
export interface Effort {
  readonly rounds: number
  readonly seconds: number
  /** Fixed length of the warm-up; null: until the program gets no faster. */
  readonly warmupSeconds: number | null
}

/** Two contenders to be measured in turns. */
export interface Pair {
  /** The opponent's name, as in `--against`, or `itself`. */
  readonly against: string
  readonly ours: Contender
  readonly theirs: Contender
  readonly goal: Goal | null
}

/** Called after each round with both samples of it. */
export type OnRound = (round: number, ours: Sample, theirs: Sample) => void

/** Measures a pair round by round: ours, theirs, ours, theirs. Throws when a contender does not start. */
export async function measurePair(scenario: Scenario, pair: Pair, effort: Effort, onRound: OnRound): Promise<MeasuredRow> {
  const measured =
    scenario.kind === 'load'
      ? await measureLoadPair(scenario, pair, effort, onRound)
      : await measureMemoryPair(scenario, pair, effort, onRound)
  return makeRow(pair, measured.ours, measured.theirs)
}

/** The figure a ratio is made of. */
export function figure(sample: Sample): number {
  return sample.kind === 'load' ? sample.requestsPerCpuSecond : sample.bytesPerConnection
}

/** Puts the samples of a pair into a row and says what makes it invalid. */
export function makeRow(pair: Pair, ours: readonly Sample[], theirs: readonly Sample[]): MeasuredRow {
  const ratios = pairedRatios(ours.map(figure), theirs.map(figure))
  const invalid = [...faults(pair.ours.title, ours), ...faults(pair.theirs.title, theirs)]
  return {
    outcome: 'measured',
    against: pair.against,
    ours: side(pair.ours, ours),
    theirs: side(pair.theirs, theirs),
    ratios,
    ratio: spread(ratios),
    goal: pair.goal,
    invalid,
  }
}

function side({ competitor, title }: Contender, samples: readonly Sample[]): Side {
  return { name: competitor.name, title, version: competitor.version() ?? 'unknown version', samples }
}

function faults(title: string, samples: readonly Sample[]): string[] {
  const found: string[] = []
  for (const [round, sample] of samples.entries()) {
    for (const error of sample.errors) found.push(`${title}, round ${round + 1}: ${error}`)
    const value = figure(sample)
    if (!(value > 0 && Number.isFinite(value))) found.push(`${title}, round ${round + 1}: ${value} is no figure to make a ratio of`)
  }
  return found
}
