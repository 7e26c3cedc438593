import { ERROR_KINDS, type ErrorCode } from '../base/error.ts'
import { type BreakerOutcome, outcomeOfStatus } from '../breaker/breaker.ts'
import { GRPC_RESOURCE_EXHAUSTED } from '../codec/grpc/status.ts'
import type { Attempt, Exchange } from '../exchange/exchange.ts'
import type { Outcome } from '../service/endpoint.ts'
import { finalGrpcStatus, isGrpcError } from './grpc.ts'
import { heldRequestReady, heldResponseReady } from './held.ts'
import type { CompiledRoute, ListenerRuntime, ProxyContext, ServiceRuntime } from './runtime.ts'

/** The ends: of an attempt, and of an exchange. Each happens exactly once, whichever way it came about. */
export class Finisher {
  readonly #context: ProxyContext

  constructor(context: ProxyContext) {
    this.#context = context
  }

  /** Gives up what attempts run: their connections are closed, nothing more is heard of them. */
  cancelAttempt(x: Exchange, outcome: Outcome, code: ErrorCode | null): void {
    const { attempt, backup } = x
    if (backup !== null) {
      x.backup = null
      this.cancel(backup, outcome, code)
    }
    if (attempt !== null) this.cancel(attempt, outcome, code)
  }

  /** The same for one attempt of two. */
  cancel(attempt: Attempt, outcome: Outcome, code: ErrorCode | null): void {
    if (attempt.done) return
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
    const isError = attempt.status >= 500 || (attempt.grpcStatus > 0 && isGrpcError(attempt, nowMs))
    const isKnown = attempt.settled && outcome === 'success'
    attempt.endpoint.state.end(isKnown ? 'neutral' : outcome, nowMs, latencyOf(attempt, outcome, durationMs), isError)
    x.upstreamMs = x.upstreamMs < 0 ? durationMs : x.upstreamMs + durationMs
    x.nowMs = nowMs
    const runtime = x.service as ServiceRuntime
    if (attempt.breakerToken !== 0)
      (runtime.breaker ?? runtime.breakers?.of(attempt.endpoint))?.record(
        attempt.breakerToken,
        breakerOutcome(outcome, attempt, isError),
        // A call is slow when its answer is: how long a download or a stream then lasts is not the service's doing.
        attempt.headMs >= 0 ? attempt.headMs : durationMs,
        nowMs,
      )
    if (runtime.retry !== null && outcome !== 'neutral')
      runtime.retry.budget.learn(outcome === 'success' && !isError, attempt.holdsBudget, nowMs)
    if (attempt.holdsBudget) {
      attempt.holdsBudget = false
      runtime.retry?.budget.release()
    }
    runtime.metrics.attempt(outcome, durationMs, code)
  }

  /** A connection stands that may last for hours: who waits for the result of a trial need not wait for its end. */
  settle(attempt: Attempt): void {
    attempt.settled = true
    const nowMs = this.#context.clock.now()
    attempt.endpoint.state.settle('success', nowMs, attempt.headMs)
    if (attempt.breakerToken === 0) return
    const { breaker, breakers } = attempt.exchange.service as ServiceRuntime
    ;(breaker ?? breakers?.of(attempt.endpoint))?.record(attempt.breakerToken, 'success', nowMs - attempt.startedMs, nowMs)
    attempt.breakerToken = 0
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
    if (x.service !== null) this.leaveService(x)
    if (x.places !== null) x.places.leave(nowMs)
    x.tunnel?.release()
    if (x.hedgeWait !== null) this.#context.fineWheel.remove(x.hedgeWait)
    const { route } = x
    const metrics = route === null ? listener.unmatched : listener.metricsOf(route as CompiledRoute)
    metrics.finish(status, durationMs, x.requestBytes, x.responseBytes)
    if (x.grpc !== null) {
      x.grpc.status = finalGrpcStatus(x, nowMs)
      metrics.grpc.finish(x.grpc.status, x.grpc.requests.messages, x.grpc.responses.messages)
    }
    if (accessLog !== null) accessLog(x, durationMs, status)
    if (route !== null && route.filters !== null) this.#finishFilters(x, route.filters)
    x.downstream.onFinished(x)
  }

  /** The exchange is done with its service. */
  leaveService(x: Exchange): void {
    const { retry } = x.service as ServiceRuntime
    if (retry === null) return
    // One that waited for a place under a limit, and got none, was never counted.
    if (x.isInBudget) retry.budget.end()
    x.isInBudget = false
    // A retry that was granted and never begun, because the exchange ended while it waited.
    if (x.isRetryGranted) retry.budget.release()
    x.isRetryGranted = false
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
function breakerOutcome(outcome: Outcome, attempt: Attempt, isError: boolean): BreakerOutcome {
  if (outcome !== 'success') return outcome
  if (attempt.grpcStatus === GRPC_RESOURCE_EXHAUSTED) return 'neutral'
  return isError ? 'failure' : outcomeOfStatus(attempt.status)
}
