import { createCounter, createGauge, createHistogram } from '../../observe/handles.ts'
import { WorkerMetrics } from '../../observe/metrics.ts'
import type { MetricsSource, MetricsStore } from '../../observe/metrics-store.ts'
import type { Gauge } from '../../observe/metrics-types.ts'
import { METRICS } from '../../observe/names.ts'
import type { Health } from '../endpoint-control.ts'
import type { ProbeReport } from './prober.ts'

const VALUES: Readonly<Record<Health, number>> = { healthy: 1, unhealthy: 0, unknown: -1 }

/** What is measured of active checks, on the main thread. */
export class HealthMetrics {
  readonly #store: Pick<MetricsStore, 'registry' | 'attach'>
  #source: MetricsSource | null = null
  #gauges = new Map<string, Map<string, Gauge>>()

  constructor(store: Pick<MetricsStore, 'registry' | 'attach'>) {
    this.#store = store
  }

  count(service: string, report: ProbeReport): void {
    const { registry } = this.#store
    createCounter(registry, METRICS.healthChecks, { service, result: report.result }).add(1)
    createHistogram(registry, METRICS.healthCheckDuration, { service }).record(report.durationMs / 1000)
  }

  /**
   * Exactly these endpoints have a gauge from now on. A gauge vanishes only with the source it came from, so all move to a new one:
   * otherwise an endpoint that was removed while it was down would be reported as down for ever.
   */
  showOnly(endpoints: readonly { service: string; address: string; health: Health }[]): void {
    this.#source?.release()
    this.#gauges = new Map()
    const source = this.#store.attach()
    this.#source = source
    if (endpoints.length === 0) return
    const registry = new WorkerMetrics({ announce: (announcement) => source.receive(announcement), segmentSlots: endpoints.length })
    for (const { service, address, health } of endpoints) {
      const gauge = createGauge(registry, METRICS.endpointHealth, { service, endpoint: address })
      gauge.set(VALUES[health])
      const ofService = this.#gauges.get(service) ?? new Map<string, Gauge>()
      this.#gauges.set(service, ofService.set(address, gauge))
    }
  }

  show(service: string, address: string, health: Health): void {
    this.#gauges.get(service)?.get(address)?.set(VALUES[health])
  }
}
