/** `listeners.<name>` with `protocol: tcp`: bytes to a service. */
import { z } from 'zod'
import { proxyProtocolSchema } from './proxy-protocol-schema.ts'
import { isHostName } from './scalar.ts'
import { addressRange, duration, integer, listenAddress, name, ofProtocol, oneOrMany, orNull, size, strict } from './schema-kit.ts'
import type { SniConfig, TcpListenerConfig } from './tcp-types.ts'
import { streamTlsSchema } from './tls-schema.ts'

const ranges = oneOrMany(addressRange, 'expected an address range or a list of them', 0)

const timeouts = strict({
  idle: duration
    .prefault('1h')
    .describe('Longest time without a byte in either direction. Beyond it the connection is closed. 0 is no limit.'),
  lifetime: duration.prefault(0).describe('Longest life of a connection, however busy. 0 is no limit.'),
  head: duration
    .prefault('10s')
    .describe('How long a client may take for what is read before connecting: the PROXY header, the greeting of TLS. 0 is no limit.'),
}).transform((o) => ({ idleMs: o.idle, lifetimeMs: o.lifetime, headMs: o.head }))

const bandwidth = strict({
  upload: size().prefault(0).describe('Bytes per second from the client to the service. 0 is no limit.'),
  download: size().prefault(0).describe('Bytes per second from the service to the client. 0 is no limit.'),
}).transform((o) => ({ uploadBytesPerSecond: o.upload, downloadBytesPerSecond: o.download }))

const SNI_NAME_EXPECTED = 'expected a host name such as api.example.com, one with a wildcard such as *.example.com, or default'
const SNI_DEFAULT = 'default'

const sniName = z
  .string()
  .refine((value) => value === SNI_DEFAULT || isHostName(value.toLowerCase().replace(/^\*\./, '')), { error: SNI_NAME_EXPECTED })

const sni = z.record(sniName, name).transform((written, context): SniConfig => {
  const names: SniConfig['names'] = []
  const seen = new Set<string>()
  for (const [key, service] of Object.entries(written)) {
    const lower = key.toLowerCase()
    if (seen.has(lower))
      context.addIssue({
        code: 'custom',
        path: [key],
        message: `${lower} is given twice; case does not matter here`,
        params: { key: true },
      })
    seen.add(lower)
    if (lower !== SNI_DEFAULT) names.push({ name: lower, service })
  }
  return { names, fallback: written[SNI_DEFAULT] ?? null }
})

export const tcpListenerSchema = ofProtocol('tcp', {
  address: listenAddress.describe('Where to listen: `:6379` is every address, `127.0.0.1:6379` one, port 0 lets the system choose.'),
  protocol: z.literal('tcp').describe('Bytes, passed on as they are.'),
  to: name.nullable().default(null).describe('The service that connections go to. Exactly one of `to` and `sni` is given.'),
  sni: orNull(sni)
    .default(null)
    .describe(
      'Services by the server name that a TLS client asks for, read from its greeting without terminating TLS: exact names before wildcards (`*.example.com`), longer wildcards before shorter ones, `default` for the rest.',
    ),
  tls: streamTlsSchema
    .default(null)
    .describe(
      'TLS with clients ends here, and the service gets what was inside (docs/tls.md); null: bytes pass as they are. Not with `sni`.',
    ),
  allow: ranges.prefault([]).describe('Only clients from these addresses and ranges are served; an empty list serves all.'),
  deny: ranges.prefault([]).describe('Clients from these addresses and ranges are not served, whatever `allow` says.'),
  proxyProtocol: proxyProtocolSchema,
  maxConnections: integer(1, 1_000_000).default(10_000).describe('Most open connections over all workers.'),
  maxConnectionsPerClient: integer(0, 1_000_000)
    .default(1024)
    .describe('Most open connections from one client address over all workers; 0 is no limit.'),
  connectAttempts: integer(1, 10)
    .default(3)
    .describe('Endpoints that are tried for one connection when connecting fails, the first included.'),
  timeouts: timeouts.prefault({}).describe('How long connections live.'),
  bandwidth: bandwidth.prefault({}).describe('How fast one connection may be.'),
  thrift: z
    .boolean({ error: 'expected true or false' })
    .default(false)
    .describe('The service speaks Thrift, framed and binary: count calls, replies and exceptions by method name.'),
}).transform((o, context): Omit<TcpListenerConfig, 'name'> => {
  if (o.to === null && o.sni === null)
    context.addIssue({ code: 'custom', path: [], message: 'goes nowhere; a TCP listener has exactly one of to and sni' })
  else if (o.to !== null && o.sni !== null) {
    context.addIssue({
      code: 'custom',
      path: ['sni'],
      message: 'found to and sni; a TCP listener has exactly one of them',
      params: { key: true },
    })
  }
  if (o.tls !== null && o.sni !== null) {
    const message = 'found sni and tls; with sni, TLS ends at the service'
    context.addIssue({ code: 'custom', path: ['tls'], message, params: { key: true } })
  }
  return o
})
