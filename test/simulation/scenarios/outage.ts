import { GRADIENT_DEFAULTS } from '../../../src/limit/gradient.ts'
import { lineChart } from '../chart.ts'
import { openLoop } from '../clients.ts'
import { ModelEndpoint } from '../model-endpoint.ts'
import { ModelGateway } from '../model-gateway.ts'
import { BREAKER, DEFAULTS, NO_BUDGET, type Policies } from '../policies.ts'
import { TimeCounts } from '../samples.ts'
import { type Scenario, whole } from '../scenario.ts'
import { atLeast } from '../service-time.ts'
import { Simulation } from '../simulation.ts'

/** 5 endpoints with 4 servers each, 20 ms for a request: 1,000 requests per second is all they can do. */
const ENDPOINTS = 5
const RATE = 750
/** Requests that wait at each endpoint: two and a half seconds of work, more than anybody waits for. */
const MAX_QUEUED = 500
const END_MS = 120_000
const OUTAGE = { fromMs: 10_000, toMs: 20_000 }
/** The service does not notice that a caller has gone and works on: what was given up is work for nothing. */
const PER_TRY_MS = 1_000

const THREE = { ...DEFAULTS.retry!, attempts: 3 }
const EAGER: Partial<Policies> = { retry: THREE, budget: NO_BUDGET, ejection: null }
/** Its line would hide the one of the defaults. */
const LIKE_DEFAULT = '3 attempts, budget 20%'
const SHOWN_S = 60
const LIMIT = { max: 1000, maxQueued: 50, maxWaitMs: 1000 }

const KINDS: readonly { readonly name: string; readonly policies: Partial<Policies> }[] = [
  { name: '3 attempts, no budget, no ejection', policies: EAGER },
  { name: 'no retries', policies: { retry: null } },
  { name: 'default settings', policies: {} },
  { name: LIKE_DEFAULT, policies: { retry: THREE } },
  { name: 'no budget, but a breaker', policies: { ...EAGER, breaker: BREAKER } },
  { name: 'no budget, adaptive throttle', policies: { ...EAGER, throttles: true } },
  { name: 'no budget, adaptive limit', policies: { ...EAGER, concurrency: { ...LIMIT, gradient: GRADIENT_DEFAULTS } } },
  {
    name: 'adaptive limit, if timeouts did not count',
    policies: { ...EAGER, concurrency: { ...LIMIT, gradient: GRADIENT_DEFAULTS, ignoresTimeouts: true } },
  },
  { name: 'defaults and adaptive limit', policies: { concurrency: { ...LIMIT, gradient: GRADIENT_DEFAULTS } } },
]

export interface OutageResult {
  readonly good: TimeCounts
  readonly sent: TimeCounts
  /** Seconds after the outage until three quarters of the requests succeed again for good; Infinity: not before the end. */
  readonly recoveryS: number
}

export function runOutage(policies: Partial<Policies>): OutageResult {
  const simulation = new Simulation(5)
  const endpoints = Array.from({ length: ENDPOINTS }, () => {
    return new ModelEndpoint(simulation, { servers: 4, maxQueued: MAX_QUEUED, serviceTime: atLeast(10, 10) })
  })
  const gateway = new ModelGateway(
    simulation,
    endpoints.map((upstream) => ({ upstream })),
    { perTryMs: PER_TRY_MS, requestMs: 3_500, ...policies },
    2,
  )
  const good = new TimeCounts(END_MS, 1000)
  const asked = new TimeCounts(END_MS, 1000)
  const sent = new TimeCounts(END_MS, 1000)
  openLoop(simulation, [gateway], {
    ratePerSecond: RATE,
    untilMs: END_MS,
    onResult: (result) => {
      asked.add(result.sentAtMs)
      if (result.isGood) good.add(result.sentAtMs)
    },
  })
  let before = 0
  simulation.every(1000, () => {
    sent.add(simulation.elapsedMs - 1, gateway.attempts - before)
    before = gateway.attempts
  })
  simulation.at(OUTAGE.fromMs, () => {
    for (const endpoint of endpoints) endpoint.mode = 'hanging'
  })
  simulation.at(OUTAGE.toMs, () => {
    for (const endpoint of endpoints) endpoint.restart()
  })
  simulation.run(END_MS + 5_000)
  let lastBad = OUTAGE.toMs / 1000 - 1
  for (let s = OUTAGE.toMs / 1000; s < END_MS / 1000; s++) if (good.counts[s]! < 0.75 * asked.counts[s]!) lastBad = s
  return { good, sent, recoveryS: lastBad >= END_MS / 1000 - 3 ? Number.POSITIVE_INFINITY : lastBad + 1 - OUTAGE.toMs / 1000 }
}

export const outage: Scenario = {
  name: 'outage',
  isFast: true,
  run() {
    const results = KINDS.map(({ policies }) => runOutage(policies))
    const columns = ['settings', 'well again after', 'attempts/s, first 10 s after', 'successes/s, first 10 s', 'successes/s, last 20 s']
    const rows = KINDS.map(({ name }, i) => {
      const { good, sent, recoveryS } = results[i]!
      const after = recoveryS === Number.POSITIVE_INFINITY ? 'not within 100 s' : `${recoveryS} s`
      return [name, after, whole(sent.meanPerSecond(20, 30)), whole(good.meanPerSecond(20, 30)), whole(good.meanPerSecond(100, 120))]
    })
    const title = 'Successful requests per second around an outage of 10 s'
    // As many lines as there are colours, and the time in which they differ.
    const series = KINDS.map(({ name }, i) => ({ name, points: results[i]!.good.perSecond().slice(0, SHOWN_S) })).filter(
      ({ name }) => name !== LIKE_DEFAULT,
    )
    const shades = [{ from: 10, to: 20, name: 'outage' }]
    return {
      tables: [{ columns, rows }],
      charts: { 'outage.svg': lineChart({ title, x: 'seconds', y: 'successes per second', series, shades }) },
    }
  },
}
