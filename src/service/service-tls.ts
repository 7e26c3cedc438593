import { constants } from 'node:crypto'
import net from 'node:net'
import { type ConnectionOptions, createSecureContext, type SecureContext } from 'node:tls'
import type { ServiceTlsConfig, TlsTexts } from '../config/tls-types.ts'

/** Compiles what all endpoints of a service have in common. Throws when OpenSSL does not take a file. */
export function createServiceContext(
  { ca, cert, key, minVersion }: ServiceTlsConfig,
  texts: TlsTexts,
  { isHttp2 = false } = {},
): SecureContext {
  return createSecureContext({
    ...(ca === null ? {} : { ca: texts[ca] ?? '' }),
    ...(cert === null || key === null ? {} : { cert: texts[cert] ?? '', key: texts[key] ?? '' }),
    minVersion,
    // RFC 9113 section 9.2.1: with HTTP/2 nobody renegotiates. Over HTTP/1.1 there are endpoints that ask for a certificate in this way.
    ...(isHttp2 ? { secureOptions: constants.SSL_OP_NO_RENEGOTIATION } : {}),
  })
}

/** The options of `tls.connect` for an endpoint, except for where it is. */
export function createTlsOptions(config: ServiceTlsConfig, context: SecureContext, hostHeader: string, host: string): ConnectionOptions {
  const bare = host.startsWith('[') ? host.slice(1, -1) : host
  const name = config.serverName ?? nameOf(hostHeader) ?? bare
  return {
    secureContext: context,
    rejectUnauthorized: config.verify,
    ALPNProtocols: config.alpn,
    // RFC 6066 section 3: addresses are not asked for by name. Node.js checks the certificate against this, or the host.
    ...(net.isIP(name) === 0 ? { servername: name } : { servername: '' }),
  }
}

/** The host in a `hostHeader` that is a name. */
function nameOf(hostHeader: string): string | null {
  if (hostHeader === 'preserve' || hostHeader === 'endpoint') return null
  const host = hostHeader.replace(/:\d+$/, '')
  return net.isIP(host.replace(/^\[|\]$/g, '')) === 0 ? host : null
}

const WORDS: Readonly<Record<string, string>> = {
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate comes from an authority that is not believed',
  UNABLE_TO_GET_ISSUER_CERT: 'its certificate comes from an authority that is not believed',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate comes from an authority that is not believed',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate comes from an authority that is not believed',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is signed by itself and not believed',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS there',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'it wants a certificate from us',
}

const REFUSAL = /^ERR_SSL_.*_ALERT_(CERTIFICATE_|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)/

/**
 * Whether an endpoint says that it does not want our certificate. With TLS 1.3 that comes when we take the handshake for done, and in
 * place of the first response.
 */
export function isCertificateRefusal(error: NodeJS.ErrnoException): boolean {
  return REFUSAL.test(error.code ?? '')
}

/** Why a connection could not be opened: null when that had nothing to do with TLS, else a sentence for the log. */
export function tlsFailureOf(error: NodeJS.ErrnoException): string | null {
  const code = error.code ?? ''
  const words = WORDS[code] ?? (REFUSAL.test(code) ? 'it does not believe the certificate we show, or wants one' : undefined)
  if (words !== undefined) return `${words} (${code})`
  const isTls =
    code.startsWith('ERR_SSL') || code.startsWith('ERR_TLS') || code.startsWith('CERT_') || error.message.includes('before secure TLS')
  return isTls ? `${(error as { reason?: string }).reason ?? error.message} (${code})` : null
}
