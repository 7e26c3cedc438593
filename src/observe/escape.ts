/**
 * Makes any text safe inside a log line and inside JSON quotes: the quote, the backslash, every control character (also those
 * above 0x7f, which some terminals obey), the line separators and half surrogates become JSON escapes. So a client can neither
 * begin a new line nor leave its field.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is the point.
const UNSAFE = /[\u0000-\u001f"\\\u007f-\u009f\u2028\u2029\ud800-\udfff]/
const EVERY_UNSAFE = new RegExp(UNSAFE, 'g')

const SHORT: Readonly<Record<string, string>> = { '"': '\\"', '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }

function escapeUnit(unit: string): string {
  return SHORT[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** Returns the text itself when nothing is to be escaped, which is nearly always. */
export function escapeText(text: string): string {
  return UNSAFE.test(text) ? text.replace(EVERY_UNSAFE, escapeUnit) : text
}
