/**
 * What the shape alone cannot say: that names refer to something, that addresses differ, that routes can be told apart. It looks at
 * what was written, not at what the schema made of it, so that one wrong value does not hide what is wrong between the others.
 */
import type { RawIssue } from './issues.ts'
import { describeValue } from './issues.ts'
import { formatPath } from './problem.ts'
import { DESTINATION_KEYS, matchSchema, PATH_KEYS, prioritySchema } from './route-schema.ts'
import { isLoopback, parseEndpointAddress, parseListenAddress } from './scalar.ts'
import { checkStreamServices } from './stream-check.ts'
import { didYouMean } from './suggest.ts'
import type { AddressConfig, MatchConfig, ValueMatchConfig } from './types.ts'

/** Most filters on one route, policies expanded. */
export const MAX_FILTERS = 63

type RawMap = Record<string, unknown>

function asMap(value: unknown): RawMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as RawMap) : {}
}

/** Every check, on the plain data as written (after substitution). Parts of the wrong shape are left to the schema. */
export function checkConfig(raw: unknown): RawIssue[] {
  const issues: RawIssue[] = []
  const config = asMap(raw)
  const services = Object.keys(asMap(config['services']))
  const policies = asMap(config['policies'])
  for (const [name, filters] of Object.entries(policies)) checkPolicy(name, filters, issues)
  for (const [name, value] of Object.entries(asMap(config['routes']))) {
    if (!isWritten(value)) continue
    const route = asMap(value)
    checkOneDestination(name, route, issues)
    checkOnePath(name, asMap(route['match']), issues)
    checkLimit(name, route, issues)
    checkServices(name, route['to'], services, issues)
    checkNoProxyHeaders(name, route['to'], asMap(config['services']), issues)
    checkFilters(name, route['filters'], policies, issues)
    checkFallback(['routes', name], route['fallback'], services, issues)
  }
  for (const [name, service] of Object.entries(asMap(config['services']))) {
    checkEndpoints(name, asMap(service)['endpoints'], issues)
    checkFallback(['services', name], asMap(service)['fallback'], services, issues)
  }
  const taken: TakenAddress[] = []
  checkAdmin(config, taken, issues)
  checkListenAddresses(asMap(config['listeners']), taken, issues)
  for (const [name, listener] of Object.entries(asMap(config['listeners']))) checkListenerServices(name, asMap(listener), services, issues)
  checkStreamServices(config, issues)
  checkRoutes(asMap(config['routes']), issues)
  return issues
}

function checkPolicy(name: string, filters: unknown, issues: RawIssue[]): void {
  if (!Array.isArray(filters)) return
  filters.forEach((filter, index) => {
    if (typeof filter === 'string') {
      const message = `found ${describeValue(filter)}; a policy cannot contain another policy, expected a filter`
      issues.push({ path: ['policies', name, index], part: 'value', message })
    }
  })
}

function checkOneDestination(name: string, route: RawMap, issues: RawIssue[]): void {
  const given = DESTINATION_KEYS.filter((key) => Object.hasOwn(route, key))
  if (given.length === 0) {
    issues.push({ path: ['routes', name], part: 'key', message: 'goes nowhere; a route has exactly one of to, respond and redirect' })
  } else if (given.length > 1) {
    const message = `found ${given.join(' and ')}; a route has exactly one of to, respond and redirect`
    issues.push({ path: ['routes', name, given[1]!], part: 'key', message })
  }
}

function checkLimit(name: string, route: RawMap, issues: RawIssue[]): void {
  if ((route['concurrency'] ?? null) === null || !(Object.hasOwn(route, 'respond') || Object.hasOwn(route, 'redirect'))) return
  const message = 'would limit nothing, because this route answers itself; leave it out'
  issues.push({ path: ['routes', name, 'concurrency'], part: 'key', message })
}

function checkOnePath(name: string, match: RawMap, issues: RawIssue[]): void {
  const given = PATH_KEYS.filter((key) => Object.hasOwn(match, key))
  if (given.length < 2) return
  const message = `found ${given.join(' and ')}; a match has at most one of path, prefix, regex and grpc`
  issues.push({ path: ['routes', name, 'match', given[1]!], part: 'key', message })
}

function checkServices(route: string, to: unknown, services: string[], issues: RawIssue[]): void {
  const at = ['routes', route, 'to']
  if (typeof to === 'string') checkService(to, at, services, issues)
  if (!Array.isArray(to)) return
  const seen = new Set<string>()
  to.forEach((item, index) => {
    const inMap = typeof item !== 'string'
    const service = inMap ? asMap(item)['service'] : item
    if (typeof service !== 'string') return
    const path = inMap ? [...at, index, 'service'] : [...at, index]
    checkService(service, path, services, issues)
    if (seen.has(service))
      issues.push({ path, part: 'value', message: `the service "${service}" is given twice; give it once, with one weight` })
    seen.add(service)
  })
  const weights = to.map((item) => asMap(item)['weight'] ?? 1)
  if (to.length > 0 && weights.every((weight) => weight === 0)) {
    issues.push({ path: at, part: 'value', message: 'all weights are 0, so no service would get a request; expected at least one above 0' })
  }
}

