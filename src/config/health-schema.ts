/** `services.<name>.health`: how the endpoints of a service are checked by the gateway itself. */
import { z } from 'zod'
import { type Parsed, parseEndpointAddress, parseHeaderValue } from './scalar.ts'
import { integer, oneOrMany, pattern, positiveDuration, strict, text } from './schema-kit.ts'
import type { HealthCheckConfig, HealthConfig, StatusRange } from './types.ts'

const CHECK_PATH_EXPECTED = 'expected a path that starts with "/", such as /healthz or /status?full=1'

/** The target of the check's request: path and query, as they stand in the request line. */
function parseCheckPath(value: string): Parsed<string> {
  return /^\/[\x21\x22\x24-\x7e]*$/.test(value) && value.length <= 2048 ? { value } : { problem: CHECK_PATH_EXPECTED }
}

const checkPath = text(CHECK_PATH_EXPECTED, parseCheckPath, { pattern: '^/' })

const STATUS_EXPECTED = 'expected a status such as 200 or a range such as "200-299"'

/** Only final statuses: a 1xx answer is never the end of a check. */
function parseStatusRange(value: string): Parsed<StatusRange> {
  const match = /^([2-5]\d\d)(?:-([2-5]\d\d))?$/.exec(value)
  if (match === null) return { problem: STATUS_EXPECTED }
  const from = Number(match[1])
  const to = Number(match[2] ?? match[1])
  return from <= to ? { value: { from, to } } : { problem: `${STATUS_EXPECTED}, the lower one first` }
}

const status = z.union([text(STATUS_EXPECTED, parseStatusRange), integer(200, 599).transform((code) => ({ from: code, to: code }))], {
  error: STATUS_EXPECTED,
})

const MATCH_EXPECTED = 'expected text the body must contain, or { regex: pattern }'

const bodyMatch = z.union(
  [
    text(MATCH_EXPECTED, (value) => (value === '' ? { problem: MATCH_EXPECTED } : { value: { test: 'contains' as const, text: value } })),
    strict({ regex: pattern.describe('A pattern looked for in the body.') }).transform((o) => ({
      test: 'regex' as const,
      pattern: o.regex,
    })),
  ],
  { error: MATCH_EXPECTED },
)

const HOST_FIELD_EXPECTED = 'expected a host name such as users.internal, with a port if need be'

function parseHostField(value: string): Parsed<string> {
  const hasPort = /:\d+$/.test(value) && !value.endsWith(']')
  return 'value' in parseEndpointAddress(hasPort ? value : `${value}:80`) ? parseHeaderValue(value) : { problem: HOST_FIELD_EXPECTED }
}

const hostField = text(HOST_FIELD_EXPECTED, parseHostField, { pattern: '^[^/\\s]+$' })

const METHODS = ['GET', 'HEAD'] as const
const PROTOCOLS = ['http1', 'http2'] as const

const OK_STATUSES: StatusRange[] = [{ from: 200, to: 399 }]

const httpCheck = z.union(
  [
    checkPath.transform(
      (path): HealthCheckConfig => ({ kind: 'http', path, method: 'GET', protocol: null, host: null, statuses: OK_STATUSES, match: null }),
    ),
    strict({
      path: checkPath.describe('What is asked for: path and query.'),
      method: z.enum(METHODS).default('GET').describe('`GET` or `HEAD`.'),
      protocol: z
        .enum(PROTOCOLS)
        .nullable()
        .default(null)
        .describe('`http1` or `http2` (without TLS by prior knowledge); null: what the service speaks, and HTTP/1.1 where `port` is set.'),
      host: z
        .union([hostField, z.null()], { error: HOST_FIELD_EXPECTED })
        .prefault(null)
        .describe("The `Host` of the check; null: the service's `hostHeader` when that is a name, otherwise the address of the endpoint."),
      status: oneOrMany(status, `${STATUS_EXPECTED}, or a list of them`)
        .prefault('200-399')
        .describe('Statuses that pass: `200`, `"200-299"`, or a list. Redirects are not followed.'),
      match: bodyMatch
        .nullable()
        .prefault(null)
        .describe('What the first 64 KiB of the body must contain: text, or `{ regex }`. null: the body does not matter.'),
    }).transform((o, context): HealthCheckConfig => {
      if (o.method === 'HEAD' && o.match !== null) {
        const message = 'the answer to HEAD has no body; check with GET, or without match'
        context.addIssue({ code: 'custom', path: ['match'], message })
      }
      const { path, method, protocol, host, status: statuses, match } = o
      return { kind: 'http', path, method, protocol, host, statuses, match }
    }),
  ],
  { error: `${CHECK_PATH_EXPECTED}, or { path, method, protocol, host, status, match }` },
)

