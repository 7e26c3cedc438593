import type { KeyConfig, KeyPartConfig } from '../../config/types.ts'

/** What a key may be read from. The Exchange has all of it. */
export interface KeyInput {
  /** Normalised path, without query. */
  readonly path: string
  /** Query without '?', '' when there is none. */
  readonly query: string
  /** Client address (after trusted proxies), as text, without port. */
  readonly clientIp: string
  /** First value of a request field; name in lower case. */
  header(name: string): string | undefined
}

/** Reads a key from a request. Null when the request has none, or an empty one. */
export type KeyExtractor = (input: KeyInput) => string | null

/** Compiles where a key comes from. Values are taken as they stand: a query parameter is not decoded. */
export function createKeyExtractor(on: KeyConfig): KeyExtractor {
  if (on.from === 'template') return createTemplateExtractor(on.parts)
  if (on.from === 'client-ip') return (input) => orNull(input.clientIp)
  if (on.from === 'path') return (input) => orNull(input.path)
  const { name } = on
  if (on.from === 'header') return (input) => orNull(input.header(name))
  if (on.from === 'cookie') return (input) => findCookie(input.header('cookie'), name)
  const encoded = encodeURIComponent(name)
  return (input) => findParameter(input.query, encoded)
}

/** Null only when none of the parts that come from the request is there: one of several is enough to tell requests apart. */
function createTemplateExtractor(configs: readonly KeyPartConfig[]): KeyExtractor {
  const parts = configs.map((part): string | KeyExtractor => (part.from === 'text' ? part.text : createKeyExtractor(part)))
  return (input) => {
    let key = ''
    let isFound = false
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i]!
      if (typeof part === 'string') {
        key += part
        continue
      }
      const value = part(input)
      if (value === null) continue
      key += value
      isFound = true
    }
    return isFound ? key : null
  }
}

function orNull(value: string | undefined): string | null {
  return value === undefined || value === '' ? null : value
}

/** The value of a cookie (RFC 6265 section 4.2.1), with the quotes around it if it has any. Names are case-sensitive. */
function findCookie(header: string | undefined, name: string): string | null {
  if (header === undefined) return null
  for (let at = header.indexOf(name); at !== -1; at = header.indexOf(name, at + 1)) {
    const equals = at + name.length
    if (header.charCodeAt(equals) !== EQUALS || !isCookieStart(header, at)) continue
    const semicolon = header.indexOf(';', equals)
    return orNull(header.slice(equals + 1, semicolon === -1 ? header.length : semicolon).trim())
  }
  return null
}

const SPACE = 32
const TAB = 9
const SEMICOLON = 59
const EQUALS = 61
const AMPERSAND = 38

function isCookieStart(header: string, at: number): boolean {
  for (let i = at - 1; i >= 0; i--) {
    const code = header.charCodeAt(i)
    if (code !== SPACE && code !== TAB) return code === SEMICOLON
  }
  return true
}

/** The value of the first query parameter of this name, in the encoding of `encodeURIComponent`. */
function findParameter(query: string, encoded: string): string | null {
  for (let at = query.indexOf(encoded); at !== -1; at = query.indexOf(encoded, at + 1)) {
    const equals = at + encoded.length
    if (query.charCodeAt(equals) !== EQUALS || (at > 0 && query.charCodeAt(at - 1) !== AMPERSAND)) continue
    const end = query.indexOf('&', equals)
    return orNull(query.slice(equals + 1, end === -1 ? query.length : end))
  }
  return null
}
