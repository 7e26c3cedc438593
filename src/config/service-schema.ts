/** `services.<name>`: a named set of endpoints and how requests reach them. */
import { z } from 'zod'
import { balance } from './balance-schema.ts'
import { healthSchema } from './health-schema.ts'
import { breakerSchema, retrySchema } from './resilience-schema.ts'
import { ENDPOINT_EXPECTED, isHostName, type Parsed, parseEndpointAddress, parseHeaderValue } from './scalar.ts'
import { duration, integer, orNull, positiveDuration, strict, text } from './schema-kit.ts'
import { suggest } from './suggest.ts'
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
}).transform((o) => ({ requestMs: o.request, perTryMs: o.perTry, idleMs: o.idle }))

const ejection = strict({
  maxFails: integer(1, 1_000_000).default(3).describe('Failures within `failTimeout` that put an endpoint aside.'),
  failTimeout: positiveDuration.prefault('10s').describe('The time in which failures are counted, and how long the endpoint is put aside.'),
}).transform((o) => ({ maxFails: o.maxFails, failTimeoutMs: o.failTimeout }))

export const serviceSchema = strict({
  endpoints: z
    .array(endpoint, { error: 'expected a list of endpoints such as ["127.0.0.1:9001"]' })
    .min(1, { error: 'expected at least one endpoint' })
    .describe('The addresses of the service: `host:port`, or an object with weight and tags.'),
  protocol: z.enum(['http1']).default('http1').describe('What the endpoints speak: HTTP/1.1.'),
  hostHeader: text(HOST_HEADER_EXPECTED, parseHostHeader)
    .prefault('preserve')
    .describe('The `Host` the service sees: `preserve` (the one of the client), `endpoint` (the address of the endpoint), or a host name.'),
  balance: balance.prefault('round-robin').describe('How an endpoint is chosen: an algorithm that needs no settings, or a map.'),
  pool: pool.prefault({}).describe('Connections to each endpoint.'),
  timeouts: timeouts.prefault({}).describe('How long the service may take.'),
  health: healthSchema
    .default(null)
    .describe('The gateway checks the endpoints itself, and requests go only to those that pass (docs/health.md); null is off.'),
  ejection: orNull(ejection).prefault({}).describe('Endpoints that fail are put aside for a while; null is off.'),
  retry: orNull(retrySchema)
    .prefault({})
    .describe('Requests that failed and may be repeated are sent again, to another endpoint; null is off.'),
  breaker: orNull(breakerSchema)
    .default(null)
    .describe('When too many requests fail, the service gets none for a while (503), then a few to try it; null is off.'),
}).transform((o): Omit<ServiceConfig, 'name'> => o)
