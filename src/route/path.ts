/**
 * Paths as configured and as requested. A requested path is matched as it will be forwarded: normalised, still percent-encoded. What is
 * written in a configuration is brought to that same form once, so that `/café` in a file matches `/caf%C3%A9` on the wire.
 */

const TRIPLET = /%[0-9A-Fa-f]{2}/g
const UNRESERVED = /[A-Za-z0-9._~-]/
/** Nobody can send these unencoded in a request target. */
const UNSENDABLE = /[^\x21-\x7e]+/g

/**
 * A configured path in normal form (RFC 3986, 6.2.2): what is not visible ASCII is percent-encoded as UTF-8, escapes are in upper case,
 * and escaped unreserved characters are decoded.
 */
export function normalizeConfiguredPath(path: string): string {
  return path.toWellFormed().replace(UNSENDABLE, encodeURIComponent).replace(TRIPLET, normalizeTriplet)
}

/** `text` percent-decoded as UTF-8; as it is when an escape is malformed. Never throws. */
export function decodePercent(text: string): string {
  if (text.indexOf('%') < 0) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function normalizeTriplet(triplet: string): string {
  const character = String.fromCharCode(Number.parseInt(triplet.slice(1), 16))
  return UNRESERVED.test(character) ? character : triplet.toUpperCase()
}
