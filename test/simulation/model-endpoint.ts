import type { Random } from '../../src/base/clock.ts'
import type { ServiceTime } from './service-time.ts'
import type { Simulation, SimulationEvent } from './simulation.ts'
import { type Answer, answered, type Call, failed, OK, type Running, type Upstream } from './upstream.ts'

export interface EndpointOptions {
  /** Requests that are worked on at the same time. */
  readonly servers: number
  /** Requests that wait for a server; beyond it connections are refused. Default 10,000. */
  readonly maxQueued?: number
  readonly serviceTime: ServiceTime
  /** A request whose caller has gone is not worked on any more. Default false: most services do not notice. */
  readonly noticesCancel?: boolean
}

/** `refusing`: the process is dead. `hanging`: it is frozen, what comes waits. A status: it answers that, at once. */
export type EndpointMode = 'up' | 'refusing' | 'hanging' | number

interface Job extends Running {
  done: ((answer: Answer) => void) | null
  event: SimulationEvent | null
}

/** How long it takes to hear that a connection is refused, or an error that needs no work. */
const QUICK_MS = 0.5

/** One process of a service: some servers, and a queue before them. */
export class ModelEndpoint implements Upstream {
  /** Every request that came, whatever became of it. */
  received = 0
  mode: EndpointMode = 'up'
  /** How many times as long everything takes. */
  slowFactor = 1
  /** Share of the requests answered with 500. */
  errorRatio = 0
  readonly #simulation: Simulation
  readonly #random: Random
  readonly #options: EndpointOptions
  readonly #queue: Job[] = []
  readonly #running = new Set<Job>()
  #head = 0

  constructor(simulation: Simulation, options: EndpointOptions) {
    this.#simulation = simulation
    this.#random = simulation.createRandom()
    this.#options = options
  }

  get queued(): number {
    return this.#queue.length - this.#head
  }

  get inFlight(): number {
    return this.#running.size + this.queued
  }

  send(_call: Call, done: (answer: Answer) => void): Running {
    this.received++
    const job: Job = { done, event: null, cancel: () => this.#cancel(job) }
    if (this.mode === 'refusing' || this.queued >= (this.#options.maxQueued ?? 10_000)) this.#answerSoon(job, failed('connect-failure'))
    else if (typeof this.mode === 'number') this.#answerSoon(job, answered(this.mode))
    else {
      this.#queue.push(job)
      this.#startNext()
    }
    return job
  }

  /** The process dies with all it had: every caller sees a reset. */
  crash(): void {
    this.mode = 'refusing'
    const lost = [...this.#running, ...this.#queue.splice(0).slice(this.#head)]
    this.#head = 0
    this.#running.clear()
    for (const job of lost) this.#simulation.cancel(job.event)
    for (const job of lost) this.#answerSoon(job, failed('reset'))
  }

  /** Back to work, also on what has been waiting. */
  restart(): void {
    this.mode = 'up'
    for (let n = 0; n < this.#options.servers; n++) this.#startNext()
  }

  #answerSoon(job: Job, answer: Answer): void {
    job.event = this.#simulation.after(QUICK_MS, () => job.done?.(answer))
  }

  #startNext(): void {
    while (this.mode !== 'hanging' && this.#running.size < this.#options.servers && this.#head < this.#queue.length) {
      const job = this.#queue[this.#head++]!
      if (this.#head > 1024 && this.#head * 2 > this.#queue.length) this.#head -= this.#queue.splice(0, this.#head).length
      if (job.done === null && this.#options.noticesCancel === true) continue
      this.#running.add(job)
      const answer = this.errorRatio > 0 && this.#random() < this.errorRatio ? answered(500) : OK
      job.event = this.#simulation.after(this.#options.serviceTime(this.#random) * this.slowFactor, () => {
        this.#running.delete(job)
        job.done?.(answer)
        this.#startNext()
      })
    }
  }

  #cancel(job: Job): void {
    job.done = null
  }
}
