import { allPass } from './condition.ts'
import { mixHash } from './hash.ts'
import { WildcardIndex } from './host.ts'
import type { RouteEntry, Rule } from './rule.ts'
import { compileRules } from './rule.ts'
import type { HostRules, LiteralIndex, Place } from './tree.ts'
import { TreeBuilder } from './tree.ts'
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
  readonly #index: LiteralIndex<T>

  // The state of the running search; kept here so that a match allocates nothing.
  #best: Rule<T> | null = null
  #bestRank = NO_RANK
  /** Segments of the path read so far, at most as many as the deepest tree has levels: where each ends, and its hash. */
  #segmentCount = 0
  readonly #ends: Int32Array
  readonly #hashes: Int32Array

  constructor(rules: readonly Rule<T>[]) {
    const builder = new TreeBuilder<T>()
    const exact = new Map<string, HostRules<T>>()
    for (const [host, group] of groupByHost(rules, 'exact')) exact.set(host, builder.build(group))
    const wildcards = new Map<string, HostRules<T>>()
    for (const [suffix, group] of groupByHost(rules, 'wildcard')) wildcards.set(suffix, builder.build(group))
    const any = rules.filter((rule) => rule.host.kind === 'any')
    this.#hosts = exact.size === 0 ? null : exact
    this.#wildcards = wildcards.size === 0 ? null : new WildcardIndex(wildcards)
    this.#wildcardMinRank = rules.find((rule) => rule.host.kind === 'wildcard')?.rank ?? NO_RANK
    this.#anyHost = any.length === 0 ? null : builder.build(any)
    this.#index = builder.createIndex()
    this.#ends = new Int32Array(builder.depth)
    this.#hashes = new Int32Array(builder.depth)
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
      if (head !== undefined) this.#consider(head, path, input)
    }
    if (host.root !== null) this.#walk(host.root, 0, path, input)
  }

  /** `depth` is the number of segments that led to `place`. Goes down first: what is deeper is mostly more specific. */
  #walk(place: Place<T>, depth: number, path: string, input: MatchInput): void {
    if (place.minRank >= this.#bestRank) return
    const at = depth === 0 ? 0 : this.#ends[depth - 1]!
    if (at === path.length) {
      if (place.ends !== null) this.#consider(place.ends, path, input)
    } else if (place.hasLiterals || place.wildcard !== null) {
      if (depth === this.#segmentCount) this.#readSegment(path, at + 1)
      const end = this.#ends[depth]!
      if (place.hasLiterals) {
        const next = this.#index.find(place.id, this.#hashes[depth]!, path, at + 1, end)
        if (next !== null) this.#walk(next, depth + 1, path, input)
      }
      if (place.wildcard !== null && end > at + 1) this.#walk(place.wildcard, depth + 1, path, input)
    }
    if (place.open !== null) this.#consider(place.open, path, input)
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

  /** Takes the first rule of a list that holds, if it is better than the best so far. */
  #consider(head: Rule<T>, path: string, input: MatchInput): void {
    for (let rule: Rule<T> | null = head; rule !== null && rule.rank < this.#bestRank; rule = rule.next) {
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
