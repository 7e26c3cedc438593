import { describeHost, hostMatches, hostText } from './host.ts'
import { describePattern, patternMatches } from './pattern.ts'
import type { RouteEntry, Rule } from './rule.ts'
import { compileRules } from './rule.ts'
import { describeLoss } from './specificity.ts'
import type { MatchInput } from './types.ts'

/** One route, looked at for one request. */
export interface Considered {
  name: string
  /** Whether all the route asks holds. Several routes may; the first of them wins. */
  matched: boolean
  /** Why it won, or why it lost, in plain words. */
  reason: string
}

/** Why a request goes where it goes. */
export interface Explanation {
  winner: string | null
  params: Record<string, string> | null
  /** Every route, most specific first. */
  considered: Considered[]
}

/** One route's rules, the one that counts for this request in front, and what is wrong with it. */
interface Candidate<T> {
  rule: Rule<T> | null
  name: string
  failure: string | null
}

/**
 * Looks at every route in the order of specificity, without the table, and says why each won or lost. Agrees with the table by test.
 * Throws as `createRouteTable` does.
 */
export function explainMatch<T>(entries: readonly RouteEntry<T>[], input: MatchInput): Explanation {
  const byName = Map.groupBy(compileRules(entries), (rule) => rule.name)
  const candidates = entries.map((entry) => examine(entry.config.name, byName.get(entry.config.name) ?? [], input)).sort(compareCandidates)
  const winner = candidates.find((candidate) => candidate.failure === null)?.rule ?? null
  return {
    winner: winner?.name ?? null,
    params: winner?.captures?.params(input.path) ?? null,
    considered: candidates.map(({ rule, name, failure }) => {
      if (rule === null || failure !== null) return { name, matched: false, reason: failure ?? 'it names no host' }
      return { name, matched: true, reason: winner === null || rule === winner ? describeWin(rule) : describeLoss(rule, winner) }
    }),
  }
}

function examine<T>(name: string, rules: readonly Rule<T>[], input: MatchInput): Candidate<T> {
  const first = rules[0]
  if (first === undefined) return { rule: null, name, failure: 'it names no host' }
  // Rules of one route differ in their host alone, and come most specific first.
  const rule = rules.find((candidate) => hostMatches(candidate.host, input.host))
  return rule === undefined
    ? { rule: first, name, failure: describeHostFailure(rules, input.host) }
    : { rule, name, failure: findFailure(rule, input) }
}

function findFailure<T>(rule: Rule<T>, input: MatchInput): string | null {
  if (!patternMatches(rule.path, input.path)) return `path ${input.path} does not match ${describePattern(rule.path)}`
  const failed = rule.conditions?.find((condition) => !condition.passes(input))
  return failed === undefined ? null : failed.describeFailure(input)
}

function describeHostFailure<T>(rules: readonly Rule<T>[], host: string): string {
  const wanted = rules.map((rule) => hostText(rule.host)).join(' or ')
  return host === '' ? `the request names no host; wanted ${wanted}` : `host ${host} does not match ${wanted}`
}

function describeWin<T>(rule: Rule<T>): string {
  const parts = [describeHost(rule.host), describePattern(rule.path)]
  if (rule.conditionCount > 0) parts.push(rule.conditionCount === 1 ? '1 other condition' : `${rule.conditionCount} other conditions`)
  return `the most specific match: ${parts.join(', ')}`
}

function compareCandidates<T>(a: Candidate<T>, b: Candidate<T>): number {
  if (a.rule === null || b.rule === null) return Number(a.rule === null) - Number(b.rule === null)
  return a.rule.rank - b.rule.rank
}
