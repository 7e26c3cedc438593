import { type AddressSet, createAddressSet } from '../base/cidr.ts'
import type { ForwardListenerConfig } from '../config/forward-types.ts'
import type { MetricsRegistry } from '../observe/metrics-types.ts'
import { TunnelMetrics } from '../observe/tunnel-metrics.ts'
import type { LookupCache } from '../upstream/connector.ts'
import { ProxyAuth } from './forward-auth.ts'
import { DestinationPolicy } from './forward-policy.ts'
import type { ListenerRuntime } from './runtime.ts'

/** A forward proxy within one snapshot. */
export interface ForwardRuntime {
  readonly protocol: 'forward'
  readonly name: string
  readonly config: ForwardListenerConfig
  readonly port: number
  /** The same listener as its HTTP connections see it. */
  readonly http: ListenerRuntime
  readonly policy: DestinationPolicy
  /** null: everybody may use it. */
  readonly auth: ProxyAuth | null
  /** null: everybody may come. */
  readonly allow: AddressSet | null
  readonly deny: AddressSet | null
  readonly lookups: LookupCache
  readonly registry: MetricsRegistry
  readonly tunnels: TunnelMetrics
  /** For parents that ask for it; null: none is sent. */
  readonly parentAuthorization: string | null
}

export function createForwardRuntime(
  config: ForwardListenerConfig,
  http: ListenerRuntime,
  options: { registry: MetricsRegistry; lookups: LookupCache },
): ForwardRuntime {
  const credentials = config.parent?.credentials ?? null
  return {
    protocol: 'forward',
    name: config.name,
    config,
    port: http.port,
    http,
    policy: new DestinationPolicy(config.destinations),
    auth: config.auth === null ? null : new ProxyAuth(config.auth),
    allow: config.allow.length === 0 ? null : createAddressSet(config.allow),
    deny: config.deny.length === 0 ? null : createAddressSet(config.deny),
    lookups: options.lookups,
    registry: options.registry,
    tunnels: new TunnelMetrics(options.registry, config.name),
    parentAuthorization: credentials === null ? null : `Basic ${Buffer.from(credentials, 'utf8').toString('base64')}`,
  }
}
