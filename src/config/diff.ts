/** What a reload changes. Listeners, services and routes that are equal in every field are left alone. */
import { isDeepStrictEqual } from 'node:util'
import type { GatewayConfig, ListenerConfig } from './types.ts'

export interface NamesDiff {
  added: string[]
  removed: string[]
  changed: string[]
}

export interface ConfigDiff {
  listeners: {
    added: string[]
    removed: string[]
    /** Bound to another address: the old socket closes, a new one opens. */
    rebound: string[]
    /** The same address with other settings: the socket stays. */
    changed: string[]
  }
  services: NamesDiff
  routes: NamesDiff
  admin: boolean
  accessLog: boolean
  log: boolean
  workers: boolean
  drainTimeout: boolean
  overload: boolean
  /** True when nothing at all is different. */
  isEmpty: boolean
  /** For a log line: `listeners: 1 added (tls); services: 2 changed (a, b); admin changed`, or `no changes`. */
  summary: string
}

/** Compares two configurations by value. */
export function diffConfig(before: GatewayConfig, after: GatewayConfig): ConfigDiff {
  const listenerNames = diffNames(before.listeners, after.listeners)
  const isRebound = (name: string) => !isSameAddress(before.listeners[name]!, after.listeners[name]!)
  const listeners = {
    added: listenerNames.added,
    removed: listenerNames.removed,
    rebound: listenerNames.changed.filter(isRebound),
    changed: listenerNames.changed.filter((name) => !isRebound(name)),
  }
  const services = diffNames(before.services, after.services)
  const routes = diffNames(before.routes, after.routes)
  const flags = {
    admin: !isDeepStrictEqual(before.admin, after.admin),
    accessLog: !isDeepStrictEqual(before.accessLog, after.accessLog),
    log: !isDeepStrictEqual(before.log, after.log),
    workers: before.workers !== after.workers,
    drainTimeout: before.drainTimeoutMs !== after.drainTimeoutMs,
    overload: !isDeepStrictEqual(before.overload, after.overload),
  }
  const parts = [
    ...summarise('listeners', {
      added: listeners.added,
      removed: listeners.removed,
      'moved to another address': listeners.rebound,
      changed: listeners.changed,
    }),
    ...summarise('services', services),
    ...summarise('routes', routes),
    ...Object.entries(flags).flatMap(([name, changed]) => (changed ? [`${name} changed`] : [])),
  ]
  return {
    listeners,
    services,
    routes,
    ...flags,
    isEmpty: parts.length === 0,
    summary: parts.length === 0 ? 'no changes' : parts.join('; '),
  }
}

function isSameAddress(a: ListenerConfig, b: ListenerConfig): boolean {
  return a.address.host === b.address.host && a.address.port === b.address.port && a.protocol === b.protocol
}

function diffNames<T>(before: Readonly<Record<string, T>>, after: Readonly<Record<string, T>>): NamesDiff {
  const added = Object.keys(after).filter((name) => !Object.hasOwn(before, name))
  const removed = Object.keys(before).filter((name) => !Object.hasOwn(after, name))
  const changed = Object.keys(after).filter((name) => Object.hasOwn(before, name) && !isDeepStrictEqual(before[name], after[name]))
  return { added, removed, changed }
}

const LONGEST_LIST = 5

function summarise(what: string, changes: Readonly<Record<string, string[]>> | NamesDiff): string[] {
  const parts = Object.entries(changes).flatMap(([how, names]: [string, string[]]) => {
    if (names.length === 0) return []
    const shown = names.slice(0, LONGEST_LIST).join(', ')
    return [`${names.length} ${how} (${names.length > LONGEST_LIST ? `${shown}, ...` : shown})`]
  })
  return parts.length === 0 ? [] : [`${what}: ${parts.join(', ')}`]
}
