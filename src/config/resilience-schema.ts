/** `services.<name>.retry` and `.breaker`: what happens when a service fails. */
import { z } from 'zod'
import { RETRY_CONDITIONS } from '../retry/policy.ts'
import { percentage } from './percentage.ts'
import { integer, positiveDuration, size, strict } from './schema-kit.ts'
import { suggest } from './suggest.ts'
import type { BreakerConfig, RetryConfig } from './types.ts'

const CONDITION_EXPECTED = `expected a status from 400 to 599, or one of ${RETRY_CONDITIONS.join(', ')}`

const condition = z.union(
  [
    z.string().superRefine((value, context) => {
      if ((RETRY_CONDITIONS as readonly string[]).includes(value) || /^[45]\d\d$/.test(value)) return
      const near = suggest(value, RETRY_CONDITIONS)
      context.addIssue({ code: 'custom', message: near === null ? CONDITION_EXPECTED : `${CONDITION_EXPECTED}; did you mean "${near}"?` })
    }),
    integer(400, 599),
  ],
  { error: CONDITION_EXPECTED },
)

export const retrySchema = strict({
  attempts: integer(1, 5).default(2).describe('Attempts with the first one. 1 never repeats a request.'),
  on: z
    .array(condition)
    .default(['connect-failure', 'refused-stream', 'reset', 'timeout', 503])
    .describe('What is repeated: kinds of failure, and statuses. Nothing is repeated once a byte of the response has gone to the client.'),
  budget: percentage(0, 100)
    .prefault('20%')
    .describe(
      'Retries may be this share of the requests, over all workers; a few are always allowed. Keeps a failing service from being buried.',
    ),
  nonIdempotent: z
    .boolean()
    .default(false)
    .describe(
      'Repeat POST and PATCH too, whatever the failure. Without it they are repeated when nothing was sent, or with an `Idempotency-Key`.',
    ),
  replayBody: size(0, 16 * 1024 * 1024)
    .prefault('64KiB')
    .describe(
      'Request bodies up to this size are kept so that they can be sent again. Larger ones are not repeated once part of them was sent.',
    ),
}).transform(
  (o): RetryConfig => ({
    attempts: o.attempts,
    on: o.on.map(String),
    budgetRatio: o.budget,
    nonIdempotent: o.nonIdempotent,
    replayBytes: o.replayBody,
  }),
)

export const breakerSchema = strict({
  errorRate: percentage(1, 100).prefault('50%').describe('Opens when this share of the requests in the window failed.'),
  minRequests: integer(1, 1_000_000).default(20).describe('Below this many requests in the window it never opens.'),
  window: positiveDuration.prefault('10s').describe('The time over which requests are counted.'),
  openFor: positiveDuration.prefault('5s').describe('How long it stays open at first; each failed trial doubles it.'),
  maxOpenFor: positiveDuration.prefault('5m').describe('The longest it stays open.'),
  probes: integer(1, 32)
    .default(1)
    .describe('Requests that are let through to try the service, over all workers; when all succeed, it closes.'),
  slowCall: positiveDuration.nullable().prefault(null).describe('A request that takes longer counts as slow; null: none does.'),
  slowRate: percentage(1, 100).prefault('100%').describe('Opens when this share of the requests was slow.'),
}).transform(
  (o): BreakerConfig => ({
    windowMs: o.window,
    minRequests: o.minRequests,
    errorRateRatio: o.errorRate,
    slowCallMs: o.slowCall,
    slowRateRatio: o.slowRate,
    openForMs: o.openFor,
    maxOpenForMs: Math.max(o.openFor, o.maxOpenFor),
    probes: o.probes,
    probeTimeoutMs: PROBE_TIMEOUT_MS,
  }),
)

/** A probe whose result never comes gives its place to another. */
const PROBE_TIMEOUT_MS = 15_000
