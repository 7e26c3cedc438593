import { bucketCount, bucketUpperEdge, LogLinearHistogram } from './histogram.ts'
import type { MetricFamily, MetricSeries } from './metrics-store.ts'
import type { HistogramScale } from './metrics-types.ts'

/** The media type of `formatPrometheus`: text exposition format 0.0.4. */
export const PROMETHEUS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** Only whole powers of two are published; the finer parts stay inside, for quantiles. */
const PARTS_PER_EDGE = 4

/** Writes the families in the Prometheus text exposition format 0.0.4. */
export function formatPrometheus(families: readonly MetricFamily[]): string {
  let text = ''
  for (const family of families) {
    text += `# HELP ${family.name} ${escapeHelp(family.help)}\n# TYPE ${family.name} ${family.type}\n`
    for (const series of family.series) {
      text += family.scale === null ? formatValue(family.name, series) : formatHistogram(family.name, series, family.scale)
    }
  }
  return text
}

function formatValue(name: string, series: MetricSeries): string {
  const labels = series.labelText === '' ? '' : `{${series.labelText}}`
  return `${name}${labels} ${formatNumber(series.slots[0]!)}\n`
}

function formatHistogram(name: string, series: MetricSeries, scale: HistogramScale): string {
  const histogram = new LogLinearHistogram(series.slots, 0, scale)
  const labels = series.labelText === '' ? '' : `{${series.labelText}}`
  const before = series.labelText === '' ? '{' : `{${series.labelText},`
  const last = bucketCount(scale) - 1
  let text = ''
  let cumulative = 0
  for (let bucket = 0; bucket < last; bucket++) {
    cumulative += histogram.bucket(bucket)
    if (bucket % PARTS_PER_EDGE === 0)
      text += `${name}_bucket${before}le="${formatNumber(bucketUpperEdge(scale, bucket))}"} ${formatNumber(cumulative)}\n`
  }
  cumulative += histogram.bucket(last)
  text += `${name}_bucket${before}le="+Inf"} ${formatNumber(cumulative)}\n`
  text += `${name}_sum${labels} ${formatNumber(histogram.sum())}\n${name}_count${labels} ${formatNumber(cumulative)}\n`
  return text
}

function formatNumber(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  if (value === Number.NEGATIVE_INFINITY) return '-Inf'
  return String(value)
}

function escapeHelp(help: string): string {
  return help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}
