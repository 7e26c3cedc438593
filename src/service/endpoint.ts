import type { EndpointConfig } from '../config/types.ts'

/**
 * One address of a service and its live state. The state lies in shared memory, keyed by service and address, so every worker
 * sees the same in-flight count and the same failures, and it survives reloads (see endpoint-state.ts).
 */
export interface Endpoint {
  readonly address: string
  readonly host: string
  readonly port: number
  /** Relative share of the traffic. 0 is drained: never picked. */
  readonly weight: number
  /** The tier of the `first` balancer: lower is used first. */
  readonly priority: number
  readonly tags: Readonly<Record<string, string>>
  readonly state: EndpointState
}

/** How a request ended for its endpoint. `neutral` says nothing about the endpoint: a local reject, a client that left. */
export type Outcome = 'success' | 'failure' | 'neutral'

/** What `EndpointState.asideMs` returns for an endpoint in normal use. */
export const NOT_ASIDE = -1

/**
 * The live state, one view per worker onto the same shared slot. Every `nowMs` must come from one clock that reads the same on
 * all threads of the process (see `EndpointStateStore`).
 */
export interface EndpointState {
  /** Requests now running on this endpoint, over all workers. */
  readonly inFlight: number
  /** The configured weight less what recent failures took away: between 1 (0 when the weight is 0) and the weight. */
  readonly effectiveWeight: number
  /**
   * Milliseconds until the endpoint may be tried again, 0 when it may be tried now, NOT_ASIDE when it is in normal use. Infinity while
   * active checks say it is unhealthy: then only they bring it back.
   */
  asideMs(nowMs: number): number
  /** False while the endpoint is put aside by failures, or unhealthy by active checks. Two atomic loads. Claims nothing. */
  isAvailable(nowMs: number): boolean
  /**
   * A picker calls this on an endpoint that was put aside and may be tried again: true for exactly one caller over all workers in
   * each failTimeout. Always true for an endpoint in normal use, always false for one that still has to wait or is unhealthy.
   */
  admit(nowMs: number): boolean
  /** Milliseconds since the endpoint was added or came back from being put aside; Infinity when that is long ago. For slow start. */
  upForMs(nowMs: number): number
  /**
   * The estimated response time, over all workers. It sinks towards 0 while nothing is heard, so that an endpoint that was slow is
   * asked again. 0: nothing is known, or nobody asked for it to be kept.
   */
  latencyMs(nowMs: number): number
  begin(): void
  /**
   * A request ended. Call exactly once for each `begin`. `latencyMs` is the time from sending it to the head of the response; leave
   * it out when there was no response to wait for. A failure raises the estimate: failing fast is not being fast. `isError`: the endpoint
   * answered, but with a status of 500 or above; that counts for its error rate, and for its latency as a failure does.
   */
  end(outcome: Outcome, nowMs: number, latencyMs?: number, isError?: boolean): void
  /** The outcome of what goes on, such as a connection that stands: it stays in flight until it ends, `neutral`. */
  settle(outcome: Outcome, nowMs: number, latencyMs?: number, isError?: boolean): void
  /** A request is given up after `latencyMs` because another attempt was faster: it takes that long at least. `end` follows, neutral. */
  overtaken(latencyMs: number, nowMs: number): void
}

export function createEndpoint(config: EndpointConfig, state: EndpointState): Endpoint {
  const { address, host, port, weight, priority = 0, tags } = config
  return Object.freeze({ address, host, port, weight, priority, tags, state })
}
