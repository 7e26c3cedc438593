import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'
import { didYouMean } from '../config/suggest.ts'

/** The command line cannot be understood. Printed with a hint at `sluice help`; exit code 2. */
export class UsageError extends Error {
  override name = 'UsageError'
}

/** `-c` and `--config`, which most commands know. */
export const CONFIG_OPTION = { config: { type: 'string', short: 'c' } } as const

/** What `parseArgs` of node:util gives for these options, with errors in our words and hints for near misses. */
export function parseArguments<O extends ParseArgsOptionsConfig>(argv: readonly string[], options: O, positionals: readonly string[] = []) {
  try {
    const parsed = parseArgs({ args: [...argv], options, allowPositionals: true, strict: true })
    const [surplus] = parsed.positionals.slice(positionals.length)
    if (surplus !== undefined) throw new UsageError(`unexpected argument "${surplus}"`)
    const missing = positionals[parsed.positionals.length]
    if (missing !== undefined) throw new UsageError(`${missing} is missing`)
    return parsed
  } catch (error) {
    throw toUsageError(error, Object.keys(options))
  }
}

function toUsageError(error: unknown, names: readonly string[]): unknown {
  if (!(error instanceof TypeError)) return error
  const unknown = /Unknown option '(--?[^']+)'/.exec(error.message)?.[1]
  if (unknown !== undefined) {
    const bare = unknown.replace(/^--?/, '')
    const hint = bare.length < 2 ? '' : didYouMean(bare, names).replace(/"(.*)"/, '"--$1"')
    return new UsageError(`unknown option ${unknown}${hint}`)
  }
  return new UsageError(error.message.replace(/\.? To specify an option argument .*$/s, ''))
}
