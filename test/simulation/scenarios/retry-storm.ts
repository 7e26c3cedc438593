import { barChart } from '../chart.ts'
import { openLoop } from '../clients.ts'
import { type EndpointMode, ModelEndpoint } from '../model-endpoint.ts'
import { ModelGateway } from '../model-gateway.ts'
import { DEFAULTS, NO_BUDGET, type Policies } from '../policies.ts'
import { type Scenario, whole } from '../scenario.ts'
import { atLeast } from '../service-time.ts'
import { Simulation } from '../simulation.ts'

/** A usual setting without care: three attempts in each layer, for whatever went wrong. */
const EAGER = { ...DEFAULTS.retry!, attempts: 3, on: ['connect-failure', 'refused-stream', 'reset', 'timeout', '5xx'] }

interface Kind {
  readonly name: string
  readonly policies: Partial<Policies>
}

const KINDS: readonly Kind[] = [
  { name: 'default settings', policies: {} },
  { name: '3 attempts on any 5xx', policies: { retry: EAGER } },
  { name: '3 attempts, no marks', policies: { retry: EAGER, sendsMarks: false } },
  { name: '3 attempts, no budget', policies: { retry: EAGER, budget: NO_BUDGET } },
  { name: '3 attempts, no marks, no budget', policies: { retry: EAGER, sendsMarks: false, budget: NO_BUDGET } },
]

const MODES: readonly { readonly name: string; readonly mode: EndpointMode; readonly perTryMs: number | null }[] = [
  { name: 'refused', mode: 'refusing', perTryMs: null },
  { name: 'answers 503', mode: 503, perTryMs: null },
  { name: 'hangs, perTry 500ms', mode: 'hanging', perTryMs: 500 },
]

/** Attempts at the bottom for each request at the top, through `gateways` gateways in each of three layers. */
export function runStorm(mode: EndpointMode, policies: Partial<Policies>, ratePerSecond = 200, gateways = 1, durationMs = 30_000): number {
  const simulation = new Simulation(11)
  const bottom = Array.from({ length: 5 }, () => new ModelEndpoint(simulation, { servers: 20, serviceTime: atLeast(5, 5) }))
  for (const endpoint of bottom) endpoint.mode = mode
  let layer: readonly (ModelEndpoint | ModelGateway)[] = bottom
  for (let n = 0; n < 3; n++) {
    const below = layer.map((upstream) => ({ upstream }))
    layer = Array.from({ length: gateways }, () => new ModelGateway(simulation, below, policies))
  }
  let requests = 0
  const onResult = () => requests++
  openLoop(simulation, layer, { ratePerSecond, untilMs: durationMs, onResult })
  simulation.run(durationMs + 60_000)
  return bottom.reduce((sum, { received }) => sum + received, 0) / requests
}

export const retryStorm: Scenario = {
  name: 'retry-storm',
  isFast: true,
  run() {
    const found = KINDS.map(({ policies }) => MODES.map(({ mode, perTryMs }) => runStorm(mode, { ...policies, perTryMs })))
    const columns = ['settings of all three layers', ...MODES.map(({ name }) => name)]
    const rows = KINDS.map(({ name }, i) => [name, ...found[i]!.map((factor) => factor.toFixed(2))])
    const rates = [0.5, 1, 2, 5, 10, 100]
    const floor = rates.map((rate) => runStorm('refusing', {}, rate, 1, 100_000))
    const series = MODES.map(({ name }, mode) => ({ name, values: found.map((factors) => factors[mode]!) }))
    const title = 'Attempts at a dead bottom for each request at the top, three layers'
    return {
      tables: [
        { title: 'Attempts at the bottom for each request at the top, at 200 requests per second', columns, rows },
        {
          title: 'Default settings, refused connections, at other rates',
          columns: ['requests per second at the top', ...rates.map((r) => (r < 1 ? String(r) : whole(r)))],
          rows: [['attempts for each', ...floor.map((f) => f.toFixed(2))]],
        },
      ],
      charts: {
        'retry-storm.svg': barChart({
          title,
          x: 'attempts for each request',
          labels: KINDS.map(({ name }) => name),
          series,
          mark: { value: 1.2, name: '1.2' },
        }),
      },
    }
  },
}
