/**
 * The request target (RFC 9112 section 3.2) and the one form of a path that is both matched and forwarded. Whatever an upstream
 * might read differently from the router (dot segments, encoded letters, doubled slashes, encoded slashes) is resolved or refused
 * here, so that a filter on `/admin` cannot be walked around.
 */
export interface PathPolicy {
  readonly mergeSlashes: boolean
  readonly escapedSlashes: 'reject' | 'keep'
}

const PERCENT = 37
const SLASH = 47
const DOT = 46
const COLON = 58
const OPEN_BRACKET = 91

/**
 * The normalised path (RFC 3986 section 6.2.2): percent-encoded unreserved characters decoded, other escapes in upper case, dot
 * segments removed, slashes merged when the policy says so. null when it must be refused: a broken escape, %00 or another encoded
 * control character, an encoded slash or backslash under `reject`, or dot segments that climb above the root.
 *
 * Returns the very string it was given when nothing had to change: the usual case costs one scan.
 */
export function normalizePath(path: string, policy: PathPolicy): string | null {
  const { length } = path
  for (let i = 0; i < length; i++) {
    const code = path.charCodeAt(i)
    if (code === PERCENT) return normalizeSlowly(path, policy)
    if (code === SLASH && i + 1 < length) {
      const next = path.charCodeAt(i + 1)
      if (next === DOT || next === SLASH) return normalizeSlowly(path, policy)
    }
  }
  return path
}

function normalizeSlowly(path: string, policy: PathPolicy): string | null {
  const decoded = decodeUnreserved(path, policy)
  if (decoded === null) return null
  const segments = decoded.split('/')
  const kept: string[] = []
  // The first segment is the empty one before the leading slash.
  for (let i = 1; i < segments.length; i++) {
    const segment = segments[i] as string
    const last = i === segments.length - 1
    if (segment === '.') {
      if (last) kept.push('')
    } else if (segment === '..') {
      if (kept.length === 0) return null
      kept.pop()
      if (last) kept.push('')
    } else if (segment === '' && !last && policy.mergeSlashes) {
    } else {
      kept.push(segment)
    }
  }
  return `/${kept.join('/')}`
}

function decodeUnreserved(path: string, policy: PathPolicy): string | null {
  if (!path.includes('%')) return path
  let out = ''
  let from = 0
  for (let at = path.indexOf('%'); at !== -1; at = path.indexOf('%', at + 3)) {
    const high = hexValue(path.charCodeAt(at + 1))
    const low = hexValue(path.charCodeAt(at + 2))
    if (high < 0 || low < 0) return null
    const code = high * 16 + low
    if (code < 32 || code === 127) return null
    if ((code === SLASH || code === 92) && policy.escapedSlashes === 'reject') return null
    out += path.slice(from, at)
    out += isUnreserved(code) ? String.fromCharCode(code) : path.slice(at, at + 3).toUpperCase()
    from = at + 3
  }
  return out + path.slice(from)
}

function isUnreserved(code: number): boolean {
  return (
    (code >= 48 && code <= 57) ||
    (code >= 65 && code <= 90) ||
    (code >= 97 && code <= 122) ||
    code === 45 ||
    code === 46 ||
    code === 95 ||
    code === 126
  )
}

function hexValue(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  if (code >= 65 && code <= 70) return code - 55
  if (code >= 97 && code <= 102) return code - 87
  return -1
}

/**
 * The host of a Host field or an authority without its port, in lower case, without the dot at the end of a full domain name.
 * IPv6 literals keep their brackets.
 */
export function hostWithoutPort(value: string): string {
  const { length } = value
  // The colons of an IPv6 literal stand within its brackets.
  let end = value.charCodeAt(0) === OPEN_BRACKET ? value.indexOf(']') + 1 : 0
  let hasUpperCase = end > 0
  for (; end < length; end++) {
    const code = value.charCodeAt(end)
    if (code === COLON) break
    if (code >= 65 && code <= 90) hasUpperCase = true
  }
  if (end > 0 && value.charCodeAt(end - 1) === DOT) end--
  const host = end === length ? value : value.slice(0, end)
  return hasUpperCase ? host.toLowerCase() : host
}

/** The parts of an absolute-form target, or null when it is not one this gateway serves. `rest` is empty when there is neither path nor query. */
export function splitAbsoluteForm(target: string): { authority: string; rest: string } | null {
  const match = /^https?:\/\/([^/?]+)([/?].*)?$/i.exec(target)
  if (match === null) return null
  const authority = match[1] as string
  // User information in a target is an attack on whoever reads it carelessly (RFC 9110 section 4.2.4).
  if (authority.includes('@')) return null
  const rest = match[2] ?? ''
  return { authority, rest: rest.startsWith('?') ? `/${rest}` : rest }
}
