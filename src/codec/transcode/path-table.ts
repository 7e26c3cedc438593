import type { PathTemplate } from './path-template.ts'

interface Place<T> {
  readonly literals: Map<string, Place<T>>
  one: Place<T> | null
  rest: Place<T> | null
  /** By verb, then by HTTP method; `*` stands for every method. */
  ends: Map<string, Map<string, T>> | null
}

export interface PathMatch<T> {
  value: T
  /** Of the path, the verb taken off, still encoded. */
  segments: string[]
}

/** Finds what a method and a path belong to. Texts go before `*`, and `*` before `**`, segment by segment. */
export class PathTable<T> {
  readonly #root: Place<T> = createPlace()

  /** False when there is one for this already. */
  add(method: string, template: PathTemplate, value: T): boolean {
    let place = this.#root
    for (const segment of template.segments) {
      if (segment.kind === 'one') place = place.one ??= createPlace()
      else if (segment.kind === 'rest') place = place.rest ??= createPlace()
      else {
        const next: Place<T> = place.literals.get(segment.text) ?? createPlace()
        place.literals.set(segment.text, next)
        place = next
      }
    }
    place.ends ??= new Map()
    const methods = place.ends.get(template.verb) ?? new Map<string, T>()
    place.ends.set(template.verb, methods)
    if (methods.has(method)) return false
    methods.set(method, value)
    return true
  }

  /** null: nothing is there; a list: something is, but for these methods. */
  find(method: string, path: string): PathMatch<T> | readonly string[] | null {
    const segments = path.slice(1).split('/')
    const allowed = new Set<string>()
    const last = segments[segments.length - 1] as string
    const colon = last.lastIndexOf(':')
    if (colon !== -1) {
      const shorter = segments.with(-1, last.slice(0, colon))
      const value = find(this.#root, shorter, 0, last.slice(colon + 1), method, allowed)
      if (value !== undefined) return { value, segments: shorter }
    }
    const value = find(this.#root, segments, 0, '', method, allowed)
    if (value !== undefined) return { value, segments }
    return allowed.size === 0 ? null : [...allowed]
  }
}

function createPlace<T>(): Place<T> {
  return { literals: new Map(), one: null, rest: null, ends: null }
}

function find<T>(place: Place<T>, segments: string[], at: number, verb: string, method: string, allowed: Set<string>): T | undefined {
  if (at < segments.length) {
    const segment = segments[at] as string
    const literal = place.literals.get(segment)
    let value = literal === undefined ? undefined : find(literal, segments, at + 1, verb, method, allowed)
    if (value === undefined && place.one !== null && segment !== '') value = find(place.one, segments, at + 1, verb, method, allowed)
    if (value !== undefined) return value
  } else {
    const value = endOf(place, verb, method, allowed)
    if (value !== undefined) return value
  }
  return place.rest === null ? undefined : endOf(place.rest, verb, method, allowed)
}

function endOf<T>(place: Place<T>, verb: string, method: string, allowed: Set<string>): T | undefined {
  const methods = place.ends?.get(verb)
  if (methods === undefined) return undefined
  const value = methods.get(method) ?? methods.get('*')
  if (value === undefined) for (const other of methods.keys()) allowed.add(other)
  return value
}
