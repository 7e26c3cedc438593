import { constants, createHash } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import type { SecureServerOptions } from '../base/tls-wire.ts'
import type { AlpnProtocol, HstsConfig, ListenerTlsConfig, TlsCertificateConfig, TlsTexts } from '../config/tls-types.ts'
import type { MetricsRegistry } from '../observe/metrics-types.ts'
import { HandshakeMetrics } from '../observe/tls-metrics.ts'

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
    this.#server = createServerOptions(options, options.ticketKeys)
  }

  /** What a handshake begins with. */
  get server(): SecureServerOptions {
    return this.#server
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
  const contexts = config.certificates.map((certificate) => createContext(options, certificate, ticketKeys))
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

function createContext({ listener, config, texts }: ListenerTlsOptions, { cert, key }: TlsCertificateConfig, ticketKeys: Buffer) {
  const { clientAuth, minVersion, ciphers, sessionLifetimeMs } = config
  const hasTickets = sessionLifetimeMs > 0
  return createSecureContext({
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
  })
}

/** Exact, then wildcard (one label, RFC 6125 section 6.4.3); what comes first counts. */
function createNameLookup(
  certificates: readonly TlsCertificateConfig[],
  contexts: readonly SecureContext[],
): (serverName: string) => SecureContext | null {
  const exact = new Map<string, SecureContext>()
  const wildcard = new Map<string, SecureContext>()
  certificates.forEach(({ names }, index) => {
    for (const name of names) {
      const [map, key] = name.startsWith('*.') ? [wildcard, name.slice(1)] : [exact, name]
      if (!map.has(key)) map.set(key, contexts[index] as SecureContext)
    }
  })
  return (serverName) => {
    const name = serverName.toLowerCase()
    const dot = name.indexOf('.')
    return exact.get(name) ?? (dot === -1 ? undefined : wildcard.get(name.slice(dot))) ?? null
  }
}
