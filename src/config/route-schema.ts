/** `routes.<name>`: what a request must look like, what happens to it on the way, and where it goes. */
import { z } from 'zod'
import { fallbackSchema } from './fallback-schema.ts'
import { filterList, redirectSchema, respondSchema, type WrittenFilter } from './filter-schema.ts'
import { GRPC_CONTENT_TYPE, grpcMatch, pathOfCalls } from './grpc-match-schema.ts'
import { concurrencySchema, importanceSchema } from './overload-schema.ts'
import { PATH_EXPECTED, PREFIX_EXPECTED, parsePath, parsePrefix } from './path.ts'
import { HOST_EXPECTED, isToken, METHOD_EXPECTED, parseHostPattern, parseMethod } from './scalar.ts'
import {
  addressRange,
  duration,
  headerName,
  integer,
  oneOrMany,
  orNull,
  pattern,
  positiveDuration,
  size,
  strict,
  text,
  uniqueKeys,
} from './schema-kit.ts'
import type { DestinationConfig, MatchConfig, PathMatchConfig, RouteConfig, ValueMatchConfig } from './types.ts'
import { upgradeToken, webSocketSchema } from './websocket-schema.ts'

/** A route as written, before policies are expanded. `destination` is null when there is none or more than one: check.ts says so. */
export type WrittenRoute = Omit<RouteConfig, 'name' | 'filters' | 'destination'> & {
  filters: WrittenFilter[]
  destination: DestinationConfig | null
}

type Test = { test: 'present' } | { test: 'absent' } | { test: 'exact'; value: string } | { test: 'regex'; pattern: string }

const valueTest = z
  .union(
    [
      z.string().transform((value): Test => ({ test: 'exact', value })),
      z.boolean().transform((present): Test => ({ test: present ? 'present' : 'absent' })),
      strict({ regex: pattern.describe('A pattern the value must match.') }).transform((o): Test => ({ test: 'regex', pattern: o.regex })),
    ],
    { error: 'expected text (the exact value, a number in quotes), { regex: pattern }, true (present) or false (absent)' },
  )
  .meta({ id: 'ValueCondition', description: 'Text: exactly this value. `{ regex }`: a value that matches. true: present. false: absent.' })

