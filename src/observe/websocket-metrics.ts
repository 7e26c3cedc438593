import { createCounter, createGauge } from './handles.ts'
import type { Counter, Gauge, MetricsRegistry } from './metrics-types.ts'
import { METRICS } from './names.ts'

/** The WebSockets of one route in one worker. */
export interface WebSocketMetrics {
  readonly open: Gauge
  /** Frames of clients. */
  readonly received: Counter
  /** Frames of endpoints. */
  readonly sent: Counter
}

export function createWebSocketMetrics(registry: MetricsRegistry, route: string): WebSocketMetrics {
  return {
    open: createGauge(registry, METRICS.webSocketsOpen, { route }),
    received: createCounter(registry, METRICS.webSocketFrames, { route, direction: 'received' }),
    sent: createCounter(registry, METRICS.webSocketFrames, { route, direction: 'sent' }),
  }
}
