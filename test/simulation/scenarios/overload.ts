import { GRADIENT_DEFAULTS } from '../../../src/limit/gradient.ts'
import { lineChart } from '../chart.ts'
import { openLoop } from '../clients.ts'
import { ModelEndpoint } from '../model-endpoint.ts'
import { ModelGateway } from '../model-gateway.ts'
import type { Policies } from '../policies.ts'
import { Samples } from '../samples.ts'
import { ms, type Scenario, whole } from '../scenario.ts'
import { atLeast } from '../service-time.ts'
import { Simulation } from '../simulation.ts'

/** 5 endpoints with 4 servers each and 20 ms for a request. */
const CAPACITY = 1000
const WARM_MS = 10_000
const END_MS = 75_000
/** After this a client has gone; the service works on for nothing. */
const PATIENCE_MS = 500

export interface OverloadResult {
  /** Requests answered well, and in time, per second. */
  readonly goodput: number
  readonly p99: number
  /** Goodput of the requests of level 0 (core) as a share of those sent: a fifth of all is core. */
  readonly coreRatio: number
}

export function runOverload(policies: Partial<Policies>, load: number): OverloadResult {
  const simulation = new Simulation(19)
  const endpoints = Array.from({ length: 5 }, () => new ModelEndpoint(simulation, { servers: 4, serviceTime: atLeast(10, 10) }))
  const destinations = endpoints.map((upstream) => ({ upstream }))
  const gateway = new ModelGateway(simulation, destinations, { balance: { algorithm: 'least-request', choices: 2 }, ...policies }, 2)
  const samples = new Samples()
  const core = { sent: 0, good: 0 }
  const send = (share: number, priority: number, count: (good: boolean) => void) =>
    openLoop(simulation, [gateway], {
      ratePerSecond: CAPACITY * load * share,
      untilMs: END_MS,
      patienceMs: PATIENCE_MS,
      priority: () => priority,
      onResult: ({ sentAtMs, latencyMs, isGood }) => {
        if (sentAtMs < WARM_MS) return
        if (isGood) samples.add(latencyMs)
        count(isGood)
      },
    })
  send(0.2, 0, (good) => {
    core.sent++
    if (good) core.good++
  })
  send(0.8, 2, () => {})
  simulation.run(END_MS + 2_000)
  return { goodput: (samples.count * 1000) / (END_MS - WARM_MS), p99: samples.quantile(0.99), coreRatio: core.good / core.sent }
}

const LIMIT = { maxQueued: 50, maxWaitMs: 1000 }
const KINDS: readonly { readonly name: string; readonly policies: Partial<Policies> }[] = [
  { name: 'no limit', policies: {} },
  { name: 'max 1000 (far too high)', policies: { concurrency: { ...LIMIT, max: 1000, gradient: null } } },
  { name: 'max 30 (right)', policies: { concurrency: { ...LIMIT, max: 30, gradient: null } } },
  { name: 'adaptive (gradient)', policies: { concurrency: { ...LIMIT, max: 1000, gradient: GRADIENT_DEFAULTS } } },
]
const LOADS = [0.5, 0.9, 1.1, 1.5, 2, 3]

export const overload: Scenario = {
  name: 'overload',
  isFast: false,
  run() {
    const found = KINDS.map(({ policies }) => LOADS.map((load) => runOverload(policies, load)))
    const columns = ['limit', ...LOADS.map((load) => `${load}x`)]
    const table = (title: string, cell: (result: OverloadResult) => string) => ({
      title,
      columns,
      rows: KINDS.map(({ name }, i) => [name, ...found[i]!.map(cell)]),
    })
    const series = KINDS.map(({ name }, i) => ({ name, points: LOADS.map((load, k): [number, number] => [load, found[i]![k]!.goodput]) }))
    const title = 'Goodput of a service that can do 1,000 requests per second'
    return {
      tables: [
        table('Good answers per second', ({ goodput }) => whole(goodput)),
        table('p99 of the good answers, in milliseconds', ({ p99 }) => ms(p99)),
        table('Share of the core requests that succeed', ({ coreRatio }) => `${Math.round(coreRatio * 100)}%`),
      ],
      charts: { 'overload.svg': lineChart({ title, x: 'load, times the capacity', y: 'good answers per second', series }) },
    }
  },
}
