/**
 * `${VAR}`, `${VAR:-default}` and `${file:path}` in scalars. `$${` is a literal `${`; every other `$` stays as it is. A value that
 * was put in is not looked at again, so an environment cannot inject expressions.
 *
 * What comes out is text. Only where text is not accepted it is taken for the number, true, false or null it spells (load.ts):
 * `maxConnections: ${MAX}` works, and a token that happens to be all digits stays a token. Quotes make no difference, because
 * YAML demands them around `${...}` between braces and JSON everywhere.
 */
import { isKeyPlace } from './balance-key.ts'
import { isPlaceholder } from './placeholders.ts'
import type { ConfigPath } from './problem.ts'

export interface SubstitutionProblem {
  expression: string
  message: string
}

export interface Substituted {
  text: string
  /** True when something of the environment or of a file went in. */
  substituted: boolean
  fromFile: boolean
  problems: SubstitutionProblem[]
}

/** What expressions are answered from. Files have been read before: a failure is kept as its message. */
export interface SubstitutionInput {
  env: Readonly<Record<string, string | undefined>>
  files: ReadonlyMap<string, { text: string } | { failure: string }>
  /** The text of the configuration, to find the place of an expression. */
  source: string
}

export interface Substitution {
  readonly source: string
  apply(text: string, path: ConfigPath): Substituted
}

const EXPRESSION = /\$\$\{|\$\{([^}]*)(\}?)/g
const VARIABLE = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s
const SYNTAX = 'expected ${VAR}, ${VAR:-default} or ${file:/path}; write $${ for a plain ${'

/** The access log has its own `${...}`; there nothing is substituted. */
export function isExempt(path: ConfigPath): boolean {
  return path.length === 2 && path[0] === 'accessLog' && path[1] === 'format'
}

/**
 * The values of a `headers` filter have placeholders of their own, such as `${clientIp}`, which are left for the filter together with
 * the escape.
 */
function isEditedHeader(path: ConfigPath): boolean {
  const at = path[0] === 'policies' ? 3 : path[0] === 'routes' && path[2] === 'filters' ? 4 : 0
  return at > 0 && path.length === at + 4 && path[at] === 'headers' && (path[at + 2] === 'set' || path[at + 2] === 'add')
}

/** Which expressions are left, together with the escape, for whoever reads the value in a request; null: none. */
function keptExpressions(path: ConfigPath): ((inner: string) => boolean) | null {
  if (isEditedHeader(path)) return isPlaceholder
  return isKey(path) ? isKeyPlace : null
}

/** Where a key is read from: of a balancer, a subset or a rate limit. */
function isKey(path: ConfigPath): boolean {
  const last = path[path.length - 1]
  if (path[0] === 'services') return path[2] === 'balance' && (last === 'on' || last === 'from')
  return last === 'by' && path[path.length - 2] === 'rate-limit'
}

/** The inner texts of all expressions: `VAR`, `VAR:-default`, `file:/path`. */
export function findExpressions(text: string): string[] {
  const found: string[] = []
  for (const [, inner] of text.matchAll(EXPRESSION)) if (inner !== undefined) found.push(inner)
  return found
}

/** The path of a `file:` expression, or null. */
export function filePathOf(inner: string): string | null {
  return inner.startsWith('file:') && inner.length > 5 ? inner.slice(5) : null
}

export function createSubstitution(input: SubstitutionInput): Substitution {
  return {
    source: input.source,
    apply: (text, path) =>
      isExempt(path) || !text.includes('${')
        ? { text, substituted: false, fromFile: false, problems: [] }
        : substitute(text, input, keptExpressions(path)),
  }
}

function substitute(text: string, input: SubstitutionInput, isKept: ((inner: string) => boolean) | null): Substituted {
  const result: Substituted = { text: '', substituted: false, fromFile: false, problems: [] }
  result.text = text.replace(EXPRESSION, (expression: string, inner: string | undefined, close: string | undefined) => {
    if (inner === undefined) return isKept === null ? '${' : expression
    if (isKept?.(inner) === true) return expression
    const answer = close === '}' ? evaluate(inner, input) : { problem: `${SYNTAX}; a "}" is missing` }
    if ('problem' in answer) {
      result.problems.push({ expression, message: answer.problem })
      return expression
    }
    result.substituted = true
    if (filePathOf(inner) !== null) result.fromFile = true
    // What comes from outside is text and never a placeholder.
    return isKept !== null ? answer.value.replaceAll('${', '$$${') : answer.value
  })
  return result
}

function evaluate(inner: string, input: SubstitutionInput): { value: string } | { problem: string } {
  const path = filePathOf(inner)
  if (path !== null) {
    const file = input.files.get(path)
    if (file === undefined) return { problem: `the file ${path} was not read` }
    if ('failure' in file) return { problem: `the file ${path} ${file.failure}` }
    return { value: file.text.replace(/\r?\n$/, '') }
  }
  const match = VARIABLE.exec(inner)
  if (match === null) return { problem: `found "\${${inner}}"; ${SYNTAX}` }
  const name = match[1]!
  const value = Object.hasOwn(input.env, name) ? input.env[name] : undefined
  // As in a shell, :- also stands in for a variable that is set but empty.
  if (match[2] !== undefined) return { value: value === undefined || value === '' ? match[2] : value }
  if (value !== undefined) return { value }
  return { problem: `the environment variable ${name} is not set; set it, or give a default: \${${name}:-value}` }
}

/** A text as an unquoted YAML scalar would be typed (core schema): number, true, false, null or the text itself. Empty stays text. */
export function plainScalar(text: string): unknown {
  if (text === 'true') return true
  if (text === 'false') return false
  if (text === 'null' || text === '~') return null
  if (/^[-+]?(?:0|[1-9]\d*)(?:\.\d+)?$/.test(text)) return Number(text)
  return text
}
