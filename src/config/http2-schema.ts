/** `services.<name>.http2`: how HTTP/2 is spoken to endpoints. */
import { z } from 'zod'
import { duration, integer, orNull, size, strict } from './schema-kit.ts'
import type { Http2ServiceConfig } from './types.ts'

const settings = strict({
  streamWindow: size(65_535, 2 ** 31 - 1)
    .prefault('1MiB')
    .describe('How much of one response an endpoint may send ahead of what the client has taken.'),
  connectionWindow: size(65_535, 2 ** 31 - 1)
    .prefault('16MiB')
    .describe('The same over all responses of one connection.'),
  maxStreams: integer(1, 100_000)
    .default(256)
    .describe('Most requests at a time on one connection, if the endpoint allows as many; then another connection is opened.'),
  connections: integer(1, 1000)
    .default(1)
    .describe(
      'Connections of each worker to one endpoint that the requests are spread over. More than one helps endpoints that serve each connection with one thread.',
    ),
  ping: duration
    .prefault('30s')
    .describe(
      'After this time without a byte the endpoint is asked for a sign of life (PING), and given up when it gives none. Repeated every 5 minutes at most while nothing else happens. 0 does not ask.',
    ),
}).transform(
  (o): Http2ServiceConfig => ({
    streamWindowBytes: o.streamWindow,
    connectionWindowBytes: o.connectionWindow,
    maxStreams: o.maxStreams,
    connections: o.connections,
    pingMs: o.ping,
  }),
)

export const HTTP2_SERVICE_DEFAULTS: Http2ServiceConfig = settings.parse({})

export const http2ServiceSchema = orNull(settings)

export const serviceProtocol = z.enum(['http1', 'http2', 'grpc'])
