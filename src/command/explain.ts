import type { AddressConfig, FilterConfig, GatewayConfig, HttpListenerConfig, RouteConfig } from '../config/types.ts'
import { hostWithoutPort, normalizePath } from '../exchange/target.ts'
import { type Explanation, explainMatch } from '../route/explain.ts'
import type { MatchInput } from '../route/types.ts'
import { ADMIN_OPTIONS } from './admin-access.ts'
import { CONFIG_OPTION, parseArguments, UsageError } from './arguments.ts'
import { findConfigFile, readConfigOrReport } from './config-file.ts'
import {
  type ExplainedEndpoint,
  explainEndpoints,
  formatEndpoint,
  formatLiveService,
  type LiveServices,
  readLiveServices,
} from './explain-endpoints.ts'
import { type CommandIo, EXIT_FAILURE, EXIT_OK, paint } from './io.ts'

const OPTIONS = {
  ...CONFIG_OPTION,
  header: { type: 'string', short: 'H', multiple: true },
  client: { type: 'string' },
  listener: { type: 'string' },
  live: { type: 'boolean' },
  ...ADMIN_OPTIONS,
  json: { type: 'boolean' },
} as const

/** The request that is asked about, as the gateway would see it. */
interface AskedRequest extends MatchInput {
  /** The path as it was written, before it is normalised. */
  rawPath: string
}

/** What becomes of the request, for printing and for `--json`. */
interface Answer {
  request: { method: string; host: string; path: string; query: string; clientIp: string; listener: string }
  winner: string | null
  params: Record<string, string> | null
  considered: Explanation['considered']
  /** In the order they see the request; the response passes them in reverse order. */
  filters: FilterConfig[]
  destination: ExplainedDestination | null
}

type ExplainedDestination =
  | { kind: 'services'; services: { service: string; share: string; balance: string; endpoints: ExplainedEndpoint[] }[] }
  | Exclude<RouteConfig['destination'], { kind: 'services' }>

/** `sluice explain [-c FILE] METHOD URL [-H name:value]... [--client ADDRESS] [--listener NAME] [--live [--admin URL] [--token TOKEN]] [--json]`. */
export async function explainCommand(argv: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseArguments(argv, OPTIONS, ['METHOD', 'URL'])
  const [method = '', url = ''] = positionals
  const headers = parseHeaders(values.header ?? [])
  const loaded = await readConfigOrReport(findConfigFile(values.config, io), io)
  if (loaded === null) return EXIT_FAILURE
  const { config } = loaded
  const listener = chooseListener(config, values.listener)
  const request = createRequest({ method, url, headers, clientIp: values.client ?? '127.0.0.1', listener })
  if (request === null) {
    io.stderr.write(`${url}: refused with 400 before any route is looked at; the path is broken, or hides a slash or dots\n`)
    return EXIT_FAILURE
  }
  const live = values.live === true || values.admin !== undefined ? await readLiveServices(values, loaded, io) : null
  const answer = createAnswer(config, listener, request, live)
  if (values.json === true) io.stdout.write(`${JSON.stringify(answer, null, 2)}\n`)
  else io.stdout.write(formatAnswer(answer, request, live, io))
  return EXIT_OK
}

function chooseListener(config: GatewayConfig, name: string | undefined): HttpListenerConfig {
  const listeners = Object.values(config.listeners).filter((listener) => listener.protocol === 'http')
  const names = listeners.map((listener) => listener.name)
  if (listeners.length === 0) throw new UsageError('there is no listener that speaks HTTP, so no route is ever asked')
  const listener = name === undefined ? listeners[0] : listeners.find((one) => one.name === name)
  if (listener === undefined) throw new UsageError(`there is no HTTP listener "${name}"; there are ${names.join(', ')}`)
  return listener
}

function parseHeaders(lines: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>()
  for (const line of lines) {
    const colon = line.indexOf(':')
    if (colon < 1) throw new UsageError(`expected -H "name: value", found "${line}"`)
    const name = line.slice(0, colon).trim().toLowerCase()
    // The first value counts, as for a request with two fields of one name.
    if (!headers.has(name)) headers.set(name, line.slice(colon + 1).trim())
  }
  return headers
}

interface RequestParts {
  method: string
  url: string
  headers: ReadonlyMap<string, string>
  clientIp: string
  listener: HttpListenerConfig
}

