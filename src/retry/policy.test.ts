import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { repeat } from '../base/shared-race.contract.ts'
import {
  type AttemptFailure,
  type FailedAttempt,
  isRetryCondition,
  RETRY_CONDITIONS,
  RETRY_POLICY_DEFAULTS,
  RetryPolicy,
  type RetryPolicyConfig,
} from './policy.ts'
import { DO_NOT_RETRY, NO_DELAY } from './retry-after.ts'

const ATTEMPT: FailedAttempt = {
  failure: 'connect-failure',
  status: 0,
  grpcStatus: -1,
  attempts: 1,
  method: 'GET',
  hasIdempotencyKey: false,
  isResponseStarted: false,
  isBodyReplayable: true,
  isClientGone: false,
  isFreeRetryUsed: false,
  isCallersRetry: false,
  remainingMs: Number.POSITIVE_INFINITY,
  serverDelayMs: NO_DELAY,
}

function decide(attempt: Partial<FailedAttempt>, config: Partial<RetryPolicyConfig> = {}): string {
  const decision = new RetryPolicy({ ...RETRY_POLICY_DEFAULTS, ...config }).shouldRetry({ ...ATTEMPT, ...attempt })
  return decision.kind === 'retry' ? `retry ${decision.reason}${decision.isFree ? ' free' : ''}` : decision.reason
}

function status(code: number, attempt: Partial<FailedAttempt> = {}): Partial<FailedAttempt> {
  return { failure: 'status', status: code, ...attempt }
}

describe('retry rules', () => {
  it('repeat what is configured by default, once', () => {
    for (const failure of ['connect-failure', 'refused-stream', 'reset', 'timeout'] as const) {
      assert.equal(decide({ failure }), `retry ${failure}`)
      assert.equal(decide({ failure, attempts: 2 }), 'attempts-exhausted')
    }
    assert.equal(decide(status(503)), 'retry status')
    assert.equal(decide(status(502)), 'not-configured')
    assert.equal(decide({ failure: 'malformed-response' }), 'not-configured')
  })

  it('never repeat after a byte of the response reached the client', () => {
    assert.equal(decide({ isResponseStarted: true }), 'response-started')
  })

  it('never repeat for a client that left', () => {
    assert.equal(decide({ isClientGone: true, isResponseStarted: true }), 'client-gone')
  })

  it('never repeat with a body that is not there any more', () => {
    assert.equal(decide({ isBodyReplayable: false }), 'body-not-replayable')
  })

  it('repeat what is not idempotent only when the service cannot have acted on it, or when told so', () => {
    for (const method of ['POST', 'PATCH', 'LOCK', 'get', 'CONNECT', 'UNKNOWN']) {
      assert.equal(decide({ method }), 'retry connect-failure')
      assert.equal(decide({ method, failure: 'refused-stream' }), 'retry refused-stream')
      for (const failure of ['reset', 'timeout', 'stale-connection'] as const) assert.equal(decide({ method, failure }), 'not-idempotent')
      assert.equal(decide(status(503, { method })), 'not-idempotent')
      assert.equal(decide(status(503, { method, hasIdempotencyKey: true })), 'retry status')
      assert.equal(decide(status(503, { method }), { nonIdempotent: true }), 'retry status')
    }
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'TRACE']) assert.equal(decide(status(503, { method })), 'retry status')
  })

  it('give an idempotent request one free repeat when a used connection turned out dead', () => {
    const stale: Partial<FailedAttempt> = { failure: 'stale-connection' }
    assert.equal(decide(stale, { on: [] }), 'retry stale-connection free')
    assert.equal(decide({ ...stale, attempts: 5 }), 'retry stale-connection free')
    assert.equal(decide({ ...stale, isFreeRetryUsed: true }, { on: [] }), 'not-configured')
    assert.equal(decide({ ...stale, isFreeRetryUsed: true }, { on: ['reset'] }), 'retry stale-connection')
    assert.equal(decide({ ...stale, isFreeRetryUsed: true, attempts: 2 }, { on: ['reset'] }), 'attempts-exhausted')
    assert.equal(decide({ ...stale, isBodyReplayable: false }), 'body-not-replayable')
  })

  it('give any request one free repeat when its connection was going away', () => {
    const goingAway: Partial<FailedAttempt> = { failure: 'going-away', method: 'POST' }
    assert.equal(decide(goingAway, { on: [] }), 'retry going-away free')
    assert.equal(decide({ ...goingAway, attempts: 5 }), 'retry going-away free')
    assert.equal(decide({ ...goingAway, isFreeRetryUsed: true }, { on: [] }), 'not-configured')
    assert.equal(decide({ ...goingAway, isFreeRetryUsed: true }, { on: ['refused-stream'] }), 'retry going-away')
    assert.equal(decide({ ...goingAway, isBodyReplayable: false }), 'body-not-replayable')
  })

  it('share the deadline of the request', () => {
    assert.equal(decide({ remainingMs: 4 }), 'deadline')
    assert.equal(decide({ remainingMs: 5 }), 'retry connect-failure')
    assert.equal(decide({ remainingMs: 500, serverDelayMs: 500 }), 'deadline')
  })

  it('obey the server', () => {
    assert.equal(decide(status(503, { serverDelayMs: DO_NOT_RETRY })), 'refused-by-server')
    assert.equal(decide(status(503, { serverDelayMs: 1000 })), 'retry status')
    assert.equal(decide(status(503, { serverDelayMs: 1001 })), 'server-delay-too-long')
  })

  it('leave a retry of the gateway above to that one', () => {
    assert.equal(decide({ isCallersRetry: true }), 'callers-retry')
    assert.equal(decide({ isCallersRetry: true }, { retryCallersRetry: true }), 'retry connect-failure')
  })
})

