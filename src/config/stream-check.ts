/**
 * What services of TCP and UDP listeners are told and could not heed: keys for HTTP requests, and those that only one of the two can
 * follow. Nothing that is written is ignored.
 */
import type { RawIssue } from './issues.ts'
import { formatPath } from './problem.ts'

type RawMap = Record<string, unknown>

function asMap(value: unknown): RawMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as RawMap) : {}
}

/** Who uses a service: the first listener of each protocol, and whether requests come to it. */
interface Users {
  tcp: string | null
  udp: string | null
  hasRequests: boolean
}

const POOL_ADVICE = 'connections of TCP and UDP listeners are in no pool; see maxConnections and maxFlows of the listener'

/** For requests only; what else could be meant. */
const KEYS_OF_REQUESTS: readonly [key: string, inner: readonly string[] | null, advice: string][] = [
  ['retry', null, 'see connectAttempts of the listener'],
  ['hedge', null, 'leave it out'],
  ['fallback', null, 'leave it out'],
  ['timeouts', ['request', 'perTry', 'idle', 'propagate'], 'see the timeouts of the listener'],
  ['pool', ['idleTimeout', 'maxConnections', 'maxPending', 'pendingTimeout'], POOL_ADVICE],
  ['balance', ['sticky'], 'use consistent-hash on client-ip'],
]

export function checkStreamServices(config: RawMap, issues: RawIssue[]): void {
  const services = asMap(config['services'])
  for (const [name, users] of collectUsers(config)) {
    if (!Object.hasOwn(services, name)) continue
    const service = asMap(services[name])
    checkLimits(name, service, users, issues)
    if (users.udp !== null) checkDatagrams(name, service, users.udp, issues)
    if (!users.hasRequests) checkKeysOfRequests(name, service, users, issues)
  }
}

function collectUsers(config: RawMap): Map<string, Users> {
  const all = new Map<string, Users>()
  for (const [name, value] of Object.entries(asMap(config['listeners']))) {
    const { protocol, to, sni } = asMap(value)
    if (protocol !== 'tcp' && protocol !== 'udp') continue
    for (const service of [to, ...Object.values(asMap(sni))]) {
      if (typeof service !== 'string') continue
      const users = all.get(service) ?? { tcp: null, udp: null, hasRequests: false }
      users[protocol] ??= formatPath(['listeners', name])
      all.set(service, users)
    }
  }
  for (const service of servicesOfRequests(config)) {
    const users = all.get(service)
    if (users !== undefined) users.hasRequests = true
  }
  return all
}

/** Those of routes and fallbacks. */
function servicesOfRequests(config: RawMap): string[] {
  const found: unknown[] = []
  for (const value of Object.values(asMap(config['routes']))) {
    const { to, fallback } = asMap(value)
    for (const item of Array.isArray(to) ? to : [to]) found.push(typeof item === 'string' ? item : asMap(item)['service'])
    found.push(asMap(fallback)['to'])
  }
  for (const value of Object.values(asMap(config['services']))) found.push(asMap(asMap(value)['fallback'])['to'])
  return found.filter((item) => typeof item === 'string')
}

function checkLimits(name: string, service: RawMap, { tcp, udp }: Users, issues: RawIssue[]): void {
  if ((service['concurrency'] ?? null) === null) return
  const path = ['services', name, 'concurrency']
  if (udp !== null) {
    issues.push({ path, part: 'key', message: `cannot limit the flows of ${udp}; set maxFlows there, and give it a service of its own` })
  } else if ((asMap(service['concurrency'])['adaptive'] ?? null) !== null) {
    const message = `goes by the answers to requests, which connections of ${tcp} do not have; leave it out, or give the listener a service of its own`
    issues.push({ path: [...path, 'adaptive'], part: 'key', message })
  }
}

/** What would be sent otherwise than it is written. */
function checkDatagrams(name: string, service: RawMap, udp: string, issues: RawIssue[]): void {
  for (const key of ['tls', 'proxyProtocol']) {
    if ((service[key] ?? null) === null) continue
    const message = `cannot be had with datagrams, and ${udp} sends such to this service; give it a service of its own`
    issues.push({ path: ['services', name, key], part: 'key', message })
  }
}

function checkKeysOfRequests(name: string, service: RawMap, { tcp, udp }: Users, issues: RawIssue[]): void {
  const say = (path: string[], advice: string) => {
    const message = `would change nothing, because it is for HTTP requests and only ${tcp ?? udp} uses this service; ${advice}`
    issues.push({ path: ['services', name, ...path], part: 'key', message })
  }
  for (const [key, inner, advice] of KEYS_OF_REQUESTS) {
    const value = service[key] ?? null
    if (value === null) continue
    if (inner === null) say([key], advice)
    else for (const innerKey of inner) if ((asMap(value)[innerKey] ?? null) !== null) say([key, innerKey], advice)
  }
  if (tcp === null && (asMap(service['pool'])['connectTimeout'] ?? null) !== null)
    say(['pool', 'connectTimeout'], 'datagrams need no connection')
  // Where TLS or checks need a name, this is one.
  if ((service['hostHeader'] ?? null) !== null && (service['tls'] ?? null) === null && (service['health'] ?? null) === null)
    say(['hostHeader'], 'leave it out')
  checkKeys(asMap(service['balance']), say)
}

/** All that is known of a connection or flow is who the client is. */
function checkKeys(balance: RawMap, say: (path: string[], advice: string) => void): void {
  const advice = 'all that is known here is client-ip'
  if (isForeign(balance['on'])) say(['balance', 'on'], advice)
  if (isForeign(asMap(balance['subset'])['from'])) say(['balance', 'subset', 'from'], advice)
}

/** A template may hold the client among other things. */
function isForeign(key: unknown): boolean {
  return typeof key === 'string' && key !== 'client-ip' && !key.startsWith('template:')
}
