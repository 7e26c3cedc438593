/** Puts the parsed configuration together: names are filled in, policies expanded, `auto` resolved. Only for one without problems. */
import type { WrittenFilter } from './filter-schema.ts'
import { MAX_WORKERS, type ParsedConfig } from './schema.ts'
import type { FilterConfig, GatewayConfig, ListenerConfig, RouteConfig, ServiceConfig } from './types.ts'

export function assembleConfig(parsed: ParsedConfig, cpuCount: number): GatewayConfig {
  const listeners: Record<string, ListenerConfig> = {}
  for (const [name, listener] of Object.entries(parsed.listeners)) listeners[name] = { name, ...listener } as ListenerConfig
  const services: Record<string, ServiceConfig> = {}
  for (const [name, service] of Object.entries(parsed.services)) services[name] = { name, ...service }
  const routes: Record<string, RouteConfig> = {}
  for (const [name, route] of Object.entries(parsed.routes)) {
    const { destination, filters } = route
    if (destination === null) throw new Error(`route ${name} has no destination; it must be checked first`)
    routes[name] = { ...route, name, destination, filters: expand(filters, parsed.policies) }
  }
  return {
    workers: parsed.workers === 'auto' ? Math.min(Math.max(1, Math.floor(cpuCount)), MAX_WORKERS) : parsed.workers,
    admin: parsed.admin,
    accessLog: parsed.accessLog,
    log: parsed.log,
    drainTimeoutMs: parsed.drainTimeout,
    overload: parsed.overload,
    listeners,
    services,
    routes,
  }
}

function expand(filters: readonly WrittenFilter[], policies: ParsedConfig['policies']): FilterConfig[] {
  const result: FilterConfig[] = []
  for (const filter of filters) {
    if (filter.kind !== 'policy') result.push(filter)
    else for (const inner of policies[filter.name] ?? []) if (inner.kind !== 'policy') result.push(inner)
  }
  return result
}
