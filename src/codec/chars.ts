/** Character classes of RFC 9110 section 5.6 and RFC 3986, one lookup per character. Index: a latin1 code. */

/** tchar: what a field name or a method may consist of. The underscore is one, but has its own bit for the underscore policy. */
export const CHAR_TOKEN = 1
/** What a field value may hold: VCHAR, obs-text, SP, HTAB. */
export const CHAR_VALUE = 2
/** What a request target may hold: visible ASCII without '#' (fragments are never sent), '"', '<', '>' and '\'. */
export const CHAR_TARGET = 4
/** In a path: '%' or a '/' or '.' that may need normalising; decided by the target scan. */
export const CHAR_PERCENT = 8
export const CHAR_DIGIT = 16
export const CHAR_HEX = 32
/** What a Host may hold: letters, digits, '-', '.', '_', '~', '%', ':', '[', ']' and sub-delims of reg-name. */
export const CHAR_HOST = 64

export const CHAR_CLASS = new Uint8Array(256)

const TCHAR_PUNCTUATION = "!#$%&'*+-.^_`|~"
const HOST_PUNCTUATION = "-._~%:[]!$&'()*+,;="

for (let code = 0; code < 256; code++) {
  const char = String.fromCharCode(code)
  let bits = 0
  const digit = code >= 48 && code <= 57
  const letter = (code >= 65 && code <= 90) || (code >= 97 && code <= 122)
  if (digit || letter || (code < 128 && TCHAR_PUNCTUATION.includes(char))) bits |= CHAR_TOKEN
  if (code === 9 || (code >= 32 && code !== 127)) bits |= CHAR_VALUE
  if (code > 32 && code < 127 && !'#"<>\\'.includes(char)) bits |= CHAR_TARGET
  if (char === '%') bits |= CHAR_PERCENT
  if (digit) bits |= CHAR_DIGIT
  if (digit || (code >= 65 && code <= 70) || (code >= 97 && code <= 102)) bits |= CHAR_HEX
  if (digit || letter || (code < 128 && HOST_PUNCTUATION.includes(char))) bits |= CHAR_HOST
  CHAR_CLASS[code] = bits
}

/** A valid field name: one or more tchar. */
export function isToken(text: string): boolean {
  if (text.length === 0) return false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 255 || ((CHAR_CLASS[code] as number) & CHAR_TOKEN) === 0) return false
  }
  return true
}

/** A value that can be sent as it is: no control characters, nothing outside latin1. */
export function isFieldValue(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 255 || ((CHAR_CLASS[code] as number) & CHAR_VALUE) === 0) return false
  }
  return true
}
