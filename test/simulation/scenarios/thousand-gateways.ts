import type { BalanceConfig } from '../../../src/config/types.ts'
import { barChart } from '../chart.ts'
import { openLoop } from '../clients.ts'
import { ModelEndpoint } from '../model-endpoint.ts'
import { ModelGateway } from '../model-gateway.ts'
import { Samples } from '../samples.ts'
import { ms, percent, type Scenario } from '../scenario.ts'
import { atLeast } from '../service-time.ts'
import { Simulation } from '../simulation.ts'

const ENDPOINTS = 50
const SLOW_AT_MS = 5_000
const END_MS = 25_000
const RATE = 6000

export interface PartialResult {
  readonly p99: number
  readonly p999: number
  readonly slowShare: number
  /** Requests of the busiest of the other endpoints, and their average. */
  readonly busiestRatio: number
}

/**
 * `gateways` gateways share 6,000 requests per second to 50 endpoints; each knows only what it saw itself, and only `known` of the
 * endpoints, drawn at random. One endpoint becomes ten times as slow.
 */
export function runPartial(balance: BalanceConfig, gateways: number, known: number): PartialResult {
  const simulation = new Simulation(29)
  const random = simulation.createRandom()
  const endpoints = Array.from({ length: ENDPOINTS }, () => new ModelEndpoint(simulation, { servers: 16, serviceTime: atLeast(5, 5) }))
  const entries = Array.from({ length: gateways }, () => {
    const drawn = endpoints.map((upstream) => ({ upstream, at: random() })).sort((a, b) => a.at - b.at)
    return new ModelGateway(simulation, drawn.slice(0, known), { balance })
  })
  const samples = new Samples()
  openLoop(simulation, entries, {
    ratePerSecond: RATE,
    untilMs: END_MS,
    onResult: ({ sentAtMs, latencyMs }) => sentAtMs >= SLOW_AT_MS && samples.add(latencyMs),
  })
  let before: number[] = []
  simulation.at(SLOW_AT_MS, () => {
    endpoints[0]!.slowFactor = 10
    before = endpoints.map(({ received }) => received)
  })
  simulation.run(END_MS + 2_000)
  const counts = endpoints.map(({ received }, i) => received - before[i]!)
  const all = counts.reduce((sum, count) => sum + count)
  const others = counts.slice(1)
  return {
    p99: samples.quantile(0.99),
    p999: samples.quantile(0.999),
    slowShare: counts[0]! / all,
    busiestRatio: (Math.max(...others) * others.length) / (all - counts[0]!),
  }
}

const BALANCES: readonly { readonly name: string; readonly balance: BalanceConfig }[] = [
  { name: 'round-robin', balance: { algorithm: 'round-robin' } },
  { name: 'least-request', balance: { algorithm: 'least-request', choices: 2 } },
  { name: 'least-request, choices all', balance: { algorithm: 'least-request', choices: 'all' } },
  { name: 'fastest-response', balance: { algorithm: 'fastest-response', decayMs: 10_000 } },
  { name: 'peak-ewma', balance: { algorithm: 'peak-ewma', decayMs: 10_000 } },
]
const SIZES = [
  { gateways: 1, known: 50 },
  { gateways: 30, known: 50 },
  { gateways: 1000, known: 50 },
  { gateways: 1000, known: 10 },
]

export const thousandGateways: Scenario = {
  name: 'thousand-gateways',
  isFast: false,
  run() {
    const found = BALANCES.map(({ balance }) => SIZES.map(({ gateways, known }) => runPartial(balance, gateways, known)))
    const nameOf = ({ gateways, known }: (typeof SIZES)[number]) =>
      `${gateways.toLocaleString('en-US')} gateway${gateways === 1 ? '' : 's'}, each knows ${known}`
    const columns = ['gateways', 'balance', 'p99 ms', 'p99.9 ms', 'share of the slow one', 'busiest other, times the mean']
    const rows = SIZES.flatMap((size, k) =>
      BALANCES.map(({ name }, i) => {
        const { p99, p999, slowShare, busiestRatio } = found[i]![k]!
        return [nameOf(size), name, ms(p99), ms(p999), percent(slowShare), busiestRatio.toFixed(2)]
      }),
    )
    const series = SIZES.map((size, k) => ({ name: nameOf(size), values: found.map((results) => results[k]!.p99) }))
    const title = 'One endpoint of 50 ten times as slow: p99, by how much each gateway knows'
    return {
      tables: [{ columns, rows }],
      charts: { 'thousand-gateways.svg': barChart({ title, x: 'milliseconds', labels: BALANCES.map(({ name }) => name), series }) },
    }
  },
}
