import type { EjectionRules } from '../../../src/breaker/ejection.ts'
import type { BalanceConfig } from '../../../src/config/types.ts'
import { barChart } from '../chart.ts'
import { openLoop } from '../clients.ts'
import { ModelEndpoint } from '../model-endpoint.ts'
import { ModelGateway } from '../model-gateway.ts'
import type { Policies } from '../policies.ts'
import { Samples } from '../samples.ts'
import { ms, percent, type Scenario } from '../scenario.ts'
import { atLeast } from '../service-time.ts'
import { Simulation } from '../simulation.ts'

/** Requests per second for each endpoint: each works on 64 at once, so the slow one answers slowly but is not drowned. */
const RATE = 120
const SLOW_FACTOR = 10
/** Endpoint 0 turns slow after this; measured is what comes later. */
const SLOW_AT_MS = 5_000
const HEADER_KEY = { from: 'header', name: 'x-user' } as const

/** What `ejection: { latencyFactor: 3 }` is. */
export const OUTLIERS: EjectionRules = {
  errorRateRatio: null,
  latencyFactor: 3,
  minLatencyMs: 50,
  minRequests: 100,
  minEndpoints: 2,
  ejectionMs: 30_000,
  maxEjectionMs: 300_000,
}

export interface Kind {
  readonly name: string
  readonly policies: Partial<Policies>
}

const of = (balance: BalanceConfig, name: string = balance.algorithm): Kind => ({ name, policies: { balance } })

export const KINDS: readonly Kind[] = [
  of({ algorithm: 'round-robin' }),
  of({ algorithm: 'random' }),
  of({ algorithm: 'weighted-random' }),
  of({ algorithm: 'consistent-hash', on: HEADER_KEY, hash: 'fnv1a', virtualNodes: 160, loadFactor: null }),
  of(
    { algorithm: 'consistent-hash', on: HEADER_KEY, hash: 'fnv1a', virtualNodes: 160, loadFactor: 1.25 },
    'consistent-hash, loadFactor 1.25',
  ),
  of({ algorithm: 'maglev', on: HEADER_KEY }),
  of({ algorithm: 'rendezvous', on: HEADER_KEY }),
  of({ algorithm: 'first', spilloverRatio: 0.7 }, 'first (one tier)'),
  of({ algorithm: 'least-request', choices: 2 }),
  of({ algorithm: 'least-request', choices: 'all' }, 'least-request, choices all'),
  of({ algorithm: 'least-connections' }),
  of({ algorithm: 'fastest-response', decayMs: 10_000 }),
  of({ algorithm: 'peak-ewma', decayMs: 10_000 }),
  { name: 'round-robin, latencyFactor 3', policies: { outliers: OUTLIERS } },
]

export interface SlowResult {
  readonly p50: number
  readonly p99: number
  readonly p999: number
  /** Share of the requests that the slow endpoint got; an even share is 1/n. */
  readonly share: number
}

/** One endpoint of `count` takes ten times as long. `slowFactor` 1 is the same without the fault. */
export function runSlowEndpoint(count: number, policies: Partial<Policies>, slowFactor = SLOW_FACTOR, measuredMs = 20_000): SlowResult {
  const simulation = new Simulation(7)
  const endpoints = Array.from({ length: count }, () => new ModelEndpoint(simulation, { servers: 64, serviceTime: atLeast(5, 5) }))
  const gateway = new ModelGateway(
    simulation,
    endpoints.map((upstream) => ({ upstream })),
    policies,
    2,
  )
  const samples = new Samples()
  openLoop(simulation, [gateway], {
    ratePerSecond: RATE * count,
    untilMs: SLOW_AT_MS + measuredMs,
    key: (random) => `user-${Math.floor(random() * 100_000)}`,
    onResult: ({ sentAtMs, latencyMs }) => sentAtMs >= SLOW_AT_MS && samples.add(latencyMs),
  })
  const before = { all: 0, slow: 0 }
  simulation.at(SLOW_AT_MS, () => {
    endpoints[0]!.slowFactor = slowFactor
    before.all = gateway.attempts
    before.slow = endpoints[0]!.received
  })
  simulation.run(SLOW_AT_MS + measuredMs + 5_000)
  return {
    p50: samples.quantile(0.5),
    p99: samples.quantile(0.99),
    p999: samples.quantile(0.999),
    share: (endpoints[0]!.received - before.slow) / (gateway.attempts - before.all),
  }
}

function scenarioOf(count: number): Scenario {
  return {
    name: `slow-of-${count}`,
    isFast: false,
    run() {
      const healthy = runSlowEndpoint(count, {}, 1)
      const results = KINDS.map(({ policies }) => runSlowEndpoint(count, policies))
      const row = (name: string, r: SlowResult) => [name, ms(r.p50), ms(r.p99), ms(r.p999), percent(r.share)]
      const columns = ['balance', 'p50 ms', 'p99 ms', 'p99.9 ms', 'share of the slow one']
      const title = `One endpoint of ${count} is ten times as slow`
      const series = [
        { name: 'p99', values: [healthy.p99, ...results.map(({ p99 }) => p99)] },
        { name: 'p99.9', values: [healthy.p999, ...results.map(({ p999 }) => p999)] },
      ]
      const labels = ['none slow (round-robin)', ...KINDS.map(({ name }) => name)]
      const chart = barChart({ title, x: 'milliseconds', labels, series, mark: { value: 1.5 * healthy.p99, name: '1.5 x healthy p99' } })
      return {
        tables: [{ columns, rows: [row('none slow (round-robin)', healthy), ...KINDS.map(({ name }, i) => row(name, results[i]!))] }],
        charts: { [`slow-of-${count}.svg`]: chart },
      }
    },
  }
}

export const slowOfTen = scenarioOf(10)
export const slowOfFifty = scenarioOf(50)
