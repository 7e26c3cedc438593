/** `listeners.<name>`: a bound address, its limits and what it believes of its clients. */
import { z } from 'zod'
import { proxyProtocolSchema } from './proxy-protocol-schema.ts'
import { isToken } from './scalar.ts'
import { addressRange, duration, integer, listenAddress, ofProtocol, oneOrMany, size, strict, text } from './schema-kit.ts'
import { httpsRedirectSchema, listenerTlsSchema } from './tls-schema.ts'
import type { HttpListenerConfig } from './types.ts'

const VIA_EXPECTED = 'expected a name for the Via header made of letters, digits and -, or null for none'

const limits = strict({
  head: size(1024, 1024 ** 2)
    .prefault('60KiB')
    .describe('Largest request head (request line and headers). Beyond it: 431.'),
  headers: integer(1, 10_000).default(100).describe('Most header fields in a request. Beyond it: 431.'),
  uri: size(64, 1024 ** 2)
    .prefault('8KiB')
    .describe('Longest request target. Beyond it: 414.'),
  body: size().prefault('1GiB').describe('Largest request body; 0 allows none. A route may set its own. Beyond it: 413.'),
}).transform((o) => ({ headBytes: o.head, headers: o.headers, uriBytes: o.uri, bodyBytes: o.body }))

const timeouts = strict({
  head: duration
    .prefault('10s')
    .describe('From the first byte of a request (or from accepting the connection) to the end of its head. Beyond it: 408. 0 is no limit.'),
  body: duration.prefault('30s').describe('Longest pause between two pieces of a request body. Beyond it: 408. 0 is no limit.'),
  send: duration
    .prefault('60s')
    .describe('Longest pause of a client that does not read its response. Beyond it the connection is reset. 0 is no limit.'),
  idle: duration.prefault('75s').describe('How long a kept connection may wait for its next request. 0 is no limit.'),
}).transform((o) => ({ headMs: o.head, bodyMs: o.body, sendMs: o.send, idleMs: o.idle }))

const headers = strict({
  underscore: z
    .enum(['drop', 'reject', 'keep'])
    .default('drop')
    .describe(
      'Request header names with an underscore, which many services read as a dash: `drop` them, `reject` the request (400), or `keep` them.',
    ),
  forwarded: z
    .enum(['x-forwarded', 'rfc7239', 'both', 'none'])
    .default('x-forwarded')
    .describe('Which headers tell the service about the client: `X-Forwarded-*`, `Forwarded` (RFC 7239), both or none.'),
  via: text(VIA_EXPECTED, (value) => (isToken(value) ? { value } : { problem: VIA_EXPECTED }), { minLength: 1 })
    .nullable()
    .prefault('sluice')
    .describe('The name of this gateway in the `Via` header (RFC 9110, 7.6.3); null sends none.'),
  requestId: z
    .boolean()
    .default(true)
    .describe('Make an `X-Request-Id` when the client sent none that is believed; it goes to the service, the client and the access log.'),
})

const path = strict({
  mergeSlashes: z
    .boolean()
    .default(true)
    .describe('Treat and forward `/a//b` as `/a/b`, so that a doubled slash cannot slip past a route.'),
  escapedSlashes: z
    .enum(['reject', 'keep'])
    .default('reject')
    .describe('`%2f` and `%5c` in a path, which services decode differently: `reject` the request (400) or `keep` them.'),
})

const http2 = strict({
  maxConcurrentStreams: integer(1, 10_000)
    .default(100)
    .describe('Most requests one connection may have under way; further ones are refused.'),
  streamWindow: size(1024, 2 ** 31 - 1)
    .prefault('256KiB')
    .describe('How much of one request body a client may send ahead of what was taken from it.'),
  connectionWindow: size(65_535, 2 ** 31 - 1)
    .prefault('1MiB')
    .describe('The same over all requests of a connection.'),
}).transform((o) => ({
  maxConcurrentStreams: o.maxConcurrentStreams,
  streamWindowBytes: o.streamWindow,
  connectionWindowBytes: o.connectionWindow,
}))

export const httpListenerSchema = ofProtocol('http', {
  address: listenAddress.describe('Where to listen: `:8080` is every address, `127.0.0.1:8080` one, port 0 lets the system choose.'),
  // `optional` makes it what a listener is that does not say: the union looks for undefined, too.
  protocol: z.literal('http').optional().default('http').describe('HTTP/1.1.'),
  tls: listenerTlsSchema.default(null).describe('Speak TLS here (docs/tls.md); null: do not.'),
  httpsRedirect: httpsRedirectSchema.default(null).describe('Send everybody who comes without TLS to https; `{}` does. null: serve them.'),
  trustedProxies: oneOrMany(addressRange, 'expected an address range or a list of them', 0)
    .prefault([])
    .describe(
      'Addresses and ranges of proxies in front whose `X-Forwarded-*`, `Forwarded` and `X-Request-Id` are believed. From anyone else they are replaced.',
    ),
  proxyProtocol: proxyProtocolSchema,
  maxConnections: integer(1, 1_000_000).default(10_000).describe('Most open connections over all workers.'),
  maxConnectionsPerClient: integer(0, 1_000_000)
    .default(1024)
    .describe(
      'Most open connections from one client address over all workers; 0 is no limit. Raise it when a load balancer stands in front.',
    ),
  maxRequestsPerConnection: integer(0, 1_000_000_000)
    .default(0)
    .describe('Requests on one connection before it is closed politely; 0 is no limit.'),
  http2: http2.nullable().prefault({}).describe('HTTP/2, for clients that begin with it (without TLS: prior knowledge); null refuses it.'),
  limits: limits.prefault({}).describe('How large requests may be.'),
  timeouts: timeouts.prefault({}).describe('How slow clients may be.'),
  headers: headers.prefault({}).describe('What happens to header fields.'),
  path: path.prefault({}).describe('How request paths are normalised before they are matched and forwarded.'),
}).transform((o): Omit<HttpListenerConfig, 'name'> => ({ ...o, protocol: 'http' }))
