import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { type LoadResult, loadConfig } from '../config/load.ts'
import { provideOwnPackage } from '../config/own-package.ts'
import { formatProblems } from '../config/problem.ts'
import { UsageError } from './arguments.ts'
import { type CommandIo, paint } from './io.ts'

/** Looked for in the working folder when no file is named, in this order. */
export const DEFAULT_FILES = ['sluice.config.ts', 'sluice.yaml', 'sluice.yml', 'sluice.json']

/** Counts the imports of this process: the same module is evaluated again only under another URL. */
let imports = 0

/** The configuration file that a command line means, as the user would write it. Throws a UsageError when there is none. */
export function findConfigFile(option: string | undefined, io: CommandIo): string {
  if (option !== undefined) return option
  const found = DEFAULT_FILES.find((name) => existsSync(join(io.cwd, name)))
  if (found === undefined) {
    throw new UsageError(
      `no configuration: name a file with -c, or make one with "sluice init" (looked for ${DEFAULT_FILES.join(', ')} in ${io.cwd})`,
    )
  }
  return found
}

/** Reads and checks a configuration file. Problems are the result, not an exception. */
export function readConfig(path: string, io: CommandIo): Promise<LoadResult> {
  return loadConfig({
    // Messages name the file as the user did.
    path: io.cwd === process.cwd() ? path : resolve(io.cwd, path),
    env: io.env,
    readFile: (file) => readFile(resolve(io.cwd, file), 'utf8'),
    readBytes: (file) => readFile(resolve(io.cwd, file)),
    importModule: (url) => {
      provideOwnPackage()
      return import(`${url}?import=${++imports}`)
    },
    cpuCount: availableParallelism(),
  })
}

/** Reads a configuration file and prints what is wrong with it; null when something is. */
export async function readConfigOrReport(path: string, io: CommandIo): Promise<Extract<LoadResult, { ok: true }> | null> {
  const result = await readConfig(path, io)
  if (result.ok) return result
  io.stderr.write(formatProblems(result.problems))
  const count = result.problems.length
  io.stderr.write(paint(io.stderr, 'red', `${path}: ${count} ${count === 1 ? 'problem' : 'problems'}\n`))
  return null
}
