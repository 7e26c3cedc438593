import { bucketUpperEdge, SECONDS_SCALE } from './histogram.ts'
import { METRICS, type MetricDefinition } from './names.ts'
import { DEFAULT_MAX_SERIES_PER_NAME, OTHER_LABEL_VALUE } from './series.ts'

/** The text of docs/metrics.md, made from the table in names.ts. */
export function generateMetricsDocs(): string {
  const rows = Object.values(METRICS).map(formatRow)
  return `# Metrics

This file is generated from \`src/observe/names.ts\`; do not edit it.

\`GET /metrics\` on the admin listener answers in the Prometheus text format 0.0.4. Each worker thread counts for itself; the
values are added up when scraped. What a worker had counted when it died stays counted; its gauges vanish.

Durations are in seconds, sizes in bytes. Histograms of durations have their edges at the powers of two from
${bucketUpperEdge(SECONDS_SCALE, 0)} s to ${2 ** SECONDS_SCALE.maxExponent} s, exactly. A series appears with its first value.

A metric has at most ${DEFAULT_MAX_SERIES_PER_NAME.toLocaleString('en-US')} series. What would be beyond that is counted in one series whose labels all have the
value \`${OTHER_LABEL_VALUE}\`, and \`${METRICS.metricsOverflow.name}\` tells that it happened.

| Name | Type | Labels | Meaning |
| --- | --- | --- | --- |
${rows.join('\n')}
`
}

function formatRow(metric: MetricDefinition): string {
  const labels = metric.labels.map((label) => `\`${label}\``).join(', ')
  return `| \`${metric.name}\` | ${metric.type} | ${labels || '-'} | ${metric.help.replaceAll('|', '\\|')} |`
}
