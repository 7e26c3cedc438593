/** The pieces every part of the schema is made of: scalars with their own language, strict objects, one-or-many lists. */
import { z } from 'zod'
import {
  ADDRESS_EXPECTED,
  DURATION_EXPECTED,
  HEADER_NAME_EXPECTED,
  type Parsed,
  parseAddressRange,
  parseDuration,
  parseHeaderName,
  parseHeaderValue,
  parseListenAddress,
  parsePattern,
  parseSize,
  RANGE_EXPECTED,
  SIZE_EXPECTED,
} from './scalar.ts'

type JsonFacts = Record<string, unknown>

/** First word of the message of an unknown key; issues.ts takes the allowed keys from behind it. */
export const ALLOWED_KEYS = 'allowed keys: '

/** A string with a language of its own. `expected` is said of values that are not strings at all. */
export function text<O>(expected: string, parse: (value: string) => Parsed<O>, facts: JsonFacts = {}) {
  return z
    .string({ error: expected })
    .transform((value, context): O => take(parse(value), context))
    .meta(facts)
}

/** A value that may be written as a string or as a number. `type` in the facts is what the JSON Schema says of it. */
function scalar<I>(parse: (value: unknown) => Parsed<number>, facts: JsonFacts) {
  return z
    .custom<I>()
    .transform((value, context): number => take(parse(value), context))
    .meta(facts)
}

function take<O>(parsed: Parsed<O>, context: z.core.$RefinementCtx): O {
  if ('value' in parsed) return parsed.value
  context.addIssue({ code: 'custom', message: parsed.problem })
  return z.NEVER
}

/** An object that knows all of its keys: any other key is a problem. */
export function strict<S extends z.core.$ZodLooseShape>(shape: S) {
  const keys = Object.keys(shape)
    .filter((key) => !key.startsWith('$'))
    .join(', ')
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? ALLOWED_KEYS + keys : undefined),
  })
}

const KEYS_BY_PROTOCOL = new Map<string, readonly string[]>()

/** As `strict`, for the settings of a listener: a key that another protocol has is said to belong to it. */
export function ofProtocol<S extends z.core.$ZodLooseShape>(protocol: string, shape: S) {
  KEYS_BY_PROTOCOL.set(protocol, Object.keys(shape))
  const keys = ALLOWED_KEYS + Object.keys(shape).join(', ')
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? keys : undefined),
  })
}

/** The protocols whose listeners have this key. */
export function protocolsWith(key: string): string[] {
  return [...KEYS_BY_PROTOCOL].filter(([, keys]) => keys.includes(key)).map(([protocol]) => protocol)
}

/** A map of keys, or null for off. */
export function orNull<T extends z.ZodType>(map: T) {
  return z.union([map, z.null()], { error: 'expected a map of keys and values, or null for off' })
}

/** A whole number within limits. */
export function integer(min: number, max: number) {
  const error = `expected a whole number from ${min} to ${max}`
  return z.int({ error }).min(min, { error }).max(max, { error })
}

/** One value or a list of them; `least` is the shortest list. */
export function oneOrMany<T extends z.ZodType>(item: T, expected: string, least: 0 | 1 = 1) {
  return z
    .union([item, z.array(item).min(least, { error: `${expected}, with at least one entry` })], { error: expected })
    .transform((value): z.output<T>[] => (Array.isArray(value) ? value : [value as z.output<T>]))
}

/**
 * A record whose names are brought to one spelling (header names to lower case): two keys that differ in case only are one name
 * given twice, of which one would be lost.
 */
export function uniqueKeys<T extends z.ZodRecord>(record: T) {
  return z.preprocess((written: z.input<T>, context): unknown => {
    const seen = new Set<string>()
    for (const key of isPlainMap(written) ? Object.keys(written) : []) {
      const parsed = z.safeParse(record.keyType, key)
      if (!parsed.success) continue
      const spelling = String(parsed.data)
      if (seen.has(spelling)) {
        context.addIssue({
          code: 'custom',
          message: `${spelling} is given twice; case does not matter here`,
          path: [key],
          params: { key: true },
        })
      }
      seen.add(spelling)
    }
    return written
  }, record)
}

function isPlainMap(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const DURATION_FACTS = {
  type: ['string', 'integer'],
  pattern: '^[0-9]+(\\.[0-9]+)?(ms|s|m|h)$',
  maximum: 0,
  minimum: 0,
  examples: ['250ms', '5s', '1m', '1h'],
}

/** A duration that may be 0. */
export const duration = scalar<string | 0>(parseDuration, {
  ...DURATION_FACTS,
  id: 'Duration',
  description: 'A duration: `250ms`, `5s`, `1.5m`, `1h`, or 0. At most 576h.',
})

/** A duration of at least a millisecond. */
export const positiveDuration = scalar<string>(
  (value) => {
    const parsed = parseDuration(value)
    return 'value' in parsed && parsed.value === 0 ? { problem: `${DURATION_EXPECTED}, of at least 1ms` } : parsed
  },
  {
    type: 'string',
    pattern: DURATION_FACTS.pattern,
    examples: DURATION_FACTS.examples,
    id: 'PositiveDuration',
    description: 'A duration of at least 1ms: `250ms`, `5s`, `1.5m`, `1h`. At most 576h.',
  },
)

/** A number of bytes within limits; `most` and `least` are named in the message. */
export function size(least = 0, most = Number.MAX_SAFE_INTEGER) {
  return scalar<string | number>(
    (value) => {
      const parsed = parseSize(value)
      if (!('value' in parsed) || (parsed.value >= least && parsed.value <= most)) return parsed
      return { problem: `${SIZE_EXPECTED}, from ${formatSize(least)} to ${formatSize(most)}` }
    },
    {
      type: ['string', 'integer'],
      pattern: '^[0-9]+(\\.[0-9]+)?(B|KB|MB|GB|KiB|MiB|GiB)$',
      minimum: least,
      ...(most === Number.MAX_SAFE_INTEGER ? {} : { maximum: most }),
      title: 'Size',
      examples: ['64KiB', '10MB', '1GiB'],
    },
  )
}

function formatSize(bytes: number): string {
  if (bytes >= 1024 ** 2 && bytes % 1024 ** 2 === 0) return `${bytes / 1024 ** 2}MiB`
  if (bytes >= 1024 && bytes % 1024 === 0) return `${bytes / 1024}KiB`
  return `${bytes} bytes`
}

export const listenAddress = text(ADDRESS_EXPECTED, parseListenAddress, {
  id: 'ListenAddress',
  description: 'Where to listen: `:8080` (every address), `127.0.0.1:8080`, `[::1]:8080`. Port 0 lets the system choose.',
  pattern: ':[0-9]{1,5}$',
})

export const addressRange = text(RANGE_EXPECTED, parseAddressRange, {
  id: 'AddressRange',
  description: 'An IP address or a range: `10.0.0.0/8`, `fd00::/8`.',
})

export const pattern = text('expected a regular expression', parsePattern, {
  id: 'Pattern',
  format: 'regex',
  description: 'A JavaScript regular expression, without slashes and flags.',
})

export const headerName = text(HEADER_NAME_EXPECTED, parseHeaderName, {
  id: 'HeaderName',
  description: 'A header name. Case does not matter.',
})

export const headerValue = text('expected text', parseHeaderValue, {
  id: 'HeaderValue',
  description: 'A header value: one line of Latin-1 text.',
})

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/

/** The name of a listener, service, policy or route: it appears in metrics, logs and the admin API. */
export const name = z.string().regex(NAME, {
  error: 'expected a name of at most 100 letters, digits, ".", "_" or "-" that starts with a letter or digit',
})
