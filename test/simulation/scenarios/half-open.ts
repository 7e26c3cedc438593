import type { CircuitBreakerConfig } from '../../../src/breaker/circuit-breaker.ts'
import { lineChart } from '../chart.ts'
import { openLoop } from '../clients.ts'
import { ModelEndpoint } from '../model-endpoint.ts'
import { ModelGateway } from '../model-gateway.ts'
import { BREAKER } from '../policies.ts'
import { TimeCounts } from '../samples.ts'
import { type Scenario, whole } from '../scenario.ts'
import { atLeast } from '../service-time.ts'
import { Simulation } from '../simulation.ts'

const END_MS = 60_000
const FAULT = { fromMs: 10_000, toMs: 30_000 }
const WORKERS = 4

export interface HalfOpenResult {
  /** Seconds from the start of the fault until it opened. */
  readonly openedAfterS: number
  /** Requests that reached the service while the breaker was open, and in each half-open time. */
  readonly whileOpen: number
  readonly probes: readonly number[]
  /** Seconds from the end of the fault until it closed. */
  readonly closedAfterS: number
  readonly received: TimeCounts
}

/** Every request fails for 20 s; 500 requests per second reach one breaker through 4 workers. */
export function runHalfOpen(config: CircuitBreakerConfig): HalfOpenResult {
  const simulation = new Simulation(17)
  const service = new ModelEndpoint(simulation, { servers: 100, serviceTime: atLeast(10, 10) })
  const gateway = new ModelGateway(simulation, [{ upstream: service }], { breaker: config, retry: null, ejection: null }, WORKERS)
  const { breaker } = gateway.workers[0]!
  const received = new TimeCounts(END_MS, 250)
  const probes: number[] = []
  let whileOpen = 0
  let openedAtMs = Number.NaN
  let closedAtMs = Number.NaN
  let last = 'closed'
  openLoop(simulation, [{ send: (call, done) => watch(() => gateway.send(call, done)) }], { ratePerSecond: 500, untilMs: END_MS })
  const watch = <T>(send: () => T): T => {
    const before = service.received
    const state = breaker!.state(simulation.nowMs)
    const running = send()
    const count = service.received - before
    received.add(simulation.elapsedMs, count)
    if (state === 'half-open') {
      if (last !== 'half-open') probes.push(0)
      probes[probes.length - 1]! += count
    } else if (state === 'open') {
      whileOpen += count
      if (Number.isNaN(openedAtMs)) openedAtMs = simulation.elapsedMs
    } else if (last !== 'closed') closedAtMs = simulation.elapsedMs
    last = state
    return running
  }
  simulation.at(FAULT.fromMs, () => {
    service.errorRatio = 1
  })
  simulation.at(FAULT.toMs, () => {
    service.errorRatio = 0
  })
  simulation.run(END_MS + 1000)
  const openedAfterS = (openedAtMs - FAULT.fromMs) / 1000
  return { openedAfterS, whileOpen, probes, closedAfterS: (closedAtMs - FAULT.toMs) / 1000, received }
}

const KINDS: readonly { readonly name: string; readonly config: CircuitBreakerConfig }[] = [
  { name: 'probes: 1', config: BREAKER },
  { name: 'probes: 3', config: { ...BREAKER, probes: 3 } },
  { name: 'probes: 10', config: { ...BREAKER, probes: 10 } },
  { name: 'probes: 1, open time does not grow', config: { ...BREAKER, maxOpenForMs: BREAKER.openForMs } },
]

export const halfOpen: Scenario = {
  name: 'half-open',
  isFast: true,
  run() {
    const results = KINDS.map(({ config }) => runHalfOpen(config))
    const columns = ['setting', 'opened after', 'requests while open', 'probes in each half-open time', 'closed after']
    const rows = KINDS.map(({ name }, i) => {
      const { openedAfterS, whileOpen, probes, closedAfterS } = results[i]!
      return [name, `${openedAfterS.toFixed(1)} s`, whole(whileOpen), probes.join(', '), `${closedAfterS.toFixed(1)} s`]
    })
    const series = [0, 3].map((i) => ({ name: KINDS[i]!.name, points: results[i]!.received.perSecond() }))
    const shades = [{ from: FAULT.fromMs / 1000, to: FAULT.toMs / 1000, name: 'every request fails' }]
    const title = 'Requests that reach a failing service behind a breaker'
    return {
      tables: [{ columns, rows }],
      charts: { 'half-open.svg': lineChart({ title, x: 'seconds', y: 'requests per second', series, shades }) },
    }
  },
}
