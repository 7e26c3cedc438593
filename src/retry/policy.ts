import { DO_NOT_RETRY } from './retry-after.ts'

/**
 * Whether a failed attempt is repeated: the conditions a user configures, and the rules no configuration lifts. Pure; the budget
 * (budget.ts) and the wait (backoff.ts) come after a `retry` answer.
 */

/** Conditions as they stand in the configuration; a status code such as "503" is one too. */
export const RETRY_CONDITIONS = [
  /** No connection: refused, unreachable, or not open in time. Nothing was sent. */
  'connect-failure',
  /** The connection ended after the request was (partly) sent and before a response head. */
  'reset',
  /** HTTP/2 REFUSED_STREAM, or a stream above the last one of a GOAWAY: the service did not look at it. */
  'refused-stream',
  /** The per-try timeout passed before a response head. The timeout of the whole request is never retried. */
  'timeout',
  /** 502, 503, 504. */
  'gateway-error',
  /** Any 5xx, and every way of giving no response: connect-failure, reset, refused-stream, timeout, a malformed response. */
  '5xx',
  /** 409. */
  'retriable-4xx',
  /** gRPC statuses, before the first message has come: 1, 4, 8, 13, 14. */
  'cancelled',
  'deadline-exceeded',
  'resource-exhausted',
  'internal',
  'unavailable',
] as const

export type RetryCondition = (typeof RETRY_CONDITIONS)[number]

/** How an attempt failed. `stale-connection`: a connection used before died before the first byte of the response. */
export type AttemptFailure =
  | 'connect-failure'
  | 'reset'
  | 'refused-stream'
  /** As `refused-stream`, because the connection was being closed in order: another one may do. */
  | 'going-away'
  | 'stale-connection'
  | 'timeout'
  | 'malformed-response'
  /** A complete response head came; see `status` and `grpcStatus`. */
  | 'status'

/** One failed attempt. The caller keeps one object and fills it in, so that asking allocates nothing. */
export interface FailedAttempt {
  failure: AttemptFailure
  /** HTTP status; 0 without a response. */
  status: number
  /** gRPC status of a call, or what its failure is as one; -1 when it is none. */
  grpcStatus: number
  /** Attempts made until now, this one included. */
  attempts: number
  method: string
  /** The request has an Idempotency-Key field. */
  hasIdempotencyKey: boolean
  /** A byte of a response has been given to the client. */
  isResponseStarted: boolean
  /** The whole body can be sent again: none, not yet touched, or still in the bounded buffer. */
  isBodyReplayable: boolean
  isClientGone: boolean
  /** The free retry was used. */
  isFreeRetryUsed: boolean
  /** The request came as a retry of another gateway, as its attempt number says. */
  isCallersRetry: boolean
  /** Milliseconds until the deadline of the whole request; Infinity without one. */
  remainingMs: number
  /** The wait the server asked for: NO_DELAY (-1) when none, DO_NOT_RETRY (-2) when it, or a gateway below, forbids retries. */
  serverDelayMs: number
}

export type RetryStop =
  | 'client-gone'
  | 'response-started'
  | 'refused-by-server'
  | 'not-configured'
  | 'not-idempotent'
  | 'body-not-replayable'
  | 'attempts-exhausted'
  | 'callers-retry'
  | 'server-delay-too-long'
  | 'deadline'
  /** Given by the caller, when `RetryBudget.tryAcquire` said no. */
  | 'budget-exhausted'

/** `isFree` (after a stale connection, or one that was going away): counts neither as an attempt nor against the budget, needs no wait, and must use a connection never used before. */
export type RetryDecision =
  | { readonly kind: 'retry'; readonly reason: AttemptFailure; readonly isFree: boolean }
  | { readonly kind: 'stop'; readonly reason: RetryStop }

export interface RetryPolicyConfig {
  /** Attempts with the first one, 1 to 5. Default 2. */
  readonly attempts: number
  readonly on: readonly (RetryCondition | number | string)[]
  /** Repeat methods that are not idempotent too. Default false. */
  readonly nonIdempotent: boolean
  /** Repeat what came as a retry of a gateway above. Default false: else each layer multiplies the attempts of the next. */
  readonly retryCallersRetry: boolean
  /** A longer wait asked for by the server ends the retries. Default 1 s. */
  readonly maxServerDelayMs: number
  /** Less time than this until the deadline is too little for another attempt. Default 5 ms. */
  readonly minRemainingMs: number
}

export const RETRY_POLICY_DEFAULTS: RetryPolicyConfig = {
  attempts: 2,
  on: ['connect-failure', 'refused-stream', 'reset', 'timeout', 503],
  nonIdempotent: false,
  retryCallersRetry: false,
  maxServerDelayMs: 1000,
  minRemainingMs: 5,
}

const GRPC_CONDITIONS: Readonly<Record<string, number>> = {
  cancelled: 1,
  'deadline-exceeded': 4,
  'resource-exhausted': 8,
  internal: 13,
  unavailable: 14,
}
const GRPC_STATUSES = 17
const NO_RESPONSE: readonly AttemptFailure[] = ['connect-failure', 'reset', 'refused-stream', 'timeout', 'malformed-response']

function stop(reason: RetryStop): RetryDecision {
  return Object.freeze({ kind: 'stop', reason })
}

function retry(reason: AttemptFailure, isFree = false): RetryDecision {
  return Object.freeze({ kind: 'retry', reason, isFree })
}

