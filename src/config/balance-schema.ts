/** `services.<name>.balance`: how an endpoint is chosen. */
import { z } from 'zod'
import { KEY_EXPECTED, parseKey } from './balance-key.ts'
import { percentage } from './percentage.ts'
import { isToken } from './scalar.ts'
import { duration, integer, orNull, positiveDuration, strict, text } from './schema-kit.ts'
import type { AlgorithmConfig, BalanceConfig, BalanceOptionsConfig } from './types.ts'

const ALGORITHMS = [
  'round-robin',
  'random',
  'weighted-random',
  'least-request',
  'least-connections',
  'fastest-response',
  'peak-ewma',
  'consistent-hash',
  'maglev',
  'rendezvous',
  'first',
] as const

type Algorithm = (typeof ALGORITHMS)[number]

const algorithm = z.enum(ALGORITHMS)

/** The keys that only some algorithms know, and which ones. */
const KEYS_OF: Readonly<Record<string, readonly Algorithm[]>> = {
  on: ['consistent-hash', 'maglev', 'rendezvous'],
  hash: ['consistent-hash'],
  virtualNodes: ['consistent-hash'],
  loadFactor: ['consistent-hash'],
  choices: ['least-request'],
  decay: ['peak-ewma', 'fastest-response'],
  spillover: ['first'],
}

const key = text(KEY_EXPECTED, parseKey, {
  examples: ['header:x-user', 'cookie:sid', 'query:key', 'client-ip', 'path', 'template:${header.x-tenant}-${path}'],
})

const COOKIE_EXPECTED = 'expected the name of a cookie'

const sticky = strict({
  cookie: text(COOKIE_EXPECTED, (value) => (isToken(value) ? { value } : { problem: COOKIE_EXPECTED })).describe(
    'The name of the cookie that Sluice sets. Its value stands for the endpoint without naming it.',
  ),
  ttl: positiveDuration
    .nullable()
    .prefault(null)
    .describe('How long the client keeps the cookie, from the response that set it; null: until the browser is closed.'),
}).transform((o) => ({ cookie: o.cookie, ttlMs: o.ttl }))

const choice = z.enum(['any', 'none', 'default'])

const subset = strict({
  key: z
    .string({ error: 'expected the name of a tag' })
    .min(1, { error: 'expected the name of a tag' })
    .describe('The tag whose value splits the endpoints into subsets.'),
  from: key.describe('Where a request names its subset: as `on`.'),
  fallback: choice
    .default('none')
    .describe('For a request whose subset has no endpoints: `any` endpoint, one without the tag (`default`), or `none`: 503.'),
  absent: choice.default('any').describe('The same for a request that names no subset.'),
})

const LOAD_FACTOR_EXPECTED = 'expected a number from 1.01 to 100'

