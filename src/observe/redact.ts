/** What stands in place of a secret. */
export const REDACTED = '[redacted]'

const SECRET_ENDINGS = [
  'token',
  'password',
  'passwd',
  'passphrase',
  'secret',
  'authorization',
  'cookie',
  'apikey',
  'accesskey',
  'privatekey',
  'credential',
  'credentials',
]
const PASSWORD_IN_URL = /(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/?#@]*@/gi
const MAX_DEPTH = 32

/** True for a name such as `token`, `adminToken`, `X-Api-Key`, `set-cookie`. */
export function isSecretName(name: string): boolean {
  const plain = name.toLowerCase().replaceAll(/[^a-z]/g, '')
  return SECRET_ENDINGS.some((ending) => plain.endsWith(ending) || plain.endsWith(`${ending}s`)) && plain !== 'cookies'
}

/** Takes user and password out of every URL in a text. */
export function redactText(text: string): string {
  return text.replace(PASSWORD_IN_URL, `$1${REDACTED}@`)
}

/**
 * A deep copy as plain JSON data, without secrets: values whose key sounds secret, the value of a `{ name, value }` pair whose
 * name does, and user and password in URLs. null and booleans stay, so one can see whether a secret is set. Errors become plain
 * objects with their cause; a circle or a depth beyond 32 becomes a short text.
 */
export function redactSecrets(value: unknown): unknown {
  return redact(value, [])
}

function redact(value: unknown, parents: readonly object[]): unknown {
  if (typeof value === 'string') return redactText(value)
  if (typeof value === 'bigint') return String(value)
  if (typeof value !== 'object' || value === null) return value
  if (parents.includes(value)) return '[circular]'
  if (parents.length >= MAX_DEPTH) return '[too deep]'
  const inside = [...parents, value]
  if (Array.isArray(value)) return value.map((item) => redact(item, inside))
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  if (value instanceof URL) return redact(value.href, inside)
  if (value instanceof Map) return redactEntries(Object.fromEntries(value), inside)
  if (value instanceof Set) return [...value].map((item) => redact(item, inside))
  if (value instanceof Error) return redactError(value, inside)
  return redactEntries(value as Record<string, unknown>, inside)
}

function redactEntries(value: Record<string, unknown>, inside: readonly object[]): Record<string, unknown> {
  const named = typeof value['name'] === 'string' && isSecretName(value['name'])
  const copy: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value)) {
    const hidden = isSecretName(key) || (named && (key === 'value' || key === 'pattern'))
    setOwn(copy, key, hidden ? hide(item) : redact(item, inside))
  }
  return copy
}

function hide(value: unknown): unknown {
  return value === null || value === undefined || typeof value === 'boolean' ? value : REDACTED
}

function redactError(error: Error, inside: readonly object[]): Record<string, unknown> {
  const plain: Record<string, unknown> = { type: error.name, message: redact(error.message, inside), stack: redact(error.stack, inside) }
  // Codes and addresses that Node puts on its errors.
  for (const [key, item] of Object.entries(error)) setOwn(plain, key, isSecretName(key) ? hide(item) : redact(item, inside))
  if (error.cause !== undefined) plain['cause'] = redact(error.cause, inside)
  return plain
}

/** An assignment to `__proto__` would change the copy instead of adding a key. */
function setOwn(object: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true })
}
