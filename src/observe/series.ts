import type { HistogramScale, Labels, MetricType } from './metrics-types.ts'

/** What worker and main thread say to each other about metrics, and how a series is named. */

/** At most this many series of one metric name; the rest is counted under labels whose value is `other`. */
export const DEFAULT_MAX_SERIES_PER_NAME = 2000
export const OTHER_LABEL_VALUE = 'other'

/** A piece of shared memory that holds the values of series announced later. */
export interface SegmentAnnouncement {
  kind: 'segment'
  segmentIndex: number
  buffer: SharedArrayBuffer
}

/** A new series and where its values lie. `scale` is null for counters and gauges, which take one slot. */
export interface SeriesAnnouncement {
  kind: 'series'
  segmentIndex: number
  slot: number
  name: string
  help: string
  type: MetricType
  labels: Labels
  scale: HistogramScale | null
}

/** Plain data, made to be sent with `postMessage`; must reach the main thread in order. */
export type MetricsAnnouncement = SegmentAnnouncement | SeriesAnnouncement

const METRIC_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const LABEL_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/

/** Throws unless name and label names follow the Prometheus data model; `le` and names that start with `__` are reserved there. */
export function assertMetricName(name: string, labels: Labels): void {
  if (!METRIC_NAME.test(name)) throw new TypeError(`not a metric name: ${JSON.stringify(name)}`)
  for (const label of Object.keys(labels)) {
    if (!LABEL_NAME.test(label) || label.startsWith('__') || label === 'le') {
      throw new TypeError(`not a label name: ${JSON.stringify(label)} of metric ${name}`)
    }
  }
}

const NEEDS_ESCAPE = /[\\"\n]/
const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '"': '\\"', '\n': '\\n' }

function escapeLabelValue(value: string): string {
  return NEEDS_ESCAPE.test(value) ? value.replace(/[\\"\n]/g, (character) => ESCAPES[character]!) : value
}

/** `a="1",b="2"`, sorted by name and escaped: the identity of a series within its metric, and its text in the exposition. */
export function formatLabels(labels: Labels): string {
  return Object.keys(labels)
    .sort()
    .map((name) => `${name}="${escapeLabelValue(labels[name]!)}"`)
    .join(',')
}

/** The labels of the series that takes what is beyond the cap. */
export function otherLabels(labels: Labels): Labels {
  return Object.fromEntries(Object.keys(labels).map((name) => [name, OTHER_LABEL_VALUE]))
}
