import { mixHash, slotCount, slotOf } from './hash.ts'
import { literalSegments } from './regex.ts'
import type { Rule } from './rule.ts'
import type { TemplateSegment } from './template.ts'

/**
 * One place in the tree of whole path segments. A path leads to a place by its first segments:
 *
 *   (root) -- users --+-- {id} --+        ends: /users/{id}      open: /users/{id}/**
 *                     |          +- posts
 *                     +-- me     open: prefix /users/me
 *
 * Every list of rules is in the order of rank, and `minRank` is the best rank at or below the place, so a search leaves out whatever cannot beat
 * what it already has.
 */
export class Place<T> {
  readonly id: number
  /** The literal segment that leads here and its hash; '' where a wildcard leads here, and at the root. */
  readonly literal: string
  readonly hash: number
  readonly parentId: number
  minRank = 0
  /** Templates that end here: the path must end here as well. */
  ends: Rule<T> | null = null
  /** Prefixes, templates with `**`, regexes, and rules that ask nothing of the path: whatever follows is fine. */
  open: Rule<T> | null = null
  wildcard: Place<T> | null = null
  hasLiterals = false

  constructor(id: number, literal: string, parentId: number) {
    this.id = id
    this.literal = literal
    this.parentId = parentId
    let hash = 0
    for (let i = 0; i < literal.length; i++) hash = mixHash(hash, literal.charCodeAt(i))
    this.hash = hash
  }
}

/** The rules of one host: exact paths by their text, everything else in a tree. */
export interface HostRules<T> {
  readonly minRank: number
  readonly exact: Map<string, Rule<T>> | null
  readonly root: Place<T> | null
}

/**
 * Grows the trees of all hosts of one table. Takes rules in the order of rank and adds the worst first, each in front of those that are
 * there: that keeps every list sorted, and the last rule that passes through a place is its best.
 */
export class TreeBuilder<T> {
  /** Longest way from a root to a place, in segments. */
  depth = 0
  #placeCount = 0
  readonly #literals = new Map<string, Place<T>>()

  /** The rules of one host, in the order of rank. */
  build(rules: readonly Rule<T>[]): HostRules<T> {
    const exact = new Map<string, Rule<T>>()
    let root: Place<T> | null = null
    for (const rule of rules.toReversed()) {
      if (rule.path.kind === 'exact') exact.set(rule.path.path, prepend(rule, exact.get(rule.path.path) ?? null))
      else {
        root ??= this.#createPlace('', -1)
        this.#add(root, rule)
      }
    }
    return { minRank: rules[0]?.rank ?? Infinity, exact: exact.size === 0 ? null : exact, root }
  }

  /** The literal steps of all trees built so far. */
  createIndex(): LiteralIndex<T> {
    return new LiteralIndex([...this.#literals.values()])
  }

  #add(root: Place<T>, rule: Rule<T>): void {
    const segments = leadingSegments(rule)
    let place = root
    place.minRank = rule.rank
    for (const segment of segments) {
      place = this.#step(place, segment)
      place.minRank = rule.rank
    }
    this.depth = Math.max(this.depth, segments.length)
    if (rule.path.kind === 'template' && !rule.path.template.hasRest) place.ends = prepend(rule, place.ends)
    else place.open = prepend(rule, place.open)
  }

  #step(place: Place<T>, segment: TemplateSegment): Place<T> {
    if (segment.kind === 'wildcard') {
      place.wildcard ??= this.#createPlace('', place.id)
      return place.wildcard
    }
    const key = `${place.id}/${segment.text}`
    let next = this.#literals.get(key)
    if (next === undefined) {
      next = this.#createPlace(segment.text, place.id)
      this.#literals.set(key, next)
      place.hasLiterals = true
    }
    return next
  }

  #createPlace(literal: string, parentId: number): Place<T> {
    return new Place<T>(this.#placeCount++, literal, parentId)
  }
}

/**
 * All literal steps of a table in one open-addressed table, at most half full. A step is found from a segment's hash and its position in
 * the path, so no piece is cut out of the path; 10,000 children of one place cost what one does.
 */
export class LiteralIndex<T> {
  readonly #slots: (Place<T> | null)[]
  readonly #mask: number

  constructor(places: readonly Place<T>[]) {
    const size = slotCount(places.length)
    this.#slots = new Array<Place<T> | null>(size).fill(null)
    this.#mask = size - 1
    for (const place of places) {
      let slot = slotOf(place.hash, place.parentId, this.#mask)
      while (this.#slots[slot] !== null) slot = (slot + 1) & this.#mask
      this.#slots[slot] = place
    }
  }

  /** The place to which the segment of `path` from `start` to `end`, whose hash is known, leads from `parentId`. */
  find(parentId: number, hash: number, path: string, start: number, end: number): Place<T> | null {
    for (let slot = slotOf(hash, parentId, this.#mask); ; slot = (slot + 1) & this.#mask) {
      const place = this.#slots[slot]!
      if (place === null) return null
      if (
        place.hash === hash &&
        place.parentId === parentId &&
        place.literal.length === end - start &&
        path.startsWith(place.literal, start)
      ) {
        return place
      }
    }
  }
}

/** Puts a rule in front of a list and returns the new head. */
function prepend<T>(rule: Rule<T>, head: Rule<T> | null): Rule<T> {
  rule.next = head
  return rule
}

/** The segments with which every path that fits the rule begins. */
function leadingSegments<T>({ path }: Rule<T>): readonly TemplateSegment[] {
  if (path.kind === 'template') return path.template.segments
  if (path.kind === 'prefix') return path.prefix === '' ? [] : path.prefix.slice(1).split('/').map(toLiteral)
  return path.kind === 'regex' ? literalSegments(path.pattern).map(toLiteral) : []
}

function toLiteral(text: string): TemplateSegment {
  return { kind: 'literal', text }
}
