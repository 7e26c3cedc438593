import { CONFIG_OPTION, parseArguments } from './arguments.ts'
import { findConfigFile } from './config-file.ts'
import { type CommandIo, paint } from './io.ts'
import { type ServedGateway, type StartGateway, serve, toLocalUrl } from './serve.ts'
import { readVersion } from './version.ts'

/** `sluice run [-c FILE] [--watch] [--json]`. */
export async function runCommand(argv: readonly string[], io: CommandIo, startGateway?: StartGateway): Promise<number> {
  const { values } = parseArguments(argv, { ...CONFIG_OPTION, watch: { type: 'boolean' }, json: { type: 'boolean' } })
  return serve({
    io,
    path: findConfigFile(values.config, io),
    watch: values.watch === true,
    startGateway: startGateway ?? (await import('../gateway.ts')).startGateway,
    announce: (gateway) => (values.json === true ? announceAsJson(gateway, io) : announce(gateway, io)),
  })
}

/** One line on standard output, for whoever started the process: `{"listeners":{"web":"127.0.0.1:8080"},"admin":"127.0.0.1:9900"}`. */
export function announceAsJson(gateway: ServedGateway, io: CommandIo): void {
  const listeners = Object.fromEntries(gateway.listenerAddresses().map(({ name, address }) => [name, address]))
  io.stdout.write(`${JSON.stringify({ listeners, admin: gateway.adminAddress })}\n`)
}

/** On standard error, because standard output is where the access log goes. */
function announce(gateway: ServedGateway, io: CommandIo): void {
  const lines = gateway.listenerAddresses().map(({ name, address, scheme }) => [name, toLocalUrl(address, scheme)])
  if (gateway.adminAddress !== null) lines.push(['admin', toLocalUrl(gateway.adminAddress, gateway.adminScheme)])
  const width = Math.max(...lines.map(([name]) => name!.length))
  const text = lines.map(([name, url]) => `  ${name!.padEnd(width)}  ${paint(io.stderr, 'bold', url!)}\n`).join('')
  io.stderr.write(`sluice ${readVersion()} is serving\n${text}`)
}
