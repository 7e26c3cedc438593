import type { SecureContext } from 'node:tls'
import type { Clock, Random } from '../../base/clock.ts'
import type { TimerWheel } from '../../base/timers.ts'
import { buildLocalProxyHeader } from '../../codec/proxy-protocol.ts'
import type { TlsTexts } from '../../config/tls-types.ts'
import type { EndpointConfig, HealthConfig, ServiceConfig } from '../../config/types.ts'
import type { Log } from '../../observe/log.ts'
import type { MetricsStore } from '../../observe/metrics-store.ts'
import type { EndpointControl, Health } from '../endpoint-control.ts'
import { createServiceContext, createTlsOptions } from '../service-tls.ts'
import { HealthMetrics } from './health-metrics.ts'
import type { ProbeTarget, StartProbe } from './probe.ts'
import { type CheckedEndpoint, type ProbeReport, Prober } from './prober.ts'
import { startProbe } from './start-probe.ts'

export interface HealthChecksOptions {
  readonly clock: Clock
  readonly random: Random
  /** Over `clock`, for these checks alone: `stop` stops it. */
  readonly wheel: TimerWheel
  /** Where the workers find what the checks say: an EndpointStateStore. */
  readonly states: { control(service: string, address: string): EndpointControl | null }
  readonly metrics: Pick<MetricsStore, 'registry' | 'attach'>
  readonly log: Log
  /** How a check is made. Default: over the network. */
  readonly startProbe?: StartProbe
  /** Checks under way at once. Default 256. */
  readonly maxParallel?: number
}

/** What active checks know of an endpoint, for people. */
export interface EndpointHealth {
  readonly state: Health
  /** ISO 8601. */
  readonly since: string
  readonly passedInARow: number
  readonly failedInARow: number
  readonly lastCheck: {
    /** ISO 8601. */
    readonly at: string
    readonly result: ProbeReport['result']
    readonly durationMs: number
    readonly error: string | null
  } | null
}

type Services = Readonly<Record<string, ServiceConfig>>

/** So often at most it is said that checks cannot be made. */
const IMPAIRED_LOG_MS = 60_000

/** The active checks of all services, once for the process, on the main thread; the workers see the results in shared memory. */
export class HealthChecks {
  readonly #options: HealthChecksOptions
  readonly #prober: Prober
  readonly #metrics: HealthMetrics
  #services: Services = {}
  #isStopped = false
  /** Services of which it was said that nothing is left. */
  readonly #withoutHealthy = new Set<string>()
  #impairedLogMs = Number.NEGATIVE_INFINITY

