import { Worker } from 'node:worker_threads'
import type { WorkerInfo } from './admin/source.ts'
import { systemClock } from './base/clock.ts'
import type { Log } from './observe/log.ts'
import type { MetricsSource, MetricsStore } from './observe/metrics-store.ts'
import type { FromWorker, ToWorker, WorkerStart } from './worker-protocol.ts'

export interface WorkerHandleOptions {
  readonly start: WorkerStart
  readonly metrics: MetricsStore
  readonly log: Log
  /** The thread has ended, for whatever reason. `state` still says what it was doing. */
  readonly onExit: (handle: WorkerHandle) => void
}

interface Question {
  isAnswer(message: FromWorker): boolean
  /** null: the worker has ended. */
  resolve(message: FromWorker | null): void
}

/**
 * The young generation of a worker, of which a third is in use at a time. Most of what a request allocates is garbage when it ends, if a
 * scavenge does not come before: with 16 MB it copied the hundreds of requests under way over HTTP/2 again and again, an eighth of all
 * time of a gRPC call. 48 MB save 3 % of it more and take 12 MiB.
 */
const YOUNG_GENERATION_MB = 24

/** The main thread's side of one worker: its thread, which may be replaced, and the questions under way to it. */
export class WorkerHandle {
  state: WorkerInfo['state'] = 'starting'
  generation: number | null = null
  restarts = 0
  startedMs = 0
  /** Deaths in a row without a longer life between them. */
  failures = 0
  readonly #options: WorkerHandleOptions
  readonly #asked = new Set<Question>()
  #thread: Worker
  #metrics: MetricsSource

  constructor(options: WorkerHandleOptions) {
    this.#options = options
    this.#metrics = options.metrics.attach()
    this.#thread = this.#startThread()
  }

  get index(): number {
    return this.#options.start.worker
  }

  /** Another thread in the place of one that has ended. */
  restart(): void {
    this.#metrics = this.#options.metrics.attach()
    this.restarts++
    this.#thread = this.#startThread()
  }

  #startThread(): Worker {
    const { start, log } = this.#options
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    const thread = new Worker(new URL(`./worker.${extension}`, import.meta.url), {
      workerData: start,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    })
    // What a thread said before its end may arrive later: it still belongs to that thread.
    const metrics = this.#metrics
    thread.on('message', (message: FromWorker) => this.#receive(message, metrics))
    thread.on('error', (error) => log.error('a worker failed', { worker: start.worker, error }))
    thread.on('exit', () => {
      if (this.#thread === thread) this.#onExit()
    })
    this.state = 'starting'
    this.startedMs = systemClock.now()
    return thread
  }

  #receive(message: FromWorker, metrics: MetricsSource): void {
    if (message.type === 'metrics') metrics.receive(message.announcement)
    else if (message.type === 'log') this.#options.log[message.level](message.message, message.fields)
    else {
      for (const question of this.#asked) if (question.isAnswer(message)) question.resolve(message)
    }
  }

  #onExit(): void {
    this.#metrics.release()
    for (const question of this.#asked) question.resolve(null)
    this.#options.onExit(this)
  }

  /** A worker may be asked to drain while it still prepares: each question knows its answer. null: the worker has ended. */
  ask(message: ToWorker, isAnswer: Question['isAnswer']): Promise<FromWorker | null> {
    return new Promise((resolve) => {
      if (this.state === 'stopped') {
        resolve(null)
        return
      }
      const question: Question = {
        isAnswer,
        resolve: (answer) => {
          this.#asked.delete(question)
          resolve(answer)
        },
      }
      this.#asked.add(question)
      this.send(message)
    })
  }

  send(message: ToWorker): void {
    this.#thread.postMessage(message)
  }

  async terminate(): Promise<void> {
    await this.#thread.terminate()
  }
}
