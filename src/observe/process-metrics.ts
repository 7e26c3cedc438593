import { readdirSync } from 'node:fs'
import { totalmem } from 'node:os'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { getHeapStatistics } from 'node:v8'
import { createCounter, createGauge } from './handles.ts'
import type { Gauge, MetricsRegistry } from './metrics-types.ts'
import { METRICS } from './names.ts'

/**
 * Share of the memory in use, 0 to 1: the most of what this process takes of the machine (or of the limit of its container), and what
 * the heap of the calling thread takes of its own limit.
 */
export function createMemoryReader(): () => number {
  const constrained = process.constrainedMemory()
  const bytes = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem()
  return () => {
    const heap = getHeapStatistics()
    return Math.max(process.memoryUsage.rss() / bytes, heap.used_heap_size / heap.heap_size_limit)
  }
}

/** What the operating system knows about this process. */
export interface ProcessReader {
  /** User and system time so far. */
  cpuSeconds(): number
  residentBytes(): number
  /** null where the system does not tell. */
  openFds(): number | null
}

export const systemProcessReader: ProcessReader = {
  cpuSeconds() {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  },
  residentBytes: () => process.memoryUsage.rss(),
  openFds() {
    try {
      // One of them is the descriptor that reads the directory.
      return readdirSync('/proc/self/fd').length - 1
    } catch {
      return null
    }
  },
}

export interface ProcessMetricsOptions {
  /** Default: the operating system. */
  reader?: ProcessReader
  version: string
  nodeVersion: string
  /** Milliseconds since the Unix epoch. */
  startTimeMs: number
}

/** The metrics of the whole process. Returns the function that brings them up to date: give it to `MetricsStore.onSnapshot`. */
export function createProcessMetrics(registry: MetricsRegistry, options: ProcessMetricsOptions): () => void {
  const reader = options.reader ?? systemProcessReader
  createGauge(registry, METRICS.buildInfo, { version: options.version, node_version: options.nodeVersion }).set(1)
  createGauge(registry, METRICS.processStartTime, {}).set(options.startTimeMs / 1000)
  const cpu = createCounter(registry, METRICS.processCpu, {})
  const residentMemory = createGauge(registry, METRICS.processResidentMemory, {})
  let openFds: Gauge | null = null
  let countedCpuSeconds = 0
  return () => {
    const cpuSeconds = reader.cpuSeconds()
    cpu.add(Math.max(0, cpuSeconds - countedCpuSeconds))
    countedCpuSeconds = Math.max(countedCpuSeconds, cpuSeconds)
    residentMemory.set(reader.residentBytes())
    const fds = reader.openFds()
    if (fds === null) return
    openFds ??= createGauge(registry, METRICS.processOpenFds, {})
    openFds.set(fds)
  }
}

/** The part of Node's event-loop delay histogram that is used. Nanoseconds. */
export type DelayHistogram = Pick<ReturnType<typeof monitorEventLoopDelay>, 'max' | 'reset' | 'count'>

const SAMPLE_EVERY_MS = 20
/** Publishes looked back on: with one each second, what a Prometheus that scrapes every 15 s would otherwise miss. */
const WINDOW = 15

/**
 * Publishes the longest event-loop delay of the last 15 calls; the owner calls `publish` once a second. Whoever acts on the delay asks
 * `sampleMs` more often.
 */
export class EventLoopDelayMetric {
  readonly #gauge: Gauge
  readonly #histogram: DelayHistogram
  readonly #recentSeconds = new Float64Array(WINDOW)
  #next = 0
  /** The longest since the last `publish`, as far as samples were taken. */
  #sampledMs = 0

  constructor(registry: MetricsRegistry, worker: number, histogram: DelayHistogram) {
    this.#gauge = createGauge(registry, METRICS.workerEventLoopDelay, { worker: String(worker) })
    this.#histogram = histogram
  }

  /** The longest delay since the last call, of this or of `publish`. */
  sampleMs(): number {
    // Node reports the whole interval between two samples; the delay is what goes beyond the planned one.
    const beyondMs = this.#histogram.count === 0 ? 0 : Math.max(0, this.#histogram.max / 1e6 - SAMPLE_EVERY_MS)
    this.#histogram.reset()
    this.#sampledMs = Math.max(this.#sampledMs, beyondMs)
    return beyondMs
  }

  publish(): void {
    this.sampleMs()
    this.#recentSeconds[this.#next] = this.#sampledMs / 1000
    this.#sampledMs = 0
    this.#next = (this.#next + 1) % WINDOW
    let longest = 0
    for (let i = 0; i < WINDOW; i++) longest = Math.max(longest, this.#recentSeconds[i]!)
    this.#gauge.set(longest)
  }
}

export interface EventLoopDelay {
  publish(): void
  sampleMs(): number
  stop(): void
}

/** Starts Node's own measurement of the event loop of the calling thread. `stop` ends it. */
export function startEventLoopDelay(registry: MetricsRegistry, worker: number): EventLoopDelay {
  const histogram = monitorEventLoopDelay({ resolution: SAMPLE_EVERY_MS })
  histogram.enable()
  const metric = new EventLoopDelayMetric(registry, worker, histogram)
  return { publish: () => metric.publish(), sampleMs: () => metric.sampleMs(), stop: () => void histogram.disable() }
}