/** null when the gateway refuses the path. */
function createRequest({ method, url, headers, clientIp, listener }: RequestParts): AskedRequest | null {
  // Not `new URL`, which would already tidy up the path that the question may be about.
  const match = /^(?:https?:\/\/([^/?#]*))?([^?#]*)(?:\?([^#]*))?/i.exec(url)
  const rawPath = match?.[2] || '/'
  if (!rawPath.startsWith('/')) throw new UsageError(`expected a URL such as http://example.com/path or /path, found "${url}"`)
  const path = normalizePath(rawPath, listener.path)
  if (path === null) return null
  const authority = match?.[1] ?? headers.get('host') ?? formatAddress(listener.address)
  const all = new Map([...headers, ['host', authority]])
  return { method, path, rawPath, query: match?.[3] ?? '', host: hostWithoutPort(authority), clientIp, header: (name) => all.get(name) }
}

function formatAddress({ host, port }: AddressConfig): string {
  return `${host === '' ? 'localhost' : host}:${port}`
}

function createAnswer(config: GatewayConfig, listener: HttpListenerConfig, request: AskedRequest, live: LiveServices): Answer {
  const entries = Object.values(config.routes).map((route) => ({ config: route, route }))
  const { winner, params, considered } = explainMatch(entries, request)
  const route = winner === null ? null : config.routes[winner]!
  const { method, host, path, query, clientIp } = request
  return {
    request: { method, host, path, query, clientIp, listener: listener.name },
    winner,
    params,
    considered,
    filters: route?.filters ?? [],
    destination: route === null ? null : explainDestination(route.destination, config, request, live),
  }
}

function explainDestination(
  destination: RouteConfig['destination'],
  config: GatewayConfig,
  request: AskedRequest,
  live: LiveServices,
): ExplainedDestination {
  if (destination.kind !== 'services') return destination
  const total = destination.services.reduce((sum, { weight }) => sum + weight, 0)
  const services = destination.services.map(({ service, weight }) => {
    const { balance } = config.services[service]!
    return {
      service,
      share: total === 0 ? '0%' : `${Math.round((weight / total) * 1000) / 10}%`,
      balance: balance.algorithm,
      endpoints: explainEndpoints(config.services[service]!, request, live),
    }
  })
  return { kind: 'services', services }
}

function formatAnswer(answer: Answer, { rawPath }: AskedRequest, live: LiveServices, io: CommandIo): string {
  const { request, winner, params, considered, filters, destination } = answer
  const bold = (text: string) => paint(io.stdout, 'bold', text)
  const target = request.query === '' ? request.path : `${request.path}?${request.query}`
  const lines = [`${request.method} ${target} for host ${request.host} from ${request.clientIp} on listener ${request.listener}`]
  if (rawPath !== request.path) lines.push(`the path ${rawPath} is normalised to ${request.path}`)
  lines.push(
    '',
    winner === null ? paint(io.stdout, 'red', 'no route matches: the answer is 404') : `route ${paint(io.stdout, 'green', winner)}`,
  )
  for (const [name, value] of Object.entries(params ?? {})) lines.push(`  {${name}} is ${value}`)
  lines.push('', bold('routes considered, most specific first'))
  if (considered.length === 0) lines.push('  none: the configuration has no routes')
  const width = Math.max(0, ...considered.map(({ name }) => name.length))
  for (const { name, matched, reason } of considered) {
    const mark = name === winner ? 'won ' : matched ? 'also' : 'lost'
    lines.push(`  ${mark}  ${name.padEnd(width)}  ${reason}`)
  }
  if (destination !== null)
    lines.push('', bold('filters'), ...formatFilters(filters), '', bold('destination'), ...formatDestination(destination, live))
  return `${lines.join('\n')}\n`
}

function formatFilters(filters: readonly FilterConfig[]): string[] {
  if (filters.length === 0) return ['  none']
  return filters.map((filter, index) => {
    if (filter.kind === 'custom') return `  ${index + 1}. ${filter.ref.name} (a function of the configuration)`
    const { kind, ...settings } = filter
    return `  ${index + 1}. ${kind} ${JSON.stringify(settings)}`
  })
}

function formatDestination(destination: ExplainedDestination, live: LiveServices): string[] {
  if (destination.kind === 'respond') return [`  a fixed answer with status ${destination.respond.status}`]
  if (destination.kind === 'redirect') return [`  a redirect with status ${destination.redirect.status}`]
  return destination.services.flatMap(({ service, share, balance, endpoints }) => [
    `  service ${service}${destination.services.length > 1 ? ` (${share} of the requests)` : ''}, balanced by ${balance} over`,
    ...endpoints.map(formatEndpoint),
    ...formatLiveService(service, live),
  ])
}
