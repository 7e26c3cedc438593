import { Timed } from '../base/timers.ts'
import { isGrpcFailure, parseGrpcStatus } from '../codec/grpc/status.ts'
import type { ResponseHead } from '../codec/http1/head.ts'
import type { Attempt, Exchange } from '../exchange/exchange.ts'
import { type Hedge, NO_HEDGE } from '../retry/hedge.ts'
import type { Finisher } from './finish.ts'
import { isRepeatable } from './retry.ts'
import type { ProxyContext, ServiceRuntime } from './runtime.ts'

/** The time until a backup request. */
class HedgeWait extends Timed {
  readonly #run: () => void

  constructor(run: () => void) {
    super()
    this.#run = run
  }

  override onDeadline(): void {
    this.#run()
  }
}

/**
 * Backup requests: when the first attempt takes long, the same request goes to another endpoint too (`x.backup`). The first good answer
 * counts, and the other attempt is cancelled on the wire; when one of both fails, the other goes on alone.
 */
export class Hedging {
  readonly #context: ProxyContext
  readonly #finisher: Finisher

  constructor(context: ProxyContext, finisher: Finisher) {
    this.#context = context
    this.#finisher = finisher
  }

  /** The first attempt is under way: `send` is called when it is time for the backup. */
  arm(x: Exchange, runtime: ServiceRuntime, send: () => void): void {
    const { hedge } = runtime
    if (hedge === null || x.attempt === null || x.attempt.done || !isRepeatable(x)) return
    const nowMs = this.#context.clock.now()
    const delayMs = hedge.delayMs(nowMs)
    if (delayMs === NO_HEDGE) return
    const wait = new HedgeWait(send)
    x.hedgeWait = wait
    this.#context.fineWheel.arm(wait, nowMs + delayMs)
  }

  /** The first attempt still waits for its answer, and what was sent can be sent once more. */
  isDue(x: Exchange): boolean {
    const { attempt } = x
    if (x.finished || x.local !== null || x.response !== null || x.tries > 1) return false
    if (attempt === null || attempt.done || attempt.headReceived) return false
    return !x.hasRequestBody || (x.requestComplete && x.heldRequest === null && x.replay !== null)
  }

  /** A good answer has begun. */
  record(attempt: Attempt, hedge: Hedge): void {
    const nowMs = this.#context.clock.now()
    hedge.record(nowMs - attempt.startedMs, nowMs)
  }

  /** The whole request body once more. */
  sendBody(x: Exchange, attempt: Attempt): void {
    const connection = attempt.connection
    if (connection === null || !x.hasRequestBody) return
    attempt.bodyStarted = true
    for (const piece of x.replay ?? []) {
      if (attempt.connection !== connection) return
      connection.sendBody(piece, 0, piece.length, false)
    }
    if (attempt.connection === connection) connection.sendEnd(x.heldRequestEnd ?? '')
  }

  /** A head came while two attempts run. True: this attempt has won, and is alone now. */
  isWinner(x: Exchange, attempt: Attempt, head: ResponseHead, runtime: ServiceRuntime): boolean {
    const isBackup = attempt === x.backup
    const other = (isBackup ? x.attempt : x.backup) as Attempt
    if (head.status >= 500 || (x.grpc !== null && isGrpcFailure(parseGrpcStatus(head.headers.get('grpc-status'))))) {
      this.#finisher.cancel(attempt, 'failure', null)
      this.#remain(x, other)
      runtime.metrics.hedge('failed')
      return false
    }
    // How long it took at least: without it, the slow answers would be missing in what the delay is taken from.
    const nowMs = this.#context.clock.now()
    runtime.hedge?.record(nowMs - other.startedMs, nowMs)
    // The same for what the endpoint is judged by: always overtaken, it would never be seen to be slow. A backup was not waited for so long.
    if (isBackup && runtime.tracksLatency && other.headMs < 0) other.endpoint.state.overtaken(nowMs - other.startedMs, nowMs)
    this.#finisher.cancel(other, 'neutral', null)
    this.#remain(x, attempt)
    runtime.metrics.hedge(isBackup ? 'won' : 'lost')
    return true
  }

  /** An attempt has failed. True: another one is still under way. */
  hasOther(x: Exchange, attempt: Attempt): boolean {
    if (x.backup === null) return false
    const isBackup = attempt === x.backup
    if (!isBackup && attempt !== x.attempt) return false
    this.#remain(x, (isBackup ? x.attempt : x.backup) as Attempt)
    ;(x.service as ServiceRuntime).metrics.hedge('failed')
    return true
  }

  #remain(x: Exchange, attempt: Attempt): void {
    x.attempt = attempt
    x.backup = null
  }
}
