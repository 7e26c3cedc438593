import { createCounter, createGauge } from './handles.ts'
import type { Counter, Gauge, MetricsRegistry } from './metrics-types.ts'
import { METRICS } from './names.ts'

/** HTTP/2 on one listener; each series is made by its first use. */
export class Http2Metrics {
  readonly #registry: MetricsRegistry
  readonly #listener: string
  readonly #attacks = new Map<string, Counter>()
  #streams: Gauge | null = null

  constructor(registry: MetricsRegistry, listener: string) {
    this.#registry = registry
    this.#listener = listener
  }

  /** Streams opened since the last call, less those closed. */
  addStreams(change: number): void {
    this.#streams ??= createGauge(this.#registry, METRICS.http2Streams, { listener: this.#listener })
    this.#streams.add(change)
  }

  /** `kind`: from a fixed set (codec/http2/session-owner.ts). */
  attack(kind: string): void {
    let counter = this.#attacks.get(kind)
    if (counter === undefined) {
      counter = createCounter(this.#registry, METRICS.http2Attacks, { listener: this.#listener, kind })
      this.#attacks.set(kind, counter)
    }
    counter.add(1)
  }
}
