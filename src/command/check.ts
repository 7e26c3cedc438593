import { CONFIG_OPTION, parseArguments } from './arguments.ts'
import { findConfigFile, readConfig, readConfigOrReport } from './config-file.ts'
import { type CommandIo, EXIT_FAILURE, EXIT_OK, paint } from './io.ts'

/** `sluice check [-c FILE] [--json]`: every problem of a configuration, or how much it defines. */
export async function checkCommand(argv: readonly string[], io: CommandIo): Promise<number> {
  const { values } = parseArguments(argv, { ...CONFIG_OPTION, json: { type: 'boolean' } })
  const path = findConfigFile(values.config, io)
  if (values.json === true) {
    const result = await readConfig(path, io)
    io.stdout.write(`${JSON.stringify({ ok: result.ok, problems: result.ok ? [] : result.problems }, null, 2)}\n`)
    return result.ok ? EXIT_OK : EXIT_FAILURE
  }
  const loaded = await readConfigOrReport(path, io)
  if (loaded === null) return EXIT_FAILURE
  const { listeners, services, routes } = loaded.config
  const counts = [count(listeners, 'listener'), count(services, 'service'), count(routes, 'route')]
  io.stdout.write(`${path}: ${paint(io.stdout, 'green', 'ok')} (${counts.join(', ')})\n`)
  return EXIT_OK
}

function count(things: object, name: string): string {
  const number = Object.keys(things).length
  return `${number} ${name}${number === 1 ? '' : 's'}`
}
