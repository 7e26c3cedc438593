import type { BalanceConfig } from '../../../src/config/types.ts'
import { lineChart } from '../chart.ts'
import { openLoop } from '../clients.ts'
import { ModelEndpoint } from '../model-endpoint.ts'
import { ModelGateway } from '../model-gateway.ts'
import { Samples, TimeCounts } from '../samples.ts'
import { ms, type Scenario, whole } from '../scenario.ts'
import { atLeast } from '../service-time.ts'
import { Simulation } from '../simulation.ts'

const JOIN_MS = 10_000
const END_MS = 50_000
const WARM_UP_MS = 15_000
/** A process that has just started: its code is not compiled and its caches are empty. */
const COLD_FACTOR = 8

export interface NewcomerResult {
  /** Most requests the newcomer had at a time, and what the others have on average. */
  readonly mostInFlight: number
  readonly usualInFlight: number
  /** Of all requests in the 15 s after it came. */
  readonly p99: number
  readonly received: TimeCounts
}

/** Nine endpoints are busy to two thirds; a tenth comes that is cold: at first it takes 8 times as long, and warms up in 15 s. */
export function runNewcomer(balance: BalanceConfig, gatewayCount: number, isCold = true): NewcomerResult {
  const simulation = new Simulation(23)
  const endpoints = Array.from({ length: 10 }, () => new ModelEndpoint(simulation, { servers: 4, serviceTime: atLeast(10, 10) }))
  const destinations = endpoints.map((upstream) => ({ upstream }))
  const newcomer = endpoints[9]!
  const gateways = Array.from({ length: gatewayCount }, () => new ModelGateway(simulation, destinations.slice(0, 9), { balance }))
  const samples = new Samples()
  openLoop(simulation, gateways, {
    ratePerSecond: 1200,
    untilMs: END_MS,
    onResult: ({ sentAtMs, latencyMs }) => sentAtMs >= JOIN_MS && sentAtMs < JOIN_MS + WARM_UP_MS && samples.add(latencyMs),
  })
  const received = new TimeCounts(END_MS, 500)
  let mostInFlight = 0
  let before = 0
  const others = new Samples()
  simulation.every(5, () => {
    mostInFlight = Math.max(mostInFlight, newcomer.inFlight)
    others.add(endpoints[0]!.inFlight)
    received.add(simulation.elapsedMs - 1, newcomer.received - before)
    before = newcomer.received
  })
  simulation.at(JOIN_MS, () => {
    if (isCold) newcomer.slowFactor = COLD_FACTOR
    for (const gateway of gateways) gateway.setDestinations(destinations)
  })
  const steps = 30
  for (let step = 1; step <= steps; step++) {
    simulation.at(JOIN_MS + (WARM_UP_MS * step) / steps, () => {
      if (isCold) newcomer.slowFactor = COLD_FACTOR + ((1 - COLD_FACTOR) * step) / steps
    })
  }
  simulation.run(END_MS)
  return { mostInFlight, usualInFlight: others.mean, p99: samples.quantile(0.99), received }
}

const BALANCES: readonly { readonly name: string; readonly balance: BalanceConfig }[] = [
  { name: 'round-robin', balance: { algorithm: 'round-robin' } },
  { name: 'least-request', balance: { algorithm: 'least-request', choices: 2 } },
  { name: 'least-request, choices all', balance: { algorithm: 'least-request', choices: 'all' } },
  { name: 'fastest-response', balance: { algorithm: 'fastest-response', decayMs: 10_000 } },
  { name: 'peak-ewma', balance: { algorithm: 'peak-ewma', decayMs: 10_000 } },
]

export const newcomer: Scenario = {
  name: 'newcomer',
  isFast: false,
  run() {
    const rows: string[][] = []
    const series: { name: string; points: [number, number][] }[] = []
    for (const gateways of [1, 100]) {
      for (const { name, balance } of BALANCES) {
        for (const slowStartMs of [0, 20_000]) {
          const result = runNewcomer({ ...balance, slowStartMs }, gateways)
          const setting = `${name}${slowStartMs > 0 ? ', slowStart 20s' : ''}`
          rows.push([setting, whole(gateways), whole(result.mostInFlight), result.usualInFlight.toFixed(1), ms(result.p99)])
          if (gateways === 1 && (name === 'round-robin' || name === 'peak-ewma' || name === 'least-request'))
            series.push({ name: setting, points: result.received.perSecond() })
        }
      }
    }
    const columns = ['balance', 'gateways', 'most at once on the newcomer', 'usual on another', 'p99 ms, 15 s after']
    const shades = [{ from: 10, to: 25, name: 'the newcomer warms up' }]
    const title = 'Requests to a cold newcomer, one gateway'
    return {
      tables: [{ columns, rows }],
      charts: { 'newcomer.svg': lineChart({ title, x: 'seconds', y: 'requests per second', series, shades }) },
    }
  },
}
