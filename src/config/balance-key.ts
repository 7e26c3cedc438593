/** Where balancing finds its key in a request: `header:x-user`, `cookie:sid`, `query:key`, `client-ip`, `path`, `template:...`. */
import { isToken, type Parsed, parseHeaderName } from './scalar.ts'
import { didYouMean } from './suggest.ts'
import type { KeyConfig, KeyPartConfig, KeySourceConfig } from './types.ts'

export const KEY_EXPECTED = 'expected header:NAME, cookie:NAME, query:NAME, client-ip, path, or template:TEXT'

const KINDS = ['header', 'cookie', 'query', 'client-ip', 'path', 'template']

/** A place in a request, or a template of several. */
export function parseKey(text: string): Parsed<KeyConfig> {
  if (text.startsWith('template:')) return parseTemplate(text.slice('template:'.length))
  const colon = text.indexOf(':')
  const source = colon === -1 ? parseSource(text, '') : parseSource(text.slice(0, colon), text.slice(colon + 1))
  return source ?? { problem: KEY_EXPECTED + didYouMean(colon === -1 ? text : text.slice(0, colon), KINDS) }
}

/** Null when it is no kind of place, or has a name where none belongs. */
function parseSource(kind: string, name: string): Parsed<KeySourceConfig> | null {
  if (kind === 'client-ip' || kind === 'path') return name === '' ? { value: { from: kind } } : null
  if (kind === 'header') {
    const parsed = parseHeaderName(name)
    return 'problem' in parsed ? parsed : { value: { from: 'header', name: parsed.value } }
  }
  if (kind === 'cookie')
    return isToken(name) ? { value: { from: 'cookie', name } } : { problem: 'expected the name of a cookie after cookie:' }
  if (kind === 'query')
    return name !== '' ? { value: { from: 'query', name } } : { problem: 'expected the name of a parameter after query:' }
  return null
}

const EXPRESSION = /\$\$\{|\$\{([^}]*)(\}?)/g
const TEMPLATE_EXPECTED = 'expected a template such as template:${header.x-tenant}-${path}'
const PLACES = ['header.NAME', 'cookie.NAME', 'query.NAME', 'clientIp', 'path']

/** Whether the inside of `${...}` is a place in the request, and so no variable of the environment. */
export function isKeyPlace(inner: string): boolean {
  return placeOf(inner) !== null
}

function parseTemplate(template: string): Parsed<KeyConfig> {
  const parts: KeyPartConfig[] = []
  let text = ''
  let from = 0
  for (const match of template.matchAll(EXPRESSION)) {
    text += template.slice(from, match.index)
    from = match.index + match[0].length
    const [, inner, close] = match
    if (inner === undefined) {
      text += '${'
      continue
    }
    if (close === '') return { problem: `${TEMPLATE_EXPECTED}; a "}" is missing` }
    const place = placeOf(inner)
    if (place === null) return { problem: `there is no \${${inner}} in a request; known are ${PLACES.join(', ')}` }
    if (text !== '') parts.push({ from: 'text', text })
    text = ''
    parts.push(place)
  }
  text += template.slice(from)
  if (text !== '') parts.push({ from: 'text', text })
  if (parts.some((part) => part.from !== 'text')) return { value: { from: 'template', parts } }
  return { problem: `${TEMPLATE_EXPECTED}: with nothing of the request in it, all requests would have the same key` }
}

function placeOf(inner: string): KeySourceConfig | null {
  if (inner === 'clientIp') return { from: 'client-ip' }
  if (inner === 'path') return { from: 'path' }
  const dot = inner.indexOf('.')
  if (dot === -1) return null
  const source = parseSource(inner.slice(0, dot), inner.slice(dot + 1))
  return source !== null && 'value' in source ? source.value : null
}