// Every answer there is, made once.
const CLIENT_GONE = stop('client-gone')
const RESPONSE_STARTED = stop('response-started')
const REFUSED_BY_SERVER = stop('refused-by-server')
const NOT_CONFIGURED = stop('not-configured')
const NOT_IDEMPOTENT = stop('not-idempotent')
const BODY_NOT_REPLAYABLE = stop('body-not-replayable')
const ATTEMPTS_EXHAUSTED = stop('attempts-exhausted')
const CALLERS_RETRY = stop('callers-retry')
const SERVER_DELAY_TOO_LONG = stop('server-delay-too-long')
const DEADLINE = stop('deadline')
export const BUDGET_EXHAUSTED = stop('budget-exhausted')
const FREE_RETRY = retry('stale-connection', true)
const FREE_RETRY_AFTER_GOAWAY = retry('going-away', true)
const RETRY: Readonly<Record<AttemptFailure, RetryDecision>> = {
  'connect-failure': retry('connect-failure'),
  reset: retry('reset'),
  'refused-stream': retry('refused-stream'),
  'going-away': retry('going-away'),
  'stale-connection': retry('stale-connection'),
  timeout: retry('timeout'),
  'malformed-response': retry('malformed-response'),
  status: retry('status'),
}

/** Whether a method may be repeated without changing more than once (RFC 9110 9.2.2). Methods we do not know may not. */
export function isIdempotent(method: string): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'PUT' || method === 'DELETE' || method === 'OPTIONS' || method === 'TRACE'
}

/** The configuration, made ready for questions. */
export class RetryPolicy {
  readonly #config: RetryPolicyConfig
  readonly #statuses = new Uint8Array(600)
  readonly #grpcStatuses = new Uint8Array(GRPC_STATUSES)
  readonly #failures = new Set<AttemptFailure>()

  /** Throws RangeError on a condition that is none; the configuration reader checks with `isRetryCondition` first. */
  constructor(config: RetryPolicyConfig) {
    this.#config = config
    for (const condition of config.on) this.#compile(condition)
    // A stale connection is a reset whose cause is known.
    if (this.#failures.has('reset')) this.#failures.add('stale-connection')
    if (this.#failures.has('refused-stream')) this.#failures.add('going-away')
  }

  get attempts(): number {
    return this.#config.attempts
  }

  /** A gRPC status is among the conditions. */
  get asksForGrpc(): boolean {
    return this.#grpcStatuses.includes(1)
  }

  /** Rules first, then what is configured, then what is left of attempts and time. The first that says no gives the reason. */
  shouldRetry(attempt: FailedAttempt): RetryDecision {
    if (attempt.isClientGone) return CLIENT_GONE
    if (attempt.isResponseStarted) return RESPONSE_STARTED
    if (attempt.serverDelayMs === DO_NOT_RETRY) return REFUSED_BY_SERVER
    const isGoingAway = attempt.failure === 'going-away'
    const isFree = (isGoingAway || attempt.failure === 'stale-connection') && !attempt.isFreeRetryUsed
    if (!isFree && !this.#isConfigured(attempt)) return NOT_CONFIGURED
    if (!this.#isSafe(attempt)) return NOT_IDEMPOTENT
    if (!attempt.isBodyReplayable) return BODY_NOT_REPLAYABLE
    if (attempt.remainingMs < this.#config.minRemainingMs) return DEADLINE
    if (isFree) return isGoingAway ? FREE_RETRY_AFTER_GOAWAY : FREE_RETRY
    if (attempt.attempts >= this.#config.attempts) return ATTEMPTS_EXHAUSTED
    if (attempt.isCallersRetry && !this.#config.retryCallersRetry) return CALLERS_RETRY
    if (attempt.serverDelayMs > this.#config.maxServerDelayMs) return SERVER_DELAY_TOO_LONG
    if (attempt.serverDelayMs >= attempt.remainingMs) return DEADLINE
    return RETRY[attempt.failure]
  }

  #isConfigured(attempt: FailedAttempt): boolean {
    if (this.#grpcStatuses[attempt.grpcStatus] === 1) return true
    if (attempt.failure !== 'status') return this.#failures.has(attempt.failure)
    return this.#statuses[attempt.status] === 1
  }

  /** The service cannot have acted on the request, or acting twice does no harm. Calls are all POSTs: to name a gRPC status is to say so. */
  #isSafe(attempt: FailedAttempt): boolean {
    if (attempt.failure === 'connect-failure' || attempt.failure === 'refused-stream' || attempt.failure === 'going-away') return true
    if (this.#grpcStatuses[attempt.grpcStatus] === 1) return true
    return isIdempotent(attempt.method) || attempt.hasIdempotencyKey || this.#config.nonIdempotent
  }

  #compile(condition: RetryCondition | number | string): void {
    if (!isRetryCondition(condition)) throw new RangeError(`unknown retry condition "${condition}"`)
    const grpcStatus = GRPC_CONDITIONS[condition]
    if (grpcStatus !== undefined) this.#grpcStatuses[grpcStatus] = 1
    else if (condition === '5xx') {
      this.#statuses.fill(1, 500, 600)
      for (const failure of NO_RESPONSE) this.#failures.add(failure)
    } else if (condition === 'gateway-error') this.#statuses.fill(1, 502, 505)
    else if (condition === 'retriable-4xx') this.#statuses[409] = 1
    else if (condition === 'connect-failure' || condition === 'reset' || condition === 'refused-stream' || condition === 'timeout') {
      this.#failures.add(condition)
    } else this.#statuses[Number(condition)] = 1
  }
}

/** One of RETRY_CONDITIONS, or a status from 400 to 599. */
export function isRetryCondition(value: string | number): boolean {
  const text = String(value)
  return (RETRY_CONDITIONS as readonly string[]).includes(text) || /^[45]\d\d$/.test(text)
}
