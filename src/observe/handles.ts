import type { Counter, Gauge, Histogram, HistogramScale, MetricsRegistry } from './metrics-types.ts'
import type { MetricDefinition } from './names.ts'

/** Handles for the metrics of the table in names.ts; the compiler checks that exactly the labels of the table are given. */
export type LabelsOf<D extends MetricDefinition> = Readonly<Record<D['labels'][number], string>>

/** A counter of the table. */
export function createCounter<const D extends MetricDefinition & { type: 'counter' }>(
  registry: MetricsRegistry,
  metric: D,
  labels: LabelsOf<D>,
): Counter {
  return registry.counter(metric.name, metric.help, labels)
}

/** A gauge of the table. */
export function createGauge<const D extends MetricDefinition & { type: 'gauge' }>(
  registry: MetricsRegistry,
  metric: D,
  labels: LabelsOf<D>,
): Gauge {
  return registry.gauge(metric.name, metric.help, labels)
}

/** A histogram of the table. */
export function createHistogram<const D extends MetricDefinition & { type: 'histogram'; scale?: HistogramScale }>(
  registry: MetricsRegistry,
  metric: D,
  labels: LabelsOf<D>,
): Histogram {
  return registry.histogram(metric.name, metric.help, labels, metric.scale)
}
