import { isDeepStrictEqual } from 'node:util'
import type { Clock, Random } from '../../base/clock.ts'
import { Timed, type TimerWheel } from '../../base/timers.ts'
import type { Health } from '../endpoint-control.ts'
import { Judge } from './judge.ts'
import type { ProbeOutcome, ProbeTarget, RunningProbe, StartProbe } from './probe.ts'

/** One finished check. */
export interface ProbeReport {
  readonly result: ProbeOutcome['result']
  /** Why it did not pass, in words; null when it did. */
  readonly error: string | null
  /** When it was sent, on the clock's monotonic scale and since the Unix epoch. */
  readonly startedMs: number
  readonly startedEpochMs: number
  readonly durationMs: number
}

/** An endpoint under observation, as others see it. */
export interface CheckedEndpoint {
  readonly target: ProbeTarget
  readonly health: Health
  /** When `health` became what it is, in milliseconds since the Unix epoch. */
  readonly sinceEpochMs: number
  /** The last check; null before the first has ended. */
  readonly last: ProbeReport | null
  readonly passedInARow: number
  readonly failedInARow: number
}

export interface ProberEvents {
  /** After every check. `before` is the health it met; the endpoint has the one that follows. */
  onReport(endpoint: CheckedEndpoint, report: ProbeReport, before: Health): void
}

export interface ProberOptions {
  readonly clock: Clock
  readonly random: Random
  /** Over the same clock. Its tick is how late a check may come. */
  readonly wheel: TimerWheel
  readonly startProbe: StartProbe
  readonly events: ProberEvents
  /** Checks under way at once. Default 256. */
  readonly maxParallel?: number
}

const MAX_PARALLEL = 256
/** The first checks after a start or a reload come within this time, not all in one moment. */
const FIRST_WITHIN_MS = 500
/** A timeout that is noticed this late was not: the thread stood still, and the answer may be waiting in the socket. */
const STALL_MS = 250

/**
 * Checks endpoints, each at its own pace: a check starts one interval after the start of the one before, however long that took, so
 * the pace does not drift; and never before the one before has ended. At most `maxParallel` run at once; those that must wait go in
 * order, endpoints in use before endpoints that are down, so that many dead ones do not hide that a living one dies.
 */
export class Prober {
  readonly #options: ProberOptions
  readonly #maxParallel: number
  readonly #entries = new Map<string, Entry>()
  readonly #waiting = new Set<Entry>()
  readonly #waitingDown = new Set<Entry>()
  #running = 0

  constructor(options: ProberOptions) {
    this.#options = options
    this.#maxParallel = options.maxParallel ?? MAX_PARALLEL
  }

  /** Checks under way. */
  get running(): number {
    return this.#running
  }

  /**
   * Takes over what is to be checked. An endpoint that stays keeps its health, also when it is checked in another way from now on;
   * `healthOfNew` is what a new one starts with.
   */
  update(targets: Iterable<ProbeTarget>, healthOfNew: (target: ProbeTarget) => Health): void {
    const gone = new Set(this.#entries.keys())
    for (const target of targets) {
      const key = keyOf(target.service, target.address)
      gone.delete(key)
      const entry = this.#entries.get(key)
      if (entry === undefined) this.#add(key, new Entry(this, target, healthOfNew(target), this.#options.clock.wallClock()))
      else if (!isDeepStrictEqual(entry.target, target)) this.#retarget(entry, target)
    }
    for (const key of gone) {
      this.#halt(this.#entries.get(key) as Entry)
      this.#entries.delete(key)
    }
    this.#startWaiting()
  }

  get(service: string, address: string): CheckedEndpoint | null {
    return this.#entries.get(keyOf(service, address)) ?? null
  }

  /** Cancels everything; nothing is reported any more. */
  stop(): void {
    for (const entry of this.#entries.values()) this.#halt(entry)
    this.#entries.clear()
  }

  /** An endpoint's next check is due, or the time of the one under way is up. */
  onDue(entry: Entry, nowMs: number): void {
    if (entry.run === null) {
      ;(entry.health === 'unhealthy' ? this.#waitingDown : this.#waiting).add(entry)
      this.#startWaiting()
      return
    }
    const { run, target } = entry
    const lateMs = nowMs - run.startedMs - target.health.timeoutMs
    if (lateMs > STALL_MS && !run.isExtended) {
      run.isExtended = true
      this.#options.wheel.arm(entry, nowMs + Math.min(lateMs, target.health.timeoutMs))
      return
    }
    const stage = run.probe?.stage ?? 'starting'
    run.probe?.cancel()
    this.#finish(entry, run, { result: 'fail', error: `no success within ${formatMs(target.health.timeoutMs)}, while ${stage}` })
  }

  #add(key: string, entry: Entry): void {
    this.#entries.set(key, entry)
    this.#scheduleFirst(entry)
  }

  #retarget(entry: Entry, target: ProbeTarget): void {
    this.#halt(entry)
    entry.target = target
    entry.judge.startOver()
    this.#scheduleFirst(entry)
  }

  #scheduleFirst(entry: Entry): void {
    const { clock, random, wheel } = this.#options
    entry.dueMs = clock.now() + random() * Math.min(FIRST_WITHIN_MS, entry.target.health.intervalMs)
    entry.isPaceSet = false
    wheel.arm(entry, entry.dueMs)
  }