describe('retry conditions', () => {
  const failures: AttemptFailure[] = ['connect-failure', 'reset', 'refused-stream', 'timeout', 'malformed-response']
  /** What each condition repeats, of all failures and statuses. */
  const cases: Record<string, { failures?: AttemptFailure[]; statuses?: number[]; grpc?: number[] }> = {
    'connect-failure': { failures: ['connect-failure'] },
    reset: { failures: ['reset'] },
    'refused-stream': { failures: ['refused-stream'] },
    timeout: { failures: ['timeout'] },
    'gateway-error': { statuses: [502, 503, 504] },
    '5xx': { failures, statuses: Array.from({ length: 100 }, (_, i) => 500 + i) },
    'retriable-4xx': { statuses: [409] },
    cancelled: { grpc: [1] },
    'deadline-exceeded': { grpc: [4] },
    'resource-exhausted': { grpc: [8] },
    internal: { grpc: [13] },
    unavailable: { grpc: [14] },
    '429': { statuses: [429] },
    '503': { statuses: [503] },
  }

  for (const [condition, expected] of Object.entries(cases)) {
    it(`${condition} repeats exactly its own`, () => {
      const policy = new RetryPolicy({ ...RETRY_POLICY_DEFAULTS, on: [condition] })
      const repeats = (attempt: Partial<FailedAttempt>) => policy.shouldRetry({ ...ATTEMPT, ...attempt }).kind === 'retry'
      assert.deepEqual(
        failures.filter((failure) => repeats({ failure })),
        expected.failures ?? [],
      )
      const statuses = Array.from({ length: 600 }, (_, code) => code).filter((code) => repeats(status(code)))
      assert.deepEqual(statuses, expected.statuses ?? [])
      const grpc = Array.from({ length: 20 }, (_, code) => code - 1).filter((grpcStatus) => repeats(status(200, { grpcStatus })))
      assert.deepEqual(grpc, expected.grpc ?? [])
    })
  }

  it('are all known, and nothing else is', () => {
    assert(RETRY_CONDITIONS.every(isRetryCondition))
    assert(isRetryCondition(503) && isRetryCondition('404'))
    for (const no of ['', '200', '600', '5xx ', 'Reset', '50', '5030', 'constructor']) assert(!isRetryCondition(no), no)
    assert.throws(() => new RetryPolicy({ ...RETRY_POLICY_DEFAULTS, on: ['resets'] }), /unknown retry condition "resets"/)
  })
})

