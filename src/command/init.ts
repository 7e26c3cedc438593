import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArguments } from './arguments.ts'
import { type CommandIo, EXIT_FAILURE, EXIT_OK } from './io.ts'
import { STARTER_TS, STARTER_YAML } from './starter.ts'

/** `sluice init [--ts]`: a configuration to start from. Never overwrites one. */
export async function initCommand(argv: readonly string[], io: CommandIo): Promise<number> {
  const { values } = parseArguments(argv, { ts: { type: 'boolean' } })
  const [name, text] = values.ts === true ? ['sluice.config.ts', STARTER_TS] : ['sluice.yaml', STARTER_YAML]
  try {
    await writeFile(join(io.cwd, name), text, { flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    io.stderr.write(`sluice: ${name} exists already and is left as it is\n`)
    return EXIT_FAILURE
  }
  io.stdout.write(`wrote ${name}; next: sluice check, then sluice run --watch\n`)
  return EXIT_OK
}
