/**
 * Metrics as the data path sees them: a handle is resolved once (per route, per service), then `add` and `record` are a few
 * array writes into this worker's own shared region. The main thread merges the regions of all workers when scraped.
 */
export interface Counter {
  /** `amount` is never negative. */
  add(amount: number): void
}
export interface Gauge {
  add(amount: number): void
  /** Workers are summed when scraped, so a value that must not be summed belongs to one thread or carries a `worker` label. */
  set(value: number): void
}
export interface Histogram {
  /** Seconds for durations, bytes for sizes. Anything that is not a number above zero counts as zero. */
  record(value: number): void
}
export type Labels = Readonly<Record<string, string>>
export type MetricType = 'counter' | 'gauge' | 'histogram'

/** The finest and the coarsest exact bucket edge, as exponents of two, in the unit of the recorded value. */
export interface HistogramScale {
  readonly minExponent: number
  readonly maxExponent: number
}

/**
 * Asking twice for the same name and labels gives the same series. Throws on a name or label that Prometheus does not allow and
 * when a name was used before with another type: both are defects in the program, never in a configuration.
 */
export interface MetricsRegistry {
  counter(name: string, help: string, labels?: Labels): Counter
  gauge(name: string, help: string, labels?: Labels): Gauge
  /** `scale` defaults to seconds: exact edges from 2^-14 s (61 microseconds) to 2^7 s (128 s). */
  histogram(name: string, help: string, labels?: Labels, scale?: HistogramScale): Histogram
}
