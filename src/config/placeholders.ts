/**
 * `${...}` in the values of the `headers` filter: what they may name, and how a value is taken apart. The names are those of the
 * access log. `$${` is a plain `${`.
 */
import type { Parsed } from './scalar.ts'
import { didYouMean } from './suggest.ts'

/** What a value may name, apart from `params.NAME`: a parameter of the route's path template. */
export const PLACEHOLDERS = ['clientIp', 'host', 'method', 'path', 'requestId', 'route', 'scheme', 'service'] as const

export type Placeholder = (typeof PLACEHOLDERS)[number]

export type ValuePart =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'placeholder'; readonly name: Placeholder }
  | { readonly kind: 'param'; readonly name: string }

const EXPRESSION = /\$\$\{|\$\{([^}]*)(\}?)/g
const PARAM = /^params\.([A-Za-z_][A-Za-z0-9_-]*)$/

/** Whether the inside of `${...}` is one of these names, and so no variable of the environment. */
export function isPlaceholder(inner: string): boolean {
  return (PLACEHOLDERS as readonly string[]).includes(inner) || PARAM.test(inner)
}

/** The parts of a value in order; neighbouring texts are joined. */
export function parsePlaceholders(value: string): Parsed<ValuePart[]> {
  const parts: ValuePart[] = []
  let text = ''
  let from = 0
  for (const match of value.matchAll(EXPRESSION)) {
    text += value.slice(from, match.index)
    from = match.index + match[0].length
    const [, inner, close] = match
    if (inner === undefined) {
      text += '${'
      continue
    }
    if (close === '') return { problem: 'a "}" is missing; write $${ for a plain ${' }
    const part = partOf(inner)
    if (part === null) return { problem: `there is no placeholder \${${inner}}; ${hint(inner)}` }
    if (text !== '') parts.push({ kind: 'text', text })
    text = ''
    parts.push(part)
  }
  text += value.slice(from)
  if (text !== '' || parts.length === 0) parts.push({ kind: 'text', text })
  return { value: parts }
}

function partOf(inner: string): ValuePart | null {
  const param = PARAM.exec(inner)?.[1]
  if (param !== undefined) return { kind: 'param', name: param }
  return isPlaceholder(inner) ? { kind: 'placeholder', name: inner as Placeholder } : null
}

function hint(inner: string): string {
  const near = didYouMean(inner, PLACEHOLDERS)
  return near === '' ? `known are ${PLACEHOLDERS.join(', ')} and params.NAME` : near.slice(2)
}
