import type { Random } from '../../src/base/clock.ts'
import { exponential } from './service-time.ts'
import type { Simulation } from './simulation.ts'
import { type Answer, type Call, isGood, type Running, type Upstream } from './upstream.ts'

/** What a client saw of one request. `latencyMs` is its patience when it gave up. */
export interface ClientResult {
  readonly sentAtMs: number
  readonly latencyMs: number
  readonly isGood: boolean
}

export interface ClientOptions {
  /** Requests per second, over all clients together; may change with the time since the start. */
  readonly ratePerSecond: number | ((elapsedMs: number) => number)
  readonly untilMs: number
  /** How long a client waits before it goes away. Default 30 s. */
  readonly patienceMs?: number
  /** Times are counted since the start. */
  readonly onResult?: (result: ClientResult) => void
  /** Draws the key of a request. Default: none. */
  readonly key?: (random: Random) => string
  readonly priority?: (random: Random) => number
}

/** A stream of independent clients (Poisson): they keep coming, however the service fares. Each request goes to one of `entries` by chance. */
export function openLoop(simulation: Simulation, entries: readonly Upstream[], options: ClientOptions): void {
  const random = simulation.createRandom()
  const { ratePerSecond, untilMs, key, priority } = options
  const rate = typeof ratePerSecond === 'number' ? () => ratePerSecond : ratePerSecond
  const next = () => {
    if (simulation.elapsedMs >= untilMs) return
    const call: Call = { attempt: 1, key: key?.(random) ?? null, priority: priority?.(random) ?? 1 }
    sendOnce(simulation, entries[Math.floor(random() * entries.length)]!, call, options)
    simulation.after(exponential(random, 1000 / rate(simulation.elapsedMs)), next)
  }
  simulation.after(exponential(random, 1000 / rate(0)), next)
}

/** A fixed number of clients, each of which sends its next request when the last has ended: load adapts to the service. */
export function closedLoop(simulation: Simulation, entry: Upstream, clients: number, options: Omit<ClientOptions, 'ratePerSecond'>): void {
  const random = simulation.createRandom()
  const next = () => {
    if (simulation.elapsedMs >= options.untilMs) return
    const call: Call = { attempt: 1, key: options.key?.(random) ?? null, priority: options.priority?.(random) ?? 1 }
    sendOnce(simulation, entry, call, {
      ...options,
      onResult: (result) => {
        options.onResult?.(result)
        // Never in the same instant, or a service that fails at once would stop the time.
        simulation.after(1, next)
      },
    })
  }
  for (let n = 0; n < clients; n++) simulation.after(random(), next)
}

interface OneRequest {
  readonly patienceMs?: number
  readonly onResult?: (result: ClientResult) => void
}

function sendOnce(simulation: Simulation, entry: Upstream, call: Call, { patienceMs = 30_000, onResult }: OneRequest): void {
  const sentAtMs = simulation.elapsedMs
  let running: Running | null = null
  let isOver = false
  const end = (good: boolean) => {
    isOver = true
    onResult?.({ sentAtMs, latencyMs: simulation.elapsedMs - sentAtMs, isGood: good })
  }
  const timer = simulation.after(patienceMs, () => {
    running?.cancel()
    end(false)
  })
  running = entry.send(call, (answer: Answer) => {
    if (isOver) return
    simulation.cancel(timer)
    end(isGood(answer))
  })
}
