import { constants, createHash, type X509Certificate } from 'node:crypto'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import type { Clock } from '../base/clock.ts'
import type { SecureServerOptions } from '../base/tls-wire.ts'
import type { AlpnProtocol, HstsConfig, ListenerTlsConfig, TlsCertificateConfig, TlsTexts } from '../config/tls-types.ts'
import type { SecureClient } from '../exchange/exchange.ts'
import type { MetricsRegistry } from '../observe/metrics-types.ts'
import { HandshakeMetrics } from '../observe/tls-metrics.ts'
import { type CertificateIndex, KnownClient, NamedClient } from './secure-client.ts'

/** With forward secrecy and authenticated encryption, all of them. The shortest key first: it is enough, and the fastest. */
const MODERN_CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')

export interface ListenerTlsOptions {
  readonly listener: string
  readonly config: ListenerTlsConfig
  /** Whether the listener speaks HTTP/2: otherwise it is not offered either. */
  readonly hasHttp2: boolean
  readonly texts: TlsTexts
  /** 48 bytes that all workers share, so that a session of one can be resumed at any. */
  readonly ticketKeys: Buffer
  readonly registry: MetricsRegistry
  readonly clock: Clock
}

/** TLS of one listener, compiled: its certificates by name, and what every handshake begins with. */
export class ListenerTls {
  readonly config: ListenerTlsConfig
  readonly hasHttp2: boolean
  readonly metrics: HandshakeMetrics
  /** The header that tells the service the subject of the client's certificate, and its lower-case name; null: none. */
  readonly subjectHeader: string | null
  /** The line of Strict-Transport-Security, or null. */
  readonly hstsLine: string | null
  readonly #options: ListenerTlsOptions
  /** null where there is one certificate for every name. */
  readonly #indexOf: CertificateIndex | null
  /** For each certificate, whether it is for a host. */
  readonly #covers: readonly ((host: string) => boolean)[]
  #server: SecureServerOptions

  /** Throws when OpenSSL does not take a certificate, or the list of ciphers. */
  constructor(options: ListenerTlsOptions) {
    const { config, registry, listener } = options
    this.#options = options
    this.config = config
    this.hasHttp2 = options.hasHttp2
    this.metrics = new HandshakeMetrics(registry, listener)
    this.subjectHeader = config.clientAuth?.forward ?? null
    this.hstsLine = config.hsts === null ? null : formatHsts(config.hsts)
    this.#indexOf = config.certificates.length === 1 ? null : createCertificateIndex(config.certificates)
    this.#covers = config.certificates.map((certificate) => {
      const indexOf = createCertificateIndex([certificate])
      return (host) => indexOf(host) === 0
    })
    this.#server = createServerOptions(options, options.ticketKeys)
  }

  /** What a handshake begins with. */
  get server(): SecureServerOptions {
    return this.#server
  }

  /** What is to be known of a client that asked for this name ('' for none); null: nothing. */
  describeClient(subject: string, serverName: string): SecureClient | null {
    if (this.#indexOf !== null && serverName !== '') {
      const covers = this.#covers[Math.max(0, this.#indexOf(serverName))] as (host: string) => boolean
      return new NamedClient(subject, serverName, this.#indexOf, covers)
    }
    return subject === '' ? null : new KnownClient(subject)
  }

  /** Whether the certificate of a client is not valid any more. */
  hasExpired(certificate: X509Certificate): boolean {
    return certificate.validToDate.getTime() < this.#options.clock.wallClock()
  }

  /** Sessions begun with the keys before cannot be resumed any more: those clients make a whole handshake, and notice nothing. */
  useTicketKeys(ticketKeys: Buffer): void {
    this.#server = createServerOptions(this.#options, ticketKeys)
  }
}

function formatHsts({ maxAgeSeconds, includeSubDomains }: HstsConfig): string {
  return `Strict-Transport-Security: max-age=${maxAgeSeconds}${includeSubDomains ? '; includeSubDomains' : ''}\r\n`
}

function createServerOptions(options: ListenerTlsOptions, ticketKeys: Buffer): SecureServerOptions {
  const { config } = options
  const { clientAuth } = config
  const contexts = config.certificates.map((certificate) => createSecureContext(secureContextOptions(options, certificate, ticketKeys)))
  const spoken: readonly AlpnProtocol[] = options.hasHttp2 ? config.alpn : config.alpn.filter((protocol) => protocol !== 'h2')
  return {
    secureContext: contexts[0] as SecureContext,
    // A listener of bytes offers nothing.
    protocols: spoken.length === 0 && config.alpn.length > 0 ? ['http/1.1'] : spoken,
    contextFor: contexts.length === 1 ? null : createNameLookup(config.certificates, contexts),
    requestCert: clientAuth !== null,
    requireCert: clientAuth?.mode === 'require',
  }
}

/** Where the options of a context come from. */
export type ContextSource = Pick<ListenerTlsOptions, 'listener' | 'config' | 'texts'>

/** What OpenSSL is told for one certificate of a listener. `ticketKeys` are 48 bytes. */
export function secureContextOptions(
  { listener, config, texts }: ContextSource,
  { cert, key }: TlsCertificateConfig,
  ticketKeys: Buffer,
): SecureContextOptions {
  const { clientAuth, minVersion, ciphers, sessionLifetimeMs } = config
  const hasTickets = sessionLifetimeMs > 0
  return {
    cert: texts[cert] ?? '',
    key: texts[key] ?? '',
    ...(clientAuth === null ? {} : { ca: texts[clientAuth.ca] ?? '' }),
    minVersion,
    ciphers: ciphers ?? MODERN_CIPHERS,
    honorCipherOrder: true,
    ticketKeys,
    ...(hasTickets ? { sessionTimeout: Math.max(1, Math.ceil(sessionLifetimeMs / 1000)) } : {}),
    // Keys are shared by all listeners: who was let in by one must not come in by another that asks for more.
    sessionIdContext: createHash('sha256')
      .update(JSON.stringify([listener, clientAuth]))
      .digest('hex')
      .slice(0, 32),
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | (hasTickets ? 0 : constants.SSL_OP_NO_TICKET),
  }
}

/** Exact, then wildcard (one label, RFC 6125 section 6.4.3); what comes first counts. */
export function createCertificateIndex(certificates: readonly TlsCertificateConfig[]): CertificateIndex {
  const exact = new Map<string, number>()
  const wildcard = new Map<string, number>()
  certificates.forEach(({ names }, index) => {
    for (const name of names) {
      const [map, key] = name.startsWith('*.') ? [wildcard, name.slice(1)] : [exact, name]
      if (!map.has(key)) map.set(key, index)
    }
  })
  return (name) => {
    const dot = name.indexOf('.')
    // A wildcard stands for a label that is there.
    return exact.get(name) ?? (dot < 1 ? undefined : wildcard.get(name.slice(dot))) ?? -1
  }
}

/** The context for a name that a client asks for, or null. */
export function createNameLookup(
  certificates: readonly TlsCertificateConfig[],
  contexts: readonly SecureContext[],
): (serverName: string) => SecureContext | null {
  const indexOf = createCertificateIndex(certificates)
  return (serverName) => contexts[indexOf(serverName.toLowerCase())] ?? null
}
