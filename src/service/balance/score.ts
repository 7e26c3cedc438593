import type { UsableEndpoints } from './usable-endpoints.ts'

/** What speaks against an endpoint: its requests in flight, or how long it is expected to take. */
export type ScoreKind = 'in-flight' | 'latency'

/**
 * How much speaks against an endpoint now: the lowest is chosen, and among equals (all are idle) the weights decide. One function
 * for all kinds, called directly, because a call through a variable is not inlined, and then every number it returns is an object.
 */
export function scoreOf(kind: ScoreKind, usable: UsableEndpoints, index: number, nowMs: number): number {
  return kind === 'latency' ? scoreLatency(usable, index, nowMs) : scoreInFlight(usable, index)
}

/** What one that has not answered yet costs while it has something to answer: so much that it gets one request at a time. */
const UNKNOWN_COST_MS = 2 ** 40

/** Requests in flight for each unit of weight. */
function scoreInFlight(usable: UsableEndpoints, index: number): number {
  return usable.endpoints[index]!.state.inFlight / usable.weights[index]!
}

/**
 * The estimated time until an answer: latency times (requests in flight + 1), where those of an endpoint with twice the average
 * weight count half. Nothing known and nothing in flight is 0: it is asked at once.
 */
function scoreLatency(usable: UsableEndpoints, index: number, nowMs: number): number {
  const { state } = usable.endpoints[index]!
  const load = (state.inFlight * usable.totalWeight) / (usable.upCount * usable.weights[index]!)
  const latencyMs = state.latencyMs(nowMs)
  if (latencyMs === 0) return load === 0 ? 0 : UNKNOWN_COST_MS + load
  return latencyMs * (load + 1)
}
