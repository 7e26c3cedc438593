import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import http from 'node:http'
import https from 'node:https'
import { resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { checkServerIdentity, rootCertificates } from 'node:tls'
import { isLoopbackHost } from '../admin/guard.ts'
import type { TlsTexts } from '../config/tls-types.ts'
import type { AdminConfig, GatewayConfig } from '../config/types.ts'
import { UsageError } from './arguments.ts'
import type { CommandIo } from './io.ts'
import { toLocalUrl } from './serve.ts'

/** How the admin listener of another gateway is asked, and what TLS with it needs. */
export const ADMIN_OPTIONS = {
  admin: { type: 'string' },
  token: { type: 'string' },
  ca: { type: 'string' },
  cert: { type: 'string' },
  key: { type: 'string' },
} as const

/** The values of ADMIN_OPTIONS. */
export interface AdminValues {
  admin?: string | undefined
  token?: string | undefined
  ca?: string | undefined
  cert?: string | undefined
  key?: string | undefined
}

/** Where the admin listener is, and what it wants to see. */
export interface AdminAccess {
  url: string
  token: string | null
  /** For https. */
  tls: https.RequestOptions
}

/** The address in a configuration, as somebody on this machine reaches it. Throws UsageError for port 0. */
function adminUrl({ address: { host, port }, tls }: AdminConfig): string {
  if (port === 0) throw new UsageError('the configuration leaves the admin port to the system (0); name it with --admin URL')
  return toLocalUrl(`${host.includes(':') ? `[${host}]` : host}:${port}`, tls === null ? 'http' : 'https')
}

function parseAdminUrl(given: string): string {
  const url = URL.parse(/^https?:\/\//.test(given) ? given : `http://${given}`)
  if (url === null) throw new UsageError(`--admin: expected a URL such as http://127.0.0.1:9900, found "${given}"`)
  return url.origin
}

/**
 * How the gateway at `--admin` is asked, or the one that runs this configuration. The token may also be in SLUICE_ADMIN_TOKEN, out of
 * sight of `ps`. Throws UsageError where neither leads to an admin listener.
 */
export async function findAdmin(
  values: AdminValues,
  loaded: { config: Pick<GatewayConfig, 'admin'>; tls: TlsTexts } | null,
  io: CommandIo,
): Promise<AdminAccess> {
  const config = loaded?.config.admin ?? null
  if (values.admin === undefined && config === null) {
    throw new UsageError('the admin listener is off in this configuration; send SIGHUP to the gateway instead')
  }
  const url = values.admin === undefined ? adminUrl(config as AdminConfig) : parseAdminUrl(values.admin)
  const token = values.token ?? io.env['SLUICE_ADMIN_TOKEN'] ?? config?.token ?? null
  return { url, token, tls: await tlsOptions(url, values, loaded, io) }
}

/**
 * Within this machine nobody is between the two, so the certificate is not looked at there: it may just have been replaced. Elsewhere
 * it must be for the host, or for a name in the configuration, and from a public authority, `--ca`, or what the configuration holds.
 */
async function tlsOptions(
  url: string,
  values: AdminValues,
  loaded: { config: Pick<GatewayConfig, 'admin'>; tls: TlsTexts } | null,
  io: CommandIo,
): Promise<https.RequestOptions> {
  if ((values.cert === undefined) !== (values.key === undefined)) throw new UsageError('--cert and --key go together')
  if (!url.startsWith('https:')) return {}
  const read = async (option: string, path: string): Promise<string> => {
    try {
      return await readFile(resolve(io.cwd, path), 'utf8')
    } catch (error) {
      throw new UsageError(`--${option}: cannot read ${path}: ${(error as NodeJS.ErrnoException).code}`)
    }
  }
  const own =
    values.cert === undefined || values.key === undefined
      ? {}
      : { cert: await read('cert', values.cert), key: await read('key', values.key) }
  const ca = values.ca === undefined ? null : await read('ca', values.ca)
  if (isLoopbackHost(new URL(url).hostname.replace(/^\[|\]$/g, ''))) return { ...own, rejectUnauthorized: false }
  if (values.admin !== undefined) return ca === null ? own : { ...own, ca: [...rootCertificates, ca] }
  const certificates = loaded?.config.admin?.tls?.certificates ?? []
  const texts = certificates.flatMap(({ cert }) => loaded?.tls[cert] ?? [])
  return {
    ...own,
    ca: [...rootCertificates, ...texts, ...(ca === null ? [] : [ca])],
    allowPartialTrustChain: true,
    checkServerIdentity: (host, certificate) => {
      const names = [host, ...certificates.flatMap((one) => one.names.map((name) => name.replace(/^\*/, 'any')))]
      const problems = names.map((name) => checkServerIdentity(name, certificate))
      return problems.includes(undefined) ? undefined : problems[0]
    },
  }
}

/** Asks the admin listener. Throws when nothing answers; what is not a JSON object counts as an empty one. Not fetch, which refuses the ports that browsers refuse. */
export async function askAdmin(
  { url, token, tls }: AdminAccess,
  method: 'GET' | 'POST',
  path: string,
  timeoutMs: number,
): Promise<{ status: number; reply: object }> {
  const headers: Record<string, string | number> = method === 'POST' ? { 'content-length': 0 } : {}
  if (token !== null) headers['authorization'] = `Bearer ${token}`
  const isSecure = url.startsWith('https:')
  const request = (isSecure ? https : http).request(`${url}${path}`, { method, headers, agent: false, ...(isSecure ? tls : {}) })
  request.setTimeout(timeoutMs, () => request.destroy(new Error(`nothing came for ${timeoutMs / 1000} s`)))
  request.end()
  try {
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    const reply = parseJson(await text(response))
    return { status: response.statusCode ?? 0, reply: typeof reply === 'object' && reply !== null ? reply : {} }
  } catch (error) {
    throw new Error(`no answer from ${url}: ${describe(error as NodeJS.ErrnoException, isSecure)}`, { cause: error })
  }
}

/** What a user can do about it is in the words where that is known. */
function describe(error: NodeJS.ErrnoException & { reason?: string }, isSecure: boolean): string {
  const code = error.code ?? ''
  if (!isSecure)
    return error.message === 'socket hang up' ? 'it closed the connection; if it speaks TLS, give --admin https://...' : error.message
  if (/CERTIFICATE_REQUIRED|PEER_DID_NOT|BAD_CERTIFICATE|UNKNOWN_CA/.test(code)) {
    return 'it wants a certificate from us, or another one; give --cert and --key'
  }
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG') return 'it does not speak TLS there'
  const isUnknown = /CERT|ISSUER|LEAF_SIGNATURE/.test(code)
  return isUnknown ? `its certificate is not believed (${code}); name its authority with --ca FILE` : (error.reason ?? error.message)
}

/** null for what is not JSON: something else may listen there. */
function parseJson(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return null
  }
}
