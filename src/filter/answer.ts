import type { RedirectConfig, RespondConfig } from '../config/types.ts'
import type { Exchange, LocalResponse } from '../exchange/exchange.ts'
import { afterPrefix, createSegmentPrefix, encodeTarget, type SegmentPrefix, singleLeadingSlash } from './path.ts'

/** The two answers a gateway gives on its own, for filters and for routes without a service. Neither ever throws. */
export type Answer = (x: Exchange) => LocalResponse

/** A fixed response, made once. Text without a `content-type` is sent as `text/plain; charset=utf-8`. */
export function createRespondAnswer(config: RespondConfig): Answer {
  const headers: string[] = []
  for (const [name, value] of Object.entries(config.headers)) headers.push(name, value)
  if (config.body !== '' && !Object.hasOwn(config.headers, 'content-type')) headers.push('content-type', 'text/plain; charset=utf-8')
  const response: LocalResponse = { status: config.status, headers, body: config.body === '' ? null : Buffer.from(config.body) }
  return () => response
}

/** A host that can stand in a URL without a second thought: a name or an IPv4 address, or an IPv6 address in brackets. */
const PLAIN_HOST = /^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])$/

const NO_HOST: LocalResponse = {
  status: 400,
  headers: ['content-type', 'text/plain; charset=utf-8'],
  body: Buffer.from('This redirect needs a request with a valid Host.\n'),
}

/**
 * A redirect (RFC 9110 section 15.4). Without `scheme`, `host` and `port` the Location is a path, so it stays on the host the client
 * asked. With `scheme` or `port` alone it names the host of the request, which must be a plain name or address: 400 otherwise. What a
 * client sends can decide about path and query, never about the host.
 */
export function createRedirectAnswer(config: RedirectConfig): Answer {
  if (config.to !== null) return createFixedRedirect(config.status, config.to, config.keepQuery)
  const { status, keepQuery } = config
  const isRelative = config.scheme === null && config.host === null && config.port === null
  const path = config.path === null ? null : singleLeadingSlash(encodeTarget(config.path))
  const stripped = config.stripPrefix === null ? null : createSegmentPrefix(config.stripPrefix)
  return (x) => {
    const authority = isRelative ? '' : originOf(x, config)
    if (authority === null) return NO_HOST
    let location = authority + (path ?? pathOf(x, stripped))
    if (keepQuery && x.queryOrNull !== null && x.queryOrNull !== '') location += `?${x.queryOrNull}`
    return { status, headers: ['Location', location], body: null }
  }
}

function createFixedRedirect(status: number, to: string, keepQuery: boolean): Answer {
  const hash = to.indexOf('#')
  const base = hash === -1 ? to : to.slice(0, hash)
  const fragment = hash === -1 ? '' : to.slice(hash)
  const joint = base.includes('?') ? '&' : '?'
  const plain: LocalResponse = { status, headers: ['Location', to], body: null }
  if (!keepQuery) return () => plain
  return (x) => {
    if (x.queryOrNull === null || x.queryOrNull === '') return plain
    return { status, headers: ['Location', base + joint + x.queryOrNull + fragment], body: null }
  }
}

/** `https://www.example.com:8443`; null when the request has no host that could be named. */
function originOf(x: Exchange, config: RedirectConfig): string | null {
  const scheme = config.scheme ?? x.scheme
  const host = config.host ?? (PLAIN_HOST.test(x.host) ? x.host : null)
  if (host === null) return null
  const { port } = config
  return port === null || port === (scheme === 'https' ? 443 : 80) ? `${scheme}://${host}` : `${scheme}://${host}:${port}`
}

function pathOf(x: Exchange, stripped: SegmentPrefix | null): string {
  if (x.path === '*') return '/'
  const rest = stripped === null ? null : afterPrefix(x.path, stripped)
  return singleLeadingSlash(rest ?? x.path)
}
