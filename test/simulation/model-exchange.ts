import { type BreakerOutcome, outcomeOfStatus, REJECTED } from '../../src/breaker/breaker.ts'
import type { ShedReason, Waiter } from '../../src/limit/wait-queue.ts'
import { RETRY_BACKOFF_DEFAULTS, retryDelayMs } from '../../src/retry/backoff.ts'
import { NO_HEDGE } from '../../src/retry/hedge.ts'
import type { FailedAttempt, RetryDecision } from '../../src/retry/policy.ts'
import { DO_NOT_RETRY, NO_DELAY } from '../../src/retry/retry-after.ts'
import type { Endpoint, Outcome } from '../../src/service/endpoint.ts'
import type { PickContext } from '../../src/service/picker.ts'
import type { ModelWorker } from './model-gateway.ts'
import type { SimulationEvent } from './simulation.ts'
import { type Answer, answered, type Call, failed, isGood, type Running } from './upstream.ts'

interface Attempt {
  readonly endpoint: Endpoint
  readonly startedMs: number
  readonly token: number
  readonly holdsBudget: boolean
  running: Running | null
  timer: SimulationEvent | null
}

/**
 * One request in a gateway: limit, breaker, picker, attempts, retries, a backup, in the order in which src/proxy/attempts.ts and
 * finish.ts ask the same algorithms. Always a GET without a body.
 */
export class ModelExchange implements PickContext, Waiter, Running {
  tried: Endpoint[] | null = null
  nowMs: number
  readonly hashKey: string | null
  readonly priority: number
  waitUntilMs = 0
  nextWaiter: Waiter | null = null
  previousWaiter: Waiter | null = null
  isWaiting = false
  readonly #worker: ModelWorker
  readonly #call: Call
  readonly #done: (answer: Answer) => void
  readonly #attempts: Attempt[] = []
  readonly #startedMs: number
  #admittedMs = -1
  #tries = 0
  #isGranted = false
  #hasBackup = false
  #isFinished = false
  #timer: SimulationEvent | null = null

  constructor(worker: ModelWorker, call: Call, done: (answer: Answer) => void) {
    this.#worker = worker
    this.#call = call
    this.#done = done
    this.#startedMs = worker.simulation.nowMs
    this.nowMs = this.#startedMs
    this.hashKey = call.key
    this.priority = call.priority
  }

  begin(): this {
    const { simulation, concurrency, policies } = this.#worker
    this.#timer = simulation.after(policies.requestMs, () => this.#onTimeout())
    const admission = concurrency === null ? 'admitted' : concurrency.enter(this, simulation.nowMs)
    if (admission === 'admitted') this.onAdmitted()
    else if (admission === 'shed') this.onShed()
    return this
  }

