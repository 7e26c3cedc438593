import type { ErrorCode } from '../base/error.ts'
import { type Breaker, REJECTED } from '../breaker/breaker.ts'
import type { ResponseHead } from '../codec/http1/head.ts'
import { Attempt, type Exchange } from '../exchange/exchange.ts'
import { isIdempotent, type RetryDecision } from '../retry/policy.ts'
import type { Finisher } from './finish.ts'
import { ATTEMPT_HEADER, Retries, RetryWait } from './retry.ts'
import type { CompiledRoute, ProxyContext, ServiceRuntime } from './runtime.ts'

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
  readonly #fail: Fail

  constructor(context: ProxyContext, finisher: Finisher, fail: Fail) {
    this.#context = context
    this.#finisher = finisher
    this.#retries = new Retries(context)
    this.#fail = fail
  }

  /** The first attempt. */
  begin(x: Exchange, runtime: ServiceRuntime): void {
    if (runtime.retry !== null) this.#retries.begin(x, runtime.retry)
    // Behind the filters: what they made of the request is what it is balanced by.
    runtime.service.keys?.read(x)
    this.#try(x, runtime, null)
  }

  /** What goes to the endpoint is kept for another attempt, as long as it is little. */
  remember(x: Exchange, bytes: Buffer, start: number, end: number): void {
    this.#retries.remember(x, bytes, start, end)
  }

  /** One attempt: on a picked endpoint, or once more on the endpoint whose reused connection had died (`again`). */
  #try(x: Exchange, runtime: ServiceRuntime, again: Attempt | null): void {
    const nowMs = x.attempts === 0 ? x.startedMs : this.#context.clock.now()
    const { breaker } = runtime
    const token = breaker === null ? 0 : breaker.allow(nowMs)
    if (breaker !== null && token === REJECTED) return this.#failOpen(x, breaker, nowMs)
    let endpoint = again?.endpoint
    if (endpoint === undefined) {
      x.nowMs = nowMs
      const pick = runtime.service.picker.pick(x)
      if (pick.kind === 'none') {
        breaker?.record(token, 'neutral', 0, nowMs)
        const lack = pick.reason === 'empty-subset' ? 'of the subset this request asks for' : 'that may be used'
        return this.#fail(x, 'no_endpoint', `service ${runtime.service.name} has no endpoint ${lack}`)
      }
      endpoint = pick.endpoint
    }
    const attempt = new Attempt(x, endpoint, ++x.attempts, nowMs)
    attempt.breakerToken = token
    attempt.holdsBudget = x.isRetryGranted
    x.isRetryGranted = false
    x.attempt = attempt
    if (again === null && ++x.tries > 1) x.request.headers.set(ATTEMPT_HEADER, String(x.tries))
    endpoint.state.begin()
    const perTryMs = (x.route as CompiledRoute).perTryMs ?? runtime.service.config.timeouts.perTryMs
    if (perTryMs !== null) {
      attempt.onTimeout = this.#onTryTimeout
      this.#context.wheel.arm(attempt, nowMs + perTryMs)
    }
    runtime.pool(endpoint).acquire(attempt, again !== null)
  }

  #failOpen(x: Exchange, breaker: Breaker, nowMs: number): void {
    x.retryAfterMs = breaker.retryAfterMs(nowMs)
    this.#fail(x, 'breaker_open', 'the service is left alone for a while because too many requests failed')
  }

  /** Whether another attempt follows a failure. */
  isTriedAgain(x: Exchange, attempt: Attempt, code: ErrorCode, isStale: boolean): boolean {
    const runtime = x.service as ServiceRuntime
    if (runtime.retry !== null) return this.#follow(x, runtime, attempt, this.#retries.afterFailure(x, attempt, code, isStale))
    // Without retries, a connection that had died before it was used is still replaced, once.
    if (!isStale || x.isFreeRetryUsed || attempt.bodyStarted || !isIdempotent(x.method)) return false
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
    else this.#context.wheel.arm(new RetryWait(() => this.#tryAfterWait(x, runtime)), this.#context.clock.now() + delayMs)
    return true
  }

  #tryAfterWait(x: Exchange, runtime: ServiceRuntime): void {
    if (!x.finished && x.local === null) this.#try(x, runtime, null)
  }

  /** A status the retry policy names: the response is thrown away and another endpoint asked, if the rules allow it. */
  isStatusRepeated(x: Exchange, attempt: Attempt, head: ResponseHead): boolean {
    const runtime = x.service as ServiceRuntime
    if (runtime.retry === null) return false
    const decision = this.#retries.afterStatus(x, attempt, head)
    if (decision.kind === 'retry') this.#finisher.cancelAttempt(x, 'failure', null)
    return this.#follow(x, runtime, attempt, decision)
  }

  readonly #onTryTimeout = (attempt: Attempt): void => {
    const x = attempt.exchange
    if (x.finished || attempt.done) return
    this.#finisher.cancelAttempt(x, 'failure', 'upstream_timeout')
    if (this.isTriedAgain(x, attempt, 'upstream_timeout', false)) return
    this.#fail(x, 'upstream_timeout', 'the endpoint did not answer in time')
  }
}
