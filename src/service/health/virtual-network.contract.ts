import { createSeededRandom, ManualClock } from '../../base/clock.ts'
import { TimerWheel } from '../../base/timers.ts'
import type { HealthConfig } from '../../config/types.ts'
import type { ProbeOutcome, ProbeTarget, StartProbe } from './probe.ts'

/** What the tests of this folder share: settings, targets, and a network in virtual time. */

export const HEALTH: HealthConfig = {
  check: { kind: 'tcp' },
  port: null,
  intervalMs: 5000,
  downIntervalMs: 1000,
  timeoutMs: 2000,
  unhealthyAfter: 2,
  healthyAfter: 1,
  startUnhealthy: false,
}

export const TICK_MS = 10

export function createTarget(address: string, health: Partial<HealthConfig> = {}, service = 'users'): ProbeTarget {
  const [host = '', port = ''] = address.split(':')
  return { service, address, host, port: Number(port), hostHeader: address, health: { ...HEALTH, ...health } }
}

/** `ok` and `refused` come after `latencyMs`; `silent` never; `local` is a fault of our own. */
export type Behaviour = 'ok' | 'refused' | 'silent' | 'local'

const OUTCOMES: Readonly<Record<Exclude<Behaviour, 'silent'>, ProbeOutcome>> = {
  ok: { result: 'pass' },
  refused: { result: 'fail', error: 'connection refused' },
  local: { result: 'inconclusive', error: 'no descriptor' },
}

interface Answer {
  atMs: number
  deliver: () => void
}

/** Time, timers and endpoints that stand still until told. */
export class VirtualNetwork {
  readonly clock = new ManualClock(1_000_000)
  readonly random = createSeededRandom(7)
  readonly wheel = new TimerWheel(this.clock, { tickMs: TICK_MS, automatic: false })
  readonly behaviours = new Map<string, Behaviour>()
  /** When checks of each address began. */
  readonly starts = new Map<string, number[]>()
  latencyMs = 20
  running = 0
  mostRunning = 0
  readonly #answers: Answer[] = []

  readonly startProbe: StartProbe = (target, done) => {
    const behaviour = this.behaviours.get(target.address) ?? 'ok'
    const nowMs = this.clock.now()
    const starts = this.starts.get(target.address) ?? []
    this.starts.set(target.address, starts)
    starts.push(nowMs)
    this.running++
    this.mostRunning = Math.max(this.mostRunning, this.running)
    let isOver = false
    const end = (): void => {
      if (!isOver) this.running--
      isOver = true
    }
    if (behaviour !== 'silent') {
      const deliver = (): void => {
        if (isOver) return
        end()
        done(OUTCOMES[behaviour])
      }
      this.#answers.push({ atMs: nowMs + this.latencyMs, deliver })
    }
    return { stage: 'connecting', cancel: end }
  }

  /** Lets time pass in ticks. */
  pass(ms: number): void {
    for (const end = this.clock.now() + ms; this.clock.now() < end; ) {
      this.clock.advance(TICK_MS)
      this.wheel.tick()
      this.#deliver()
    }
  }

  /** The process is stopped for a while: then timers come before answers. */
  freeze(ms: number): void {
    this.clock.advance(ms)
    this.wheel.tick()
    this.#deliver()
  }

  startsOf(address: string): number[] {
    return this.starts.get(address) ?? []
  }

  /** All latencies are equal, so answers come in the order of the checks. */
  #deliver(): void {
    while (this.#answers.length > 0 && this.#answers[0]!.atMs <= this.clock.now()) this.#answers.shift()!.deliver()
  }
}
