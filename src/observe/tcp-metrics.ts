import { createCounter, createGauge } from './handles.ts'
import type { Counter, Gauge, MetricsRegistry } from './metrics-types.ts'
import { METRICS } from './names.ts'

/** The metrics of one TCP listener. Whoever adds to a gauge takes it back. */
export class TcpListenerMetrics {
  readonly connectionsOpen: Gauge
  readonly connectionsAccepted: Counter
  readonly connectionsRefused: Counter
  readonly #registry: MetricsRegistry
  readonly #listener: string
  readonly #byService = new Map<string, TcpByteMetrics>()
  readonly #ends = new Map<string, Counter>()
  readonly #thrift = new Map<string, OnThriftMessage>()

  constructor(registry: MetricsRegistry, listener: string) {
    this.#registry = registry
    this.#listener = listener
    this.connectionsOpen = createGauge(registry, METRICS.connectionsOpen, { listener })
    this.connectionsAccepted = createCounter(registry, METRICS.connectionsAccepted, { listener })
    this.connectionsRefused = createCounter(registry, METRICS.connectionsRefused, { listener })
  }

  bytes(service: string): TcpByteMetrics {
    let metrics = this.#byService.get(service)
    if (metrics === undefined) {
      const listener = this.#listener
      metrics = {
        received: createCounter(this.#registry, METRICS.tcpBytes, { listener, service, direction: 'received' }),
        sent: createCounter(this.#registry, METRICS.tcpBytes, { listener, service, direction: 'sent' }),
      }
      this.#byService.set(service, metrics)
    }
    return metrics
  }

  /** What counts the Thrift messages of connections to this service. */
  countThrift(service: string): OnThriftMessage {
    let count = this.#thrift.get(service)
    if (count === undefined) {
      count = createThriftCounter(this.#registry, this.#listener, service)
      this.#thrift.set(service, count)
    }
    return count
  }

  /** A connection ended; `result` is `ok` or an ErrorCode. */
  ended(result: string): void {
    let counter = this.#ends.get(result)
    if (counter === undefined) {
      counter = createCounter(this.#registry, METRICS.tcpConnections, { listener: this.#listener, result })
      this.#ends.set(result, counter)
    }
    counter.add(1)
  }
}

/** From the client's side: received from it, sent to it. */
export interface TcpByteMetrics {
  readonly received: Counter
  readonly sent: Counter
}

/** Names come from clients: beyond so many, and beyond this length, they are counted as `other`. */
const MAX_THRIFT_METHODS = 200
const MAX_METHOD_LENGTH = 100
const OTHER = 'other'

/** A message of the codec; declared here, because layers of one level do not know each other. */
type OnThriftMessage = (type: 'call' | 'reply' | 'exception' | 'oneway', multiplexed: string, method: string) => void

function createThriftCounter(registry: MetricsRegistry, listener: string, service: string): OnThriftMessage {
  const methods = new Set<string>()
  const counters = new Map<string, Counter>()
  return (type, multiplexed, method) => {
    let name = multiplexed === '' ? method : `${multiplexed}:${method}`
    if (!methods.has(name)) {
      if (methods.size >= MAX_THRIFT_METHODS || name.length > MAX_METHOD_LENGTH || !/^[\w.:-]+$/.test(name)) name = OTHER
      methods.add(name)
    }
    const key = `${type} ${name}`
    let counter = counters.get(key)
    if (counter === undefined) {
      counter = createCounter(registry, METRICS.thriftMessages, { listener, service, type, method: name })
      counters.set(key, counter)
    }
    counter.add(1)
  }
}

export function createTcpListenerMetrics(registry: MetricsRegistry, listener: string): TcpListenerMetrics {
  return new TcpListenerMetrics(registry, listener)
}
