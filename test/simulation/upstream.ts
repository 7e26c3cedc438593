import type { AttemptFailure } from '../../src/retry/policy.ts'

/** A request as it travels through the model. */
export interface Call {
  /** 1 for the first attempt of whoever sends it: the mark X-Sluice-Attempt. */
  readonly attempt: number
  /** What balancing by key goes by. */
  readonly key: string | null
  /** Level of priority, 0 (core) to 3. */
  readonly priority: number
}

export interface Answer {
  readonly status: number
  /** How there came to be no answer; null when one came. */
  readonly failure: AttemptFailure | null
  /** The mark X-Sluice-Retry: no. */
  readonly isRetryForbidden: boolean
}

/** A request that runs. After `cancel` nothing more is heard of it. */
export interface Running {
  cancel(): void
}

/** What takes requests: an endpoint, or a gateway that stands before others. */
export interface Upstream {
  send(call: Call, done: (answer: Answer) => void): Running
}

export const OK: Answer = { status: 200, failure: null, isRetryForbidden: false }

export function failed(failure: AttemptFailure): Answer {
  return { status: 0, failure, isRetryForbidden: false }
}

export function answered(status: number, isRetryForbidden = false): Answer {
  return { status, failure: null, isRetryForbidden }
}

export function isGood(answer: Answer): boolean {
  return answer.failure === null && answer.status < 500
}