function checkService(service: string, path: (string | number)[], services: string[], issues: RawIssue[]): void {
  if (services.includes(service)) return
  const near = didYouMean(service, services)
  const hint = near !== '' ? near : services.length === 0 ? '; there are no services' : `; the services are: ${list(services)}`
  issues.push({ path, part: 'value', message: `no service named "${service}"${hint}` })
}

function checkFallback(owner: [string, string], fallback: unknown, services: string[], issues: RawIssue[]): void {
  const { to } = asMap(fallback)
  if (typeof to !== 'string') return
  const path = [...owner, 'fallback', 'to']
  checkService(to, path, services, issues)
  if (owner[0] === 'services' && owner[1] === to)
    issues.push({ path, part: 'value', message: `"${to}" cannot stand in for itself; expected another service` })
}

/** Pooled connections carry requests of many clients: there is no one client to name at their beginning. */
function checkNoProxyHeaders(route: string, to: unknown, services: RawMap, issues: RawIssue[]): void {
  for (const item of Array.isArray(to) ? to : [to]) {
    const service: unknown = typeof item === 'string' ? item : asMap(item)['service']
    if (typeof service !== 'string' || !Object.hasOwn(services, service)) continue
    if ((asMap(services[service])['proxyProtocol'] ?? null) === null) continue
    const message = `the service "${service}" expects PROXY headers, which only connections of TCP listeners have`
    issues.push({ path: ['routes', route, 'to'], part: 'value', message })
  }
}

/** Listeners without routes name their services themselves. */
function checkListenerServices(name: string, listener: RawMap, services: string[], issues: RawIssue[]): void {
  const { to, sni, protocol } = listener
  if (protocol === undefined || protocol === 'http') return
  if (typeof to === 'string') checkService(to, ['listeners', name, 'to'], services, issues)
  for (const [serverName, service] of Object.entries(asMap(sni))) {
    if (typeof service === 'string') checkService(service, ['listeners', name, 'sni', serverName], services, issues)
  }
}

function checkFilters(route: string, filters: unknown, policies: RawMap, issues: RawIssue[]): void {
  if (!Array.isArray(filters)) return
  let count = 0
  filters.forEach((filter, index) => {
    if (typeof filter !== 'string') count++
    else if (Object.hasOwn(policies, filter)) count += Array.isArray(policies[filter]) ? policies[filter].length : 0
    else issues.push({ path: ['routes', route, 'filters', index], part: 'value', message: missingPolicy(filter, Object.keys(policies)) })
  })
  if (count > MAX_FILTERS) {
    const message = `has ${count} filters with its policies; expected at most ${MAX_FILTERS}`
    issues.push({ path: ['routes', route, 'filters'], part: 'key', message })
  }
}

function missingPolicy(policy: string, policies: string[]): string {
  const near = didYouMean(policy, policies)
  const hint = near !== '' ? near : policies.length === 0 ? '; there are no policies' : `; the policies are: ${list(policies)}`
  return `no policy named "${policy}"${hint}`
}

const LONGEST_LIST = 8

function list(names: readonly string[]): string {
  const shown = names.slice(0, LONGEST_LIST).join(', ')
  return names.length > LONGEST_LIST ? `${shown} and ${names.length - LONGEST_LIST} more` : shown
}

const DEFAULT_ADMIN_ADDRESS: AddressConfig = { host: '127.0.0.1', port: 9900 }

/** The admin API never shares an address, and is never open to other machines without a token. */
function checkAdmin(config: RawMap, taken: TakenAddress[], issues: RawIssue[]): void {
  if (config['admin'] === null) return
  const admin = asMap(config['admin'])
  const address = Object.hasOwn(admin, 'address') ? listenAddressOf(admin['address']) : DEFAULT_ADMIN_ADDRESS
  if (address === null) return
  taken.push({ owner: 'admin', address })
  if (isLoopback(address.host) || (admin['token'] ?? null) !== null) return
  const message = 'the admin API is reachable from other machines, so it needs a token; set admin.token, or listen on 127.0.0.1'
  issues.push({ path: ['admin', 'address'], part: 'value', message })
}

interface TakenAddress {
  owner: string
  address: AddressConfig
  /** A UDP port is another one than the TCP port of the same number. */
  isUdp?: boolean
}

function checkListenAddresses(listeners: RawMap, taken: TakenAddress[], issues: RawIssue[]): void {
  for (const [name, listener] of Object.entries(listeners)) {
    const address = listenAddressOf(asMap(listener)['address'])
    if (address === null) continue
    const isUdp = asMap(listener)['protocol'] === 'udp'
    const other = taken.find((used) => (used.isUdp ?? false) === isUdp && collides(used.address, address))
    if (other !== undefined) {
      const message = `${other.owner} listens on ${formatAddress(other.address)} already, which takes this address`
      issues.push({ path: ['listeners', name, 'address'], part: 'value', message })
    }
    taken.push({ owner: formatPath(['listeners', name]), address, isUdp })
  }
}

