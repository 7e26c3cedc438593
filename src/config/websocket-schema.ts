/** `routes.<name>.websocket`: which requests may become WebSockets, and what holds for them then. */
import { z } from 'zod'
import { isToken } from './scalar.ts'
import { duration, integer, oneOrMany, positiveDuration, size, strict, text } from './schema-kit.ts'
import type { WebSocketConfig } from './types.ts'

const ORIGIN_EXPECTED = 'expected an origin such as https://app.example.com, with * for any name at its start, or null'

const origin = text(ORIGIN_EXPECTED, (value) =>
  value === 'null' || /^https?:\/\/(?:\*\.)?[a-z0-9.-]+(?::\d{1,5})?$/.test(value) ? { value } : { problem: ORIGIN_EXPECTED },
)

const settings = strict({
  only: z.boolean().default(false).describe('Refuse everything else on this route with 426.'),
  origins: oneOrMany(origin, `${ORIGIN_EXPECTED}, or a list of them`)
    .nullable()
    .default(null)
    .describe('The `Origin` a browser must come from: exact, or `https://*.example.com`. null: any, and none.'),
  idleTimeout: duration.prefault('5m').describe('How long nothing may be sent in both directions before it is closed. 0 is no limit.'),
  ping: positiveDuration
    .nullable()
    .prefault(null)
    .describe('Send the client a Ping this often, so that a dead connection shows; null: none.'),
  maxLifetime: positiveDuration
    .nullable()
    .prefault(null)
    .describe('Closed after this time with 1001, so that clients come back elsewhere; null: never.'),
  maxConnections: integer(1, 1_000_000)
    .nullable()
    .default(null)
    .describe('Most open WebSockets of this route over all workers; null: no limit of its own.'),
  maxConnectionsPerClient: integer(1, 1_000_000)
    .nullable()
    .default(null)
    .describe('Most open WebSockets of this route from one client address over all workers; null: no limit of its own.'),
  maxMessage: size(1)
    .nullable()
    .prefault(null)
    .describe(
      'Largest message of a client as it is sent (compressed, if it is), its fragments together. Beyond it: closed with 1009. null: any.',
    ),
  messageRate: integer(1, 1_000_000)
    .nullable()
    .default(null)
    .describe('Most messages of a client in a second, with a burst of as many. Beyond it: closed with 1008. null: any.'),
})

const DEFAULTS = settings.parse({})

export const webSocketSchema = z
  .union(
    [
      z.boolean().transform((isAllowed) => (isAllowed ? DEFAULTS : null)),
      z.literal('only').transform(() => ({ ...DEFAULTS, only: true })),
      settings,
    ],
    { error: 'expected true, false, only, or a map of settings' },
  )
  .transform((o): WebSocketConfig | null =>
    o === null
      ? null
      : {
          isRequired: o.only,
          origins: o.origins,
          idleMs: o.idleTimeout,
          pingMs: o.ping,
          maxLifetimeMs: o.maxLifetime,
          maxConnections: o.maxConnections,
          maxConnectionsPerClient: o.maxConnectionsPerClient,
          maxMessageBytes: o.maxMessage,
          messagesPerSecond: o.messageRate,
        },
  )

const TOKEN_EXPECTED = 'expected the name of a protocol as it stands in Upgrade, such as foo'
export const upgradeToken = text(TOKEN_EXPECTED, (value) => (isToken(value) ? { value: value.toLowerCase() } : { problem: TOKEN_EXPECTED }))
