/** `listeners.<name>.tls` and `services.<name>.tls`. What is in the files is looked at by tls-files.ts. */
import { createSecureContext } from 'node:tls'
import { z } from 'zod'
import { isHostName, type Parsed } from './scalar.ts'
import { duration, headerName, integer, oneOrMany, orNull, positiveDuration, strict, text } from './schema-kit.ts'
import type { ListenerTlsConfig, ServiceTlsConfig } from './tls-types.ts'

const FILE_EXPECTED = 'expected the path of a PEM file, relative to this configuration file or absolute'

const file = text(FILE_EXPECTED, (value) => (value === '' || value.includes('\0') ? { problem: FILE_EXPECTED } : { value }), {
  minLength: 1,
})

const NAME_EXPECTED = 'expected a host name such as example.com or *.example.com'

function parseServerName(value: string): Parsed<string> {
  const name = value.toLowerCase()
  return isHostName(name.startsWith('*.') ? name.slice(2) : name) ? { value: name } : { problem: NAME_EXPECTED }
}

const certificate = strict({
  cert: file.describe('The certificate, followed by those between it and the authority.'),
  key: file.describe('The private key of the certificate.'),
  names: oneOrMany(text(NAME_EXPECTED, parseServerName), `${NAME_EXPECTED}, or a list of them`)
    .nullable()
    .prefault(null)
    .describe('The host names it is used for (SNI); null: those in the certificate.'),
}).transform((o) => ({ ...o, names: o.names ?? [], validFromMs: 0, expiresMs: 0, revision: '' }))

const minVersion = z.enum(['TLSv1.2', 'TLSv1.3']).default('TLSv1.2').describe('The oldest version that is spoken.')

const alpnProtocol = z.enum(['h2', 'http/1.1'])

const CIPHERS_EXPECTED = 'expected a cipher list as OpenSSL writes it, such as ECDHE+AESGCM:ECDHE+CHACHA20'

function parseCiphers(value: string): Parsed<string> {
  try {
    createSecureContext({ ciphers: value })
    return { value }
  } catch {
    return { problem: CIPHERS_EXPECTED }
  }
}

const RESERVED = ['host', 'connection', 'content-length', 'transfer-encoding', 'te', 'trailer', 'upgrade', 'expect']

const clientAuthShape = {
  ca: file.describe('The authorities whose client certificates are believed.'),
  mode: z
    .enum(['require', 'optional'])
    .default('require')
    .describe('`require`: who shows no valid certificate is refused. `optional`: who shows none is served, too.'),
}

const clientAuth = strict({
  ...clientAuthShape,
  forward: headerName
    .refine((name) => !RESERVED.includes(name.toLowerCase()), {
      error: 'expected the name of a header that has no meaning of its own in HTTP',
    })
    .nullable()
    .prefault(null)
    .describe('The header that tells the service the verified subject, such as `X-Client-Subject`. A client can never set it itself.'),
}).transform((o) => ({ ...o, revision: '' }))

const hsts = strict({
  maxAge: positiveDuration.prefault('576h').describe('How long browsers remember to use https only, at most 576h; or give `days`.'),
  days: integer(1, 3650).nullable().default(null).describe('The same in days: `days: 365`.'),
  includeSubDomains: z.boolean().default(false).describe('Also for every host below this one.'),
}).transform((o) => ({
  maxAgeSeconds: o.days === null ? Math.floor(o.maxAge / 1000) : o.days * 86_400,
  includeSubDomains: o.includeSubDomains,
}))

const serverShape = {
  certificates: z
    .array(certificate, { error: 'expected a list such as [{ cert: cert.pem, key: key.pem }]' })
    .min(1, { error: 'expected at least one certificate' })
    .describe('Which certificate a client gets goes by the name it asks for: exact, then wildcard, then the first.'),
  minVersion,
  ciphers: text(CIPHERS_EXPECTED, parseCiphers)
    .nullable()
    .prefault(null)
    .describe('Ciphers in order of preference, as OpenSSL writes them; null: a modern set.'),
  handshakeTimeout: positiveDuration.prefault('10s').describe('How long a handshake may take.'),
}

