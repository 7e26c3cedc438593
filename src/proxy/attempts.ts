import type { ErrorCode } from '../base/error.ts'
import { REJECTED } from '../breaker/breaker.ts'
import { isGrpcFailure } from '../codec/grpc/status.ts'
import { HEADER_X_SLUICE_ATTEMPT } from '../codec/header-id.ts'
import type { ResponseHead } from '../codec/http1/head.ts'
import { Attempt, type Exchange } from '../exchange/exchange.ts'
import type { Hedge } from '../retry/hedge.ts'
import { isIdempotent, type RetryDecision } from '../retry/policy.ts'
import type { Endpoint } from '../service/endpoint.ts'
import { Admission } from './admission.ts'
import { keepsBodyOfCall } from './fallback.ts'
import type { Finisher } from './finish.ts'
import { NEEDS_TRAILERS, takesGrpcStatus } from './grpc.ts'
import { takeHeldHead } from './grpc-hold.ts'
import { announceGrpc } from './grpc-time.ts'
import { Hedging } from './hedging.ts'
import { ATTEMPT_HEADER, isCallersRetry, isRepeatable, Retries, RetryWait } from './retry.ts'
import type { CompiledRoute, ProxyContext, ServiceRuntime } from './runtime.ts'

/** Of a request that is hedged and never retried, so much body is kept for the second attempt; of a call also for another service. */
const HEDGED_BODY_BYTES = 64 * 1024

/** Where an exchange that gets no further attempt goes: to an error answer. */
export type Fail = (x: Exchange, code: ErrorCode, detail: string) => void

/**
 * The attempts of an exchange: the breaker is asked, an endpoint picked, a connection acquired; and when one fails, whether another
 * follows.
 */
export class Attempts {
  readonly #context: ProxyContext
  readonly #finisher: Finisher
  readonly #retries: Retries
  readonly hedging: Hedging
  readonly #fail: Fail
  readonly #admission: Admission

  constructor(context: ProxyContext, finisher: Finisher, fail: Fail) {
    this.#context = context
    this.#finisher = finisher
    this.#retries = new Retries(context)
    this.hedging = new Hedging(context, finisher)
    this.#fail = fail
    this.#admission = new Admission(context, (x, runtime) => this.#start(x, runtime), fail)
  }

  /** The first attempt, as soon as there is room for the exchange. */
  begin(x: Exchange, runtime: ServiceRuntime): void {
    if (x.grpc !== null && !takesGrpcStatus(x)) return this.#fail(x, 'bad_request', NEEDS_TRAILERS)
    if (runtime.limit === null && (x.route as CompiledRoute).limit === null && x.places === null) this.#start(x, runtime)
    else this.#admission.enter(x, runtime)
  }

  #start(x: Exchange, runtime: ServiceRuntime): void {
    if (runtime.retry !== null) this.#retries.begin(x, runtime.retry)
    if (x.grpc !== null && x.replayLimit === 0 && keepsBodyOfCall(x)) x.replayLimit = HEDGED_BODY_BYTES
    // Behind the filters: what they made of the request is what it is balanced by.
    runtime.service.keys?.read(x)
    const { hedge } = runtime
    if (hedge === null) return this.#try(x, runtime, null)
    hedge.begin(x.nowMs)
    if (runtime.retry === null && x.hasRequestBody && isRepeatable(x)) x.replayLimit = HEDGED_BODY_BYTES
    const isHedged = !isCallersRetry(x) && x.upgrade === ''
    this.#try(x, runtime, null)
    if (isHedged) this.hedging.arm(x, runtime, () => this.#hedge(x, runtime))
  }

