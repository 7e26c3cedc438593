/** `services.<name>`: a named set of endpoints and how requests reach them. */
import { z } from 'zod'
import { balance } from './balance-schema.ts'
import { breakerSchema } from './breaker-schema.ts'
import { ejectionSchema } from './ejection-schema.ts'
import { fallbackSchema } from './fallback-schema.ts'
import { healthSchema } from './health-schema.ts'
import { HTTP2_SERVICE_DEFAULTS, http2ServiceSchema, serviceProtocol } from './http2-schema.ts'
import { concurrencySchema } from './overload-schema.ts'
import { hedgeSchema, retrySchema } from './resilience-schema.ts'
import { ENDPOINT_EXPECTED, isHostName, type Parsed, parseEndpointAddress, parseHeaderValue } from './scalar.ts'
import { duration, integer, orNull, positiveDuration, strict, text } from './schema-kit.ts'
import { suggest } from './suggest.ts'
import { serviceTlsSchema } from './tls-schema.ts'
import type { EndpointConfig, ServiceConfig } from './types.ts'

const endpointAddress = text(ENDPOINT_EXPECTED, parseEndpointAddress, {
  id: 'EndpointAddress',
  description: 'The address of an endpoint: `127.0.0.1:9001`, `users.internal:80`, `[::1]:9001`.',
  pattern: ':[0-9]{1,5}$',
})

const WEIGHT = 'Share of the requests, in proportion to the other endpoints, where the balancer uses weights. 0 takes none.'

const endpoint = z.union(
  [
    endpointAddress.transform((address): EndpointConfig => ({ ...address, weight: 1, tags: {} })),
    strict({
      address: endpointAddress.describe('The address of the endpoint, as `host:port`.'),
      weight: integer(0, 10_000).default(1).describe(WEIGHT),
      priority: integer(0, 1000).default(0).describe('The tier of the endpoint, for the balancer `first`: lower is used first.'),
      tags: z
        .record(z.string(), z.string({ error: 'expected text' }))
        .default({})
        .describe('Free names and values about the endpoint.'),
    }).transform(
      (o): EndpointConfig => ({
        ...o.address,
        weight: o.weight,
        ...(o.priority === 0 ? {} : { priority: o.priority }),
        tags: o.tags,
      }),
    ),
  ],
  { error: `${ENDPOINT_EXPECTED}, or { address, weight, priority, tags }` },
)

const HOST_HEADER_EXPECTED = 'expected preserve, endpoint, or a host name'
const HOST_HEADER_WORDS = ['preserve', 'endpoint']

/** A slip in a keyword would otherwise be a valid host name and go unnoticed. */
function parseHostHeader(value: string): Parsed<string> {
  if (HOST_HEADER_WORDS.includes(value)) return { value }
  const near = value.includes('.') ? null : suggest(value, HOST_HEADER_WORDS)
  if (near !== null) return { problem: `${HOST_HEADER_EXPECTED}; did you mean "${near}"?` }
  const asEndpoint = parseEndpointAddress(value)
  const plain = value.toLowerCase()
  if ('value' in asEndpoint || isHostName(plain) || /^[\d.]+$/.test(plain)) return parseHeaderValue(value)
  return { problem: HOST_HEADER_EXPECTED }
}

const pool = strict({
  idleTimeout: duration
    .prefault('90s')
    .describe('How long an unused connection is kept; keep it below the idle timeout of the service itself. 0 keeps none.'),
  connectTimeout: positiveDuration.prefault('1s').describe('How long opening a connection may take. Beyond it: 504, or another endpoint.'),
  maxConnections: integer(1, 1_000_000)
    .default(1024)
    .describe('Most connections to one endpoint over all workers; divided evenly among them, at least one each.'),
  maxPending: integer(0, 1_000_000).default(1024).describe('Most requests that wait for a connection to one endpoint. Beyond it: 503.'),
  pendingTimeout: duration.prefault('1s').describe('How long a request may wait for a connection. Beyond it: 503. 0 does not wait.'),
}).transform((o) => ({
  idleTimeoutMs: o.idleTimeout,
  connectTimeoutMs: o.connectTimeout,
  maxConnections: o.maxConnections,
  maxPending: o.maxPending,
  pendingTimeoutMs: o.pendingTimeout,
}))

