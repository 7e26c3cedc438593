import { type AddressSet, createAddressSet } from '../base/cidr.ts'
import type { Clock } from '../base/clock.ts'
import type { TimerWheel } from '../base/timers.ts'
import type { SniConfig, TcpListenerConfig } from '../config/tcp-types.ts'
import type { AccessEntry } from '../observe/access-log.ts'
import type { MetricsRegistry } from '../observe/metrics-types.ts'
import type { ErrorMetrics } from '../observe/request-metrics.ts'
import { createTcpListenerMetrics, type TcpListenerMetrics } from '../observe/tcp-metrics.ts'
import type { LookupCache } from '../upstream/connector.ts'
import type { ListenerTls } from './listener-tls.ts'
import { NameTable } from './name-table.ts'
import type { ServiceRuntime } from './runtime.ts'

/** A TCP listener within one snapshot. A connection keeps the one it began with. */
export interface TcpRuntime {
  readonly protocol: 'tcp'
  readonly name: string
  readonly config: TcpListenerConfig
  /** The port clients reach. */
  readonly port: number
  readonly metrics: TcpListenerMetrics
  /** null: everybody may come. */
  readonly allow: AddressSet | null
  readonly deny: AddressSet | null
  /** TLS with clients ends here; null: bytes pass as they are. */
  readonly tls: ListenerTls | null
  /** Who sends PROXY headers; null: nobody. */
  readonly headerSources: AddressSet | null
  /** null: the name in the TLS greeting decides, or it is a name without a service. */
  readonly service: ServiceRuntime | null
  /** null: `service` takes all. */
  readonly names: NameTable<ServiceRuntime> | null
}

/** What does not change with the configuration. The ProxyContext has all of it. */
export interface TcpContext {
  readonly clock: Clock
  readonly wheel: TimerWheel
  readonly errors: ErrorMetrics
  /** null: no access log. Replaced on reload. */
  logConnection: ((entry: AccessEntry) => void) | null
}

export interface TcpRuntimeOptions {
  readonly services: ReadonlyMap<string, ServiceRuntime>
  readonly registry: MetricsRegistry
  readonly lookups: LookupCache
}

/** Throws on a service that does not exist. */
export function createTcpRuntime(
  config: TcpListenerConfig,
  port: number,
  tls: ListenerTls | null,
  { services, registry }: TcpRuntimeOptions,
): TcpRuntime {
  const to = config.sni === null ? config.to : config.sni.fallback
  return {
    protocol: 'tcp',
    name: config.name,
    config,
    port,
    metrics: createTcpListenerMetrics(registry, config.name),
    tls,
    allow: createSet(config.allow),
    deny: createSet(config.deny),
    headerSources: config.proxyProtocol === null ? null : createAddressSet(config.proxyProtocol.from),
    service: to === null ? null : findService(to, services),
    names: config.sni === null ? null : createNames(config.sni, services),
  }
}

function createSet(ranges: readonly string[]): AddressSet | null {
  return ranges.length === 0 ? null : createAddressSet(ranges)
}

function createNames(sni: SniConfig, services: ReadonlyMap<string, ServiceRuntime>): NameTable<ServiceRuntime> {
  const names = new NameTable<ServiceRuntime>()
  for (const { name, service } of sni.names) names.add(name, findService(service, services))
  return names
}

function findService(name: string, services: ReadonlyMap<string, ServiceRuntime>): ServiceRuntime {
  const service = services.get(name)
  if (service === undefined) throw new Error(`no service named "${name}"`)
  return service
}
