import type { ErrorCode } from '../base/error.ts'
import { Timed } from '../base/timers.ts'
import { findTrailer } from '../codec/grpc/fields.ts'
import { HEADER_RETRY_AFTER, HEADER_X_SLUICE_ATTEMPT } from '../codec/header-id.ts'
import type { ResponseHead } from '../codec/http1/head.ts'
import type { Attempt, Exchange } from '../exchange/exchange.ts'
import { RETRY_BACKOFF_DEFAULTS, retryDelayMs } from '../retry/backoff.ts'
import { type AttemptFailure, BUDGET_EXHAUSTED, type FailedAttempt, isIdempotent, type RetryDecision } from '../retry/policy.ts'
import { DO_NOT_RETRY, NO_DELAY, parsePushbackMs, parseRetryAfterMs } from '../retry/retry-after.ts'
import { grpcStatusOfError } from './grpc.ts'
import type { ProxyContext, RetryRuntime, ServiceRuntime } from './runtime.ts'

/**
 * Retries of HTTP requests: what the pure rules of src/retry need to know is read from the exchange here, and what they say is done by
 * handle.ts. Marks that travel along the chain of gateways:
 *
 *   X-Sluice-Attempt: 2      on the request of a second attempt: whoever is behind does not add retries of its own
 *   X-Sluice-Retry: no       on a response: whoever is before does not try again
 */
export const ATTEMPT_HEADER = 'X-Sluice-Attempt'
const RETRY_FIELD = 'x-sluice-retry'
const PUSHBACK_FIELD = 'grpc-retry-pushback-ms'

/** The wait before a retry, or its end without one. */
export class RetryWait extends Timed {
  readonly #run: () => void

  constructor(run: () => void) {
    super()
    this.#run = run
  }

  override onDeadline(): void {
    this.#run()
  }
}

