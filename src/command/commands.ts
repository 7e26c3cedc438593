import { UsageError } from './arguments.ts'
import { type Command, findCommand } from './command.ts'
import { type CommandIo, EXIT_FAILURE, EXIT_USAGE, paint } from './io.ts'

/** Every command, in the order of `sluice help`. */
export const COMMANDS: readonly Command[] = [
  {
    name: 'run',
    synopsis: '[-c FILE] [--watch] [--json]',
    summary: 'start the gateway; SIGHUP reloads, SIGTERM and Ctrl-C drain',
    load: async () => (await import('./run.ts')).runCommand,
  },
  {
    name: 'check',
    synopsis: '[-c FILE] [--json]',
    summary: 'say everything that is wrong with a configuration',
    load: async () => (await import('./check.ts')).checkCommand,
  },
  {
    name: 'demo',
    synopsis: '[--json]',
    summary: 'start a gateway with example services, and say what to try',
    load: async () => (await import('./demo.ts')).demoCommand,
  },
  {
    name: 'explain',
    synopsis: '[-c FILE] METHOD URL [-H NAME:VALUE]... [--client ADDRESS] [--listener NAME] [--live [--admin URL]] [--json]',
    summary: 'tell which route a request takes, why the others lose, and (--live) how the endpoints are',
    load: async () => (await import('./explain.ts')).explainCommand,
  },
  {
    name: 'reload',
    synopsis: '[-c FILE | --admin URL] [--token TOKEN] [--ca FILE] [--cert FILE --key FILE] [--json]',
    summary: 'make a running gateway read its configuration again',
    load: async () => (await import('./reload.ts')).reloadCommand,
  },
  {
    name: 'schema',
    synopsis: '',
    summary: 'print the JSON Schema of the configuration',
    load: async () => (await import('./schema.ts')).schemaCommand,
  },
  {
    name: 'init',
    synopsis: '[--ts]',
    summary: 'write a commented sluice.yaml (or sluice.config.ts) to start from',
    load: async () => (await import('./init.ts')).initCommand,
  },
  {
    name: 'version',
    synopsis: '[--json]',
    summary: 'print the versions of Sluice and Node.js',
    load: async () => (await import('./version.ts')).versionCommand,
  },
  {
    name: 'help',
    synopsis: '[COMMAND]',
    summary: 'print this, or how to use one command',
    load: async () => (await import('./help.ts')).createHelpCommand(COMMANDS),
  },
]

const ALIASES: Readonly<Record<string, string>> = {
  '--help': 'help',
  '-h': 'help',
  '--version': 'version',
  '-v': 'version',
  '-V': 'version',
}

/** Runs the command that `argv` (without program and script) names. Never throws. */
export async function runCommandLine(argv: readonly string[], io: CommandIo): Promise<number> {
  try {
    const [word, ...rest] = argv
    if (word === undefined) throw new UsageError('a command is missing')
    const command = findCommand(COMMANDS, ALIASES[word] ?? word)
    // `sluice check --help` is `sluice help check`.
    if (rest.includes('--help') || rest.includes('-h')) return await (await findCommand(COMMANDS, 'help').load())([command.name], io)
    return await (await command.load())(rest, io)
  } catch (error) {
    return reportError(error, argv, io)
  }
}

function reportError(error: unknown, argv: readonly string[], io: CommandIo): number {
  const label = paint(io.stderr, 'red', 'sluice: ')
  if (error instanceof UsageError) {
    const known = COMMANDS.find(({ name }) => name === argv[0])
    const usage = known === undefined ? 'sluice help tells what there is' : `usage: sluice ${known.name} ${known.synopsis}`.trimEnd()
    io.stderr.write(`${label}${error.message}\n${usage}\n`)
    return EXIT_USAGE
  }
  io.stderr.write(`${label}${error instanceof Error ? describeError(error) : String(error)}\n`)
  return EXIT_FAILURE
}

/** What a person can act on: one line; for a defect of ours, where it is. */
function describeError(error: Error): string {
  const isDefect = /^(?:Type|Reference|Range|Syntax|Assertion)Error$/.test(error.name)
  return isDefect ? (error.stack ?? error.message) : error.message
}