describe('a gRPC call', () => {
  const call = { method: 'POST', grpcStatus: 14 }

  it('is repeated when its status is named, whatever made the failure one', () => {
    const on = ['unavailable']
    assert.equal(decide(status(200, call), { on }), 'retry status')
    for (const failure of ['reset', 'timeout', 'malformed-response'] as const) {
      assert.equal(decide({ ...call, failure }, { on }), `retry ${failure}`)
    }
    assert.equal(decide(status(200, { ...call, grpcStatus: 13 }), { on }), 'not-configured')
    assert.equal(decide(status(200, { ...call, isBodyReplayable: false }), { on }), 'body-not-replayable')
  })

  it('is a POST like any other when none is named', () => {
    assert.equal(decide({ ...call, failure: 'reset' }), 'not-idempotent')
    assert.equal(decide({ ...call, failure: 'connect-failure' }), 'retry connect-failure')
    assert.equal(decide(status(200, call)), 'not-configured')
  })
})

describe('any decision', () => {
  it('breaks no rule', () => {
    const attempt = fc.record({
      failure: fc.constantFrom<AttemptFailure>(
        'connect-failure',
        'reset',
        'refused-stream',
        'stale-connection',
        'going-away',
        'timeout',
        'malformed-response',
        'status',
      ),
      status: fc.constantFrom(0, 200, 404, 409, 429, 500, 502, 503, 504, 599),
      grpcStatus: fc.constantFrom(-1, 0, 1, 4, 14, 16),
      attempts: fc.integer({ min: 1, max: 5 }),
      method: fc.constantFrom('GET', 'POST', 'PATCH', 'PUT', 'FOO'),
      hasIdempotencyKey: fc.boolean(),
      isResponseStarted: fc.boolean(),
      isBodyReplayable: fc.boolean(),
      isClientGone: fc.boolean(),
      isFreeRetryUsed: fc.boolean(),
      isCallersRetry: fc.boolean(),
      remainingMs: fc.constantFrom(-1, 0, 5, 100, Number.POSITIVE_INFINITY),
      serverDelayMs: fc.constantFrom(NO_DELAY, DO_NOT_RETRY, 0, 50, 5000),
    })
    const conditions = [[], ['5xx'], ['reset', 409, 429], ['unavailable', 'connect-failure']]
    const property = fc.property(attempt, fc.constantFrom(...conditions), (each, on) => {
      const policy = new RetryPolicy({ ...RETRY_POLICY_DEFAULTS, on, attempts: 3 })
      const decision = policy.shouldRetry(each)
      if (decision.kind === 'stop') return
      assert(!each.isResponseStarted && !each.isClientGone && each.isBodyReplayable && each.remainingMs >= 5)
      assert(each.serverDelayMs !== DO_NOT_RETRY)
      const cannotHaveActed = ['connect-failure', 'refused-stream', 'going-away'].includes(each.failure)
      const isNamedCall = each.grpcStatus === 14 && on.includes('unavailable')
      assert(cannotHaveActed || isNamedCall || each.method === 'GET' || each.method === 'PUT' || each.hasIdempotencyKey)
      if (decision.isFree) assert((each.failure === 'stale-connection' || each.failure === 'going-away') && !each.isFreeRetryUsed)
      else assert(each.attempts < 3 && !each.isCallersRetry && each.serverDelayMs <= 1000)
    })
    fc.assert(property, { numRuns: repeat(100_000), seed: 9 })
  })
})
