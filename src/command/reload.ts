import { ADMIN_OPTIONS, askAdmin, findAdmin } from './admin-access.ts'
import { CONFIG_OPTION, parseArguments } from './arguments.ts'
import { findConfigFile, readConfigOrReport } from './config-file.ts'
import { type CommandIo, EXIT_FAILURE, EXIT_OK, paint } from './io.ts'

const OPTIONS = { ...CONFIG_OPTION, ...ADMIN_OPTIONS, json: { type: 'boolean' } } as const

/** A reload waits for every worker; far longer than that takes. */
const REPLY_TIMEOUT_MS = 60_000

/** The parts of the answers of `POST /reload` that are read here (src/admin/reload.ts). */
interface ReloadReply {
  generation?: number
  changed?: boolean
  detail?: string
  problems?: { message: string; path?: string; file?: string; line?: number; column?: number }[]
}

/** `sluice reload [-c FILE | --admin URL] [--token TOKEN] [--ca FILE] [--cert FILE --key FILE] [--json]`. */
export async function reloadCommand(argv: readonly string[], io: CommandIo): Promise<number> {
  const { values } = parseArguments(argv, OPTIONS)
  const loaded = values.admin === undefined ? await readConfigOrReport(findConfigFile(values.config, io), io) : null
  if (values.admin === undefined && loaded === null) return EXIT_FAILURE
  const access = await findAdmin(values, loaded, io)
  const { status, reply } = (await askAdmin(access, 'POST', '/reload', REPLY_TIMEOUT_MS)) as { status: number; reply: ReloadReply }
  const isOk = status === 200
  if (values.json === true) io.stdout.write(`${JSON.stringify({ ...reply, ok: isOk })}\n`)
  else if (isOk) io.stdout.write(`${paint(io.stdout, 'green', 'reloaded')}${describeChange(reply)}\n`)
  else io.stderr.write(describeRefusal(status, reply))
  return isOk ? EXIT_OK : EXIT_FAILURE
}

function describeChange({ generation, changed }: ReloadReply): string {
  if (changed === false) return ': nothing has changed'
  return generation === undefined ? '' : ` (generation ${generation})`
}

function describeRefusal(status: number, { detail, problems = [] }: ReloadReply): string {
  const lines = problems.map(({ message, path, file, line, column }) => {
    const place = [file, line, column].filter((part) => part !== undefined && part !== 0).join(':')
    return [place, path, message].filter((part) => part !== undefined && part !== '').join(': ')
  })
  lines.push(`sluice: not reloaded: ${detail ?? `the admin listener answered ${status}`}`)
  return `${lines.join('\n')}\n`
}
