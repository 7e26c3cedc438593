import { HEDGE_DEFAULTS, type HedgeConfig } from '../../../src/retry/hedge.ts'
import { barChart } from '../chart.ts'
import { openLoop } from '../clients.ts'
import { ModelEndpoint } from '../model-endpoint.ts'
import { ModelGateway } from '../model-gateway.ts'
import type { Policies } from '../policies.ts'
import { Samples } from '../samples.ts'
import { ms, percent, type Scenario } from '../scenario.ts'
import { atLeast, withStragglers } from '../service-time.ts'
import { Simulation } from '../simulation.ts'

const WARM_MS = 35_000
const MEASURED_MS = 60_000
const USUAL = atLeast(5, 5)
const P95: HedgeConfig = HEDGE_DEFAULTS

export interface HedgingResult {
  readonly p50: number
  readonly p99: number
  readonly p999: number
  /** Requests at the endpoints for each one of a client, less 1. */
  readonly extra: number
}

/** Ten endpoints at 500 requests per second. `stragglers`: share of the requests that take 20 times as long, wherever they go. */
export function runHedging(policies: Partial<Policies>, stragglers: number, slowFactor: number): HedgingResult {
  const simulation = new Simulation(13)
  const serviceTime = withStragglers(USUAL, stragglers, 20)
  const endpoints = Array.from({ length: 10 }, () => new ModelEndpoint(simulation, { servers: 64, serviceTime }))
  endpoints[0]!.slowFactor = slowFactor
  const destinations = endpoints.map((upstream) => ({ upstream }))
  const gateway = new ModelGateway(simulation, destinations, policies, 2)
  const samples = new Samples()
  openLoop(simulation, [gateway], {
    ratePerSecond: 500,
    untilMs: WARM_MS + MEASURED_MS,
    onResult: ({ sentAtMs, latencyMs }) => sentAtMs >= WARM_MS && samples.add(latencyMs),
  })
  const before = { requests: 0, attempts: 0 }
  simulation.at(WARM_MS, () => {
    before.requests = gateway.requests
    before.attempts = gateway.attempts
  })
  simulation.run(WARM_MS + MEASURED_MS + 5_000)
  return {
    p50: samples.quantile(0.5),
    p99: samples.quantile(0.99),
    p999: samples.quantile(0.999),
    extra: (gateway.attempts - before.attempts) / (gateway.requests - before.requests) - 1,
  }
}

const CASES = [
  { name: '1% of requests 20 times as slow', stragglers: 0.01, slowFactor: 1 },
  { name: '3% of requests 20 times as slow', stragglers: 0.03, slowFactor: 1 },
  { name: 'one endpoint of ten 10 times as slow', stragglers: 0, slowFactor: 10 },
]

const KINDS: readonly { readonly name: string; readonly policies: Partial<Policies> }[] = [
  { name: 'no hedging', policies: {} },
  { name: 'hedge after p95, budget 5%', policies: { hedge: P95 } },
  { name: 'hedge after p90, budget 10%', policies: { hedge: { ...P95, after: { quantile: 0.9 }, budgetRatio: 0.1 } } },
]

export const hedging: Scenario = {
  name: 'hedging',
  isFast: true,
  run() {
    const found = CASES.map(({ stragglers, slowFactor }) => KINDS.map(({ policies }) => runHedging(policies, stragglers, slowFactor)))
    const rows = CASES.flatMap((one, i) =>
      KINDS.map(({ name }, k) => {
        const { p50, p99, p999, extra } = found[i]![k]!
        return [`${one.name}: ${name}`, ms(p50), ms(p99), ms(p999), percent(extra)]
      }),
    )
    const series = KINDS.map(({ name }, k) => ({ name, values: found.map((results) => results[k]!.p99) }))
    const labels = CASES.map(({ name }) => name)
    return {
      tables: [{ columns: ['fault: setting', 'p50 ms', 'p99 ms', 'p99.9 ms', 'extra load'], rows }],
      charts: { 'hedging.svg': barChart({ title: 'p99 with and without backup requests', x: 'milliseconds', labels, series }) },
    }
  },
}
