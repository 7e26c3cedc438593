import { keyOf, mixHash, slotCount, slotOf } from './hash.ts'
import { literalSegments } from './regex.ts'
import type { Rule } from './rule.ts'
import type { TemplateSegment } from './template.ts'

/**
 * The trees of whole path segments, one per host, in one piece of memory. A path leads to a place by its first segments:
 *
 *   (root) -- users --+-- {id} --+        ends: /users/{id}      open: /users/{id}/**
 *                     |          +- posts
 *                     +-- me     open: prefix /users/me
 *
 * A place is a number; its record is eight words of `places`. Objects would be easier to read, but with thousands of routes in use at
 * once a match waits for memory at each of them; records and texts of one route lie side by side (bench/micro/route/match.ts).
 */
export interface Forest {
  readonly places: Int32Array
  /** The literals of all places, one after the other, as character codes. */
  readonly text: Uint16Array
  /** Open-addressed, at most half full: the places that a literal leads to, or NONE. */
  readonly slots: Int32Array
  /** Longest way from a root to a place, in segments. */
  readonly depth: number
}

/** The rules of one host: exact paths by their text, everything else in the tree at `root` (NONE when there is nothing else). */
export interface HostRules<T> {
  readonly minRank: number
  readonly exact: Map<string, Rule<T>> | null
  readonly root: number
}

/** No place, no rule. */
export const NONE = -1
/** In LITERALS: more than one literal leads on, so ask the slots. */
const MANY = -2

/** Words of a record. */
const RECORD = 8
/** Hash of the literal that leads here, with the place it leads from. */
const KEY = 0
const TEXT_START = 1
const TEXT_LENGTH = 2
/** The best rank at this place or below: a search leaves out what cannot beat what it has. */
export const MIN_RANK = 3
/** First rule of a list, by rank. ENDS: templates that end here, as the path must. OPEN: whatever follows is fine. */
export const ENDS = 4
export const OPEN = 5
/** The place that any segment which is not empty leads to. */
export const WILDCARD = 6
/** The one place that a literal leads to, NONE, or MANY. */
export const LITERALS = 7

/** Reads one word of a place's record. */
export function readPlace(forest: Forest, place: number, word: number): number {
  return forest.places[place * RECORD + word]!
}

/**
 * The place to which the segment of `path` from `start` to `end`, whose hash is known, leads from `parent`; NONE when nowhere. Nothing is
 * cut out of the path, and 10,000 literals that lead on from one place cost what one does.
 */
export function findLiteral(forest: Forest, parent: number, hash: number, path: string, start: number, end: number): number {
  const only = readPlace(forest, parent, LITERALS)
  if (only === NONE) return NONE
  const key = keyOf(hash, parent)
  if (only !== MANY) return isLiteral(forest, only, key, path, start, end) ? only : NONE
  const mask = forest.slots.length - 1
  for (let slot = slotOf(key, mask); ; slot = (slot + 1) & mask) {
    const place = forest.slots[slot]!
    if (place === NONE || isLiteral(forest, place, key, path, start, end)) return place
  }
}

function isLiteral(forest: Forest, place: number, key: number, path: string, start: number, end: number): boolean {
  const { places, text } = forest
  const record = place * RECORD
  if (places[record + KEY] !== key || places[record + TEXT_LENGTH] !== end - start) return false
  let at = places[record + TEXT_START]!
  for (let i = start; i < end; i++) if (path.charCodeAt(i) !== text[at++]) return false
  return true
}

/**
 * Grows the trees of all hosts of one table. Takes rules in the order of rank and adds the worst first, each in front of those that are
 * there: that keeps every list sorted, and the last rule that passes through a place is its best.
 */
export class ForestBuilder<T> {
  readonly #places: number[] = []
  readonly #text: number[] = []
  /** The places that literals lead to, by where they lead from and the literal. */
  readonly #literals = new Map<string, number>()
  readonly #rules: readonly Rule<T>[]
  #depth = 0

  /** `rules` are those of all hosts: a rule's index is its rank. */
  constructor(rules: readonly Rule<T>[]) {
    this.#rules = rules
  }

  /** Adds the rules of one host, in the order of rank. */
  add(rules: readonly Rule<T>[]): HostRules<T> {
    const exact = new Map<string, Rule<T>>()
    let root = NONE
    for (const rule of rules.toReversed()) {
      if (rule.path.kind === 'exact') {
        rule.next = exact.get(rule.path.path) ?? null
        exact.set(rule.path.path, rule)
      } else {
        if (root === NONE) root = this.#createPlace('', 0)
        this.#grow(root, rule)
      }
    }
    return { minRank: rules[0]?.rank ?? Infinity, exact: exact.size === 0 ? null : exact, root }
  }

  build(): Forest {
    const slots = new Int32Array(slotCount(this.#literals.size)).fill(NONE)
    const mask = slots.length - 1
    for (const place of this.#literals.values()) {
      let slot = slotOf(this.#places[place * RECORD + KEY]!, mask)
      while (slots[slot] !== NONE) slot = (slot + 1) & mask
      slots[slot] = place
    }
    return { places: Int32Array.from(this.#places), text: Uint16Array.from(this.#text), slots, depth: this.#depth }
  }

  #grow(root: number, rule: Rule<T>): void {
    const segments = leadingSegments(rule)
    this.#depth = Math.max(this.#depth, segments.length)
    let place = root
    this.#places[place * RECORD + MIN_RANK] = rule.rank
    for (const segment of segments) {
      place = segment.kind === 'wildcard' ? this.#stepByWildcard(place) : this.#stepByLiteral(place, segment.text)
      this.#places[place * RECORD + MIN_RANK] = rule.rank
    }
    const list = place * RECORD + (rule.path.kind === 'template' && !rule.path.template.hasRest ? ENDS : OPEN)
    rule.next = this.#rules[this.#places[list]!] ?? null
    this.#places[list] = rule.rank
  }

  #stepByWildcard(place: number): number {
    const word = place * RECORD + WILDCARD
    if (this.#places[word] === NONE) this.#places[word] = this.#createPlace('', 0)
    return this.#places[word]!
  }

  #stepByLiteral(place: number, text: string): number {
    const name = `${place}/${text}`
    let next = this.#literals.get(name)
    if (next === undefined) {
      next = this.#createPlace(text, keyOf(hashOf(text), place))
      this.#literals.set(name, next)
      const word = place * RECORD + LITERALS
      this.#places[word] = this.#places[word] === NONE ? next : MANY
    }
    return next
  }

  #createPlace(text: string, key: number): number {
    const place = this.#places.length / RECORD
    this.#places.push(key, this.#text.length, text.length, 0, NONE, NONE, NONE, NONE)
    for (let i = 0; i < text.length; i++) this.#text.push(text.charCodeAt(i))
    return place
  }
}

function hashOf(text: string): number {
  let hash = 0
  for (let i = 0; i < text.length; i++) hash = mixHash(hash, text.charCodeAt(i))
  return hash
}

/** The segments with which every path that fits the rule begins. Rules that ask for less of the path, or for more, are in OPEN. */
function leadingSegments<T>({ path }: Rule<T>): readonly TemplateSegment[] {
  if (path.kind === 'template') return path.template.segments
  if (path.kind === 'prefix') return path.prefix === '' ? [] : path.prefix.slice(1).split('/').map(toLiteral)
  return path.kind === 'regex' ? literalSegments(path.pattern).map(toLiteral) : []
}

function toLiteral(text: string): TemplateSegment {
  return { kind: 'literal', text }
}