const CLIENT_AUTH_DESCRIPTION = 'Certificates of clients (mTLS); null: not asked for.'

const listenerShape = {
  ...serverShape,
  clientAuth: orNull(clientAuth).default(null).describe(CLIENT_AUTH_DESCRIPTION),
  sessionLifetime: duration
    .prefault('2h')
    .describe('How long a client can resume its session, at any worker, which saves most of the handshake. 0: not at all.'),
}

/** TLS of a listener; null where it is left out. */
export const listenerTlsSchema = orNull(
  strict({
    ...listenerShape,
    alpn: oneOrMany(alpnProtocol, 'expected h2, http/1.1 or a list of both')
      .prefault(['h2', 'http/1.1'])
      .describe('The protocols that are offered, the preferred one first.'),
    hsts: orNull(hsts).default(null).describe('Send `Strict-Transport-Security`; null: not sent.'),
  }).transform(
    ({ handshakeTimeout, sessionLifetime, ...o }): ListenerTlsConfig => ({
      ...o,
      handshakeTimeoutMs: handshakeTimeout,
      sessionLifetimeMs: sessionLifetime,
    }),
  ),
)

/** The same for a listener of bytes: what goes by HTTP is not there, and no protocol is offered. */
export const streamTlsSchema = orNull(
  strict(listenerShape).transform(
    ({ handshakeTimeout, sessionLifetime, ...o }): ListenerTlsConfig => ({
      ...o,
      alpn: [],
      hsts: null,
      handshakeTimeoutMs: handshakeTimeout,
      sessionLifetimeMs: sessionLifetime,
    }),
  ),
)

/** The same for the admin listener, which speaks HTTP/1.1 and has no services behind it that could be told of anybody. */
export const adminTlsSchema = orNull(
  strict({
    ...serverShape,
    clientAuth: orNull(strict(clientAuthShape)).default(null).describe(CLIENT_AUTH_DESCRIPTION),
  }).transform(
    ({ handshakeTimeout, clientAuth: auth, ...o }): ListenerTlsConfig => ({
      ...o,
      clientAuth: auth === null ? null : { ...auth, forward: null, revision: '' },
      alpn: ['http/1.1'],
      hsts: null,
      handshakeTimeoutMs: handshakeTimeout,
      sessionLifetimeMs: 0,
    }),
  ),
)

const SERVER_NAME_EXPECTED = 'expected a host name such as users.internal'

/** TLS towards a service; null where it is left out. `{}` is complete. */
export const serviceTlsSchema = orNull(
  strict({
    ca: file.nullable().prefault(null).describe('The authorities that are believed; null: the public ones.'),
    serverName: text(SERVER_NAME_EXPECTED, (value) =>
      isHostName(value.toLowerCase()) ? { value: value.toLowerCase() } : { problem: SERVER_NAME_EXPECTED },
    )
      .nullable()
      .prefault(null)
      .describe(
        'The name that is asked for (SNI) and must be in the certificate; null: the host name in `hostHeader`, or the host of the endpoint.',
      ),
    verify: z
      .boolean()
      .default(true)
      .describe('Refuse endpoints whose certificate is not valid. Off, anybody between can read and change.'),
    cert: file.nullable().prefault(null).describe('The certificate that the gateway shows; `key` goes with it.'),
    key: file.nullable().prefault(null).describe('The private key of `cert`.'),
    minVersion,
    alpn: oneOrMany(alpnProtocol, 'expected h2, http/1.1 or a list of both')
      .prefault(['http/1.1'])
      .describe('The protocols that are offered, the preferred one first.'),
  }).transform((o): ServiceTlsConfig => ({ ...o, revision: '' })),
)

/** Answers what came without TLS with a redirect. */
export const httpsRedirectSchema = orNull(
  strict({
    port: integer(1, 65_535).default(443).describe('The port of the https listener, as clients reach it.'),
    status: z.literal([301, 302, 307, 308]).default(308).describe('308 keeps the method and the body.'),
  }),
)
