/** `listeners.<name>` with `protocol: forward`: a proxy for clients that are told to use one. */
import { z } from 'zod'
import type { ForwardListenerConfig, PortRange } from './forward-types.ts'
import { httpListenerSchema } from './listener-schema.ts'
import { ENDPOINT_EXPECTED, HOST_EXPECTED, isToken, type Parsed, parseEndpointAddress, parseHostPattern } from './scalar.ts'
import {
  addressRange,
  duration,
  integer,
  listenAddress,
  ofProtocol,
  oneOrMany,
  orNull,
  positiveDuration,
  size,
  strict,
  text,
} from './schema-kit.ts'
import { serviceSchema } from './service-schema.ts'

const ranges = oneOrMany(addressRange, 'expected an address range or a list of them', 0)
const hosts = oneOrMany(text(HOST_EXPECTED, parseHostPattern), `${HOST_EXPECTED}, or a list of them`, 0)

const PORT_EXPECTED = 'expected a port or a range of ports such as 443 or 1024-65535'
const LAST_PORT = 65_535

function parsePorts(value: string): Parsed<PortRange> {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(value)
  const first = Number(match?.[1])
  const last = match?.[2] === undefined ? first : Number(match[2])
  if (match === null || first < 1 || last > LAST_PORT || first > last) return { problem: PORT_EXPECTED }
  return { value: { first, last } }
}

const ports = oneOrMany(
  z.union([text(PORT_EXPECTED, parsePorts), integer(1, LAST_PORT).transform((port): PortRange => ({ first: port, last: port }))], {
    error: PORT_EXPECTED,
  }),
  `${PORT_EXPECTED}, or a list of them`,
)

const CREDENTIAL_EXPECTED = 'expected text without control characters'
const password = text(CREDENTIAL_EXPECTED, (value) =>
  isCredential(value) ? { value } : { problem: `${CREDENTIAL_EXPECTED}, and not empty` },
)
const userName = z.string().refine((value) => isCredential(value) && !value.includes(':'), {
  error: 'expected a user name without colons and control characters',
})

function isCredential(value: string): boolean {
  if (value === '') return false
  for (let i = 0; i < value.length; i++) if (value.charCodeAt(i) < 32 || value.charCodeAt(i) === 127) return false
  return true
}

const REALM_EXPECTED = 'expected a name made of letters, digits and -'

const auth = strict({
  realm: text(REALM_EXPECTED, (value) => (isToken(value) ? { value } : { problem: REALM_EXPECTED }))
    .prefault('sluice')
    .describe('What the client shows to its user when it asks for the password.'),
  users: z
    .record(userName, password)
    .refine((users) => Object.keys(users).length > 0, { error: 'expected at least one user' })
    .describe('Passwords by user name; keep them out of the file with `${VAR}` or `${file:/run/secrets/x}`.'),
}).transform((o) => ({ realm: o.realm, passwords: o.users }))

const destinations = strict({
  allowHosts: hosts.prefault([]).describe('Only these hosts: names, `*.example.com`, or addresses. An empty list allows all.'),
  denyHosts: hosts.prefault([]).describe('Not these hosts, whatever `allowHosts` says.'),
  ports: ports.prefault([80, 443, '1024-65535']).describe('Ports that requests may go to.'),
  connectPorts: ports.prefault([443]).describe('Ports that CONNECT tunnels may go to.'),
  allowPrivate: ranges
    .prefault([])
    .describe(
      'Addresses and ranges that may be reached although they are loopback, private, link-local, shared or otherwise not of the Internet. What a name resolves to is what counts.',
    ),
  denyAddresses: ranges.prefault([]).describe('Addresses and ranges that may not be reached, by whatever name.'),
})

const CREDENTIALS_EXPECTED = 'expected user:password'

const parent = strict({
  address: text(ENDPOINT_EXPECTED, parseEndpointAddress).describe('The proxy, as `host:port`.'),
  credentials: text(
    CREDENTIALS_EXPECTED,
    (value) => (/^[^:]+:./.test(value) && isCredential(value) ? { value } : { problem: CREDENTIALS_EXPECTED }),
    { minLength: 3 },
  )
    .nullable()
    .default(null)
    .describe('`user:password` for it; null: it asks for none.'),
}).transform((o) => ({ host: o.address.host, port: o.address.port, credentials: o.credentials }))

const VIA_EXPECTED = 'expected a name for the Via header made of letters, digits and -, or null for none'

