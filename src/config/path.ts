/** Request paths as a user writes them: exact paths, templates and prefixes. */
import type { Parsed } from './scalar.ts'
import type { PathMatchConfig } from './types.ts'

export const PATH_EXPECTED = 'expected a path that starts with / such as /users, /users/{id} or /static/**'
export const PREFIX_EXPECTED = 'expected a path prefix that starts with / such as /users'

const PARAMETER = /^\{([A-Za-z_][A-Za-z0-9_-]*)\}$/
/** What `**` is called among the parameters. */
const REST_NAME = 'rest'

/** What no request path holds after normalisation, so a route with it could never match. */
function plainPathProblem(text: string): string | null {
  if (text.includes('?')) return 'expected a path without a query; put conditions on the query under match.query'
  if (text.includes('#')) return 'expected a path without #; a fragment is never sent to a server'
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  if (/[\x00-\x1f\x7f]/.test(text)) return 'expected a path without control characters'
  if (/(^|\/)\.\.?(\/|$)/.test(text)) return 'expected a path without . or .. segments; requests are matched after these are resolved'
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) return 'expected two hexadecimal digits after every %'
  return null
}

/** `path`: a template when it holds `{` or `*`, exact otherwise. */
export function parsePath(text: string): Parsed<PathMatchConfig> {
  if (!text.startsWith('/')) return { problem: PATH_EXPECTED }
  const problem = plainPathProblem(text)
  if (problem !== null) return { problem }
  if (!/[{}*]/.test(text)) return { value: { kind: 'exact', path: text } }
  const wrong = templateProblem(text)
  return wrong === null ? { value: { kind: 'template', template: text } } : { problem: wrong }
}

/** `{name}` and `*` stand for one whole segment, `**` for the rest and only at the end; names are unique. */
function templateProblem(template: string): string | null {
  const segments = template.slice(1).split('/')
  const names = new Set<string>()
  for (let i = 0; i < segments.length; i++) {
    const segment = segments[i]!
    if (!/[{}*]/.test(segment) || segment === '*') continue
    if (segment === '**') {
      if (i !== segments.length - 1) return 'expected ** only as the last segment'
      if (names.has(REST_NAME)) return `expected another name than {${REST_NAME}}, which is what ** is called`
      continue
    }
    const name = PARAMETER.exec(segment)?.[1]
    if (name === undefined) return `expected {name}, * or ** to be a whole segment, but one is ${JSON.stringify(segment)}`
    if (names.has(name)) return `expected each parameter name once, but {${name}} is given twice`
    names.add(name)
  }
  return null
}

/** `prefix`: plain text. A slash at its end is dropped: `/users/` and `/users` cover the same whole segments. */
export function parsePrefix(text: string): Parsed<string> {
  if (!text.startsWith('/')) return { problem: PREFIX_EXPECTED }
  const problem = plainPathProblem(text)
  if (problem !== null) return { problem }
  if (/[{}*]/.test(text)) return { problem: 'expected a plain prefix; templates with {name} or * go under path' }
  return { value: text.length > 1 ? text.replace(/\/+$/, '') || '/' : text }
}
