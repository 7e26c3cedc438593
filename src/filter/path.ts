import { GatewayError } from '../base/error.ts'
import { CHAR_CLASS, CHAR_TARGET } from '../codec/chars.ts'
import type { Exchange } from '../exchange/exchange.ts'
import { normalizePath } from '../exchange/target.ts'

/** What filters share that change the path. */

const SLASH = 47
/** A segment of one or two dots. Paths arrive without; one that a filter has put together would lead out of where it points. */
const DOT_SEGMENT = /\/(?:\.|%2e){1,2}(?:\/|$)/i
const AS_WRITTEN = { mergeSlashes: false, escapedSlashes: 'keep' } as const
const ONLY_SLASHES = /^\/+$/

/** A prefix that is compared by whole segments: `/users` covers `/users` and `/users/7`, never `/usersX`. */
export interface SegmentPrefix {
  /** In normal form; '' stands for '/', which covers everything. */
  readonly text: string
}

/** Compiles a prefix of the configuration. */
export function createSegmentPrefix(prefix: string): SegmentPrefix {
  const text = normalizePath(encodeTarget(prefix), AS_WRITTEN) ?? prefix
  return { text: ONLY_SLASHES.test(text) ? '' : text.replace(/\/+$/, '') }
}

/** What is left of the path behind the prefix: '' or something that starts with '/'. null when the prefix does not cover it. */
export function afterPrefix(path: string, prefix: SegmentPrefix): string | null {
  const { text } = prefix
  if (path.length === text.length) return path === text ? '' : null
  if (path.charCodeAt(text.length) !== SLASH || !path.startsWith(text)) return null
  return path.slice(text.length)
}

/** One slash at the start: what begins with two names another host to a browser, and to careless servers. */
export function singleLeadingSlash(path: string): string {
  if (path.charCodeAt(0) !== SLASH) return `/${path}`
  let at = 0
  while (path.charCodeAt(at + 1) === SLASH) at++
  return at === 0 ? path : path.slice(at)
}

/** Percent-encodes, as UTF-8, what cannot stand in a request target (RFC 3986 section 2.1). `%` stays. Usually the same string. */
export function encodeTarget(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 255 || ((CHAR_CLASS[code] as number) & CHAR_TARGET) === 0) return encodeSlowly(text)
  }
  return text
}

function encodeSlowly(text: string): string {
  // encodeURIComponent would throw at a surrogate that lost its partner.
  return text.toWellFormed().replace(/[^\x21-\x7e]+|["#<>\\]/g, encodeURIComponent)
}

/**
 * A path that a filter has made, in the form the router would have accepted, or null: it does not start with '/', has a broken
 * escape, or dot segments.
 */
export function checkPath(x: Exchange, path: string): string | null {
  if (path.charCodeAt(0) !== SLASH || DOT_SEGMENT.test(path)) return null
  return normalizePath(path, x.listener.config.path)
}

/** The request cannot be passed on under the path a filter made of it. */
export function refusePath(filter: string): never {
  throw new GatewayError('bad_request', `the ${filter} filter makes a path of this request that cannot be sent on`)
}
