import type { HttpListenerConfig, ListenerConfig } from '../config/types.ts'
import type { Exchange, LocalResponse } from '../exchange/exchange.ts'
import { createRedirectAnswer } from '../filter/answer.ts'
import type { ListenerTls } from './listener-tls.ts'

/** What a listener does with a request because of TLS, before any route: send it to https, say whose certificate came with it. */

/** Where certificate authorities look whether a host is ours (RFC 8555 section 8.3): over http, and on this host. */
const ACME_PREFIX = '/.well-known/acme-challenge/'

/** Answers with a redirect to https, or null for what is served without TLS in any case. */
export type HttpsRedirect = (x: Exchange) => LocalResponse | null

/** null when the listener sends nobody to https. */
export function createHttpsRedirect(config: HttpListenerConfig['httpsRedirect']): HttpsRedirect | null {
  if (config === null) return null
  const answer = createRedirectAnswer({
    status: config.status,
    to: null,
    scheme: 'https',
    host: null,
    port: config.port,
    path: null,
    stripPrefix: null,
    keepQuery: true,
  })
  return (x) => (x.path.startsWith(ACME_PREFIX) ? null : answer(x))
}

/**
 * The headers that tell services about the certificates of clients, in lower case. They are taken out of requests on every listener: a
 * service cannot see by which listener a request came in. null: there are none.
 */
export function subjectHeadersOf(listeners: readonly ListenerConfig[]): readonly string[] | null {
  const names = new Set<string>()
  for (const listener of listeners) {
    const forward = listener.protocol === 'http' ? listener.tls?.clientAuth?.forward : null
    if (forward != null) names.add(forward.toLowerCase())
  }
  return names.size === 0 ? null : [...names]
}

/** Takes out what clients say about their certificate under these names, and says what the handshake has shown. */
export function forwardSubject(x: Exchange, names: readonly string[], tls: ListenerTls | null): void {
  const { headers } = x.request
  for (const name of names) headers.remove(name)
  if (x.request.hasUnderscore) removeWithUnderscores(x, names)
  const { secure } = x.client
  if (tls !== null && tls.subjectHeader !== null && secure !== null && secure.subject !== '') headers.add(tls.subjectHeader, secure.subject)
}

/** Where names with underscores are kept: many services read them as dashes. */
function removeWithUnderscores(x: Exchange, names: readonly string[]): void {
  const { headers } = x.request
  for (const [name] of headers.toPairs()) {
    if (name.includes('_') && names.includes(name.replaceAll('_', '-').toLowerCase())) headers.remove(name.toLowerCase())
  }
}