const timeouts = strict({
  request: duration.prefault('15s').describe('Longest time to the response head, over all attempts. Beyond it: 504. 0 is no limit.'),
  perTry: positiveDuration.nullable().prefault(null).describe('Longest time for one attempt; null: only the request timeout counts.'),
  idle: duration
    .prefault('60s')
    .describe('Longest pause between two pieces of a response body. Beyond it the response is broken off. 0 is no limit.'),
  propagate: z
    .boolean()
    .default(true)
    .describe(
      'Tell endpoints how many milliseconds are left for their answer, in `X-Sluice-Timeout`. One that comes with a request shortens the time it gets.',
    ),
}).transform((o) => ({ requestMs: o.request, perTryMs: o.perTry, idleMs: o.idle, propagate: o.propagate }))

export const serviceSchema = strict({
  endpoints: z
    .array(endpoint, { error: 'expected a list of endpoints such as ["127.0.0.1:9001"]' })
    .min(1, { error: 'expected at least one endpoint' })
    .describe('The addresses of the service: `host:port`, or an object with weight and tags.'),
  protocol: serviceProtocol
    .default('http1')
    .describe('What the endpoints speak: HTTP/1.1, HTTP/2 (without TLS: prior knowledge, with it: ALPN `h2`), or gRPC over HTTP/2.'),
  http2: http2ServiceSchema.default(null).describe('HTTP/2 with the endpoints, when `protocol` is http2 or grpc; null: the usual values.'),
  tls: serviceTlsSchema
    .default(null)
    .describe('Speak TLS to the endpoints (docs/tls.md); `{}` is enough where the certificates are public. null: do not.'),
  proxyProtocol: z
    .enum(['v1', 'v2'])
    .nullable()
    .default(null)
    .describe(
      'Connections of TCP listeners begin with a PROXY protocol header of this version, which names the client; null is off. Not with `tls`.',
    ),
  hostHeader: text(HOST_HEADER_EXPECTED, parseHostHeader)
    .prefault('preserve')
    .describe('The `Host` the service sees: `preserve` (the one of the client), `endpoint` (the address of the endpoint), or a host name.'),
  balance: balance.prefault('round-robin').describe('How an endpoint is chosen: an algorithm that needs no settings, or a map.'),
  pool: pool.prefault({}).describe('Connections to each endpoint.'),
  timeouts: timeouts.prefault({}).describe('How long the service may take.'),
  health: healthSchema
    .default(null)
    .describe('The gateway checks the endpoints itself, and requests go only to those that pass (docs/health.md); null is off.'),
  ejection: orNull(ejectionSchema)
    .prefault({})
    .describe('Endpoints that fail, or are worse than the others, are put aside for a while (docs/health.md); null is off.'),
  retry: orNull(retrySchema)
    .prefault({})
    .describe('Requests that failed and may be repeated are sent again, to another endpoint; null is off.'),
  breaker: orNull(breakerSchema)
    .default(null)
    .describe(
      'When too many requests fail, the service (or the endpoint) gets none for a while, then a few to try it (docs/health.md); null is off.',
    ),
  concurrency: concurrencySchema.describe(
    'How many requests, and connections of TCP listeners, the service has at the same time; more wait, then are refused (docs/overload.md). null is off.',
  ),
  hedge: orNull(hedgeSchema)
    .default(null)
    .describe('A request that takes long is sent to a second endpoint too, and the first good answer counts; null is off.'),
  fallback: orNull(fallbackSchema)
    .default(null)
    .describe(
      'What is answered instead of an error when the service cannot: a fixed response, or the answer of another service; null is off.',
    ),
}).transform((o, context): Omit<ServiceConfig, 'name'> => {
  if (o.proxyProtocol !== null && o.tls !== null) {
    const message = 'found proxyProtocol and tls; a service has at most one of them'
    context.addIssue({ code: 'custom', path: ['proxyProtocol'], message, params: { key: true } })
  }
  if (o.protocol === 'http1') {
    if (o.http2 !== null) {
      const message = 'found http2 although the protocol is http1; set protocol to http2 or grpc, or leave it out'
      context.addIssue({ code: 'custom', path: ['http2'], message, params: { key: true } })
    }
    return { ...o, http2: null }
  }
  return { ...o, http2: o.http2 ?? HTTP2_SERVICE_DEFAULTS }
})
