import { allPass } from './condition.ts'
import { mixHash } from './hash.ts'
import { WildcardIndex } from './host.ts'
import type { RouteEntry, Rule } from './rule.ts'
import { compileRules } from './rule.ts'
import type { Forest, HostRules } from './tree.ts'
import { ENDS, ForestBuilder, findLiteral, LITERALS, MIN_RANK, NONE, OPEN, readPlace, WILDCARD } from './tree.ts'
import type { Match, MatchInput } from './types.ts'

/** All routes of a snapshot, compiled. Not re-entrant: one table belongs to one thread. */
export interface RouteTable<T> {
  /** The most specific route whose conditions all hold, or null. Allocates only for the parameters of a template. */
  match(input: MatchInput): Match<T> | null
}

const SLASH = 47
const NO_RANK = 2 ** 31 - 1

/**
 * Compiles routes. The cost of a match does not grow with their number: the host and an exact path are one Map lookup each, and the
 * tree is walked by the segments of the path. Throws an Error that names the route that is not valid.
 */
export function createRouteTable<T>(entries: readonly RouteEntry<T>[]): RouteTable<T> {
  return new CompiledTable(compileRules(entries))
}

/**
 * Every rule has a rank, its place in the one total order of specificity (which `priority` leads). A match is a search for the lowest
 * rank whose conditions hold, over the exact host, its wildcards and any host. Whatever cannot beat the best so far is left out by one
 * comparison: a host, a subtree, the rest of a list. So backtracking and priority need no code of their own, each place is visited at
 * most once, and a hostile path costs its length plus at most the places of the tree.
 */
class CompiledTable<T> implements RouteTable<T> {
  readonly #hosts: Map<string, HostRules<T>> | null
  readonly #wildcards: WildcardIndex<HostRules<T>> | null
  readonly #wildcardMinRank: number
  readonly #anyHost: HostRules<T> | null
  readonly #forest: Forest
  /** By rank. */
  readonly #rules: readonly Rule<T>[]

  // The state of the running search; kept here so that a match allocates nothing.
  #best: Rule<T> | null = null
  #bestRank = NO_RANK
  /** Segments of the path read so far, at most as many as the deepest tree has levels: where each ends, and its hash. */
  #segmentCount = 0
  readonly #ends: Int32Array
  readonly #hashes: Int32Array

  constructor(rules: readonly Rule<T>[]) {
    const builder = new ForestBuilder(rules)
    const exact = new Map<string, HostRules<T>>()
    for (const [host, group] of groupByHost(rules, 'exact')) exact.set(host, builder.add(group))
    const wildcards = new Map<string, HostRules<T>>()
    for (const [suffix, group] of groupByHost(rules, 'wildcard')) wildcards.set(suffix, builder.add(group))
    const any = rules.filter((rule) => rule.host.kind === 'any')
    this.#hosts = exact.size === 0 ? null : exact
    this.#wildcards = wildcards.size === 0 ? null : new WildcardIndex(wildcards)
    this.#wildcardMinRank = rules.find((rule) => rule.host.kind === 'wildcard')?.rank ?? NO_RANK
    this.#anyHost = any.length === 0 ? null : builder.add(any)
    this.#forest = builder.build()
    this.#rules = rules
    this.#ends = new Int32Array(this.#forest.depth)
    this.#hashes = new Int32Array(this.#forest.depth)
  }

  match(input: MatchInput): Match<T> | null {
    const path = input.path
    this.#best = null
    this.#bestRank = NO_RANK
    this.#segmentCount = 0
    if (this.#hosts !== null) {
      const named = this.#hosts.get(input.host)
      if (named !== undefined) this.#searchHost(named, path, input)
    }
    if (this.#wildcards !== null && this.#wildcardMinRank < this.#bestRank) this.#searchWildcards(this.#wildcards, path, input)
    if (this.#anyHost !== null) this.#searchHost(this.#anyHost, path, input)
    const best = this.#best as Rule<T> | null
    if (best === null) return null
    return best.captures === null ? best.match : { route: best.match.route, params: best.captures.params(path) }
  }

  #searchWildcards(wildcards: WildcardIndex<HostRules<T>>, path: string, input: MatchInput): void {
    for (let wildcard = wildcards.find(input.host); wildcard !== null; wildcard = wildcard.shorter) {
      this.#searchHost(wildcard.value, path, input)
    }
  }

  #searchHost(host: HostRules<T>, path: string, input: MatchInput): void {
    if (host.minRank >= this.#bestRank) return
    if (host.exact !== null) {
      const head = host.exact.get(path)
      if (head !== undefined) this.#consider(head.rank, path, input)
    }
    if (host.root !== NONE) this.#walk(host.root, 0, path, input)
  }

  /** `depth` is the number of segments that led to `place`. Goes down first: what is deeper is mostly more specific. */
  #walk(place: number, depth: number, path: string, input: MatchInput): void {
    const forest = this.#forest
    if (readPlace(forest, place, MIN_RANK) >= this.#bestRank) return
    const at = depth === 0 ? 0 : this.#ends[depth - 1]!
    if (at === path.length) {
      this.#consider(readPlace(forest, place, ENDS), path, input)
    } else {
      const wildcard = readPlace(forest, place, WILDCARD)
      if (wildcard !== NONE || readPlace(forest, place, LITERALS) !== NONE) {
        if (depth === this.#segmentCount) this.#readSegment(path, at + 1)
        const end = this.#ends[depth]!
        const literal = findLiteral(forest, place, this.#hashes[depth]!, path, at + 1, end)
        if (literal !== NONE) this.#walk(literal, depth + 1, path, input)
        if (wildcard !== NONE && end > at + 1) this.#walk(wildcard, depth + 1, path, input)
      }
    }
    this.#consider(readPlace(forest, place, OPEN), path, input)
  }

  #readSegment(path: string, start: number): void {
    let hash = 0
    let end = start
    for (; end < path.length; end++) {
      const code = path.charCodeAt(end)
      if (code === SLASH) break
      hash = mixHash(hash, code)
    }
    this.#ends[this.#segmentCount] = end
    this.#hashes[this.#segmentCount++] = hash
  }

  /** Takes the first rule that holds of the list that begins with the rule of rank `head`, if it is better than the best so far. */
  #consider(head: number, path: string, input: MatchInput): void {
    if (head === NONE || head >= this.#bestRank) return
    for (let rule: Rule<T> | null = this.#rules[head]!; rule !== null && rule.rank < this.#bestRank; rule = rule.next) {
      if (rule.regex !== null && !rule.regex.test(path)) continue
      if (rule.conditions !== null && !allPass(rule.conditions, input)) continue
      this.#best = rule
      this.#bestRank = rule.rank
    }
  }
}

function groupByHost<T>(rules: readonly Rule<T>[], kind: 'exact' | 'wildcard'): Map<string, Rule<T>[]> {
  return Map.groupBy(
    rules.filter((rule) => rule.host.kind === kind),
    (rule) => rule.host.name,
  )
}
