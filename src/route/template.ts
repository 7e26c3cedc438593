import { decodePercent, normalizeConfiguredPath } from './path.ts'

/** One segment of a path template. A literal is in normal form; `name` is null for `*`. */
export type TemplateSegment = { kind: 'literal'; text: string } | { kind: 'wildcard'; name: string | null }

/** The name under which the part of the path that `**` stands for is found in the parameters. */
export const REST_NAME = 'rest'

const PARAMETER = /^\{([A-Za-z_][A-Za-z0-9_-]*)\}$/

/** Inherits nothing, and yet all objects of one template share a hidden class: `params.constructor` is a parameter or undefined. */
class Params {
  [name: string]: string

  static {
    Object.setPrototypeOf(Params.prototype, null)
    Reflect.deleteProperty(Params.prototype, 'constructor')
  }
}

/** What a template captures. Templates that capture the same in the same segments may share one. */
export class Captures {
  /** Per segment: the parameter's name, or null where nothing is captured. */
  readonly names: readonly (string | null)[]
  /** Whether what follows these segments is captured as REST_NAME. */
  readonly hasRest: boolean

  constructor(names: readonly (string | null)[], hasRest: boolean) {
    this.names = names
    this.hasRest = hasRest
  }

  /** The parameters, percent-decoded, of a path that matches the template. */
  params(path: string): Record<string, string> {
    const params = new Params()
    const names = this.names
    let at = 0
    for (let i = 0; i < names.length; i++) {
      let end = path.indexOf('/', at + 1)
      if (end < 0) end = path.length
      const name = names[i]!
      if (name !== null) params[name] = decodePercent(path.slice(at + 1, end))
      at = end
    }
    if (this.hasRest) params[REST_NAME] = decodePercent(path.slice(at + 1))
    return params
  }
}

/**
 * A parsed path template: `{name}` and `*` stand for one segment that is not empty, `**` at the end for the rest of the path, which may
 * be nothing at all (`/files/**` matches `/files`, `/files/` and `/files/a/b`). A trailing slash is an empty last segment.
 */
export class Template {
  readonly text: string
  readonly segments: readonly TemplateSegment[]
  /** Whether the template ends in `**`. */
  readonly hasRest: boolean
  /** Null when nothing is captured. */
  readonly captures: Captures | null

  /** Throws an Error that quotes the template when it is not valid. */
  constructor(text: string) {
    if (!text.startsWith('/')) throw invalid(text, 'it must start with /')
    const parts = text.slice(1).split('/')
    this.text = text
    this.hasRest = parts.at(-1) === '**'
    if (this.hasRest) parts.pop()
    this.segments = parts.map((part) => parseSegment(part, text))
    const names = this.segments.map((segment) => (segment.kind === 'wildcard' ? segment.name : null))
    assertDistinct(this.hasRest ? [...names, REST_NAME] : names, text)
    this.captures = this.hasRest || names.some((name) => name !== null) ? new Captures(names, this.hasRest) : null
  }

  /** Whether the template has no wildcard: it is then an exact path. */
  get isLiteral(): boolean {
    return !this.hasRest && this.segments.every((segment) => segment.kind === 'literal')
  }
}

function assertDistinct(names: readonly (string | null)[], template: string): void {
  const twice = names.find((name, index) => name !== null && names.indexOf(name) !== index)
  if (twice !== undefined) throw invalid(template, `the parameter "${twice}" appears twice (** is named "${REST_NAME}")`)
}

function parseSegment(part: string, template: string): TemplateSegment {
  if (part === '*') return { kind: 'wildcard', name: null }
  const name = PARAMETER.exec(part)?.[1]
  if (name !== undefined) return { kind: 'wildcard', name: toPropertyKey(name) }
  if (part === '**') throw invalid(template, '** must be the last segment')
  if (/[{}*]/.test(part)) throw invalid(template, `"${part}" is neither text, nor {name}, nor * (a wildcard is a whole segment)`)
  return { kind: 'literal', text: normalizeConfiguredPath(part) }
}

/**
 * The same text as the engine's own property key. A string cut out of a configuration would be looked up in the table of keys at every
 * assignment to the parameters.
 */
function toPropertyKey(name: string): string {
  return Object.keys({ [name]: null })[0]!
}

function invalid(template: string, why: string): Error {
  return new Error(`path template "${template}": ${why}`)
}
