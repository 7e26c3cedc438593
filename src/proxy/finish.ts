import { ERROR_KINDS, type ErrorCode } from '../base/error.ts'
import { type BreakerOutcome, outcomeOfStatus } from '../breaker/breaker.ts'
import type { Attempt, Exchange } from '../exchange/exchange.ts'
import type { Outcome } from '../service/endpoint.ts'
import { heldRequestReady, heldResponseReady } from './held.ts'
import type { CompiledRoute, ListenerRuntime, ProxyContext, RetryRuntime, ServiceRuntime } from './runtime.ts'

/** The ends: of an attempt, and of an exchange. Each happens exactly once, whichever way it came about. */
export class Finisher {
  readonly #context: ProxyContext

  constructor(context: ProxyContext) {
    this.#context = context
  }

  /** Gives up the running attempt, if there is one: its connection is closed, nothing more is heard of it. */
  cancelAttempt(x: Exchange, outcome: Outcome, code: ErrorCode | null): void {
    const { attempt } = x
    if (attempt === null || attempt.done) return
    attempt.waiting?.cancel(attempt)
    attempt.connection?.cancel()
    this.endAttempt(attempt, outcome, code)
  }

  endAttempt(attempt: Attempt, outcome: Outcome, code: ErrorCode | null): void {
    attempt.done = true
    const { wheel, clock } = this.#context
    const nowMs = clock.now()
    if (attempt.checkMs !== 0) wheel.remove(attempt)
    const durationMs = nowMs - attempt.startedMs
    const x = attempt.exchange
    attempt.endpoint.state.end(outcome, nowMs, latencyOf(attempt, outcome, durationMs))
    x.upstreamMs = x.upstreamMs < 0 ? durationMs : x.upstreamMs + durationMs
    x.nowMs = nowMs
    const runtime = x.service as ServiceRuntime
    if (attempt.breakerToken !== 0)
      runtime.breaker?.record(attempt.breakerToken, breakerOutcome(outcome, attempt.status), durationMs, nowMs)
    if (attempt.holdsBudget) {
      attempt.holdsBudget = false
      runtime.retry?.budget.release()
    }
    runtime.metrics.attempt(outcome, durationMs, code)
  }

  finish(x: Exchange): void {
    if (x.finished) return
    x.finished = true
    const { wheel, errors, accessLog, clock } = this.#context
    if (x.checkMs !== 0) wheel.remove(x)
    const listener = x.listener as ListenerRuntime
    listener.metrics.requestsInFlight.add(-1)
    if (x.errorCode !== null) errors.add(x.errorCode)
    const status = x.errorCode === 'client_closed' ? 499 : (x.response?.status ?? ERROR_KINDS[x.errorCode ?? 'internal'].http)
    // The end of the attempt is the end of the exchange, unless there was none or filters took their time.
    const nowMs = x.attempt !== null && x.route?.filters === null ? x.nowMs : clock.now()
    const durationMs = nowMs - x.startedMs
    if (x.service !== null) this.#finishRetries(x, (x.service as ServiceRuntime).retry)
    const { route } = x
    const metrics = route === null ? listener.unmatched : listener.metricsOf(route as CompiledRoute)
    metrics.finish(status, durationMs, x.requestBytes, x.responseBytes)
    if (accessLog !== null) accessLog(x, durationMs, status)
    if (route !== null && route.filters !== null) this.#finishFilters(x, route.filters)
    x.downstream.onFinished(x)
  }

  #finishRetries(x: Exchange, retry: RetryRuntime | null): void {
    if (retry === null) return
    retry.budget.end()
    // A retry that was granted and never begun, because the exchange ended while it waited.
    if (x.isRetryGranted) retry.budget.release()
  }

  #finishFilters(x: Exchange, filters: NonNullable<CompiledRoute['filters']>): void {
    heldRequestReady(x)
    heldResponseReady(x)
    for (let i = 0; i < filters.length; i++) {
      const { onFinish } = filters[i] as (typeof filters)[number]
      if (onFinish === null) continue
      try {
        onFinish(x)
      } catch (error) {
        this.#context.onDefect(error, `filter ${filters[i]?.name}`)
      }
    }
  }
}

/** For balancers that look at latencies: the time to the head; of a failure the time it took, which only makes an endpoint look slower. */
function latencyOf(attempt: Attempt, outcome: Outcome, durationMs: number): number {
  if (attempt.headMs >= 0) return attempt.headMs
  return outcome === 'failure' && attempt.sent ? durationMs : -1
}

/** What an attempt says about its service: how it went on the wire, and if it went well, the status. */
function breakerOutcome(outcome: Outcome, status: number): BreakerOutcome {
  return outcome === 'success' ? outcomeOfStatus(status) : outcome
}
