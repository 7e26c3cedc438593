import { createCounter, createGauge } from './handles.ts'
import type { Counter, Gauge, MetricsRegistry } from './metrics-types.ts'
import { METRICS } from './names.ts'

/** Connections of an HTTP listener that went on as tunnels. Whoever adds to a gauge takes it back. */
export class TunnelMetrics {
  readonly open: Gauge
  /** From the client. */
  readonly received: Counter
  /** To the client. */
  readonly sent: Counter

  constructor(registry: MetricsRegistry, listener: string) {
    this.open = createGauge(registry, METRICS.tunnelsOpen, { listener })
    this.received = createCounter(registry, METRICS.tunnelBytes, { listener, direction: 'received' })
    this.sent = createCounter(registry, METRICS.tunnelBytes, { listener, direction: 'sent' })
  }
}
