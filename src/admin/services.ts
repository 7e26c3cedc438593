import type { EndpointConfig, ServiceConfig } from '../config/types.ts'
import type { LimitStatus } from '../observe/limit-metrics.ts'
import type { BreakerView } from '../service/breaker-watch.ts'
import type { EndpointStatistics } from '../service/endpoint-state-store.ts'
import type { EndpointHealth } from '../service/health/health-checks.ts'
import type { EndpointView, RetryBudgetView, ServiceView } from '../service/service-watch.ts'
import { replyJson } from './reply.ts'
import type { AdminResource } from './resource.ts'

/** One service with its endpoints, as it is now. */
export interface ServiceInfo {
  readonly name: string
  /** The name of the balancer. */
  readonly balance: string
  /** Its concurrency limit over all workers, and what runs and waits under it; null when there is none. */
  readonly concurrency: { readonly limit: number; readonly inFlight: number; readonly waiting: number } | null
  /** Of the whole service; null: it has none, or one for each endpoint. */
  readonly breaker: BreakerView | null
  /** How much of it is used; null: retries are off. */
  readonly retryBudget: RetryBudgetView | null
  readonly endpoints: readonly EndpointInfo[]
}

/** Of these, only `in-use` gets ordinary requests while another endpoint is in use too. */
export type EndpointUse = 'in-use' | 'drained' | 'unhealthy' | 'ejected' | 'trial' | 'breaker-open'

export interface EndpointInfo {
  readonly address: string
  readonly weight: number
  /** Less what recent failures took away. */
  readonly effectiveWeight: number
  readonly tags: Readonly<Record<string, string>>
  readonly state: EndpointUse
  /** In words; null when it is in use with all its weight. */
  readonly why: string | null
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
  /** Why and until when (ISO 8601) requests took it out of use; null: they did not. */
  readonly ejected: { readonly reason: string; readonly until: string } | null
  /** The part of its weight that it has after it was added or came back; null: all of it. */
  readonly slowStartPercent: number | null
  /** Its own breaker; null: it has none. */
  readonly breaker: BreakerView | null
  /** What active checks say; null when there are none. */
  readonly health: EndpointHealth | null
}

export interface ServiceSources {
  services: Iterable<ServiceConfig>
  statistics: readonly EndpointStatistics[]
  /** Concurrency limits. Default: there are none. */
  limits?: readonly LimitStatus[]
  healthOf(service: string, address: string): EndpointHealth | null
  /** A ServiceWatch. */
  watch: { endpoint(service: string, address: string): EndpointView; service(name: string): ServiceView }
  wallClockMs: number
}

/** Puts together what the configuration, the shared state and the health checks know, in the order of the configuration. */
export function describeServices({ services, statistics, limits = [], healthOf, watch, wallClockMs }: ServiceSources): ServiceInfo[] {
  const known = new Map<string, Map<string, EndpointStatistics>>()
  for (const row of statistics) {
    const ofService = known.get(row.service) ?? new Map<string, EndpointStatistics>()
    known.set(row.service, ofService.set(row.address, row))
  }
  return Array.from(services, (service) => ({
    name: service.name,
    balance: service.balance.algorithm,
    concurrency: describeLimit(service.name, limits),
    ...watch.service(service.name),
    endpoints: service.endpoints.map((endpoint) => {
      const health = healthOf(service.name, endpoint.address)
      const view = watch.endpoint(service.name, endpoint.address)
      return describeEndpoint(service, endpoint, known.get(service.name)?.get(endpoint.address), health, view, wallClockMs)
    }),
  }))
}

function describeLimit(service: string, limits: readonly LimitStatus[]): ServiceInfo['concurrency'] {
  const found = limits.find(({ scope, name }) => scope === 'service' && name === service)
  return found === undefined ? null : { limit: found.limit, inFlight: found.inFlight, waiting: found.waiting }
}

function describeEndpoint(
  service: ServiceConfig,
  { address, weight, tags }: EndpointConfig,
  row: EndpointStatistics | undefined,
  health: EndpointHealth | null,
  view: EndpointView,
  wallClockMs: number,
): EndpointInfo {
  const isEjecting = service.ejection !== null
  const penalty = isEjecting ? Math.min(row?.penalty ?? 0, Math.max(0, weight - 1)) : 0
  const putAside = isEjecting && row?.isAside === true
  return {
    address,
    weight,
    effectiveWeight: weight - penalty,
    tags,
    ...describeUse(weight, health, view),
    inUse: weight > 0 && !putAside && health?.state !== 'unhealthy',
    inFlight: row?.inFlight ?? 0,
    requests: row?.requests ?? 0,
    failures: row?.failures ?? 0,
    recentFailures: row?.recentFailures ?? 0,
    putAside,
    ejected: view.aside === null ? null : { reason: view.aside.reason, until: new Date(wallClockMs + view.aside.leftMs).toISOString() },
    slowStartPercent: view.slowStartPercent,
    breaker: view.breaker,
    health,
  }
}

/** The reasons in the order in which they are decided: what stands first holds whatever follows. */
function describeUse(
  weight: number,
  health: EndpointHealth | null,
  { aside, breaker, slowStartPercent }: EndpointView,
): { state: EndpointUse; why: string | null } {
  if (weight === 0) return { state: 'drained', why: 'its weight is 0' }
  if (health?.state === 'unhealthy')
    return { state: 'unhealthy', why: `health checks fail: ${health.lastCheck?.error ?? 'not checked yet'}` }
  if (aside !== null) {
    if (aside.isOnTrial) return { state: 'trial', why: `${aside.why}; one request tries it` }
    return { state: 'ejected', why: `${aside.why}; tried again in ${formatSeconds(aside.leftMs)}` }
  }
  if (breaker !== null && breaker.state !== 'closed') {
    const left = breaker.state === 'open' ? `; tried again in ${formatSeconds(breaker.openForMs)}` : '; some requests try it'
    return {
      state: 'breaker-open',
      why: `its breaker is ${breaker.state}: ${breaker.failures} of ${breaker.requests} requests failed${left}`,
    }
  }
  return { state: 'in-use', why: slowStartPercent === null ? null : `slow start: it has ${slowStartPercent}% of its weight` }
}

function formatSeconds(ms: number): string {
  return ms < 10_000 ? `${Math.ceil(ms / 100) / 10} s` : `${Math.ceil(ms / 1000)} s`
}

export const services: AdminResource = {
  path: '/services',
  method: 'GET',
  summary: 'the services with their endpoints: traffic, failures, health',
  handle: (source) => replyJson({ services: source.services() }),
}
