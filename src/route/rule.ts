import type { MatchConfig, RouteConfig } from '../config/types.ts'
import type { Condition } from './condition.ts'
import { compileConditions } from './condition.ts'
import type { HostPattern } from './host.ts'
import { ANY_HOST, hostText, parseHostPattern } from './host.ts'
import type { PathPattern } from './pattern.ts'
import { compilePattern } from './pattern.ts'
import type { Ranked } from './specificity.ts'
import { compareSpecificity } from './specificity.ts'
import type { Captures } from './template.ts'
import type { Match } from './types.ts'

/** What of a route's configuration decides whether it matches, and the value handed out when it does. */
export interface RouteEntry<T> {
  config: Pick<RouteConfig, 'name' | 'match' | 'priority'>
  route: T
}

/**
 * One route under one of its hosts. Rules that wait at the same place are a list, linked by `next` in the order of rank. What the search
 * reads comes first, to share a cache line: with thousands of routes, that is what a match costs (bench/micro/route/match.ts).
 */
export class Rule<T> implements Ranked {
  /** Its place in the order of specificity, 0 for the most specific of the table. */
  rank = 0
  /** What of the path is left to test once the tree has led here. */
  readonly regex: RegExp | null
  readonly conditions: Condition[] | null
  next: Rule<T> | null = null
  /** Null when nothing is captured; `match` is then handed out as it is. */
  captures: Captures | null
  readonly match: Match<T>

  readonly name: string
  readonly priority: number
  readonly host: HostPattern
  readonly path: PathPattern
  readonly conditionCount: number

  constructor(entry: RouteEntry<T>, host: HostPattern, path: PathPattern, conditions: Condition[] | null) {
    this.regex = path.kind === 'regex' ? path.regex : null
    this.conditions = conditions
    this.captures = path.kind === 'template' ? path.template.captures : null
    this.match = { route: entry.route, params: null }
    this.name = entry.config.name
    this.priority = entry.config.priority
    this.host = host
    this.path = path
    this.conditionCount = conditions?.length ?? 0
  }
}

/** Compiles routes to rules, most specific first, and gives them their ranks. Throws an Error that names the route that is not valid. */
export function compileRules<T>(entries: readonly RouteEntry<T>[]): Rule<T>[] {
  const rules = entries.flatMap(compileEntry).sort(compareSpecificity)
  for (const [rank, rule] of rules.entries()) rule.rank = rank
  shareCaptures(rules)
  return rules
}

/** Thousands of templates mostly capture the same names in the same segments; one object for all of them stays in the cache. */
function shareCaptures<T>(rules: readonly Rule<T>[]): void {
  const shared = new Map<string, Captures>()
  for (const rule of rules) {
    if (rule.captures === null) continue
    const key = `${rule.captures.hasRest} ${rule.captures.names.join('/')}`
    rule.captures = shared.get(key) ?? rule.captures
    shared.set(key, rule.captures)
  }
}

function compileEntry<T>(entry: RouteEntry<T>): Rule<T>[] {
  const { name, match } = entry.config
  try {
    const path = compilePattern(match.path)
    const conditions = compileConditions(match)
    return compileHosts(match).map((host) => new Rule(entry, host, path, conditions))
  } catch (reason) {
    throw new Error(`route "${name}": ${reason instanceof Error ? reason.message : String(reason)}`)
  }
}

function compileHosts(match: MatchConfig): HostPattern[] {
  if (match.hosts === null) return [ANY_HOST]
  const byText = new Map(match.hosts.map(parseHostPattern).map((host) => [hostText(host), host]))
  return [...byText.values()]
}
