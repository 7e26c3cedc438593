import { parseArgs } from 'node:util'
import type { Effort } from './harness/pair.ts'

/** The command line, checked. */
export interface Options extends Effort {
  /** Scenario names; null: all. */
  readonly only: readonly string[] | null
  /** Competitor names; null: all of a scenario. */
  readonly against: readonly string[] | null
  /** Another checkout of Sluice to compare this one with, instead of the competitors. */
  readonly base: string | null
  /** The program in our seat. */
  readonly subject: string
  readonly json: string | null
  readonly write: boolean
  readonly pin: boolean
  /** Median ratio of load rows below which the run fails; null: it does not fail for being slow. */
  readonly failBelow: number | null
}

export const USAGE = `Usage: npm run bench -- [options]

  --only NAMES        scenarios, comma-separated (default: all)
  --against NAMES     opponents, comma-separated (default: those of the scenario)
  --base FOLDER       compare with another checkout of Sluice instead
  --rounds N          pairs of runs (default 5)
  --seconds N         length of one run (default 4)
  --warmup N          load before the first round, in seconds (default: until a program gets no faster)
  --json FILE         write everything that was measured
  --write             put the tables into docs/benchmarks.md
  --fail-below RATIO  exit 1 when the median ratio of a load row is below
  --subject NAME      put another program in the place of Sluice, to check the benchmark itself
  --no-pin            do not bind the proxy and the load to CPUs of their own
  --help`

/** A mistake in the command line. */
export class UsageError extends Error {}

/** Reads the command line; null when help is asked for. Throws UsageError. */
export function parseOptions(args: readonly string[]): Options | null {
  const values = readArguments(args)
  if (values.help === true) return null
  const subject = values.subject ?? 'sluice'
  const base = values.base ?? null
  if (values.write === true && (subject !== 'sluice' || base !== null)) {
    throw new UsageError('--write is for Sluice against other programs: leave out --subject and --base')
  }
  if (base !== null && (values.against !== undefined || subject !== 'sluice')) {
    throw new UsageError('--base stands instead of --against and --subject')
  }
  return {
    only: values.only?.split(',') ?? null,
    against: values.against?.split(',') ?? null,
    base,
    subject,
    rounds: number('--rounds', values.rounds, 5, 1, 100, true),
    seconds: number('--seconds', values.seconds, 4, 1, 300, true),
    warmupSeconds: values.warmup === undefined ? null : number('--warmup', values.warmup, 2, 0, 300, true),
    json: values.json ?? null,
    write: values.write ?? false,
    pin: values['no-pin'] !== true,
    failBelow: values['fail-below'] === undefined ? null : number('--fail-below', values['fail-below'], 1, 0, 100, false),
  }
}

function readArguments(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        only: { type: 'string' },
        against: { type: 'string' },
        base: { type: 'string' },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        warmup: { type: 'string' },
        json: { type: 'string' },
        write: { type: 'boolean' },
        'fail-below': { type: 'string' },
        subject: { type: 'string' },
        'no-pin': { type: 'boolean' },
        help: { type: 'boolean' },
      },
    }).values
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

function number(flag: string, text: string | undefined, fallback: number, min: number, max: number, whole: boolean): number {
  if (text === undefined) return fallback
  const value = Number(text)
  if (text.trim() === '' || !(value >= min && value <= max) || (whole && !Number.isInteger(value))) {
    throw new UsageError(`${flag}: "${text}" is not ${whole ? 'a whole number' : 'a number'} from ${min} to ${max}`)
  }
  return value
}