const timeouts = strict({
  head: duration.prefault('10s').describe('How long a client may take to send the head of a request. Beyond it: 408. 0 is no limit.'),
  body: duration.prefault('30s').describe('Longest pause between two pieces of a request body. Beyond it: 408. 0 is no limit.'),
  send: duration.prefault('60s').describe('Longest pause of a client that does not read its response. 0 is no limit.'),
  idle: duration.prefault('75s').describe('How long the connection of a client may wait for its next request. 0 is no limit.'),
  connect: positiveDuration.prefault('5s').describe('How long connecting to one address of a destination may take. Beyond it: 504.'),
  request: duration
    .prefault('60s')
    .describe('Longest time to the response head, finding the address included. Beyond it: 504. 0 is no limit.'),
  response: duration.prefault('60s').describe('Longest pause between two pieces of a response body. 0 is no limit.'),
  keep: duration.prefault('30s').describe('How long an unused connection to a destination is kept. 0 keeps none.'),
  tunnelIdle: duration.prefault('10m').describe('Longest time without a byte in either direction of a CONNECT tunnel. 0 is no limit.'),
  tunnelLifetime: duration.prefault(0).describe('Longest life of a CONNECT tunnel, however busy. 0 is no limit.'),
})

export const forwardListenerSchema = ofProtocol('forward', {
  address: listenAddress.describe(
    'Where to listen: `127.0.0.1:3128` is one address, `:3128` every one. A proxy that is open to everybody will be abused.',
  ),
  protocol: z.literal('forward').describe('HTTP/1.1 of clients that use Sluice as their proxy: absolute-form requests and CONNECT.'),
  allow: ranges.prefault([]).describe('Only clients from these addresses and ranges are served; an empty list serves all.'),
  deny: ranges.prefault([]).describe('Clients from these addresses and ranges are not served, whatever `allow` says.'),
  auth: orNull(auth).default(null).describe('Basic proxy authentication; null asks for none.'),
  destinations: destinations.prefault({}).describe('Where clients may go.'),
  forwardedFor: z
    .boolean({ error: 'expected true or false' })
    .default(false)
    .describe('Append the address of the client to `X-Forwarded-For`. When false, what the client sends in it passes as it is.'),
  via: text(VIA_EXPECTED, (value) => (isToken(value) ? { value } : { problem: VIA_EXPECTED }), { minLength: 1 })
    .nullable()
    .prefault('sluice')
    .describe(
      'The name in the `Via` header of requests (RFC 9110 asks proxies for it), by which a request that comes back is known: no two proxies of a chain may have the same. `sluice` is sent with an ending that no other gateway has; null adds none.',
    ),
  parent: orNull(parent).default(null).describe('Another proxy that everything is sent through. Names are resolved there, not here.'),
  maxConnections: integer(1, 1_000_000).default(10_000).describe('Most open connections of clients over all workers.'),
  maxConnectionsPerClient: integer(0, 1_000_000)
    .default(1024)
    .describe('Most open connections from one client address over all workers; 0 is no limit.'),
  maxDestinations: integer(1, 100_000).default(1000).describe('Addresses that connections are kept to, in each worker.'),
  maxBody: size().prefault('1GiB').describe('Largest request body. Beyond it: 413.'),
  timeouts: timeouts.prefault({}).describe('How slow anybody may be.'),
}).transform((o): Omit<ForwardListenerConfig, 'name'> => {
  const { head, body, send, idle, connect, request, response, keep, tunnelIdle, tunnelLifetime } = o.timeouts
  const http = httpListenerSchema.parse({ address: ':0' })
  const service = serviceSchema.parse({ endpoints: ['parent:1'], retry: null, ejection: null })
  return {
    address: o.address,
    protocol: o.protocol,
    allow: o.allow,
    deny: o.deny,
    auth: o.auth,
    destinations: o.destinations,
    forwardedFor: o.forwardedFor,
    parent: o.parent,
    maxDestinations: o.maxDestinations,
    tunnel: { idleMs: tunnelIdle, lifetimeMs: tunnelLifetime },
    http: {
      ...http,
      http2: null,
      maxConnections: o.maxConnections,
      maxConnectionsPerClient: o.maxConnectionsPerClient,
      limits: { ...http.limits, bodyBytes: o.maxBody },
      timeouts: { headMs: head, bodyMs: body, sendMs: send, idleMs: idle },
      // A proxy passes on what it is given.
      headers: { ...http.headers, underscore: 'keep', forwarded: 'none', via: o.via, requestId: false },
      path: { mergeSlashes: false, escapedSlashes: 'keep' },
    },
    service: {
      ...service,
      pool: { ...service.pool, idleTimeoutMs: keep, connectTimeoutMs: connect },
      timeouts: { requestMs: request, perTryMs: null, idleMs: response, propagate: false },
    },
  }
})
