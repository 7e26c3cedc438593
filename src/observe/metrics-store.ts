import { histogramSlotCount, mergeHistogram } from './histogram.ts'
import { WorkerMetrics } from './metrics.ts'
import type { HistogramScale, Labels, MetricsRegistry, MetricType } from './metrics-types.ts'
import { METRICS } from './names.ts'
import type { MetricsAnnouncement, SeriesAnnouncement } from './series.ts'
import { DEFAULT_MAX_SERIES_PER_NAME, formatLabels, otherLabels } from './series.ts'

/** One metric name with the merged values of all threads, as of one moment. */
export interface MetricFamily {
  readonly name: string
  readonly help: string
  readonly type: MetricType
  /** null for counters and gauges. */
  readonly scale: HistogramScale | null
  readonly series: readonly MetricSeries[]
}

export interface MetricSeries {
  readonly labels: Labels
  /** The labels as they stand in the exposition, without braces. */
  readonly labelText: string
  /** One slot, or a whole histogram in the layout of histogram.ts. */
  readonly slots: Float64Array
}

/** The main thread's view of one thread that has metrics. */
export interface MetricsSource {
  /** Takes what the thread announced, in order. */
  receive(announcement: MetricsAnnouncement): void
  /**
   * The thread has ended: its counters and histograms are kept for good, its gauges vanish. What it announced before its end
   * but arrives later is still counted.
   */
  release(): void
}

interface Part {
  readonly slots: Float64Array
  readonly slot: number
}

interface MergedSeries {
  readonly labels: Labels
  readonly labelText: string
  /** What threads that have ended had counted; null while there is nothing. */
  base: Float64Array | null
  readonly parts: Set<Part>
}

interface MergedFamily {
  readonly name: string
  readonly help: string
  readonly type: MetricType
  readonly scale: HistogramScale | null
  readonly slotCount: number
  readonly series: Map<string, MergedSeries>
}

/** Merges the metrics of all threads, with `registry` for the main thread's own. Lives on the main thread. */
export class MetricsStore {
  /** The main thread's own metrics. */
  readonly registry: MetricsRegistry
  readonly #maxSeriesPerName: number
  readonly #families = new Map<string, MergedFamily>()
  readonly #collectors: (() => void)[] = []

  constructor(options: { maxSeriesPerName?: number } = {}) {
    this.#maxSeriesPerName = options.maxSeriesPerName ?? DEFAULT_MAX_SERIES_PER_NAME
    const own = this.attach()
    this.registry = new WorkerMetrics({ announce: (announcement) => own.receive(announcement), maxSeriesPerName: this.#maxSeriesPerName })
  }

  /** Call once for each thread that starts; a replacement of a dead worker gets a source of its own. */
  attach(): MetricsSource {
    return new Source(this)
  }

  /** `collect` runs before each snapshot, to bring gauges up to date that nobody pushes. */
  onSnapshot(collect: () => void): void {
    this.#collectors.push(collect)
  }

  /** Everything, merged, sorted by name and labels. A gauge that no live thread has is left out. */
  snapshot(): MetricFamily[] {
    for (const collect of this.#collectors) collect()
    const families = [...this.#families.values()].sort((a, b) => compareText(a.name, b.name))
    return families.map(snapshotFamily).filter((family) => family.series.length > 0)
  }

  /** Where the values of an announced series are merged. */
  merge(announcement: SeriesAnnouncement): { family: MergedFamily; series: MergedSeries } {
    const family = this.#family(announcement)
    return { family, series: this.#series(family, announcement.labels) }
  }

  #family(announcement: SeriesAnnouncement): MergedFamily {
    const { name, help, type, scale } = announcement
    const known = this.#families.get(name)
    if (known !== undefined) {
      if (known.type !== type) throw new TypeError(`metric ${name} is a ${known.type}, not a ${type}`)
      return known
    }
    const family: MergedFamily = { name, help, type, scale, slotCount: scale === null ? 1 : histogramSlotCount(scale), series: new Map() }
    this.#families.set(name, family)
    return family
  }

  #series(family: MergedFamily, labels: Labels): MergedSeries {
    const labelText = formatLabels(labels)
    const known = family.series.get(labelText)
    if (known !== undefined) return known
    // Each thread keeps the cap for itself; together they could still go beyond it.
    const other = family.series.size >= this.#maxSeriesPerName ? otherLabels(labels) : null
    const otherText = other === null ? null : formatLabels(other)
    if (other !== null && otherText !== labelText && family.name !== METRICS.metricsOverflow.name) {
      this.registry.counter(METRICS.metricsOverflow.name, METRICS.metricsOverflow.help, { metric: family.name }).add(1)
      return this.#otherSeries(family, other)
    }
    return addSeries(family, labels, labelText)
  }

  #otherSeries(family: MergedFamily, other: Labels): MergedSeries {
    const text = formatLabels(other)
    return family.series.get(text) ?? addSeries(family, other, text)
  }
}

class Source implements MetricsSource {
  readonly #store: MetricsStore
  readonly #segments: Float64Array[] = []
  readonly #held: { family: MergedFamily; series: MergedSeries; part: Part }[] = []
  #released = false

  constructor(store: MetricsStore) {
    this.#store = store
  }

  receive(announcement: MetricsAnnouncement): void {
    if (announcement.kind === 'segment') {
      this.#segments[announcement.segmentIndex] = new Float64Array(announcement.buffer)
      return
    }
    const slots = this.#segments[announcement.segmentIndex]
    if (slots === undefined) throw new RangeError(`metric ${announcement.name} lies in a segment that was not announced`)
    const { family, series } = this.#store.merge(announcement)
    const part = { slots, slot: announcement.slot }
    if (this.#released) {
      foldPart(family, series, part)
      return
    }
    series.parts.add(part)
    this.#held.push({ family, series, part })
  }

  release(): void {
    this.#released = true
    for (const { family, series, part } of this.#held) {
      series.parts.delete(part)
      foldPart(family, series, part)
    }
    this.#held.length = 0
  }
}

function addSeries(family: MergedFamily, labels: Labels, labelText: string): MergedSeries {
  const series: MergedSeries = { labels, labelText, base: null, parts: new Set() }
  family.series.set(labelText, series)
  return series
}

function foldPart(family: MergedFamily, series: MergedSeries, part: Part): void {
  if (family.type === 'gauge') {
    // Otherwise the gauges of workers that come and go would fill the cap.
    if (series.parts.size === 0) family.series.delete(series.labelText)
    return
  }
  series.base ??= new Float64Array(family.slotCount)
  addPart(series.base, family, part)
}

function addPart(into: Float64Array, family: MergedFamily, part: Part): void {
  if (family.scale === null) into[0]! += part.slots[part.slot]!
  else mergeHistogram(into, 0, part.slots, part.slot, family.scale)
}

function snapshotFamily(family: MergedFamily): MetricFamily {
  const series: MetricSeries[] = []
  for (const one of family.series.values()) {
    const slots = new Float64Array(family.slotCount)
    if (one.base !== null) slots.set(one.base)
    for (const part of one.parts) addPart(slots, family, part)
    series.push({ labels: one.labels, labelText: one.labelText, slots })
  }
  series.sort((a, b) => compareText(a.labelText, b.labelText))
  return { name: family.name, help: family.help, type: family.type, scale: family.scale, series }
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