/** A map of names to conditions, in the order of the names so that order in the file makes no difference. */
function conditions(conditionName: z.core.$ZodRecordKey) {
  return uniqueKeys(z.record(conditionName, valueTest)).transform((written): ValueMatchConfig[] =>
    Object.entries(written)
      .map(([name, test]): ValueMatchConfig => ({ name, ...test }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
  )
}

const COOKIE_NAME_EXPECTED = 'expected a cookie name: letters, digits and -, without spaces'

const cookieName = text(COOKIE_NAME_EXPECTED, (value) => (isToken(value) ? { value } : { problem: COOKIE_NAME_EXPECTED }))

const QUERY_NAME_EXPECTED = 'expected the name of a query parameter'

const queryName = text(QUERY_NAME_EXPECTED, (value) => (value === '' ? { problem: QUERY_NAME_EXPECTED } : { value }))

export const matchSchema = strict({
  host: oneOrMany(text(HOST_EXPECTED, parseHostPattern), `${HOST_EXPECTED}, or a list of them`)
    .optional()
    .describe('Host names, exact or `*.example.com` (any name below it). Without it: any host.'),
  path: text(PATH_EXPECTED, parsePath)
    .optional()
    .describe('The whole path: exact, or a template in which `{name}` and `*` stand for one segment and a last `**` for the rest.'),
  prefix: text(PREFIX_EXPECTED, parsePrefix)
    .optional()
    .describe('Whole segments the path starts with: `/users` takes `/users` and `/users/7`, never `/usersX`.'),
  regex: pattern.optional().describe('A pattern looked for in the path; anchor it with `^` and `$`.'),
  grpc: grpcMatch.optional().describe('gRPC calls to this service, instead of a path. Other requests with that path do not match.'),
  methods: oneOrMany(text(METHOD_EXPECTED, parseMethod), `${METHOD_EXPECTED}, or a list of them`)
    .optional()
    .describe('Request methods. Without it: any.'),
  headers: conditions(headerName).prefault({}).describe('Conditions on request headers.'),
  query: conditions(queryName).prefault({}).describe('Conditions on query parameters.'),
  cookies: conditions(cookieName).prefault({}).describe('Conditions on cookies.'),
  clientIp: oneOrMany(addressRange, 'expected an address range or a list of them')
    .optional()
    .describe('Addresses and ranges of clients. Without it: any.'),
}).transform((o): MatchConfig => {
  let path: PathMatchConfig | null = null
  if (o.path !== undefined) path = o.path
  else if (o.prefix !== undefined) path = { kind: 'prefix', prefix: o.prefix }
  else if (o.regex !== undefined) path = { kind: 'regex', pattern: o.regex }
  else if (o.grpc !== undefined) path = pathOfCalls(o.grpc)
  const { host = null, methods = o.grpc === undefined ? null : ['POST'], query, cookies, clientIp = null } = o
  const headers = o.grpc === undefined ? o.headers : [GRPC_CONTENT_TYPE, ...o.headers]
  return { hosts: unique(host), path, methods: unique(methods), headers, query, cookies, clientIp: unique(clientIp) }
})

function unique(list: string[] | null): string[] | null {
  return list === null ? null : [...new Set(list)]
}

/** Any text: check.ts says when nothing has that name. */
const reference = z.string({ error: 'expected the name of a service' })

const destination = z.union(
  [
    reference.transform((service) => ({ service, weight: 1 })),
    strict({
      service: reference.describe('The name of a service.'),
      weight: integer(0, 10_000).default(1).describe('Share of the requests, in proportion to the others. 0 takes none.'),
    }),
  ],
  { error: 'expected the name of a service, or { service, weight }' },
)

const to = z.union(
  [reference.transform((service) => [{ service, weight: 1 }]), z.array(destination).min(1, { error: 'expected at least one service' })],
  { error: 'expected the name of a service, or a list of { service, weight }' },
)

const timeouts = strict({
  request: duration.nullable().prefault(null).describe('Longest time to the response head; null: as the service says. 0 is no limit.'),
  perTry: positiveDuration.nullable().prefault(null).describe('Longest time for one attempt; null: as the service says.'),
}).transform((o) => ({ requestMs: o.request, perTryMs: o.perTry }))

const limits = strict({
  body: size().nullable().prefault(null).describe('Largest request body; null: as the listener says. 0 allows none. Beyond it: 413.'),
})

export const prioritySchema = integer(-1_000_000, 1_000_000).default(0)

export const routeSchema = strict({
  match: matchSchema.prefault({}).describe('What a request must look like. All conditions must hold; without any, every request matches.'),
  priority: prioritySchema.describe('Goes before specificity: the route with the higher number wins.'),
  filters: filterList.prefault([]).describe('Filters and names of policies, in order; at most 63 after policies are expanded.'),
  to: to
    .optional()
    .describe('The service that answers, or a list of services with weights. One of `to`, `respond` and `redirect` is needed.'),
  respond: respondSchema.optional().describe('A fixed answer.'),
  redirect: redirectSchema.optional().describe('A redirect: a URL, or the parts that change.'),
  timeouts: timeouts.prefault({}).describe('Timeouts of this route instead of those of the service.'),
  limits: limits.prefault({}).describe('Limits of this route instead of those of the listener.'),
  importance: importanceSchema.describe(
    'Under overload `background` is refused first, then `low`, `normal`, and `core` last; whoever waits for a place gets it in the other order.',
  ),
  concurrency: concurrencySchema.describe(
    'How many requests of this route run at the same time, beside what the service says. null is off.',
  ),
  websocket: webSocketSchema
    .prefault(true)
    .describe('Whether requests may become WebSockets: `true`, `false` (403), `only` (everything else: 426), or settings.'),
  upgrades: z
    .array(upgradeToken)
    .default([])
    .describe('Other protocols a request may change to (`Upgrade`), which then pass as they are. Requests for others go on as plain HTTP.'),
  fallback: orNull(fallbackSchema)
    .default(null)
    .describe('What is answered instead of an error, before what the service says about it; null: as the service says.'),
})
  .transform((o): WrittenRoute => {
    let destination: DestinationConfig | null = null
    if (o.to !== undefined) destination = { kind: 'services', services: o.to }
    else if (o.respond !== undefined) destination = { kind: 'respond', respond: o.respond }
    else if (o.redirect !== undefined) destination = { kind: 'redirect', redirect: o.redirect }
    return {
      match: o.match,
      priority: o.priority,
      filters: o.filters,
      destination,
      timeouts: o.timeouts,
      maxBodyBytes: o.limits.body,
      importance: o.importance,
      concurrency: o.concurrency,
      fallback: o.fallback,
      webSocket: o.websocket,
      upgrades: o.upgrades,
    }
  })
  .meta({ oneOf: [{ required: ['to'] }, { required: ['respond'] }, { required: ['redirect'] }] })

/** The keys of which a route needs exactly one. */
export const DESTINATION_KEYS = ['to', 'respond', 'redirect'] as const

/** The keys of which a match may have at most one. */
export const PATH_KEYS = ['path', 'prefix', 'regex', 'grpc'] as const
