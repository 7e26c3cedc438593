import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import { text } from 'node:stream/consumers'
import type { AdminConfig } from '../config/types.ts'
import { CONFIG_OPTION, parseArguments, UsageError } from './arguments.ts'
import { findConfigFile, readConfigOrReport } from './config-file.ts'
import { type CommandIo, EXIT_FAILURE, EXIT_OK, paint } from './io.ts'
import { toLocalUrl } from './serve.ts'

const OPTIONS = { ...CONFIG_OPTION, admin: { type: 'string' }, token: { type: 'string' }, json: { type: 'boolean' } } as const

/** A reload waits for every worker; far longer than that takes. */
const REPLY_TIMEOUT_MS = 60_000

/** Where the admin listener is, and what it wants to see. */
interface AdminAccess {
  url: string
  token: string | null
}

/** The parts of the answers of `POST /reload` that are read here (src/admin/reload.ts). */
interface ReloadReply {
  generation?: number
  changed?: boolean
  detail?: string
  problems?: { message: string; path?: string; file?: string; line?: number; column?: number }[]
}

/** `sluice reload [-c FILE | --admin URL] [--token TOKEN] [--json]`: the token may also be in SLUICE_ADMIN_TOKEN, out of sight of `ps`. */
export async function reloadCommand(argv: readonly string[], io: CommandIo): Promise<number> {
  const { values } = parseArguments(argv, OPTIONS)
  const token = values.token ?? io.env['SLUICE_ADMIN_TOKEN'] ?? null
  const access = values.admin === undefined ? await findAdmin(values.config, token, io) : { url: parseAdminUrl(values.admin), token }
  if (access === null) return EXIT_FAILURE
  const { status, reply } = await postReload(access)
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

/** The admin listener of the gateway that runs this configuration; null (and printed why) when the configuration is broken. */
async function findAdmin(config: string | undefined, token: string | null, io: CommandIo): Promise<AdminAccess | null> {
  const loaded = await readConfigOrReport(findConfigFile(config, io), io)
  if (loaded === null) return null
  const { admin } = loaded.config
  if (admin === null) throw new UsageError('the admin listener is off in this configuration; send SIGHUP to the gateway instead')
  return { url: adminUrl(admin), token: token ?? admin.token }
}

function adminUrl({ address: { host, port } }: AdminConfig): string {
  if (port === 0) throw new UsageError('the configuration leaves the admin port to the system (0); name it with --admin URL')
  return toLocalUrl(`${host.includes(':') ? `[${host}]` : host}:${port}`)
}

function parseAdminUrl(given: string): string {
  const url = URL.parse(/^https?:\/\//.test(given) ? given : `http://${given}`)
  if (url === null) throw new UsageError(`--admin: expected a URL such as http://127.0.0.1:9900, found "${given}"`)
  return url.origin
}

/** Over node:http, because fetch refuses the ports that browsers refuse. */
async function postReload({ url, token }: AdminAccess): Promise<{ status: number; reply: ReloadReply }> {
  const headers: Record<string, string | number> = { 'content-length': 0 }
  if (token !== null) headers['authorization'] = `Bearer ${token}`
  const request = (url.startsWith('https:') ? https : http).request(`${url}/reload`, { method: 'POST', headers, agent: false })
  request.setTimeout(REPLY_TIMEOUT_MS, () => request.destroy(new Error(`nothing came for ${REPLY_TIMEOUT_MS / 1000} s`)))
  request.end()
  try {
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    const reply = parseJson(await text(response))
    return { status: response.statusCode ?? 0, reply: typeof reply === 'object' && reply !== null ? reply : {} }
  } catch (error) {
    throw new Error(`no answer from ${url}: ${(error as Error).message}`, { cause: error })
  }
}

/** null for what is not JSON: something else may listen there. */
function parseJson(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return null
  }
}
