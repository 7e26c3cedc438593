import { type AddressSet, createAddressSet } from '../base/cidr.ts'
import type { UdpListenerConfig } from '../config/udp-types.ts'
import { UdpListenerMetrics } from '../observe/udp-metrics.ts'
import type { LookupCache } from '../upstream/connector.ts'
import type { ServiceRuntime } from './runtime.ts'
import type { TcpRuntimeOptions } from './tcp-runtime.ts'

/** A UDP listener within one snapshot. A flow keeps the one it began with. */
export interface UdpRuntime {
  readonly protocol: 'udp'
  readonly name: string
  readonly config: UdpListenerConfig
  readonly port: number
  readonly metrics: UdpListenerMetrics
  readonly lookups: LookupCache
  /** null: everybody may come. */
  readonly allow: AddressSet | null
  readonly deny: AddressSet | null
  readonly service: ServiceRuntime
}

/** Throws on a service that does not exist. */
export function createUdpRuntime(config: UdpListenerConfig, port: number, options: TcpRuntimeOptions): UdpRuntime {
  const service = options.services.get(config.to)
  if (service === undefined) throw new Error(`no service named "${config.to}"`)
  return {
    protocol: 'udp',
    name: config.name,
    config,
    port,
    metrics: new UdpListenerMetrics(options.registry, config.name),
    lookups: options.lookups,
    allow: config.allow.length === 0 ? null : createAddressSet(config.allow),
    deny: config.deny.length === 0 ? null : createAddressSet(config.deny),
    service,
  }
}
