import { histogramSlotCount, LogLinearHistogram, SECONDS_SCALE } from './histogram.ts'
import type { Counter, Gauge, Histogram, HistogramScale, Labels, MetricsRegistry, MetricType } from './metrics-types.ts'
import { METRICS } from './names.ts'
import type { MetricsAnnouncement } from './series.ts'
import { assertMetricName, DEFAULT_MAX_SERIES_PER_NAME, formatLabels, otherLabels } from './series.ts'

/**
 * The metrics of one thread. Values lie in shared memory that only this thread writes, so an update is a plain `slots[i] += n`;
 * the main thread reads it when scraped. A 64-bit double at an aligned address is written and read whole by the processors Node
 * runs on, so no atomic operation is needed.
 *
 *   segment 0 [ counter | gauge | histogram ........ | counter | unused ]    64 KiB
 *   segment 1 [ histogram ........ | ...                                ]    made when the one before is full
 */
export interface WorkerMetricsOptions {
  /** Called for each new segment and series, in order. The main thread hands them to its MetricsStore. */
  announce: (announcement: MetricsAnnouncement) => void
  /** Default 2,000. */
  maxSeriesPerName?: number
  /** Float64 slots in one segment. Default 8,192; a larger series gets a segment of its own. */
  segmentSlots?: number
}

const DEFAULT_SEGMENT_SLOTS = 8192

/** Counter and gauge alike: one slot. */
class SlotValue implements Counter, Gauge {
  readonly #slots: Float64Array
  readonly #slot: number

  constructor(slots: Float64Array, slot: number) {
    this.#slots = slots
    this.#slot = slot
  }

  add(amount: number): void {
    this.#slots[this.#slot]! += amount
  }

  set(value: number): void {
    this.#slots[this.#slot] = value
  }
}

interface Family {
  readonly name: string
  readonly help: string
  readonly type: MetricType
  readonly scale: HistogramScale | null
  readonly values: Map<string, SlotValue>
  readonly histograms: Map<string, LogLinearHistogram>
}

interface Place {
  readonly slots: Float64Array
  readonly slot: number
}

/** One for each thread; `announce` is told of every new piece of memory and series. */
export class WorkerMetrics implements MetricsRegistry {
  readonly #announce: (announcement: MetricsAnnouncement) => void
  readonly #maxSeriesPerName: number
  readonly #segmentSlots: number
  readonly #families = new Map<string, Family>()
  #segment: Float64Array = new Float64Array(0)
  #segmentIndex = -1
  #nextSlot = 0

  constructor(options: WorkerMetricsOptions) {
    this.#announce = options.announce
    this.#maxSeriesPerName = options.maxSeriesPerName ?? DEFAULT_MAX_SERIES_PER_NAME
    this.#segmentSlots = options.segmentSlots ?? DEFAULT_SEGMENT_SLOTS
  }

  counter(name: string, help: string, labels: Labels = {}): Counter {
    return this.#value(this.#family(name, help, 'counter', null), labels)
  }

  gauge(name: string, help: string, labels: Labels = {}): Gauge {
    return this.#value(this.#family(name, help, 'gauge', null), labels)
  }

  histogram(name: string, help: string, labels: Labels = {}, scale: HistogramScale = SECONDS_SCALE): Histogram {
    const family = this.#family(name, help, 'histogram', scale)
    assertMetricName(name, labels)
    const [key, kept] = this.#admit(family, family.histograms, labels)
    const known = family.histograms.get(key)
    if (known !== undefined) return known
    const place = this.#allocate(family, kept, histogramSlotCount(scale))
    const histogram = new LogLinearHistogram(place.slots, place.slot, scale)
    family.histograms.set(key, histogram)
    return histogram
  }

  #value(family: Family, labels: Labels): SlotValue {
    assertMetricName(family.name, labels)
    const [key, kept] = this.#admit(family, family.values, labels)
    const known = family.values.get(key)
    if (known !== undefined) return known
    const place = this.#allocate(family, kept, 1)
    const value = new SlotValue(place.slots, place.slot)
    family.values.set(key, value)
    return value
  }

  #family(name: string, help: string, type: MetricType, scale: HistogramScale | null): Family {
    const known = this.#families.get(name)
    if (known === undefined) {
      const family: Family = { name, help, type, scale, values: new Map(), histograms: new Map() }
      this.#families.set(name, family)
      return family
    }
    if (known.type !== type) throw new TypeError(`metric ${name} is a ${known.type}, not a ${type}`)
    if (known.scale?.minExponent !== scale?.minExponent || known.scale?.maxExponent !== scale?.maxExponent) {
      throw new TypeError(`metric ${name} has another scale`)
    }
    return known
  }

  /** The series these labels are counted in: their own, or the one named `other` when the metric has reached its cap. */
  #admit(family: Family, series: ReadonlyMap<string, unknown>, labels: Labels): [key: string, labels: Labels] {
    const key = formatLabels(labels)
    if (series.has(key) || series.size < this.#maxSeriesPerName) return [key, labels]
    // The overflow counter itself has one series for each metric name, which the program bounds.
    if (family.name !== METRICS.metricsOverflow.name) {
      this.counter(METRICS.metricsOverflow.name, METRICS.metricsOverflow.help, { metric: family.name }).add(1)
    }
    const other = otherLabels(labels)
    return [formatLabels(other), other]
  }

  #allocate(family: Family, labels: Labels, slotCount: number): Place {
    if (this.#nextSlot + slotCount > this.#segment.length) this.#grow(slotCount)
    const slot = this.#nextSlot
    this.#nextSlot += slotCount
    const { name, help, type, scale } = family
    this.#announce({ kind: 'series', segmentIndex: this.#segmentIndex, slot, name, help, type, labels: { ...labels }, scale })
    return { slots: this.#segment, slot }
  }

  #grow(slotCount: number): void {
    const slots = Math.max(this.#segmentSlots, slotCount)
    const buffer = new SharedArrayBuffer(slots * Float64Array.BYTES_PER_ELEMENT)
    this.#segment = new Float64Array(buffer)
    this.#segmentIndex += 1
    this.#nextSlot = 0
    this.#announce({ kind: 'segment', segmentIndex: this.#segmentIndex, buffer })
  }
}