  /** The first attempt takes long: a second one on another endpoint, if the budget has one. */
  #hedge(x: Exchange, runtime: ServiceRuntime): void {
    if (!this.hedging.isDue(x)) return
    const first = x.attempt as Attempt
    const { breaker, breakers, metrics, service } = runtime
    const hedge = runtime.hedge as Hedge
    const nowMs = this.#context.clock.now()
    // First, so that without a budget no endpoint is chosen for a trial that does not come.
    if (!hedge.trySpend(nowMs)) return metrics.hedge('budget-exhausted')
    x.nowMs = nowMs
    x.tried = [first.endpoint]
    let token = breaker === null ? 0 : breaker.allow(nowMs)
    if (breaker !== null && token === REJECTED) return this.#hedgeNowhere(hedge, runtime, nowMs)
    const pick = breakers === null ? service.picker.pick(x) : breakers.pick(x, service.picker)
    if (pick.kind === 'none') {
      breaker?.record(token, 'neutral', 0, nowMs)
      return this.#hedgeNowhere(hedge, runtime, nowMs)
    }
    const asked = breaker ?? breakers?.of(pick.endpoint) ?? null
    if (breakers !== null) token = breakers.token
    if (pick.endpoint === first.endpoint || (breakers !== null && token === REJECTED)) {
      asked?.record(token, 'neutral', 0, nowMs)
      return this.#hedgeNowhere(hedge, runtime, nowMs)
    }
    metrics.hedge('sent')
    const attempt = this.#begin(x, pick.endpoint, token, nowMs)
    x.backup = attempt
    this.#announce(x, runtime, attempt, nowMs, true)
    runtime.pool(pick.endpoint).acquire(attempt, false)
  }

  /** No endpoint is free for a backup: it costs nothing. */
  #hedgeNowhere(hedge: Hedge, { metrics }: ServiceRuntime, nowMs: number): void {
    hedge.refund(nowMs)
    metrics.hedge('no-endpoint')
  }

  /** What came of the request body before there was a connection for it. */
  sendHeld(attempt: Attempt, pieces: readonly Buffer[]): void {
    const { exchange: x, connection } = attempt
    x.heldRequest = null
    x.heldRequestBytes = 0
    attempt.bodyStarted = true
    for (let i = 0; i < pieces.length && attempt.connection === connection && connection !== null; i++) {
      const piece = pieces[i] as Buffer
      if (x.replayLimit > 0) this.remember(x, piece, 0, piece.length)
      connection.sendBody(piece, 0, piece.length, false)
    }
  }

  /** What goes to the endpoint is kept for another attempt, as long as it is little. */
  remember(x: Exchange, bytes: Buffer, start: number, end: number): void {
    this.#retries.remember(x, bytes, start, end)
  }

  /**
   * Whether the request could still be sent to another service: no response has been shown to filters, and everything that was sent of the
   * body is kept, or nothing was.
   */
  canMove(x: Exchange): boolean {
    if (x.response !== null || x.local !== null) return false
    return !x.hasRequestBody || x.attempt === null || !x.attempt.bodyStarted || x.replay !== null
  }

  /** Forgets what was tried, so that another service can be asked. `code`: why; null: because of a status. */
  move(x: Exchange, code: ErrorCode | null): void {
    this.#admission.leaveService(x, code)
    this.#retries.rewind(x)
    const { wheel, fineWheel } = this.#context
    if (x.hedgeWait !== null) fineWheel.remove(x.hedgeWait)
    if (x.retryWait !== null) wheel.remove(x.retryWait)
    x.hedgeWait = null
    x.retryWait = null
    x.attempt = null
    // The mark is ours: what came as a retry is not tried again.
    if (x.tries > 1) x.request.headers.removeById(HEADER_X_SLUICE_ATTEMPT)
    x.tries = 0
    x.retryAfterMs = 0
    x.tried = null
    x.isFreeRetryUsed = false
    x.isRetryForbidden = false
    x.requestBlocked = false
    x.nowMs = this.#context.clock.now()
  }

  /** One attempt: on a picked endpoint, or once more on the endpoint whose reused connection had died (`again`). */
  #try(x: Exchange, runtime: ServiceRuntime, again: Attempt | null): void {
    const nowMs = x.attempts === 0 ? x.nowMs : this.#context.clock.now()
    if (x.callersDeadlineMs !== 0 && nowMs >= x.callersDeadlineMs) {
      return this.#fail(x, 'upstream_timeout', 'the time this request was given is over')
    }
    let endpoint = again?.endpoint
    const { breakers } = runtime
    const breaker = breakers === null || endpoint === undefined ? runtime.breaker : breakers.of(endpoint)
    let token = breaker === null ? 0 : breaker.allow(nowMs)
    if (breaker !== null && token === REJECTED) return this.#failOpen(x, runtime, breaker.retryAfterMs(nowMs))
    if (endpoint === undefined) {
      x.nowMs = nowMs
      const { picker } = runtime.service
      const pick = breakers === null ? picker.pick(x) : breakers.pick(x, picker)
      if (pick.kind === 'none') {
        breaker?.record(token, 'neutral', 0, nowMs)
        const lack = pick.reason === 'empty-subset' ? 'of the subset this request asks for' : 'that may be used'
        return this.#fail(x, 'no_endpoint', `service ${runtime.service.name} has no endpoint ${lack}`)
      }
      if (breakers !== null) {
        token = breakers.token
        if (token === REJECTED) return this.#failOpen(x, runtime, breakers.retryAfterMs(nowMs))
      }
      endpoint = pick.endpoint
    }
    const attempt = this.#begin(x, endpoint, token, nowMs)
    attempt.holdsBudget = x.isRetryGranted
    x.isRetryGranted = false
    x.attempt = attempt
    this.#announce(x, runtime, attempt, nowMs, again === null)
    runtime.pool(endpoint).acquire(attempt, again !== null)
  }

  #begin(x: Exchange, endpoint: Endpoint, breakerToken: number, nowMs: number): Attempt {
    const attempt = new Attempt(x, endpoint, ++x.attempts, nowMs)
    attempt.breakerToken = breakerToken
    endpoint.state.begin()
    return attempt
  }

  /** What the endpoint is told about this attempt, and how long it may take. */
  #announce(x: Exchange, runtime: ServiceRuntime, attempt: Attempt, nowMs: number, isTry: boolean): void {
    if (isTry && ++x.tries > 1) x.request.headers.set(ATTEMPT_HEADER, String(x.tries))
    const perTryMs = (x.route as CompiledRoute).perTryMs ?? runtime.service.config.timeouts.perTryMs
    if (x.grpc !== null) announceGrpc(x, nowMs)
    else if (runtime.announcer !== null) runtime.announcer.announce(x, perTryMs, nowMs)
    if (perTryMs === null) return
    attempt.onTimeout = this.#onTryTimeout
    this.#context.wheel.arm(attempt, nowMs + perTryMs)
  }

  #failOpen(x: Exchange, { metrics }: ServiceRuntime, retryAfterMs: number): void {
    metrics.breakerRejected()
    x.retryAfterMs = retryAfterMs
    this.#fail(x, 'breaker_open', 'the service is left alone for a while because too many requests failed')
  }

  /** Whether another attempt follows a failure. */
  isTriedAgain(x: Exchange, attempt: Attempt, code: ErrorCode, isStale: boolean): boolean {
    const runtime = x.service as ServiceRuntime
    if (runtime.retry !== null) return this.#follow(x, runtime, attempt, this.#retries.afterFailure(x, attempt, code, isStale))
    // Without retries, a connection that had died before it was used is still replaced, once; so is one that was going away.
    if (!isStale || x.isFreeRetryUsed || attempt.bodyStarted) return false
    if (code !== 'upstream_refused' && !isIdempotent(x.method)) return false
    x.isFreeRetryUsed = true
    this.#try(x, runtime, attempt)
    return true
  }

  #follow(x: Exchange, runtime: ServiceRuntime, attempt: Attempt, decision: RetryDecision): boolean {
    runtime.metrics.retry(decision.reason)
    if (decision.kind === 'stop') {
      // Whoever is before us need not try what we have given up on.
      if (decision.reason === 'attempts-exhausted' || decision.reason === 'budget-exhausted') x.isRetryForbidden = true
      return false
    }
    this.#retries.rewind(x)
    if (x.grpc !== null) takeHeldHead(x)
    if (decision.isFree) {
      x.isFreeRetryUsed = true
      this.#try(x, runtime, attempt)
      return true
    }
    x.isRetryGranted = true
    if (x.tried === null) x.tried = []
    x.tried.push(attempt.endpoint)
    const delayMs = this.#retries.delayMs(x, runtime)
    if (delayMs <= 0) this.#try(x, runtime, null)
    else {
      x.retryWait = new RetryWait(() => this.#tryAfterWait(x, runtime))
      this.#context.wheel.arm(x.retryWait, this.#context.clock.now() + delayMs)
    }
    return true
  }

  #tryAfterWait(x: Exchange, runtime: ServiceRuntime): void {
    x.retryWait = null
    if (!x.finished && x.local === null) this.#try(x, runtime, null)
  }

  /** A status the retry policy names: the response is thrown away and another endpoint asked, if the rules allow it. */
  isStatusRepeated(x: Exchange, attempt: Attempt, head: ResponseHead, trailers: string): boolean {
    const runtime = x.service as ServiceRuntime
    if (runtime.retry === null) return false
    const decision = this.#retries.afterStatus(x, attempt, head, trailers)
    if (decision.kind === 'retry') this.#finisher.cancelAttempt(x, isAnswer(attempt) ? 'success' : 'failure', null)
    return this.#follow(x, runtime, attempt, decision)
  }

  readonly #onTryTimeout = (attempt: Attempt): void => {
    const x = attempt.exchange
    if (x.finished || attempt.done) return
    this.#finisher.cancel(attempt, 'failure', 'upstream_timeout')
    if (this.hedging.hasOther(x, attempt)) return
    if (this.isTriedAgain(x, attempt, 'upstream_timeout', false)) return
    this.#fail(x, 'upstream_timeout', 'the endpoint did not answer in time')
  }
}

/** A gRPC status that is tried again, but does not say that the service is not well. */
function isAnswer(attempt: Attempt): boolean {
  return attempt.grpcStatus > 0 && attempt.status === 200 && !isGrpcFailure(attempt.grpcStatus)
}
