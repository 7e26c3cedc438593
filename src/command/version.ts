import { readFileSync } from 'node:fs'
import { parseArguments } from './arguments.ts'
import { type CommandIo, EXIT_OK } from './io.ts'

/** The version in package.json, which lies two folders above both in a checkout and in an installed package. */
export function readVersion(): string {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
  return manifest.version
}

/** `sluice version [--json]`. */
export async function versionCommand(argv: readonly string[], io: CommandIo): Promise<number> {
  const { values } = parseArguments(argv, { json: { type: 'boolean' } })
  const version = readVersion()
  const node = process.versions.node
  io.stdout.write(values.json === true ? `${JSON.stringify({ version, node })}\n` : `sluice ${version} (Node.js ${node})\n`)
  return EXIT_OK
}
