import { createGauge, type LabelsOf } from '../observe/handles.ts'
import { WorkerMetrics } from '../observe/metrics.ts'
import type { MetricsSource, MetricsStore } from '../observe/metrics-store.ts'
import type { Gauge } from '../observe/metrics-types.ts'
import type { MetricDefinition } from '../observe/names.ts'

/** One gauge: what it is called, and how it is found again. */
export interface GaugeRow<D extends MetricDefinition> {
  readonly key: string
  readonly labels: LabelsOf<D>
}

/**
 * Gauges of things that come and go with the configuration. A gauge vanishes only with the source it came from, so all move to a new
 * one at each change: otherwise a thing that was removed would be reported for ever as it was last.
 */
export class GaugeSet<const D extends MetricDefinition & { type: 'gauge' }> {
  readonly #metrics: Pick<MetricsStore, 'attach'>
  readonly #definition: D
  #source: MetricsSource | null = null
  #gauges = new Map<string, Gauge>()

  constructor(metrics: Pick<MetricsStore, 'attach'>, definition: D) {
    this.#metrics = metrics
    this.#definition = definition
  }

  /** Exactly these exist from now on, all 0. */
  showOnly(rows: readonly GaugeRow<D>[]): void {
    this.#source?.release()
    this.#source = null
    this.#gauges = new Map()
    if (rows.length === 0) return
    const source = this.#metrics.attach()
    this.#source = source
    const registry = new WorkerMetrics({ announce: (announcement) => source.receive(announcement), segmentSlots: rows.length })
    for (const { key, labels } of rows) {
      const gauge = createGauge(registry, this.#definition, labels)
      gauge.set(0)
      this.#gauges.set(key, gauge)
    }
  }

  set(key: string, value: number): void {
    this.#gauges.get(key)?.set(value)
  }
}
