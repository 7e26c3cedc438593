/** Path templates of google.api.http ("Path template syntax" in google/api/http.proto): `/v1/{name=shelves/*}/books:publish`. */

/** A part of a template: a text, `*` (one segment) or `**` (any number, only at the end). */
export type TemplateSegment = { kind: 'literal'; text: string } | { kind: 'one' } | { kind: 'rest' }

export interface TemplateVariable {
  /** `book.name` */
  field: string
  /** Segments [from, to) of the path; `to` -1: all that are left. */
  from: number
  to: number
  /** More than one segment may stand for it: an encoded slash in it stays encoded. */
  isMulti: boolean
  /** What it was written with, such as `shelves/*`. */
  pattern: string
}

export interface PathTemplate {
  text: string
  segments: TemplateSegment[]
  variables: TemplateVariable[]
  /** Behind the last colon; '' when there is none. */
  verb: string
}

export class TemplateError extends Error {}

const LITERAL = /^[A-Za-z0-9._~!$&'()*+,;=@%-]+$/
const FIELD = /^[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*$/

/** Throws TemplateError with what is wrong. */
export function parsePathTemplate(text: string): PathTemplate {
  if (!text.startsWith('/')) throw new TemplateError(`${JSON.stringify(text)} does not start with /`)
  const parser = new Parser(text)
  parser.segments(false)
  return parser.template()
}

class Parser {
  readonly #text: string
  readonly #segments: TemplateSegment[] = []
  readonly #variables: TemplateVariable[] = []
  #at = 1
  #verb = ''

  constructor(text: string) {
    this.#text = text
  }

  template(): PathTemplate {
    const rest = this.#segments.findIndex((segment) => segment.kind === 'rest')
    if (rest !== -1 && rest !== this.#segments.length - 1) this.#fail('** can only stand at the end')
    const fields = this.#variables.map(({ field }) => field)
    if (new Set(fields).size < fields.length) this.#fail('it names a field twice')
    return { text: this.#text, segments: this.#segments, variables: this.#variables, verb: this.#verb }
  }

  segments(isInside: boolean): void {
    for (;;) {
      this.#segment(isInside)
      const next = this.#text[this.#at]
      if (next === '/') this.#at++
      else if (isInside) return
      else if (next === undefined) return
      else if (next === ':') {
        this.#verb = this.#text.slice(this.#at + 1)
        if (!LITERAL.test(this.#verb)) this.#fail('the verb behind the colon is not a word')
        return
      } else this.#fail(`unexpected ${JSON.stringify(next)}`)
    }
  }

  #segment(isInside: boolean): void {
    if (this.#text[this.#at] === '{') {
      if (isInside) this.#fail('a variable cannot stand in another')
      return this.#variable()
    }
    const from = this.#at
    while (this.#at < this.#text.length && !'/:{}'.includes(this.#text[this.#at] as string)) this.#at++
    const part = this.#text.slice(from, this.#at)
    if (part === '*') this.#segments.push({ kind: 'one' })
    else if (part === '**') this.#segments.push({ kind: 'rest' })
    else if (!LITERAL.test(part) || part.includes('*'))
      this.#fail(part === '' ? 'a segment is empty' : `${JSON.stringify(part)} is no segment`)
    else this.#segments.push({ kind: 'literal', text: part })
  }

  #variable(): void {
    const end = this.#text.indexOf('}', this.#at)
    if (end === -1) this.#fail('a } is missing')
    const [field = '', pattern] = splitOnce(this.#text.slice(this.#at + 1, end), '=')
    if (!FIELD.test(field)) this.#fail(`${JSON.stringify(field)} is no field`)
    const from = this.#segments.length
    if (pattern === undefined) {
      this.#segments.push({ kind: 'one' })
      this.#at = end + 1
    } else {
      this.#at += field.length + 2
      this.segments(true)
      if (this.#at !== end) this.#fail(`unexpected ${JSON.stringify(this.#text[this.#at])} in a variable`)
      this.#at = end + 1
    }
    const inside = this.#segments.slice(from)
    const isRest = inside.at(-1)?.kind === 'rest'
    this.#variables.push({
      field,
      from,
      to: isRest ? -1 : this.#segments.length,
      isMulti: isRest || inside.length > 1,
      pattern: pattern ?? '*',
    })
  }

  #fail(reason: string): never {
    throw new TemplateError(`${JSON.stringify(this.#text)}: ${reason}`)
  }
}

function splitOnce(text: string, by: string): [string, string?] {
  const at = text.indexOf(by)
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)]
}

/** The value of a variable; null when it is not well encoded. */
export function readVariable(variable: TemplateVariable, segments: readonly string[]): string | null {
  const { from, to, isMulti } = variable
  try {
    if (!isMulti) return decodeURIComponent(segments[from] as string)
    const text = segments.slice(from, to === -1 ? segments.length : to).join('/')
    return text
      .split(/(%2f)/i)
      .map((part) => (part.length === 3 && part.toLowerCase() === '%2f' ? part : decodeURIComponent(part)))
      .join('')
  } catch {
    return null
  }
}