  #halt(entry: Entry): void {
    this.#options.wheel.remove(entry)
    this.#waiting.delete(entry)
    this.#waitingDown.delete(entry)
    if (entry.run === null) return
    entry.run.probe?.cancel()
    entry.run = null
    this.#running--
  }

  #startWaiting(): void {
    while (this.#running < this.#maxParallel) {
      const queue = this.#waiting.size > 0 ? this.#waiting : this.#waitingDown
      const [entry] = queue
      if (entry === undefined) return
      queue.delete(entry)
      this.#start(entry)
    }
  }

  #start(entry: Entry): void {
    const { clock, wheel, startProbe } = this.#options
    const startedMs = clock.now()
    const run: Run = { startedMs, startedEpochMs: clock.wallClock(), probe: null, isExtended: false }
    entry.run = run
    this.#running++
    wheel.arm(entry, startedMs + entry.target.health.timeoutMs)
    try {
      run.probe = startProbe(entry.target, (outcome) => this.#finish(entry, run, outcome))
    } catch (error) {
      this.#finish(entry, run, { result: 'inconclusive', error: error instanceof Error ? error.message : String(error) })
    }
  }

  #finish(entry: Entry, run: Run, outcome: ProbeOutcome): void {
    // A result that comes after the timeout or a reload is of no use.
    if (entry.run !== run) return
    const { clock } = this.#options
    const nowMs = clock.now()
    entry.run = null
    this.#running--
    const before = entry.health
    const error = outcome.result === 'pass' ? null : outcome.error
    const { startedMs, startedEpochMs } = run
    const report: ProbeReport = { result: outcome.result, error, startedMs, startedEpochMs, durationMs: nowMs - startedMs }
    entry.last = report
    if (outcome.result !== 'inconclusive' && entry.judge.record(outcome.result === 'pass', entry.target.health))
      entry.sinceEpochMs = clock.wallClock()
    entry.dueMs = Math.max(nowMs, entry.dueMs + this.#pauseMs(entry))
    this.#options.wheel.arm(entry, entry.dueMs)
    this.#options.events.onReport(entry, report, before)
    this.#startWaiting()
  }

  #pauseMs(entry: Entry): number {
    const { random } = this.#options
    const { intervalMs, downIntervalMs } = entry.target.health
    // Never longer than it says: that an endpoint is back within downInterval is a promise.
    if (entry.health !== 'healthy') return downIntervalMs * (0.9 + 0.1 * random())
    if (entry.isPaceSet) return intervalMs * (0.9 + 0.2 * random())
    // The first checks came close together; from here on they are spread over the whole interval.
    entry.isPaceSet = true
    return intervalMs * (0.1 + 0.9 * random())
  }
}

interface Run {
  readonly startedMs: number
  readonly startedEpochMs: number
  probe: RunningProbe | null
  /** The timeout was put off once, because the thread had stood still. */
  isExtended: boolean
}

/** In the wheel it is armed for the next check, or for the timeout of the one under way. */
class Entry extends Timed implements CheckedEndpoint {
  target: ProbeTarget
  readonly judge: Judge
  sinceEpochMs: number
  last: ProbeReport | null = null
  run: Run | null = null
  /** When the next check is to start, or the one under way was to. */
  dueMs = 0
  isPaceSet = false
  readonly #prober: Prober

  constructor(prober: Prober, target: ProbeTarget, health: Health, epochMs: number) {
    super()
    this.#prober = prober
    this.target = target
    this.sinceEpochMs = epochMs
    this.judge = new Judge(health)
  }

  get health(): Health {
    return this.judge.health
  }

  get passedInARow(): number {
    return this.judge.passed
  }

  get failedInARow(): number {
    return this.judge.failed
  }

  override onDeadline(nowMs: number): void {
    this.#prober.onDue(this, nowMs)
  }
}

/** Names hold no space. */
function keyOf(service: string, address: string): string {
  return `${service} ${address}`
}

function formatMs(ms: number): string {
  return ms >= 1000 ? `${ms / 1000}s` : `${ms}ms`
}
