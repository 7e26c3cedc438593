import type { EndpointInfo, ServiceInfo } from '../admin/services.ts'
import type { EndpointConfig, ServiceConfig } from '../config/types.ts'
import { createKeyExtractor, type KeyInput } from '../service/balance/key.ts'
import { type AdminValues, askAdmin, findAdmin } from './admin-access.ts'
import type { CommandIo } from './io.ts'
import type { LoadedConfig } from './serve.ts'

/** One endpoint of the service a request goes to. */
export interface ExplainedEndpoint {
  address: string
  weight: number
  /** Why this request never goes there, whatever the endpoint does; null: it may. */
  excluded: string | null
  /** From the running gateway; left out when it was not asked, null when it does not have the endpoint. */
  live?: Pick<EndpointInfo, 'state' | 'why' | 'inFlight' | 'effectiveWeight'> | null
}

/** What the running gateway says of its services, or why it could not be asked; null: it was not to be asked. */
export type LiveServices = { ok: true; services: ReadonlyMap<string, ServiceInfo> } | { ok: false; problem: string } | null

/** The gateway is on this machine or close by: longer is not worth waiting for. */
const REPLY_TIMEOUT_MS = 3000

/** Asks the gateway that runs this configuration, or the one at `--admin`. Never throws for a gateway that does not answer. */
export async function readLiveServices(values: AdminValues, loaded: LoadedConfig, io: CommandIo): Promise<LiveServices> {
  if (values.admin === undefined && loaded.config.admin === null) {
    return { ok: false, problem: 'the admin listener is off in this configuration' }
  }
  const access = await findAdmin(values, loaded, io)
  const { url } = access
  try {
    const { status, reply } = await askAdmin(access, 'GET', '/services', REPLY_TIMEOUT_MS)
    const { services } = reply as { services?: unknown }
    if (status === 200 && Array.isArray(services)) {
      return { ok: true, services: new Map((services as ServiceInfo[]).map((service) => [service.name, service])) }
    }
    return { ok: false, problem: `${url} answered ${status}` }
  } catch (error) {
    return { ok: false, problem: `the gateway is not running, or not there: ${(error as Error).message}` }
  }
}

/** The endpoints of a service as this request sees them. */
export function explainEndpoints(service: ServiceConfig, request: KeyInput, live: LiveServices): ExplainedEndpoint[] {
  const excludedBySubset = subsetOf(service, request)
  const known = live?.ok === true ? live.services.get(service.name) : undefined
  return service.endpoints.map((endpoint) => {
    const { address, weight } = endpoint
    const excluded = weight === 0 ? 'its weight is 0' : excludedBySubset(endpoint)
    if (live?.ok !== true) return { address, weight, excluded }
    const found = known?.endpoints.find((one) => one.address === address)
    if (found === undefined) return { address, weight, excluded, live: null }
    const { state, why, inFlight, effectiveWeight } = found
    return { address, weight, excluded, live: { state, why, inFlight, effectiveWeight } }
  })
}

/** Why an endpoint is outside the subset of the request, as service/subset.ts decides it; null: it is not. */
function subsetOf({ balance, endpoints }: ServiceConfig, request: KeyInput): (endpoint: EndpointConfig) => string | null {
  const { subset } = balance
  if (subset === undefined) return () => null
  const wanted = createKeyExtractor(subset.from)(request)
  const tagOf = ({ tags }: EndpointConfig) => (Object.hasOwn(tags, subset.key) ? tags[subset.key] : undefined)
  if (wanted !== null && endpoints.some((endpoint) => endpoint.weight > 0 && tagOf(endpoint) === wanted)) {
    return (endpoint) => (tagOf(endpoint) === wanted ? null : `outside the subset ${subset.key}=${wanted}`)
  }
  const choice = wanted === null ? subset.absent : subset.fallback
  const why = wanted === null ? 'the request names no subset' : `the subset ${subset.key}=${wanted} has no endpoint`
  if (choice === 'any') return () => null
  if (choice === 'none') return () => why
  return (endpoint) => (tagOf(endpoint) === undefined ? null : `${why}, and this one is tagged`)
}

export function formatEndpoint({ address, weight, excluded, live }: ExplainedEndpoint): string {
  const name = `    ${address}${weight === 1 ? '' : ` (weight ${weight})`}`
  if (excluded !== null) return `${name}: ${excluded}`
  if (live === undefined) return name
  if (live === null) return `${name}: the running gateway does not have it`
  const facts = [live.why === null ? live.state : `${live.state}: ${live.why}`]
  if (live.inFlight > 0) facts.push(`${live.inFlight} in flight`)
  if (live.effectiveWeight < weight) facts.push(`weight ${live.effectiveWeight} after failures`)
  return `${name}: ${facts.join('; ')}`
}

/** What else the running gateway says of a service. */
export function formatLiveService(service: string, live: LiveServices): string[] {
  if (live === null) return []
  if (!live.ok) return [`    (states are not known: ${live.problem})`]
  const { breaker, retryBudget } = live.services.get(service) ?? {}
  const lines: string[] = []
  if (breaker != null) {
    const { state, failures, requests, openForMs } = breaker
    const left = state === 'open' ? `; tried again in ${Math.ceil(openForMs / 100) / 10} s` : ''
    lines.push(`    breaker ${state}: ${failures} of ${requests} requests failed${left}`)
  }
  if (retryBudget != null)
    lines.push(`    retry budget: ${retryBudget.recentRetries} retries for ${retryBudget.recentRequests} requests in the last 10 s`)
  return lines
}
