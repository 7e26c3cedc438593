import { createCounter } from './handles.ts'
import type { Counter, MetricsRegistry } from './metrics-types.ts'
import { METRICS } from './names.ts'

/** `refused`: the client's certificate was missing or not believed. `aborted`: the client left, or its FIN came first. */
export type HandshakeResult = 'ok' | 'failed' | 'refused' | 'timeout' | 'aborted'

/** The TLS handshakes of one listener; each series is made by its first use. */
export class HandshakeMetrics {
  readonly #registry: MetricsRegistry
  readonly #listener: string
  readonly #counters = new Map<string, Counter>()

  constructor(registry: MetricsRegistry, listener: string) {
    this.#registry = registry
    this.#listener = listener
  }

  /** `version` is '-' when none was agreed on. */
  count(result: HandshakeResult, version: string, isResumed: boolean): void {
    const key = `${result} ${version} ${isResumed}`
    let counter = this.#counters.get(key)
    if (counter === undefined) {
      const labels = { listener: this.#listener, result, version, resumed: String(isResumed) }
      counter = createCounter(this.#registry, METRICS.tlsHandshakes, labels)
      this.#counters.set(key, counter)
    }
    counter.add(1)
  }
}
