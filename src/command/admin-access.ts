import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import { text } from 'node:stream/consumers'
import type { AdminConfig } from '../config/types.ts'
import { UsageError } from './arguments.ts'
import { toLocalUrl } from './serve.ts'

/** Where the admin listener is, and what it wants to see. */
export interface AdminAccess {
  url: string
  token: string | null
}

/** The address in a configuration, as somebody on this machine reaches it. Throws UsageError for port 0. */
export function adminUrl({ address: { host, port } }: AdminConfig): string {
  if (port === 0) throw new UsageError('the configuration leaves the admin port to the system (0); name it with --admin URL')
  return toLocalUrl(`${host.includes(':') ? `[${host}]` : host}:${port}`)
}

export function parseAdminUrl(given: string): string {
  const url = URL.parse(/^https?:\/\//.test(given) ? given : `http://${given}`)
  if (url === null) throw new UsageError(`--admin: expected a URL such as http://127.0.0.1:9900, found "${given}"`)
  return url.origin
}

/** Asks the admin listener. Throws when nothing answers; what is not a JSON object counts as an empty one. Not fetch, which refuses the ports that browsers refuse. */
export async function askAdmin(
  { url, token }: AdminAccess,
  method: 'GET' | 'POST',
  path: string,
  timeoutMs: number,
): Promise<{ status: number; reply: object }> {
  const headers: Record<string, string | number> = method === 'POST' ? { 'content-length': 0 } : {}
  if (token !== null) headers['authorization'] = `Bearer ${token}`
  const request = (url.startsWith('https:') ? https : http).request(`${url}${path}`, { method, headers, agent: false })
  request.setTimeout(timeoutMs, () => request.destroy(new Error(`nothing came for ${timeoutMs / 1000} s`)))
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
