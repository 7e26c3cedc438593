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
  /** Milliseconds until the endpoint may be tried again, 0 when it may be tried now, NOT_ASIDE when it is in normal use. */
  asideMs(nowMs: number): number
  /** False while the endpoint is put aside (passive failures now; active health later). One atomic load. Claims nothing. */
  isAvailable(nowMs: number): boolean
  /**
   * A picker calls this on an endpoint that was put aside and may be tried again: true for exactly one caller over all workers in
   * each failTimeout. Always true for an endpoint in normal use, always false for one that still has to wait.
   */
  admit(nowMs: number): boolean
  begin(): void
  /** A request ended. Call exactly once for each `begin`. */
  end(outcome: Outcome, nowMs: number): void
}

export function createEndpoint(config: EndpointConfig, state: EndpointState): Endpoint {
  const { address, host, port, weight, tags } = config
  return Object.freeze({ address, host, port, weight, tags, state })
}
