import { createCounter, createGauge } from './handles.ts'
import type { Counter, Gauge, MetricsRegistry } from './metrics-types.ts'
import { METRICS } from './names.ts'

/** Why a datagram went no further. */
export type UdpDropReason =
  | 'denied'
  | 'flow-limit'
  | 'no-endpoint'
  | 'breaker-open'
  | 'unreachable'
  | 'queue-full'
  | 'send-failed'
  | 'draining'

/** From the client's side: received from it, sent to it. */
export interface UdpTraffic {
  readonly receivedDatagrams: Counter
  readonly receivedBytes: Counter
  readonly sentDatagrams: Counter
  readonly sentBytes: Counter
}

/** The metrics of one UDP listener. Whoever adds to a gauge takes it back. */
export class UdpListenerMetrics {
  readonly flowsOpen: Gauge
  readonly #registry: MetricsRegistry
  readonly #listener: string
  readonly #byService = new Map<string, UdpTraffic>()
  readonly #ends = new Map<string, Counter>()
  readonly #drops = new Map<UdpDropReason, Counter>()

  constructor(registry: MetricsRegistry, listener: string) {
    this.#registry = registry
    this.#listener = listener
    this.flowsOpen = createGauge(registry, METRICS.udpFlowsOpen, { listener })
  }

  traffic(service: string): UdpTraffic {
    let traffic = this.#byService.get(service)
    if (traffic === undefined) {
      const labels = (direction: string) => ({ listener: this.#listener, service, direction })
      traffic = {
        receivedDatagrams: createCounter(this.#registry, METRICS.udpDatagrams, labels('received')),
        receivedBytes: createCounter(this.#registry, METRICS.udpBytes, labels('received')),
        sentDatagrams: createCounter(this.#registry, METRICS.udpDatagrams, labels('sent')),
        sentBytes: createCounter(this.#registry, METRICS.udpBytes, labels('sent')),
      }
      this.#byService.set(service, traffic)
    }
    return traffic
  }

  dropped(reason: UdpDropReason): void {
    let counter = this.#drops.get(reason)
    if (counter === undefined) {
      counter = createCounter(this.#registry, METRICS.udpDropped, { listener: this.#listener, reason })
      this.#drops.set(reason, counter)
    }
    counter.add(1)
  }

  /** A flow ended; `result` is `answered`, `idle`, `replaced`, `closed` or an ErrorCode. */
  ended(result: string): void {
    let counter = this.#ends.get(result)
    if (counter === undefined) {
      counter = createCounter(this.#registry, METRICS.udpFlows, { listener: this.#listener, result })
      this.#ends.set(result, counter)
    }
    counter.add(1)
  }
}