  onAdmitted(): void {
    const { simulation, policy, budget, hedge } = this.#worker
    this.#admittedMs = simulation.nowMs
    if (policy !== null) budget.begin(simulation.nowMs)
    hedge?.begin(simulation.nowMs)
    this.#try()
    const delayMs = hedge === null || this.#isFinished ? NO_HEDGE : hedge.delayMs(simulation.nowMs)
    if (delayMs !== NO_HEDGE) simulation.after(delayMs, () => this.#tryBackup())
  }

  onShed(_reason?: ShedReason): void {
    this.#worker.gateway.refused++
    this.#end(answered(503))
  }

  /** The client has gone. */
  cancel(): void {
    if (this.isWaiting) this.#worker.concurrency?.cancel(this)
    this.#end(null)
  }

  #try(): void {
    const { simulation, breaker, picker, gateway, policies } = this.#worker
    this.nowMs = simulation.nowMs
    const token = breaker === null ? 0 : breaker.allow(this.nowMs)
    if (breaker !== null && token === REJECTED) {
      gateway.refused++
      return this.#end(answered(503))
    }
    const pick = picker.pick(this)
    if (pick.kind === 'none') {
      breaker?.record(token, 'neutral', 0, this.nowMs)
      return this.#end(answered(503))
    }
    const { endpoint } = pick
    const attempt: Attempt = { endpoint, startedMs: this.nowMs, token, holdsBudget: this.#isGranted, running: null, timer: null }
    this.#isGranted = false
    this.#tries++
    gateway.attempts++
    this.#attempts.push(attempt)
    endpoint.state.begin()
    if (policies.perTryMs !== null) attempt.timer = simulation.after(policies.perTryMs, () => this.#onAnswer(attempt, failed('timeout')))
    const call: Call = { ...this.#call, attempt: policies.sendsMarks ? this.#tries : 1 }
    attempt.running = gateway.upstreamOf(endpoint).send(call, (answer) => this.#onAnswer(attempt, answer))
  }

  #tryBackup(): void {
    const { simulation, hedge, gateway } = this.#worker
    if (this.#isFinished || this.#hasBackup || this.#attempts.length !== 1 || !hedge!.trySpend(simulation.nowMs)) return
    this.#hasBackup = true
    gateway.backups++
    this.tried ??= []
    this.tried.push(this.#attempts[0]!.endpoint)
    this.#try()
  }

  #onAnswer(attempt: Attempt, answer: Answer): void {
    if (!this.#attempts.includes(attempt)) return
    if (answer.failure === 'timeout') attempt.running?.cancel()
    if (isGood(answer)) {
      this.#recordLatencies()
      this.#recordOvertaken(attempt)
      this.#endAttempt(attempt, 'success', answer.status)
      return this.#end(answer)
    }
    const others = this.#attempts.length - 1
    const decision = others > 0 || this.#worker.policy === null ? null : this.#decide(answer)
    const isFailure = others > 0 || answer.failure !== null || decision?.kind === 'retry'
    this.#endAttempt(attempt, isFailure ? 'failure' : 'success', answer.status)
    // The backup, or the first attempt, may still answer.
    if (others > 0) return
    if (decision?.kind === 'retry') this.#retry(attempt, answer)
    else this.#end(this.#answerOf(answer, decision))
  }

  /** Of the attempt that won, and of the other one what is known of it: that it takes longer. */
  #recordLatencies(): void {
    const { simulation, hedge } = this.#worker
    if (hedge !== null) for (const { startedMs } of this.#attempts) hedge.record(simulation.nowMs - startedMs, simulation.nowMs)
  }

  #recordOvertaken(winner: Attempt): void {
    const { nowMs } = this.#worker.simulation
    for (const { endpoint, startedMs } of this.#attempts)
      if (startedMs < winner.startedMs) endpoint.state.overtaken(nowMs - startedMs, nowMs)
  }

  #retry(attempt: Attempt, answer: Answer): void {
    const { simulation, endpoints, random } = this.#worker
    this.#isGranted = true
    this.tried ??= []
    this.tried.push(attempt.endpoint)
    const isQuick = !answer.isRetryForbidden && this.tried.length < endpoints.length && this.tried.length < 2
    const delayMs = isQuick ? 0 : retryDelayMs(RETRY_BACKOFF_DEFAULTS, this.#tries, NO_DELAY, false, random)
    if (delayMs <= 0) return this.#try()
    simulation.after(delayMs, () => {
      if (!this.#isFinished) this.#try()
    })
  }

  #decide(answer: Answer): RetryDecision {
    const { simulation, policy, budget, policies } = this.#worker
    const facts: FailedAttempt = {
      failure: answer.failure ?? 'status',
      status: answer.status,
      grpcStatus: -1,
      attempts: this.#tries,
      method: 'GET',
      hasIdempotencyKey: false,
      isResponseStarted: false,
      isBodyReplayable: true,
      isClientGone: this.#isFinished,
      isFreeRetryUsed: true,
      isCallersRetry: policies.sendsMarks && this.#call.attempt > 1,
      remainingMs: this.#startedMs + policies.requestMs - simulation.nowMs,
      serverDelayMs: policies.sendsMarks && answer.isRetryForbidden ? DO_NOT_RETRY : NO_DELAY,
    }
    const decision = policy!.shouldRetry(facts)
    if (decision.kind === 'stop') return decision
    return budget.tryAcquire(simulation.nowMs) ? decision : { kind: 'stop', reason: 'budget-exhausted' }
  }

  /** What the caller is told: 502 and 504 for what gave no answer, and whether it is of use to try again. */
  #answerOf(answer: Answer, decision: RetryDecision | null): Answer {
    const isExhausted = decision?.kind === 'stop' && (decision.reason === 'attempts-exhausted' || decision.reason === 'budget-exhausted')
    const isRetryForbidden = this.#worker.policies.sendsMarks && (answer.isRetryForbidden || isExhausted)
    if (answer.failure === null) return { ...answer, isRetryForbidden }
    return answered(answer.failure === 'timeout' ? 504 : 502, isRetryForbidden)
  }

  #onTimeout(): void {
    if (this.#isFinished) return
    if (this.isWaiting) this.#worker.concurrency?.cancel(this)
    this.#end(answered(504), 'failure')
  }

  #endAttempt(attempt: Attempt, outcome: Outcome, status: number): void {
    const { simulation, breaker, budget } = this.#worker
    this.#attempts.splice(this.#attempts.indexOf(attempt), 1)
    simulation.cancel(attempt.timer)
    const { nowMs } = simulation
    const latencyMs = nowMs - attempt.startedMs
    attempt.endpoint.state.end(outcome, nowMs, latencyMs, status >= 500)
    if (attempt.token !== REJECTED) breaker?.record(attempt.token, breakerOutcome(outcome, status), latencyMs, nowMs)
    if (outcome !== 'neutral') budget.learn(outcome === 'success' && status < 500, attempt.holdsBudget, nowMs)
    if (attempt.holdsBudget) budget.release()
  }

  /** The one end. What still runs is given up; null: nobody is there to be told. */
  #end(answer: Answer | null, ofTheRest: Outcome = 'neutral'): void {
    if (this.#isFinished) return
    this.#isFinished = true
    const { simulation, policy, budget } = this.#worker
    simulation.cancel(this.#timer)
    while (this.#attempts.length > 0) {
      const attempt = this.#attempts[0]!
      attempt.running?.cancel()
      this.#endAttempt(attempt, ofTheRest, 0)
    }
    if (this.#admittedMs >= 0) {
      if (policy !== null) budget.end()
      if (this.#isGranted) budget.release()
      this.#leave(answer)
    }
    if (answer !== null) this.#done(answer)
  }

  #leave(answer: Answer | null): void {
    const { simulation, concurrency, gradient, gateway, policies } = this.#worker
    if (concurrency === null) return
    const { nowMs } = simulation
    if (gradient !== null && answer !== null) {
      const isSample = isGood(answer) || (answer.status === 504 && !gradient.isMeasuring && policies.concurrency?.ignoresTimeouts !== true)
      if (isSample && gradient.record(nowMs - this.nowMs, nowMs)) concurrency.setLimit(gradient.limit)
    }
    concurrency.leave()
    gateway.passGrants()
  }
}

function breakerOutcome(outcome: Outcome, status: number): BreakerOutcome {
  return outcome === 'success' ? outcomeOfStatus(status) : outcome
}
