import type { EndpointConfig, ServiceConfig } from '../config/types.ts'
import type { EndpointStatistics } from '../service/endpoint-state-store.ts'
import type { EndpointHealth } from '../service/health/health-checks.ts'
import { replyJson } from './reply.ts'
import type { AdminResource } from './resource.ts'

/** One service with its endpoints, as it is now. */
export interface ServiceInfo {
  readonly name: string
  /** The name of the balancer. */
  readonly balance: string
  readonly endpoints: readonly EndpointInfo[]
}

export interface EndpointInfo {
  readonly address: string
  readonly weight: number
  /** Less what recent failures took away. */
  readonly effectiveWeight: number
  readonly tags: Readonly<Record<string, string>>
  /** Whether requests are sent to it while another endpoint has true here too. */
  readonly inUse: boolean
  /** Requests now running, over all workers. */
  readonly inFlight: number
  /** Requests since the endpoint was added, and those of them that failed. */
  readonly requests: number
  readonly failures: number
  /** Failures in a row, as passive ejection counts them. */
  readonly recentFailures: number
  /** By passive ejection. */
  readonly putAside: boolean
  /** What active checks say; null when there are none. */
  readonly health: EndpointHealth | null
}

export interface ServiceSources {
  services: Iterable<ServiceConfig>
  statistics: readonly EndpointStatistics[]
  healthOf(service: string, address: string): EndpointHealth | null
}

/** Puts together what the configuration, the shared state and the health checks know, in the order of the configuration. */
export function describeServices({ services, statistics, healthOf }: ServiceSources): ServiceInfo[] {
  const known = new Map<string, Map<string, EndpointStatistics>>()
  for (const row of statistics) {
    const ofService = known.get(row.service) ?? new Map<string, EndpointStatistics>()
    known.set(row.service, ofService.set(row.address, row))
  }
  return Array.from(services, (service) => ({
    name: service.name,
    balance: service.balance.algorithm,
    endpoints: service.endpoints.map((endpoint) =>
      describeEndpoint(service, endpoint, known.get(service.name)?.get(endpoint.address), healthOf(service.name, endpoint.address)),
    ),
  }))
}

function describeEndpoint(
  service: ServiceConfig,
  { address, weight, tags }: EndpointConfig,
  row: EndpointStatistics | undefined,
  health: EndpointHealth | null,
): EndpointInfo {
  const isEjecting = service.ejection !== null
  const penalty = isEjecting ? Math.min(row?.penalty ?? 0, Math.max(0, weight - 1)) : 0
  const putAside = isEjecting && row?.isAside === true
  return {
    address,
    weight,
    effectiveWeight: weight - penalty,
    tags,
    inUse: weight > 0 && !putAside && health?.state !== 'unhealthy',
    inFlight: row?.inFlight ?? 0,
    requests: row?.requests ?? 0,
    failures: row?.failures ?? 0,
    recentFailures: row?.recentFailures ?? 0,
    putAside,
    health,
  }
}

export const services: AdminResource = {
  path: '/services',
  method: 'GET',
  summary: 'the services with their endpoints: traffic, failures, health',
  handle: (source) => replyJson({ services: source.services() }),
}
