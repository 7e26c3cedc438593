/** Filters, and the two answers a gateway gives on its own: `respond` and `redirect`. */
import { z } from 'zod'
import { grpcJsonSchema, grpcWebSchema } from './grpc-schema.ts'
import { rateLimitSchema } from './limit-schema.ts'
import { FunctionMarker } from './module-source.ts'
import { PREFIX_EXPECTED, parsePrefix } from './path.ts'
import { parsePlaceholders } from './placeholders.ts'
import { type Parsed, parseHeaderValue, parseHostPattern, patternGroups } from './scalar.ts'
import { headerName, headerValue, integer, oneOrMany, pattern, strict, text, uniqueKeys } from './schema-kit.ts'
import type { FilterConfig, HeaderEditConfig, RedirectConfig, RespondConfig } from './types.ts'

/** A filter as written: a policy name is replaced by the filters of that policy when the configuration is put together. */
export type WrittenFilter = FilterConfig | { kind: 'policy'; name: string }

/** A custom filter as config sees it. The filter layer gives its parameters their types (see define.ts). */
export type CustomFunction = (...args: never[]) => unknown

/** Fields Sluice writes itself: set by hand they would break message framing (RFC 9112, 6) or the connection. */
const FRAMING_HEADERS = new Set([
  'connection',
  'content-length',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

function headerProblem(field: string): string | null {
  if (FRAMING_HEADERS.has(field)) return `the header ${field} frames the message and is written by Sluice itself; remove it here`
  if (field === 'host') return 'the Host header is set with hostHeader of the service; remove it here'
  return null
}

const editedName = headerName.superRefine((field, context) => {
  const problem = headerProblem(field)
  if (problem !== null) context.addIssue({ code: 'custom', message: problem })
})

/** A map of header names to values. Names are made lower case. */
const headerMap = uniqueKeys(z.record(editedName, headerValue))

const PLACEHOLDER_NOTE = 'Values may hold `${clientIp}` and other placeholders, see Environment and files.'

/** Values of the `headers` filter may hold placeholders, which are the same for every kind of configuration file. */
const editedValue = text('expected text', (value): Parsed<string> => {
  const plain = parseHeaderValue(value)
  const parts = parsePlaceholders(value)
  return 'value' in plain && 'problem' in parts ? parts : plain
}).describe('A header value: one line of Latin-1 text. It may hold placeholders such as `${clientIp}`.')

const editedMap = uniqueKeys(z.record(editedName, editedValue))

const headerEdit = strict({
  set: editedMap.prefault({}).describe(`Headers to write; ones of the same name are replaced. ${PLACEHOLDER_NOTE}`),
  add: editedMap.prefault({}).describe(`Headers to add beside those of the same name. ${PLACEHOLDER_NOTE}`),
  remove: oneOrMany(editedName, 'expected a header name or a list of them', 0).prefault([]).describe('Names of headers to take away.'),
}).transform((o): HeaderEditConfig => o)

const headersFilter = strict({
  request: headerEdit.prefault({}).describe('Edits of the request before it goes to the service.'),
  response: headerEdit.prefault({}).describe('Edits of the response before it goes to the client.'),
})

const jsonBody = z.union([z.record(z.string(), z.unknown()), z.array(z.unknown())])

export const respondSchema = strict({
  status: integer(200, 599).default(200).describe('Status of the response.'),
  headers: headerMap.prefault({}).describe('Headers of the response.'),
  body: z
    .union(
      [
        z.string().transform((body) => ({ body, json: false })),
        jsonBody.transform((value) => ({ body: JSON.stringify(value), json: true })),
      ],
      {
        error: 'expected text, or a map or list to be sent as JSON',
      },
    )
    .prefault('')
    .describe('Body of the response: text, or a map or list that is sent as JSON with `content-type: application/json`.'),
})
  .transform((o, context): RespondConfig => {
    if (o.body.body !== '' && (o.status === 204 || o.status === 205 || o.status === 304)) {
      context.addIssue({
        code: 'custom',
        message: `a ${o.status} response has no body; remove it or choose another status`,
        path: ['body'],
      })
    }
    const headers =
      o.body.json && !Object.hasOwn(o.headers, 'content-type') ? { ...o.headers, 'content-type': 'application/json' } : o.headers
    return { status: o.status, headers, body: o.body.body }
  })
  .meta({ id: 'Respond' })

const TARGET_EXPECTED = 'expected a URL such as https://example.com/new, or a path that starts with /'

function parseTarget(value: string): Parsed<string> {
  if (/[^\x21-\x7e]/.test(value)) return { problem: `${TARGET_EXPECTED}, of visible ASCII` }
  // `//host/path` names another host to a browser: an accident more often than a wish.
  if (/^\/(?!\/)/.test(value) || (/^https?:\/\/[^/]/i.test(value) && URL.canParse(value))) return { value }
  return { problem: TARGET_EXPECTED }
}

const REDIRECT_PATH_EXPECTED = 'expected a path that starts with / such as /new'
const redirectPath = text(REDIRECT_PATH_EXPECTED, (value) =>
  /^\/(?!\/)[\x21-\x7e]*$/.test(value) && !/[?#]/.test(value) ? { value } : { problem: REDIRECT_PATH_EXPECTED },
)
const REDIRECT_HOST_EXPECTED = 'expected a host name such as www.example.com, without a port'
const redirectHost = text(REDIRECT_HOST_EXPECTED, (value) => {
  const parsed = value.startsWith('*') ? { problem: REDIRECT_HOST_EXPECTED } : parseHostPattern(value)
  return 'value' in parsed ? parsed : { problem: REDIRECT_HOST_EXPECTED }
})
const target = text(TARGET_EXPECTED, parseTarget)
const prefix = text(PREFIX_EXPECTED, parsePrefix)

const PARTS = ['scheme', 'host', 'port', 'path', 'stripPrefix'] as const
const NO_PARTS = { scheme: null, host: null, port: null, path: null, stripPrefix: null } as const

const redirectObject = strict({
  status: z
    .literal([301, 302, 303, 307, 308])
    .default(302)
    .describe('301 and 308 may be remembered by browsers for ever; 307 and 308 keep method and body.'),
  to: target.optional().describe('The whole new URL or path. Not together with the parts below.'),
  scheme: z.enum(['http', 'https']).optional().describe('New scheme; the rest stays as requested.'),
  host: redirectHost.optional().describe('New host.'),
  port: integer(1, 65535).optional().describe('New port. Without it, a new scheme or host means the usual port.'),
  path: redirectPath.optional().describe('New path.'),
  stripPrefix: prefix.optional().describe('Whole segments to take from the start of the requested path. Not together with `path`.'),
  keepQuery: z.boolean().default(true).describe('Carry the query of the request over.'),
}).transform((o, context): RedirectConfig => {
  const { to = null, scheme = null, host = null, port = null, path = null, stripPrefix = null } = o
  const given = PARTS.filter((part) => o[part] !== undefined)
  if (to === null && given.length === 0) context.addIssue({ code: 'custom', message: `needs to, or at least one of ${PARTS.join(', ')}` })
  if (to !== null && given.length > 0) {
    context.addIssue({
      code: 'custom',
      message: `${given[0]} cannot stand beside to, which is the whole target; remove one`,
      path: [given[0]!],
      params: { key: true },
    })
  }
  if (path !== null && stripPrefix !== null) {
    context.addIssue({
      code: 'custom',
      message: 'stripPrefix cannot stand beside path; remove one',
      path: ['stripPrefix'],
      params: { key: true },
    })
  }
  return { status: o.status, to, scheme, host, port, path, stripPrefix, keepQuery: o.keepQuery }
})

export const redirectSchema = z
  .union([target.transform((to): RedirectConfig => ({ status: 302, to, ...NO_PARTS, keepQuery: true })), redirectObject], {
    error: `${TARGET_EXPECTED}, or a map of its parts`,
  })
  .meta({ id: 'Redirect' })

/** `$1` to `$99`, `$<name>`: a group that does not exist would be sent as text, so it is refused. */
function groupProblem(from: string, to: string): string | null {
  const groups = patternGroups(from)
  for (const match of to.matchAll(/\$(?:\$|(\d{1,2})|<([^>]*)>)/g)) {
    const [, number, named] = match
    if (number !== undefined && (Number(number) === 0 || Number(number) > groups.count)) {
      return `$${number} names a group that from does not have; it has ${groups.count}`
    }
    if (named !== undefined && !groups.names.includes(named)) return `$<${named}> names a group that from does not have`
  }
  return null
}

const REWRITE_TO_EXPECTED = 'expected the new path, such as /$1'
const rewriteTarget = text(REWRITE_TO_EXPECTED, (value) => {
  if (/[^\x21-\x7e]/.test(value)) return { problem: `${REWRITE_TO_EXPECTED}, of visible ASCII` }
  return value.startsWith('/') || value.startsWith('$') ? { value } : { problem: `${REWRITE_TO_EXPECTED}, that starts with /` }
})

const rewrite = strict({
  from: pattern.optional().describe('A pattern looked for in the path; the part that matches is replaced by `to`.'),
  prefix: prefix.optional().describe('Whole segments at the start of the path that are replaced by `to`.'),
  to: rewriteTarget.describe('What takes its place. With `from`, `$1` and `$<name>` stand for its groups.'),
}).transform((o, context): FilterConfig => {
  if (o.from !== undefined && o.prefix !== undefined) {
    context.addIssue({ code: 'custom', message: 'from cannot stand beside prefix; remove one', path: ['from'], params: { key: true } })
  } else if (o.prefix !== undefined) {
    const to = redirectPath.safeParse(o.to)
    if (to.success) return { kind: 'rewrite-prefix', prefix: o.prefix, to: to.data }
    context.addIssue({ code: 'custom', message: to.error.issues[0]!.message, path: ['to'] })
  } else if (o.from === undefined) {
    context.addIssue({ code: 'custom', message: 'needs from (a pattern) or prefix beside to' })
  } else {
    const problem = groupProblem(o.from, o.to)
    if (problem !== null) context.addIssue({ code: 'custom', message: problem, path: ['to'] })
    return { kind: 'rewrite', from: o.from, to: o.to }
  }
  return z.NEVER
})

export const FILTER_KINDS = ['headers', 'rewrite', 'strip-prefix', 'redirect', 'respond', 'rate-limit', 'grpc-web', 'grpc-json'] as const

const filterObject = strict({
  headers: headersFilter.optional().describe('Set, add and remove headers of the request and the response.'),
  rewrite: rewrite
    .optional()
    .describe('Change the path before it goes to the service: `{ from, to }` with a pattern, or `{ prefix, to }`.'),
  'strip-prefix': prefix.optional().describe('Take whole segments from the start of the path: `/api` makes `/api/users` into `/users`.'),
  redirect: redirectSchema.optional().describe('Answer with a redirect.'),
  respond: respondSchema.optional().describe('Answer at once with a fixed response.'),
  'rate-limit': rateLimitSchema
    .optional()
    .describe('Let so many requests pass in a time, exactly over all workers, and answer the others with 429.'),
  'grpc-web': grpcWebSchema.optional().describe('Let browsers call a gRPC service: gRPC-Web requests become gRPC, others pass.'),
  'grpc-json': grpcJsonSchema
    .optional()
    .describe('Let clients of JSON call a gRPC service, as `google.api.http` in its descriptors says; gRPC requests pass.'),
})
  .transform((o, context): FilterConfig => {
    const given = FILTER_KINDS.filter((kind) => o[kind] !== undefined)
    // An unknown key says enough: it is most likely the filter, misspelt.
    if (context.issues.length > 0) return z.NEVER
    if (given.length !== 1) {
      const found = given.length === 0 ? 'none' : given.join(' and ')
      context.addIssue({ code: 'custom', message: `found ${found}; a filter has exactly one of ${FILTER_KINDS.join(', ')}` })
      return z.NEVER
    }
    return toFilter(o)
  })
  .meta({ minProperties: 1, maxProperties: 1 })

interface FilterParts {
  headers?: { request: HeaderEditConfig; response: HeaderEditConfig } | undefined
  rewrite?: FilterConfig | undefined
  'strip-prefix'?: string | undefined
  redirect?: RedirectConfig | undefined
  respond?: RespondConfig | undefined
  'rate-limit'?: FilterConfig | undefined
  'grpc-web'?: FilterConfig | undefined
  'grpc-json'?: FilterConfig | undefined
}

function toFilter(o: FilterParts): FilterConfig {
  if (o.headers !== undefined) return { kind: 'headers', ...o.headers }
  if (o.rewrite !== undefined) return o.rewrite
  if (o['strip-prefix'] !== undefined) return { kind: 'strip-prefix', prefix: o['strip-prefix'] }
  if (o.redirect !== undefined) return { kind: 'redirect', redirect: o.redirect }
  const whole = o['rate-limit'] ?? o['grpc-web'] ?? o['grpc-json']
  if (whole !== undefined) return whole
  return { kind: 'respond', respond: o.respond! }
}

/** Only a `sluice.config.ts` can hold one; module-source.ts has put a marker in its place. */
const customFilter = z
  .custom<CustomFunction>((value) => value instanceof FunctionMarker, { error: 'expected a function' })
  .transform((marker): FilterConfig => {
    const { path, name } = marker as unknown as FunctionMarker
    return { kind: 'custom', ref: { kind: 'function', path, name } }
  })
  .meta({ title: 'Function' })

export const filterSchema = z
  .union([z.string().transform((policy): WrittenFilter => ({ kind: 'policy', name: policy })), customFilter, filterObject], {
    error: `expected the name of a policy, or a map with one of ${FILTER_KINDS.join(', ')}`,
  })
  .meta({ id: 'Filter', description: 'One filter: the name of a policy, or a map with exactly one key.' })

export const filterList = z.array(filterSchema, { error: 'expected a list of filters' })