export class Retries {
  readonly #context: ProxyContext
  /** Filled in for each question, so that asking allocates nothing. */
  readonly #facts: FailedAttempt = {
    failure: 'reset',
    status: 0,
    grpcStatus: -1,
    attempts: 0,
    method: '',
    hasIdempotencyKey: false,
    isResponseStarted: false,
    isBodyReplayable: true,
    isClientGone: false,
    isFreeRetryUsed: false,
    isCallersRetry: false,
    remainingMs: Number.POSITIVE_INFINITY,
    serverDelayMs: NO_DELAY,
  }

  /** The service has said when to come back, to the millisecond. */
  #isPushedBack = false

  constructor(context: ProxyContext) {
    this.#context = context
  }

  /** Decides at the start how much of a request body is worth keeping. */
  begin(x: Exchange, retry: RetryRuntime): void {
    retry.budget.begin(x.nowMs)
    x.isInBudget = true
    if (!x.hasRequestBody) return
    const { config } = retry
    // An endpoint over HTTP/2 can say that it has not begun with a request: then it does not matter what the request does.
    const mayBeRefused = x.grpc !== null || (x.service as ServiceRuntime).service.config.http2 !== null
    x.replayLimit = mayBeRefused || config.nonIdempotent || isRepeatable(x) ? config.replayBytes : 0
  }

  /** Keeps what goes to the endpoint, as long as it is little. */
  remember(x: Exchange, bytes: Buffer, start: number, end: number): void {
    x.replayBytes += end - start
    if (x.replayBytes > x.replayLimit) {
      x.replay = null
      x.replayLimit = 0
      return
    }
    x.replay ??= []
    const copy = Buffer.allocUnsafe(end - start)
    bytes.copy(copy, 0, start, end)
    x.replay.push(copy)
  }

  /** After a failure without a response. */
  afterFailure(x: Exchange, attempt: Attempt, code: ErrorCode, isStale: boolean): RetryDecision {
    this.#facts.failure = failureOf(code, isStale)
    this.#facts.status = 0
    this.#facts.grpcStatus = x.grpc === null ? -1 : grpcStatusOfError(x, code, this.#context.clock.now())
    this.#isPushedBack = false
    this.#facts.serverDelayMs = code === 'pool_overflow' ? DO_NOT_RETRY : NO_DELAY
    return this.#decide(x, attempt)
  }

  /** After a response whose status is an error; `trailers` of a gRPC call that ended with one, or ''. */
  afterStatus(x: Exchange, attempt: Attempt, head: ResponseHead, trailers: string): RetryDecision {
    const facts = this.#facts
    facts.failure = 'status'
    facts.status = head.status
    facts.grpcStatus = attempt.grpcStatus
    facts.serverDelayMs = this.#serverDelayMs(head)
    const pushback = x.grpc === null ? undefined : (findTrailer(trailers, PUSHBACK_FIELD) ?? head.headers.get(PUSHBACK_FIELD))
    this.#isPushedBack = pushback !== undefined
    if (pushback !== undefined && facts.serverDelayMs !== DO_NOT_RETRY) facts.serverDelayMs = parsePushbackMs(pushback)
    return this.#decide(x, attempt)
  }

  #serverDelayMs(head: ResponseHead): number {
    if (head.headers.get(RETRY_FIELD) === 'no') return DO_NOT_RETRY
    const value = head.headers.getById(HEADER_RETRY_AFTER)
    return value === undefined ? NO_DELAY : parseRetryAfterMs(value, this.#context.clock.wallClock())
  }

  #decide(x: Exchange, attempt: Attempt): RetryDecision {
    const { retry } = x.service as ServiceRuntime
    const { policy, budget } = retry as RetryRuntime
    const facts = this.#facts
    const nowMs = this.#context.clock.now()
    facts.attempts = x.tries
    facts.method = x.method
    facts.hasIdempotencyKey = x.request.headers.has('idempotency-key')
    facts.isResponseStarted = x.headSent || x.response !== null
    facts.isBodyReplayable = !x.hasRequestBody || !attempt.bodyStarted || x.replay !== null
    facts.isClientGone = x.finished
    facts.isFreeRetryUsed = x.isFreeRetryUsed
    // Later on, the mark is ours.
    facts.isCallersRetry = x.tries === 1 && (isCallersRetry(x) || (x.grpc !== null && x.grpc.earlierAttempts > 0))
    facts.remainingMs = x.requestComplete && x.deadlineMs !== 0 ? x.deadlineMs - nowMs : Number.POSITIVE_INFINITY
    const decision = policy.shouldRetry(facts)
    if (decision.kind === 'stop' || decision.isFree) return decision
    return budget.tryAcquire(nowMs) ? decision : BUDGET_EXHAUSTED
  }

  /** Milliseconds until the next attempt. An endpoint that was not tried yet need not wait for the failed one to recover. */
  delayMs(x: Exchange, runtime: ServiceRuntime): number {
    const { serverDelayMs } = this.#facts
    const tried = x.tried?.length ?? 0
    if (serverDelayMs < 0 && tried < runtime.service.endpoints.length && tried < 2) return 0
    return retryDelayMs(RETRY_BACKOFF_DEFAULTS, x.tries, serverDelayMs, this.#isPushedBack, this.#context.random)
  }

  /** Everything that was already sent goes to the front of what still waits. */
  rewind(x: Exchange): void {
    const { replay } = x
    if (replay === null) return
    x.heldRequest = x.heldRequest === null ? replay : [...replay, ...x.heldRequest]
    x.heldRequestBytes = x.heldRequest.reduce((sum, piece) => sum + piece.length, 0)
    x.replay = null
    x.replayBytes = 0
    // From here on, another service could have it all too.
    if (x.attempt !== null) x.attempt.bodyStarted = false
  }
}

/** Whether the request may be sent more than once without doing more than once what it asks for. */
export function isRepeatable(x: Exchange): boolean {
  return isIdempotent(x.method) || x.request.headers.has('idempotency-key')
}

/** A gateway before us has sent this request before. */
export function isCallersRetry(x: Exchange): boolean {
  return Number(x.request.headers.getById(HEADER_X_SLUICE_ATTEMPT) ?? 1) > 1
}

function failureOf(code: ErrorCode, isStale: boolean): AttemptFailure {
  if (code === 'upstream_refused') return isStale ? 'going-away' : 'refused-stream'
  if (isStale) return 'stale-connection'
  switch (code) {
    case 'connect_failed':
    case 'upstream_tls':
    case 'connect_timeout':
      return 'connect-failure'
    case 'upstream_timeout':
      return 'timeout'
    case 'upstream_protocol':
      return 'malformed-response'
    default:
      return 'reset'
  }
}