const GRPC_EXPECTED = 'expected true, or { service: package.Service }; leave grpc out to check in another way'

const grpcCheck = z.union(
  [
    z.literal(true).transform((): HealthCheckConfig => ({ kind: 'grpc', service: '', host: null })),
    strict({
      service: z
        .string({ error: 'expected the name of a gRPC service, or "" for the server as a whole' })
        .max(1000)
        .default('')
        .describe('What is asked for, as the server names it; empty: the server as a whole.'),
      host: z
        .union([hostField, z.null()], { error: HOST_FIELD_EXPECTED })
        .prefault(null)
        .describe('The `:authority` of the check; null: as for `http`.'),
    }).transform((o): HealthCheckConfig => ({ kind: 'grpc', ...o })),
  ],
  { error: GRPC_EXPECTED },
)

const KINDS = 'http: /path (a request), tcp: true (a connection) or grpc: true (grpc.health.v1)'

const DEFAULT_DOWN_INTERVAL_MS = 1000
const DEFAULT_TIMEOUT_MS = 2000

const checks = strict({
  http: httpCheck.optional().describe('Check by an HTTP request: its path, or a map. One of `http`, `tcp` and `grpc` is needed.'),
  grpc: grpcCheck
    .optional()
    .describe('Check by `grpc.health.v1.Health/Check` over HTTP/2, which must answer SERVING: `true`, or the name of a service.'),
  tcp: z
    .literal(true, { error: 'expected true; leave tcp out to check in another way' })
    .optional()
    .describe('Check by opening a connection, which is closed again at once.'),
  port: integer(1, 65_535).nullable().default(null).describe('The port that is checked; null: the port of the endpoint.'),
  interval: positiveDuration.prefault('5s').describe('Time from one check of an endpoint to the next, give or take a tenth.'),
  downInterval: positiveDuration
    .optional()
    .describe('The same while the endpoint is down or not yet known. Default 1s, or `interval` when that is shorter.'),
  timeout: positiveDuration
    .optional()
    .describe('How long one check may take; not longer than `interval`. Default 2s, or `interval` when that is shorter.'),
  unhealthyAfter: integer(1, 1000).default(2).describe('Failed checks in a row after which an endpoint gets no more requests.'),
  healthyAfter: integer(1, 1000).default(1).describe('Passed checks in a row after which it gets requests again.'),
  startUnhealthy: z
    .boolean({ error: 'expected true or false' })
    .default(false)
    .describe('Whether an endpoint that is new gets requests only once it has passed. false: at once, until it fails.'),
}).transform((o, context): HealthConfig => {
  const check: HealthCheckConfig = o.http ?? o.grpc ?? { kind: 'tcp' }
  const given = (['http', 'grpc', 'tcp'] as const).filter((kind) => o[kind] !== undefined)
  if (given.length > 1) {
    const message = `found ${given.join(' and ')}; a health check is exactly one of ${KINDS}`
    context.addIssue({ code: 'custom', path: [given.at(-1) as string], message })
  } else if (given.length === 0) {
    context.addIssue({ code: 'custom', path: [], message: `does not say how to check; give exactly one of ${KINDS}` })
  }
  if (o.timeout !== undefined && o.timeout > o.interval) {
    const message = `a check may not take longer than the interval of ${o.interval / 1000}s; shorten the timeout or lengthen the interval`
    context.addIssue({ code: 'custom', path: ['timeout'], message })
  }
  return {
    check,
    port: o.port,
    intervalMs: o.interval,
    downIntervalMs: o.downInterval ?? Math.min(DEFAULT_DOWN_INTERVAL_MS, o.interval),
    timeoutMs: o.timeout ?? Math.min(DEFAULT_TIMEOUT_MS, o.interval),
    unhealthyAfter: o.unhealthyAfter,
    healthyAfter: o.healthyAfter,
    startUnhealthy: o.startUnhealthy,
  }
})

/** The keys and what follows from them: docs/health.md. */
export const healthSchema = z.union([checks, z.null()], {
  error: 'expected a map such as { http: /healthz }, { tcp: true } or { grpc: true }, or null for off',
})
