import { GRPC_STATUS_NAMES } from '../base/grpc-status.ts'
import { createCounter } from './handles.ts'
import type { Counter, MetricsRegistry } from './metrics-types.ts'
import { METRICS } from './names.ts'

/** gRPC calls of one route; each series is made by its first use. */
export class GrpcMetrics {
  readonly #registry: MetricsRegistry
  readonly #route: string
  readonly #calls: (Counter | undefined)[] = []
  #requests: Counter | null = null
  #responses: Counter | null = null

  constructor(registry: MetricsRegistry, route: string) {
    this.#registry = registry
    this.#route = route
  }

  /** A call has ended with this status (0 to 16), after so many messages each way. */
  finish(status: number, requests: number, responses: number): void {
    let counter = this.#calls[status]
    if (counter === undefined) {
      counter = createCounter(this.#registry, METRICS.grpcCalls, { route: this.#route, grpc_status: GRPC_STATUS_NAMES[status] as string })
      this.#calls[status] = counter
    }
    counter.add(1)
    this.#requests ??= createCounter(this.#registry, METRICS.grpcMessages, { route: this.#route, direction: 'request' })
    this.#responses ??= createCounter(this.#registry, METRICS.grpcMessages, { route: this.#route, direction: 'response' })
    this.#requests.add(requests)
    this.#responses.add(responses)
  }
}
