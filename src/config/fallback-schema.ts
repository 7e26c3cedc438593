/** `services.<name>.fallback` and `routes.<name>.fallback`: what is answered instead of an error. */
import { z } from 'zod'
import { respondSchema } from './filter-schema.ts'
import { integer, strict } from './schema-kit.ts'
import { suggest } from './suggest.ts'
import type { FallbackCause, FallbackConfig, StatusRange } from './types.ts'

export const FALLBACK_CAUSES = ['breaker-open', 'overloaded', 'timeout', 'no-endpoint', 'failure', 'rate-limited'] as const

/** The codes of gRPC that say something about the service, as they are written here. Other ones answer the caller. */
const GRPC_CAUSES: Readonly<Record<string, number>> = {
  cancelled: 1,
  unknown: 2,
  'deadline-exceeded': 4,
  'resource-exhausted': 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  'data-loss': 15,
}
const WORDS = [...FALLBACK_CAUSES, ...Object.keys(GRPC_CAUSES)]

const CAUSE_EXPECTED = `expected a status from 500 to 599, 5xx, or one of ${WORDS.join(', ')}`
const STATUS_CAUSE = /^5(?:\d\d|xx)$/

const cause = z.union(
  [
    z.string().superRefine((value, context) => {
      if (WORDS.includes(value) || STATUS_CAUSE.test(value)) return
      const near = suggest(value, WORDS)
      context.addIssue({ code: 'custom', message: near === null ? CAUSE_EXPECTED : `${CAUSE_EXPECTED}; did you mean "${near}"?` })
    }),
    integer(500, 599),
  ],
  { error: CAUSE_EXPECTED },
)

export const fallbackSchema = strict({
  on: z
    .array(cause)
    .default(['breaker-open', 'overloaded', 'timeout', 'no-endpoint', 'failure'])
    .describe(
      'Why the service did not answer, or statuses it answered with, of gRPC by name. `failure`: no connection, or one that broke off.',
    ),
  respond: respondSchema.optional().describe('Answer with a fixed response. One of `respond` and `to` is needed.'),
  to: z.string({ error: 'expected the name of a service' }).optional().describe('Ask another service. Its own fallback does not apply.'),
})
  .transform((o, context): FallbackConfig => {
    if ((o.respond === undefined) === (o.to === undefined)) {
      const found = o.to === undefined ? 'neither' : 'both'
      context.addIssue({ code: 'custom', message: `found ${found}; a fallback has exactly one of respond, to` })
      return z.NEVER
    }
    const words = o.on.map(String)
    return {
      on: words.filter((word): word is FallbackCause => (FALLBACK_CAUSES as readonly string[]).includes(word)),
      statuses: words.filter((word) => STATUS_CAUSE.test(word)).map(statusRange),
      grpcStatuses: words.filter((word) => Object.hasOwn(GRPC_CAUSES, word)).map((word) => GRPC_CAUSES[word] as number),
      respond: o.respond ?? null,
      to: o.to ?? null,
    }
  })
  .meta({ oneOf: [{ required: ['respond'] }, { required: ['to'] }] })

function statusRange(word: string): StatusRange {
  return word === '5xx' ? { from: 500, to: 599 } : { from: Number(word), to: Number(word) }
}
