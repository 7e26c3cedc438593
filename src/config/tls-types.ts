/** TLS as the rest of Sluice sees it: checked, complete. Files are named by absolute path; their texts travel apart (see TlsTexts). */

export type TlsVersion = 'TLSv1.2' | 'TLSv1.3'

/**
 * The texts of certificate and key files, by absolute path. They are no part of the configuration, so that nothing that shows or
 * compares configurations holds a private key; `revision` tells when one has changed.
 */
export type TlsTexts = Readonly<Record<string, string>>

/** TLS towards clients. */
export interface ListenerTlsConfig {
  /** The first one is for clients that name no host or one that no certificate is for. */
  certificates: TlsCertificateConfig[]
  minVersion: TlsVersion
  /** An OpenSSL cipher list for TLS 1.2 (and the suites of 1.3); null: those of Node.js. */
  ciphers: string | null
  clientAuth: ClientAuthConfig | null
  /** In order of preference. */
  alpn: AlpnProtocol[]
  handshakeTimeoutMs: number
  /** How long a session can be resumed; 0: never. */
  sessionLifetimeMs: number
  /** Strict-Transport-Security (RFC 6797); null: not sent. */
  hsts: HstsConfig | null
}

export type AlpnProtocol = 'h2' | 'http/1.1'

export interface TlsCertificateConfig {
  cert: string
  key: string
  /** Lower case; exact, or `*.example.com`. Those of the certificate, unless the user gives others. */
  names: string[]
  /** From when on it is valid, in milliseconds since 1970. */
  validFromMs: number
  /** When it expires, in milliseconds since 1970. */
  expiresMs: number
  /** A digest of both files. */
  revision: string
}

export interface ClientAuthConfig {
  ca: string
  mode: 'require' | 'optional'
  /** The header that carries the verified subject; null: none. */
  forward: string | null
  revision: string
}

export interface HstsConfig {
  maxAgeSeconds: number
  includeSubDomains: boolean
}

/** TLS towards endpoints. */
export interface ServiceTlsConfig {
  /** null: the certificate authorities that Node.js comes with. */
  ca: string | null
  /** The name that is asked for and must be in the certificate; null: the host name in `hostHeader`, or that of the endpoint. */
  serverName: string | null
  verify: boolean
  /** The gateway's own certificate; both or none. */
  cert: string | null
  key: string | null
  minVersion: TlsVersion
  alpn: AlpnProtocol[]
  /** A digest of all files. */
  revision: string
}