const map = strict({
  algorithm: algorithm.describe(
    '`round-robin` (smooth weighted), `random` (equal shares), `weighted-random`, `least-request` (fewest requests in flight), `least-connections`, `fastest-response` (lowest mean response time), `peak-ewma` (latency that rises fast and falls slowly, times load), `consistent-hash`, `maglev`, `rendezvous` (by a key of the request), `first` (tiers by the priority of the endpoints).',
  ),
  on: key
    .optional()
    .describe(
      'The key of a request, for `consistent-hash`, `maglev` and `rendezvous`: `header:NAME`, `cookie:NAME`, `query:NAME`, `client-ip`, `path`, or `template:` and text with `${header.NAME}`, `${cookie.NAME}`, `${query.NAME}`, `${clientIp}` and `${path}`. A request without it gets an endpoint by weight.',
    ),
  hash: z
    .enum(['fnv1a', 'crc32'])
    .optional()
    .describe('`consistent-hash`: `fnv1a` (left out), or `crc32` for the ring of a system that hashes number and address with CRC-32.'),
  virtualNodes: integer(1, 10_000)
    .optional()
    .describe('`consistent-hash`: points on the ring for each unit of weight. Left out: 160, with `crc32` 10. At most 131,072 in all.'),
  loadFactor: z
    .number({ error: LOAD_FACTOR_EXPECTED })
    .min(1.01, { error: LOAD_FACTOR_EXPECTED })
    .max(100, { error: LOAD_FACTOR_EXPECTED })
    .nullable()
    .optional()
    .describe(
      '`consistent-hash`: no endpoint has more than this many times its share of the requests in flight, from 1.01 to 100; further ones go to the next on the ring. 1.25 is a good value. Left out or null: no bound.',
    ),
  choices: z
    .union([integer(2, 32), z.literal('all')], { error: 'expected a whole number from 2 to 32, or all' })
    .optional()
    .describe('`least-request`: how many endpoints are drawn and compared, 2 to 32, or `all`. Left out: 2.'),
  decay: positiveDuration
    .optional()
    .describe('`peak-ewma` and `fastest-response`: how fast old response times are forgotten. Left out: 10s.'),
  spillover: percentage(1, 100)
    .optional()
    .describe('`first`: when less than this share of a tier is in use, part of its requests go to the next. Left out: 70%.'),
  sticky: orNull(sticky)
    .optional()
    .describe('Requests of one session go to one endpoint as long as it works, by a cookie. Left out or null: off.'),
  subset: orNull(subset).optional().describe('Requests choose among endpoints by a tag. Left out or null: off.'),
  slowStart: duration
    .optional()
    .describe(
      'How long the weight of an endpoint that is new or came back rises, from a tenth to all of it. Left out or 0: at once. Algorithms that go by a key or by equal shares do not use it.',
    ),
  panicThreshold: percentage(0, 100)
    .optional()
    .describe('When less than this share of the endpoints is in use, those put aside are used too. Left out: only when there is no other.'),
})

type WrittenBalance = z.output<typeof map>

function toConfig(o: WrittenBalance, context: z.core.$RefinementCtx): BalanceConfig {
  for (const [name, algorithms] of Object.entries(KEYS_OF)) {
    if (o[name as keyof WrittenBalance] === undefined || algorithms.includes(o.algorithm)) continue
    const message = `${name} is for ${algorithms.join(', ')}; ${o.algorithm} does not use it`
    context.addIssue({ code: 'custom', message, path: [name], params: { key: true } })
  }
  const chosen = algorithmConfig(o)
  if (chosen !== null) return { ...chosen, ...optionsConfig(o) }
  context.addIssue({ code: 'custom', message: needsKey(o.algorithm), path: ['on'] })
  return z.NEVER
}

function needsKey(algorithm: Algorithm): string {
  return `${algorithm} goes by a key of the request; write { algorithm: ${algorithm}, on: "header:x-user" }`
}

/** Null when `on` is missing. */
function algorithmConfig(o: WrittenBalance): AlgorithmConfig | null {
  switch (o.algorithm) {
    case 'least-request':
      return { algorithm: o.algorithm, choices: o.choices ?? 2 }
    case 'fastest-response':
    case 'peak-ewma':
      return { algorithm: o.algorithm, decayMs: o.decay ?? 10_000 }
    case 'first':
      return { algorithm: o.algorithm, spilloverRatio: o.spillover ?? 0.7 }
    case 'consistent-hash': {
      if (o.on === undefined) return null
      const { on, hash = 'fnv1a', virtualNodes = hash === 'crc32' ? 10 : 160, loadFactor = null } = o
      return { algorithm: o.algorithm, on, hash, virtualNodes, loadFactor }
    }
    case 'maglev':
    case 'rendezvous':
      return o.on === undefined ? null : { algorithm: o.algorithm, on: o.on }
    default:
      return { algorithm: o.algorithm }
  }
}

function optionsConfig(o: WrittenBalance): BalanceOptionsConfig {
  return {
    ...(o.sticky ? { sticky: o.sticky } : {}),
    ...(o.subset ? { subset: o.subset } : {}),
    ...(o.slowStart ? { slowStartMs: o.slowStart } : {}),
    ...(o.panicThreshold ? { panicRatio: o.panicThreshold } : {}),
  }
}

export const balance = z.union(
  [
    algorithm.transform((name, context): BalanceConfig => {
      const chosen = algorithmConfig({ algorithm: name })
      if (chosen !== null) return chosen
      context.addIssue({ code: 'custom', message: needsKey(name) })
      return z.NEVER
    }),
    map.transform(toConfig),
  ],
  { error: `expected one of ${ALGORITHMS.join(', ')}, or { algorithm }` },
)
