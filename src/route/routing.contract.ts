/** What the tests and the bench of this folder share: requests and routes in one line, and the rules of routing said naively. */
import type { MatchConfig, PathMatchConfig, ValueMatchConfig } from '../config/types.ts'
import type { RouteEntry } from './rule.ts'
import type { MatchInput } from './types.ts'

export interface RequestOptions {
  host?: string
  method?: string
  path?: string
  query?: string
  clientIp?: string
  headers?: Record<string, string>
}

/** A GET for / on example.com, unless told otherwise. */
export function createRequest(options: RequestOptions = {}): MatchInput {
  const { headers = {}, ...rest } = options
  return {
    host: 'example.com',
    method: 'GET',
    path: '/',
    query: '',
    clientIp: '192.0.2.1',
    ...rest,
    header: (name) => (Object.hasOwn(headers, name) ? headers[name] : undefined),
  }
}

/** A route whose value is its name. */
export function createEntry(name: string, match: Partial<MatchConfig> = {}, priority = 0): RouteEntry<string> {
  const open: MatchConfig = { hosts: null, path: null, methods: null, headers: [], query: [], cookies: [], clientIp: null }
  return { config: { name, match: { ...open, ...match }, priority }, route: name }
}

export const exact = (path: string): PathMatchConfig => ({ kind: 'exact', path })
export const template = (text: string): PathMatchConfig => ({ kind: 'template', template: text })
export const prefix = (path: string): PathMatchConfig => ({ kind: 'prefix', prefix: path })
export const regex = (pattern: string): PathMatchConfig => ({ kind: 'regex', pattern })

/**
 * The oracle: the route a request should get, found by looking at every route under every host with the plainest code, and without
 * anything from the table. Knows plain ASCII paths, query values without escapes, exact client addresses, and templates with wildcards.
 */
export function findByBruteForce(entries: readonly RouteEntry<string>[], request: MatchInput): string | null {
  const fitting = entries.flatMap(({ config }) =>
    (config.match.hosts ?? ['']).filter((host) => fitsHost(host, request.host)).map((host) => ({ config, key: sortKey(config, host) })),
  )
  fitting.sort((a, b) => compareKeys(a.key, b.key))
  return (
    fitting.find(({ config }) => fitsPath(config.match.path, request.path) && fitsConditions(config.match, request))?.config.name ?? null
  )
}

function fitsHost(wanted: string, host: string): boolean {
  if (wanted === '') return true
  if (!wanted.startsWith('*.')) return wanted === host
  return new RegExp(`^.+${wanted.slice(1).replaceAll('.', '\\.')}$`).test(host)
}

function fitsPath(wanted: PathMatchConfig | null, path: string): boolean {
  if (wanted === null) return true
  if (wanted.kind === 'exact') return wanted.path === path
  if (wanted.kind === 'regex') return new RegExp(wanted.pattern).test(path)
  if (wanted.kind === 'prefix') return wanted.prefix === '/' || path === wanted.prefix || path.startsWith(`${wanted.prefix}/`)
  const pattern = wanted.template.replace(/\/\*\*$/, '(/.*)?').replaceAll(/\{[^}]*\}|(?<=\/)\*(?=\/|$|\()/g, '[^/]+')
  return new RegExp(`^${pattern}$`).test(path)
}

function fitsConditions(match: MatchConfig, request: MatchInput): boolean {
  const method = request.method
  if (match.methods !== null && !match.methods.includes(method) && !(method === 'HEAD' && match.methods.includes('GET'))) return false
  if (match.clientIp !== null && !match.clientIp.includes(request.clientIp)) return false
  const query = new URLSearchParams(request.query)
  const cookies = new Map(
    (request.header('cookie') ?? '')
      .split('; ')
      .reverse()
      .map((pair) => pair.split('=') as [string, string]),
  )
  return (
    match.headers.every((wanted) => fitsValue(wanted, request.header(wanted.name))) &&
    match.query.every((wanted) => fitsValue(wanted, query.get(wanted.name) ?? undefined)) &&
    match.cookies.every((wanted) => fitsValue(wanted, cookies.get(wanted.name)))
  )
}

function fitsValue(wanted: ValueMatchConfig, value: string | undefined): boolean {
  if (wanted.test === 'absent') return value === undefined
  if (value === undefined) return false
  return wanted.test === 'present' || (wanted.test === 'exact' ? value === wanted.value : new RegExp(wanted.pattern).test(value))
}

/** Smaller is more specific, compared from left to right. */
function sortKey({ name, match, priority }: RouteEntry<string>['config'], host: string): (number | string)[] {
  const hostKey = host === '' ? 0 : host.startsWith('*') ? -host.length : -1000
  const conditions =
    Number(match.methods !== null) + match.headers.length + match.query.length + match.cookies.length + Number(match.clientIp !== null)
  return [-priority, hostKey, ...pathKey(match.path), -conditions, name]
}

function pathKey(path: PathMatchConfig | null): (number | string)[] {
  if (path === null) return [4, 0, 0, 0, '']
  if (path.kind === 'exact') return [0, -path.path.length, 0, 0, '']
  if (path.kind === 'regex') return [2, -path.pattern.length, 0, 0, '']
  if (path.kind === 'prefix') return [3, -path.prefix.length, 0, 0, '']
  const segments = path.template.slice(1).split('/')
  const isOpen = segments.at(-1) === '**'
  const single = isOpen ? segments.slice(0, -1) : segments
  const shape = single.map((segment) => (/^(\*|\{.*\})$/.test(segment) ? 'w' : 'a')).join('')
  if (!isOpen && !shape.includes('w')) return [0, -path.template.length, 0, 0, '']
  return [1, -shape.replaceAll('w', '').length, Number(isOpen), -shape.length, shape]
}

function compareKeys(a: readonly (number | string)[], b: readonly (number | string)[]): number {
  const index = a.findIndex((value, i) => value !== b[i])
  if (index < 0) return 0
  return (a[index] as number) < (b[index] as number) ? -1 : 1
}