function listenAddressOf(value: unknown): AddressConfig | null {
  const parsed = typeof value === 'string' ? parseListenAddress(value) : null
  return parsed !== null && 'value' in parsed ? parsed.value : null
}

/** Port 0 is a new port every time. An empty host is every address, so it takes the port of all others. */
function collides(a: AddressConfig, b: AddressConfig): boolean {
  return a.port !== 0 && a.port === b.port && (a.host === b.host || a.host === '' || b.host === '')
}

function formatAddress(address: AddressConfig): string {
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`
}

function checkEndpoints(name: string, endpoints: unknown, issues: RawIssue[]): void {
  if (!Array.isArray(endpoints) || endpoints.length === 0) return
  const seen = new Map<string, number>()
  endpoints.forEach((endpoint, index) => {
    const written: unknown = typeof endpoint === 'string' ? endpoint : asMap(endpoint)['address']
    const parsed = typeof written === 'string' ? parseEndpointAddress(written) : null
    if (parsed === null || 'problem' in parsed) return
    const address = parsed.value.address
    const first = seen.get(address)
    if (first !== undefined) {
      const message = `the endpoint ${address} is given twice (also endpoints[${first}]); give it once, with a weight`
      issues.push({ path: ['services', name, 'endpoints', index], part: 'value', message })
    } else seen.set(address, index)
  })
  if (endpoints.every((endpoint) => asMap(endpoint)['weight'] === 0)) {
    const message = 'all weights are 0, so no endpoint would get a request; expected at least one above 0'
    issues.push({ path: ['services', name, 'endpoints'], part: 'value', message })
  }
}

/** Routes whose match is valid, whatever else is wrong with them. */
function checkRoutes(routes: RawMap, issues: RawIssue[]): void {
  const comparable: Record<string, ComparableRoute> = {}
  for (const [name, route] of Object.entries(routes)) {
    const match = matchSchema.safeParse(asMap(route)['match'] ?? {})
    const priority = prioritySchema.safeParse(asMap(route)['priority'])
    if (match.success && priority.success && isWritten(route)) comparable[name] = { match: match.data, priority: priority.data }
  }
  checkAmbiguousRoutes(comparable, issues)
}

function isWritten(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

interface ComparableRoute {
  match: MatchConfig
  priority: number
}

/** A route with several hosts or methods stands for one route for each of them: two that share one pair cannot be told apart there. */
function checkAmbiguousRoutes(routes: Record<string, ComparableRoute>, issues: RawIssue[]): void {
  const owners = new Map<string, string>()
  for (const [name, route] of Object.entries(routes)) {
    const rest = JSON.stringify([route.priority, pathIdentity(route.match), ...conditionIdentity(route.match)])
    const reported = new Set<string>()
    for (const host of route.match.hosts ?? ['']) {
      for (const method of route.match.methods ?? ['']) {
        const key = `${host} ${method} ${rest}`
        const other = owners.get(key)
        if (other === undefined) owners.set(key, name)
        else if (other !== name && !reported.has(other)) {
          reported.add(other)
          issues.push({ path: ['routes', name], part: 'key', message: ambiguity(other, route.match, host, method) })
        }
      }
    }
  }
}

function ambiguity(other: string, match: MatchConfig, host: string, method: string): string {
  const what = [method === '' ? '' : method, host === '' ? 'any host' : host, pathText(match)].filter((part) => part !== '').join(', ')
  return `can never be told apart from ${formatPath(['routes', other])}: both take ${what} under the same conditions; change one match or give one a higher priority`
}

function pathText(match: MatchConfig): string {
  const path = match.path
  if (path === null) return 'any path'
  switch (path.kind) {
    case 'exact':
      return `path ${path.path}`
    case 'template':
      return `path ${path.template}`
    case 'prefix':
      return `prefix ${path.prefix}`
    case 'regex':
      return `regex ${path.pattern}`
  }
}

/** Names of parameters make no difference to what a template matches. */
function pathIdentity(match: MatchConfig): string {
  if (match.path?.kind === 'template') return `template ${match.path.template.replace(/\{[^}]*\}/g, '*')}`
  return pathText(match)
}

function conditionIdentity(match: MatchConfig): unknown[] {
  return [
    match.headers.map(testIdentity).sort(),
    match.query.map(testIdentity).sort(),
    match.cookies.map(testIdentity).sort(),
    [...(match.clientIp ?? [])].sort(),
  ]
}

function testIdentity(condition: ValueMatchConfig): string {
  const { name, test } = condition
  return JSON.stringify([name, test, test === 'exact' ? condition.value : test === 'regex' ? condition.pattern : ''])
}
