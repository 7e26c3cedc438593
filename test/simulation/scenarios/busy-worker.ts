import { BBR_DEFAULTS, BbrLimit } from '../../../src/limit/bbr.ts'
import { LoadShedder } from '../../../src/limit/load-shedder.ts'
import { lineChart } from '../chart.ts'
import { openLoop } from '../clients.ts'
import { ModelEndpoint } from '../model-endpoint.ts'
import { Samples } from '../samples.ts'
import { ms, type Scenario, whole } from '../scenario.ts'
import { atLeast } from '../service-time.ts'
import { Simulation } from '../simulation.ts'
import { answered, OK, type Upstream } from '../upstream.ts'

/** One worker needs 0.5 ms of its processor for a request, and 20 ms pass until the service has answered. */
const CPU_MS = 0.5
const CAPACITY = 1000 / CPU_MS
const UPSTREAM_MS = 20
const WARM_MS = 5_000
const END_MS = 25_000
const PATIENCE_MS = 500
/** A timer of the worker that comes late shows how busy its event loop is. */
const DELAY_EVERY_MS = 100

export interface BusyResult {
  readonly goodput: number
  readonly p99: number
}

type Protection = 'none' | 'bbr' | 'shedder'

/** The worker is a queue with one server, as an event loop is, with one of the real algorithms before it. */
export function runBusyWorker(protection: Protection, load: number): BusyResult {
  const simulation = new Simulation(31)
  const loop = new ModelEndpoint(simulation, { servers: 1, maxQueued: 1e9, serviceTime: atLeast(CPU_MS / 2, CPU_MS / 2) })
  const limit = new BbrLimit(BBR_DEFAULTS)
  const shedder = new LoadShedder({ loopDelayMs: 200, memoryRatio: null }, simulation.createRandom())
  const isRefused = (priority: number) =>
    (protection === 'bbr' && !limit.tryEnter(priority, simulation.nowMs)) || (protection === 'shedder' && shedder.refuses(priority))
  const worker: Upstream = {
    send(call, done) {
      const startedMs = simulation.nowMs
      let isGone = false
      const cancel = () => {
        isGone = true
      }
      if (isRefused(call.priority)) done(answered(503))
      else {
        // A client that leaves is not noticed before the loop comes to its request, and by then the work is done.
        loop.send(call, () => {
          simulation.after(UPSTREAM_MS, () => {
            if (protection === 'bbr') limit.leave(isGone ? -1 : simulation.nowMs - startedMs, simulation.nowMs)
            if (!isGone) done(OK)
          })
        })
      }
      return { cancel }
    },
  }
  simulation.every(DELAY_EVERY_MS, () => {
    const delayMs = loop.inFlight * CPU_MS
    limit.reportLoopDelay(delayMs, simulation.nowMs)
    shedder.report(delayMs, 0, simulation.nowMs)
  })
  const samples = new Samples()
  openLoop(simulation, [worker], {
    ratePerSecond: CAPACITY * load,
    untilMs: END_MS,
    patienceMs: PATIENCE_MS,
    onResult: ({ sentAtMs, latencyMs, isGood }) => sentAtMs >= WARM_MS && isGood && samples.add(latencyMs),
  })
  simulation.run(END_MS + 2_000)
  return { goodput: (samples.count * 1000) / (END_MS - WARM_MS), p99: samples.quantile(0.99) }
}

const LOADS = [0.5, 0.9, 1.1, 1.5, 2, 3]
const KINDS = [
  { name: 'no limit', protection: 'none' },
  { name: 'concurrency, adaptive: bbr', protection: 'bbr' },
  { name: 'overload (loop delay 200ms)', protection: 'shedder' },
] as const

export const busyWorker: Scenario = {
  name: 'busy-worker',
  isFast: false,
  run() {
    const found = KINDS.map(({ protection }) => LOADS.map((load) => runBusyWorker(protection, load)))
    const rows = KINDS.flatMap(({ name }, i) => [
      [`${name}: good answers per second`, ...found[i]!.map(({ goodput }) => whole(goodput))],
      [`${name}: p99 ms`, ...found[i]!.map(({ p99 }) => ms(p99))],
    ])
    const series = KINDS.map(({ name }, i) => ({ name, points: LOADS.map((load, k): [number, number] => [load, found[i]![k]!.goodput]) }))
    const title = 'Goodput of one worker that can do 2,000 requests per second'
    return {
      tables: [{ columns: ['load', ...LOADS.map((load) => `${load}x`)], rows }],
      charts: { 'busy-worker.svg': lineChart({ title, x: 'load, times what one worker can do', y: 'good answers per second', series }) },
    }
  },
}
