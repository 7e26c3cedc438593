/** The `rate-limit` filter. */
import { KEY_EXPECTED, parseKey } from './balance-key.ts'
import type { Parsed } from './scalar.ts'
import { integer, name, strict, text } from './schema-kit.ts'
import type { FilterConfig, KeyConfig } from './types.ts'

const RATE_EXPECTED = 'expected a rate such as 100/s, 20/m, 5/h or 1000/day'
const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, day: 86_400 }
/** What the arithmetic of the buckets allows. */
const MAX_RATE_PER_SECOND = 1_000_000

function parseRate(value: string): Parsed<number> {
  const match = /^(\d+(?:\.\d+)?)\/(s|m|h|d|day)$/.exec(value)
  if (match === null) return { problem: RATE_EXPECTED }
  const perSecond = Number(match[1]) / (SECONDS[match[2] as string] as number)
  if (perSecond <= 0) return { problem: 'expected a rate above 0; to let nothing pass, use respond' }
  if (perSecond > MAX_RATE_PER_SECOND) return { problem: 'expected a rate of at most 1000000/s' }
  return { value: perSecond }
}

/** null: one bucket for everything. */
function parseBy(value: string): Parsed<KeyConfig | null> {
  if (value === 'route') return { value: null }
  const parsed = parseKey(value)
  return 'problem' in parsed && parsed.problem.startsWith(KEY_EXPECTED)
    ? { problem: `expected route, or ${parsed.problem.slice('expected '.length)}` }
    : parsed
}

export const rateLimitSchema = strict({
  rate: text(RATE_EXPECTED, parseRate, { pattern: '^[0-9.]+/(s|m|h|d|day)$', examples: ['100/s'] }).describe(
    'Requests that may pass in the long run: `100/s`, `20/m`, `5/h`, `1000/day`.',
  ),
  burst: integer(1, 1_000_000)
    .optional()
    .describe('Requests that may pass at once after a pause. Left out: one second of the rate, at least 1.'),
  by: text('expected text', parseBy)
    .prefault('client-ip')
    .describe(
      'What has a bucket of its own: `client-ip`, `header:x-api-key`, `cookie:sid`, `query:key`, `path`, a `template:...`, or `route` for one in all.',
    ),
  name: name.optional().describe('Filters of the same name share their buckets. Left out: each route has its own.'),
  keys: integer(1, 16_000_000)
    .default(65_536)
    .describe('Buckets kept at the same time, 32 bytes each; beyond that the fullest ones are forgotten.'),
}).transform(
  (o): FilterConfig => ({
    kind: 'rate-limit',
    name: o.name ?? null,
    ratePerSecond: o.rate,
    burst: o.burst ?? Math.max(1, Math.ceil(o.rate)),
    by: o.by,
    maxKeys: o.by === null ? 1 : o.keys,
  }),
)
