/**
 * The whole configuration as a user writes it. Every object is strict, every field has a description and, where it may be left
 * out, a default; docs/config.md and docs/sluice.schema.json are made from it.
 */
import { z } from 'zod'
import { ACCESS_LOG_FIELDS } from '../observe/access-log.ts'
import { filterList } from './filter-schema.ts'
import { listenerSchema } from './listeners-schema.ts'
import { overloadSchema } from './overload-schema.ts'
import { routeSchema } from './route-schema.ts'
import type { Parsed } from './scalar.ts'
import { duration, integer, listenAddress, name, orNull, strict, text } from './schema-kit.ts'
import { serviceSchema } from './service-schema.ts'
import { suggest } from './suggest.ts'
import { adminTlsSchema } from './tls-schema.ts'
import type { AccessLogConfig, AdminConfig } from './types.ts'

const TOKEN_EXPECTED = 'the token must be at least 16 visible ASCII characters without spaces'

const admin = strict({
  address: listenAddress.prefault('127.0.0.1:9900').describe('Where the admin API listens.'),
  token: text(TOKEN_EXPECTED, (value) => (/^[\x21-\x7e]{16,}$/.test(value) ? { value } : { problem: TOKEN_EXPECTED }), {
    pattern: '^[!-~]{16,}$',
  })
    .nullable()
    .prefault(null)
    .describe(
      'The bearer token that requests to the admin API must carry, at least 16 characters. Required unless the address is loopback.',
    ),
  tls: adminTlsSchema.default(null).describe('TLS on the admin API; null: none.'),
}).transform((o): AdminConfig => o)

const FORMAT_EXPECTED = `expected json, text, or a template such as "\${method} \${path} \${status}"`

function parseFormat(value: string): Parsed<string> {
  if (value === 'json' || value === 'text') return { value }
  if (/[\r\n]/.test(value)) return { problem: `${FORMAT_EXPECTED}, on one line` }
  if (!value.includes('${')) {
    const near = suggest(value, ['json', 'text'])
    return { problem: near === null ? FORMAT_EXPECTED : `${FORMAT_EXPECTED}; did you mean "${near}"?` }
  }
  for (const [, field = '', close] of value.matchAll(/\$\{([^}]*)(\}?)/g)) {
    if (close === '') return { problem: `${FORMAT_EXPECTED}; a "}" is missing` }
    if (!ACCESS_LOG_FIELDS.includes(field)) {
      const near = suggest(field, ACCESS_LOG_FIELDS)
      const hint = near === null ? `known are ${ACCESS_LOG_FIELDS.join(', ')}` : `did you mean "${near}"?`
      return { problem: `there is no access log field "${field}"; ${hint}` }
    }
  }
  return { value }
}

const accessLog = strict({
  path: z
    .string({ error: 'expected a file path, or "-"' })
    .min(1, { error: 'expected a file path, or "-"' })
    .default('-')
    .describe('The file the lines go to; `-` is standard output.'),
  format: text(FORMAT_EXPECTED, parseFormat)
    .prefault('json')
    .describe(
      '`json`, `text`, or a template such as `${method} ${path} ${status}`. Variables of the environment are not substituted here.',
    ),
}).transform((o): AccessLogConfig => o)

const log = strict({
  level: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info').describe('The least important level that is written.'),
  format: z.enum(['json', 'text']).default('json').describe('One JSON object a line, or text for people.'),
})

export const MAX_WORKERS = 64
const WORKERS_EXPECTED = `expected auto or a whole number from 1 to ${MAX_WORKERS}`

const workers = z.union([z.literal('auto'), integer(1, MAX_WORKERS)], { error: WORKERS_EXPECTED })

const LISTENERS_EXPECTED = 'expected at least one listener such as web: { address: ":8080" }'

/** The schema. Its input is ConfigOptions, its output what load.ts puts together into a GatewayConfig. */
export const configSchema = strict({
  $schema: z.string().optional().describe('Where an editor finds the JSON Schema of this file. Sluice itself does not use it.'),
  workers: workers.default('auto').describe('Number of worker threads; `auto` is one for each CPU.'),
  admin: orNull(admin).prefault({}).describe('The admin API: health, readiness, metrics. null turns it off.'),
  accessLog: orNull(accessLog).prefault({}).describe('One line for each request. null turns it off.'),
  log: log.prefault({}).describe('The log of the program itself.'),
  drainTimeout: duration.prefault('30s').describe('How long a shutdown or a removed listener waits for running requests. 0 does not wait.'),
  overload: overloadSchema.describe(
    'When a worker is overloaded, requests are refused (503), those of the least important routes first (docs/overload.md). null is off.',
  ),
  listeners: z
    .record(name, listenerSchema, { error: LISTENERS_EXPECTED })
    .refine((listeners) => Object.keys(listeners).length > 0, { error: LISTENERS_EXPECTED })
    .describe('Bound addresses, by name. At least one.'),
  services: z.record(name, serviceSchema).prefault({}).describe('Named sets of endpoints that requests go to.'),
  policies: z.record(name, filterList).prefault({}).describe('Named lists of filters that routes refer to.'),
  routes: z
    .record(name, routeSchema)
    .prefault({})
    .describe(
      'Which request goes where. The most specific route wins: by host, then by path (exact, template, regex, prefix, in each the longer), then by the number of other conditions.',
    ),
})

/** What a user writes. */
export type WrittenConfig = z.input<typeof configSchema>

/** What the schema makes of it: complete, but policies are not expanded and nothing refers to anything yet. */
export type ParsedConfig = z.output<typeof configSchema>