  constructor(options: HealthChecksOptions) {
    const { clock, random, wheel, maxParallel } = options
    this.#options = options
    this.#metrics = new HealthMetrics(options.metrics)
    this.#prober = new Prober({
      clock,
      random,
      wheel,
      startProbe: options.startProbe ?? startProbe,
      events: { onReport: (endpoint, report, before) => this.#onReport(endpoint, report, before) },
      ...(maxParallel === undefined ? {} : { maxParallel }),
    })
  }

  /** Call before any worker hears of a configuration: endpoints that are to start as unhealthy are so from their first moment. */
  expect(services: Services): void {
    for (const service of Object.values(services)) {
      if (service.health === null || !service.health.startUnhealthy) continue
      for (const { address } of service.endpoints) {
        if (this.#isNew(service.name, address)) this.#publish(service.name, address, 'unhealthy')
      }
    }
  }

  /** The configuration is in force: from now on exactly its endpoints are checked. */
  update(services: Services, texts: TlsTexts = {}): void {
    if (this.#isStopped) return
    const targets: ProbeTarget[] = []
    for (const service of Object.values(services)) {
      const context = service.health === null || service.tls === null ? null : createServiceContext(service.tls, texts)
      for (const endpoint of service.endpoints) {
        const target = createTarget(service, endpoint, context)
        if (target !== null) targets.push(target)
        // What checks said that are no more does not hold.
        else this.#publish(service.name, endpoint.address, 'unknown')
      }
    }
    this.#prober.update(targets, ({ service, address, health }) =>
      health.startUnhealthy && this.#isNew(service, address) ? 'unhealthy' : 'unknown',
    )
    this.#services = services
    this.#metrics.showOnly(targets.map(({ service, address }) => ({ service, address, health: this.#healthOf(service, address) })))
    for (const { service, address } of targets) this.#publish(service, address, this.#healthOf(service, address))
    for (const service of this.#withoutHealthy) if (services[service]?.health == null) this.#withoutHealthy.delete(service)
  }

  /** null when the endpoint is not checked. */
  describe(service: string, address: string): EndpointHealth | null {
    const endpoint = this.#prober.get(service, address)
    if (endpoint === null) return null
    const { health, sinceEpochMs, passedInARow, failedInARow, last } = endpoint
    const lastCheck =
      last === null
        ? null
        : { at: isoTime(last.startedEpochMs), result: last.result, durationMs: Math.round(last.durationMs), error: last.error }
    return { state: health, since: isoTime(sinceEpochMs), passedInARow, failedInARow, lastCheck }
  }

  /** Cancels all checks, for good. What was published stays. */
  stop(): void {
    this.#isStopped = true
    this.#prober.stop()
    this.#options.wheel.stop()
  }

  #onReport(endpoint: CheckedEndpoint, report: ProbeReport, before: Health): void {
    const { service, address } = endpoint.target
    const { states, clock } = this.#options
    this.#metrics.count(service, report)
    if (report.result === 'inconclusive') {
      this.#logImpaired(endpoint, report)
      return
    }
    if (report.result === 'pass' && endpoint.health === 'healthy')
      states.control(service, address)?.reinstate(report.startedMs, clock.now())
    if (endpoint.health === before) return
    this.#publish(service, address, endpoint.health)
    this.#metrics.show(service, address, endpoint.health)
    this.#logChange(endpoint, before)
  }

  #publish(service: string, address: string, health: Health): void {
    const { states, clock } = this.#options
    states.control(service, address)?.setHealth(health, clock.now())
  }

  #healthOf(service: string, address: string): Health {
    return this.#prober.get(service, address)?.health ?? 'unknown'
  }

  /** Whether the configuration in force does not have it. One that serves already does not stop because checks begin. */
  #isNew(service: string, address: string): boolean {
    if (!Object.hasOwn(this.#services, service)) return true
    return !this.#services[service]!.endpoints.some((endpoint) => endpoint.address === address)
  }

  #logChange(endpoint: CheckedEndpoint, before: Health): void {
    const { log } = this.#options
    const { service, address } = endpoint.target
    if (endpoint.health === 'unhealthy') {
      log.warn('an endpoint is unhealthy', {
        service,
        endpoint: address,
        failedChecks: endpoint.failedInARow,
        reason: endpoint.last?.error ?? '',
      })
    } else if (before === 'unknown') {
      // The rule at every start.
      log.debug('an endpoint is healthy', { service, endpoint: address })
    } else {
      log.info('an endpoint is healthy again', { service, endpoint: address })
    }
    this.#logService(service)
  }

  #logService(name: string): void {
    const { log } = this.#options
    const service = this.#services[name]
    if (service === undefined) return
    const inUse = service.endpoints.filter((endpoint) => endpoint.weight > 0)
    if (!inUse.every(({ address }) => this.#healthOf(name, address) === 'unhealthy')) {
      if (this.#withoutHealthy.delete(name)) log.info('the service has a healthy endpoint again', { service: name })
    } else if (!this.#withoutHealthy.has(name)) {
      this.#withoutHealthy.add(name)
      log.error('every endpoint of the service is unhealthy; requests go to all of them', { service: name, endpoints: inUse.length })
    }
  }

  #logImpaired(endpoint: CheckedEndpoint, report: ProbeReport): void {
    const nowMs = this.#options.clock.now()
    if (nowMs - this.#impairedLogMs < IMPAIRED_LOG_MS) return
    this.#impairedLogMs = nowMs
    const { service, address } = endpoint.target
    this.#options.log.error('health checks cannot be made; endpoints keep the health they had', {
      service,
      endpoint: address,
      reason: report.error ?? '',
    })
  }
}

function isoTime(epochMs: number): string {
  return new Date(epochMs).toISOString()
}

function createTarget(service: ServiceConfig, endpoint: EndpointConfig, context: SecureContext | null): ProbeTarget | null {
  const { name, health, hostHeader, protocol, tls, proxyProtocol } = service
  if (health === null) return null
  const { address, host, port } = endpoint
  const ownHost = hostHeader === 'preserve' || hostHeader === 'endpoint' ? address : hostHeader
  const checkHost = health.check.kind === 'tcp' ? null : health.check.host
  const target = {
    service: name,
    address,
    host,
    port: health.port ?? port,
    hostHeader: checkHost ?? ownHost,
    health,
    ...(speaksHttp2(health, protocol) ? { isHttp2: true } : {}),
    // A port of its own for checks speaks plainly.
    ...(proxyProtocol === null || health.port !== null ? {} : { preface: buildLocalProxyHeader(proxyProtocol) }),
  }
  if (tls === null || context === null) return target
  return { ...target, tls: { config: tls, options: createTlsOptions(tls, context, hostHeader, host) } }
}

/** What is spoken to the service is spoken to its port; what is on another one is told, or HTTP/1.1. */
function speaksHttp2({ check, port }: HealthConfig, protocol: ServiceConfig['protocol']): boolean {
  return check.kind === 'http' && (check.protocol ?? (port === null ? protocol : 'http1')) !== 'http1'
}
