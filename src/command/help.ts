import { parseArguments } from './arguments.ts'
import { type Command, type CommandFunction, findCommand } from './command.ts'
import { type CommandIo, EXIT_OK, paint } from './io.ts'

/** `sluice help [COMMAND]`. */
export function createHelpCommand(commands: readonly Command[]): CommandFunction {
  return async (argv, io) => {
    const [name] = parseArguments(argv, {}, argv.length > 0 ? ['COMMAND'] : []).positionals
    io.stdout.write(name === undefined ? overview(commands, io) : details(findCommand(commands, name)))
    return EXIT_OK
  }
}

function overview(commands: readonly Command[], io: CommandIo): string {
  const width = Math.max(...commands.map(({ name }) => name.length))
  const lines = commands.map(({ name, summary }) => `  ${paint(io.stdout, 'bold', name.padEnd(width))}  ${summary}`)
  return `Sluice, an HTTP gateway.

usage: sluice COMMAND [OPTIONS]

${lines.join('\n')}

Without -c, the first of sluice.config.ts, sluice.yaml, sluice.yml and sluice.json in this folder is the configuration.
Exit codes: 0 fine, 1 invalid configuration or failure, 2 wrong usage.
`
}

function details({ name, synopsis, summary }: Command): string {
  return `usage: sluice ${`${name} ${synopsis}`.trimEnd()}\n\n${summary[0]!.toUpperCase()}${summary.slice(1)}.\n`
}
