import { didYouMean } from '../config/suggest.ts'
import { UsageError } from './arguments.ts'
import type { CommandIo } from './io.ts'

/** The work of a command; the answer is the exit code. A UsageError becomes exit code 2, any other error 1. */
export type CommandFunction = (argv: readonly string[], io: CommandIo) => Promise<number>

export interface Command {
  name: string
  /** What follows the name on the command line. */
  synopsis: string
  summary: string
  /** Imported when used, so that `sluice version` does not load a gateway. */
  load(): Promise<CommandFunction>
}

/** The command of that name. Throws a UsageError with the nearest one when there is none. */
export function findCommand(commands: readonly Command[], name: string): Command {
  const names = commands.map((command) => command.name)
  const command = commands[names.indexOf(name)]
  if (command === undefined) throw new UsageError(`there is no command "${name}"${didYouMean(name, names)}`)
  return command
}
