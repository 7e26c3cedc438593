import { type EjectionRules, type EndpointSample, OutlierEjection } from '../../src/breaker/ejection.ts'
import type { EndpointTotals } from '../../src/service/endpoint-control.ts'
import type { EndpointStateStore } from '../../src/service/endpoint-state-store.ts'
import type { Simulation } from './simulation.ts'

const INTERVAL_MS = 10_000
const MAX_EJECTED_RATIO = 0.5

/** What the main thread does for outlier ejection: every 10 s the endpoints are compared, by what all workers counted. */
export function startSweeps(
  simulation: Simulation,
  store: EndpointStateStore,
  service: string,
  addresses: readonly string[],
  rules: EjectionRules,
): void {
  const ejection = new OutlierEjection(rules)
  const controls = addresses.map((address) => store.control(service, address)!)
  const group = store.group(service, addresses, MAX_EJECTED_RATIO)
  let before = controls.map((control) => control.totals())
  simulation.every(INTERVAL_MS, () => {
    const { nowMs } = simulation
    const now = controls.map((control) => control.totals())
    const samples = controls.map((control, i): EndpointSample => sampleOf(before[i]!, now[i]!, control.aside(INTERVAL_MS, nowMs) === null))
    before = now
    ejection.sweep(addresses, samples, ({ endpoint }, durationMs) => controls[endpoint]!.eject(durationMs, group, nowMs))
  })
}

function sampleOf(before: EndpointTotals, now: EndpointTotals, isInUse: boolean): EndpointSample {
  const latencies = now.latencies - before.latencies
  return {
    results: now.results - before.results,
    errors: now.errors - before.errors,
    latencyMs: latencies === 0 ? -1 : (now.latencyMs - before.latencyMs) / latencies,
    isInUse,
  }
}
