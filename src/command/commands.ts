import { didYouMean } from '../config/suggest.ts'
import { UsageError } from './arguments.ts'
import { type CommandIo, EXIT_FAILURE, EXIT_USAGE, paint } from './io.ts'

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
    synopsis: '[-c FILE] METHOD URL [-H NAME:VALUE]... [--client ADDRESS] [--listener NAME] [--json]',
    summary: 'tell which route a request takes, and why the others lose',
    load: async () => (await import('./explain.ts')).explainCommand,
  },
  {
    name: 'reload',
    synopsis: '[-c FILE | --admin URL] [--token TOKEN] [--json]',
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
    load: async () => (await import('./help.ts')).helpCommand,
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
    const command = findCommand(ALIASES[word] ?? word)
    // `sluice check --help` is `sluice help check`.
    if (rest.includes('--help') || rest.includes('-h')) return await (await findCommand('help').load())([command.name], io)
    return await (await command.load())(rest, io)
  } catch (error) {
    return reportError(error, argv, io)
  }
}

/** The command of that name. Throws a UsageError with the nearest one when there is none. */
export function findCommand(name: string): Command {
  const names = COMMANDS.map((command) => command.name)
  const command = COMMANDS[names.indexOf(name)]
  if (command === undefined) throw new UsageError(`there is no command "${name}"${didYouMean(name, names)}`)
  return command
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

/** What a person can act on: an error of the system in one line, a defect of ours with its stack. */
function describeError(error: Error): string {
  const isOfSystem = typeof (error as NodeJS.ErrnoException).code === 'string' || error.name !== 'Error'
  return isOfSystem && !/^(Type|Reference|Range|Syntax)Error$/.test(error.name) ? error.message : (error.stack ?? error.message)
}
