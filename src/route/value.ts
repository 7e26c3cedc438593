/** Finding one query parameter or cookie in the text of a request, without taking the text apart. */

/** A piece of a text: from `start` up to, not including, `end`. Reused from call to call. */
export class Span {
  start = 0
  end = 0
}

const AMPERSAND = 38
const PERCENT = 37
const PLUS = 43
const EQUALS = 61
const SPACE = 32
const TAB = 9
const QUOTE = 34

/**
 * Finds the first parameter whose decoded name is `name` (UTF-8) and writes where its value stands, still encoded, to `span`.
 * A parameter without `=` has the empty value. False when there is none.
 */
export function findQueryParameter(query: string, name: Uint8Array, span: Span): boolean {
  const length = query.length
  let start = 0
  while (start < length) {
    let equals = -1
    let end = start
    for (; end < length; end++) {
      const code = query.charCodeAt(end)
      if (code === AMPERSAND) break
      if (code === EQUALS && equals < 0) equals = end
    }
    const nameEnd = equals < 0 ? end : equals
    if (end > start && equalsQueryText(query, start, nameEnd, name)) {
      span.start = equals < 0 ? end : equals + 1
      span.end = end
      return true
    }
    start = end + 1
  }
  return false
}

/**
 * Whether a piece of a query, decoded as a form is, has exactly these bytes. A malformed escape stands for itself, and so does a
 * character that should have been escaped but is ASCII.
 */
export function equalsQueryText(query: string, start: number, end: number, wanted: Uint8Array): boolean {
  let at = start
  for (let i = 0; i < wanted.length; i++) {
    if (at >= end) return false
    let code = query.charCodeAt(at++)
    if (code === PLUS) code = SPACE
    else if (code === PERCENT && at + 1 < end) {
      const high = hexValue(query.charCodeAt(at))
      const low = hexValue(query.charCodeAt(at + 1))
      if (high >= 0 && low >= 0) {
        code = high * 16 + low
        at += 2
      }
    }
    if (code !== wanted[i]) return false
  }
  return at === end
}

/**
 * Finds the first cookie of that name in a Cookie field (RFC 6265, 4.2.1) and writes where its value stands to `span`, without the
 * quotes around it if it has any. Names are case-sensitive. False when there is none.
 */
export function findCookie(header: string, name: string, span: Span): boolean {
  const length = header.length
  let start = 0
  while (start < length) {
    let end = header.indexOf(';', start)
    if (end < 0) end = length
    while (start < end && isBlank(header.charCodeAt(start))) start++
    if (end - start > name.length && header.charCodeAt(start + name.length) === EQUALS && header.startsWith(name, start)) {
      trimValue(header, start + name.length + 1, end, span)
      return true
    }
    start = end + 1
  }
  return false
}

function trimValue(header: string, start: number, end: number, span: Span): void {
  while (start < end && isBlank(header.charCodeAt(start))) start++
  while (end > start && isBlank(header.charCodeAt(end - 1))) end--
  const quoted = end - start >= 2 && header.charCodeAt(start) === QUOTE && header.charCodeAt(end - 1) === QUOTE
  span.start = quoted ? start + 1 : start
  span.end = quoted ? end - 1 : end
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB
}

function hexValue(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  const lower = code | 0x20
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}
