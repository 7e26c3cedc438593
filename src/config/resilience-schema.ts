/** `services.<name>.retry` and `.hedge`: what happens when a service fails. */
import { z } from 'zod'
import { RETRY_CONDITIONS } from '../retry/policy.ts'
import { percentage } from './percentage.ts'
import { type Parsed, parseDuration } from './scalar.ts'
import { integer, positiveDuration, size, strict, text } from './schema-kit.ts'
import { suggest } from './suggest.ts'
import type { HedgeConfig, RetryConfig } from './types.ts'

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

const AFTER_EXPECTED = 'expected a quantile from p50 to p99.9 such as p95, or a duration such as 50ms'

function parseAfter(value: string): Parsed<HedgeConfig['after']> {
  const quantile = /^p(\d\d(?:\.\d+)?)$/.exec(value)
  if (quantile !== null) {
    const percent = Number(quantile[1])
    return percent >= 50 && percent <= 99.9 ? { value: { quantile: percent / 100 } } : { problem: AFTER_EXPECTED }
  }
  const duration = parseDuration(value)
  return 'value' in duration && duration.value > 0 ? { value: { delayMs: duration.value } } : { problem: AFTER_EXPECTED }
}

export const hedgeSchema = strict({
  after: text(AFTER_EXPECTED, parseAfter, { examples: ['p95', '50ms'] })
    .prefault('p95')
    .describe(
      'When the second request is sent: when the first one takes longer than this share of the recent ones, or after a fixed time.',
    ),
  budget: percentage(0, 100).prefault('5%').describe('Second requests may be this share of the requests, over all workers.'),
  minDelay: positiveDuration.prefault('1ms').describe('The least delay taken from a quantile.'),
  maxDelay: positiveDuration.prefault('2s').describe('The longest delay taken from a quantile.'),
  minSamples: integer(1, 1_000_000)
    .default(100)
    .describe('Answers needed within 30 s before a quantile means anything; until then no second request is sent.'),
}).transform(
  (o): HedgeConfig => ({
    after: o.after,
    budgetRatio: o.budget,
    minDelayMs: o.minDelay,
    maxDelayMs: Math.max(o.minDelay, o.maxDelay),
    minSamples: o.minSamples,
  }),
)
