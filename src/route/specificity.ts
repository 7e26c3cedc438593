import type { HostPattern } from './host.ts'
import { describeHost } from './host.ts'
import type { PathPattern } from './pattern.ts'
import { describePattern } from './pattern.ts'

/** All that decides which of two rules that both match wins. */
export interface Ranked {
  readonly name: string
  readonly priority: number
  readonly host: HostPattern
  readonly path: PathPattern
  /** Conditions besides host and path. */
  readonly conditionCount: number
}

/** One step of the comparison. `compare` is negative when `a` wins; `describe` says why the loser lost, given that this step decided. */
interface Criterion {
  compare(a: Ranked, b: Ranked): number
  describe(loser: Ranked, winner: Ranked): string
}

const HOST_RANK = { exact: 0, wildcard: 1, any: 2 }
const PATH_RANK = { exact: 0, template: 1, regex: 2, prefix: 3, none: 4 }

/**
 * The order of routes, most specific first. Between two templates with equally many literal segments, one without `**` wins, then the
 * one with more segments (it asks for more), then the one whose literals stand further left.
 */
const CRITERIA: readonly Criterion[] = [
  {
    compare: (a, b) => b.priority - a.priority,
    describe: (loser, winner) => `loses to ${winner.name}: priority ${loser.priority} is lower than priority ${winner.priority}`,
  },
  {
    compare: (a, b) => HOST_RANK[a.host.kind] - HOST_RANK[b.host.kind] || b.host.name.length - a.host.name.length,
    describe: (loser, winner) => lessSpecific(winner, `${describeHost(loser.host)} is less specific than ${describeHost(winner.host)}`),
  },
  {
    compare: (a, b) => PATH_RANK[a.path.kind] - PATH_RANK[b.path.kind],
    describe: (loser, winner) => comparePaths(loser, winner, 'is less specific than'),
  },
  {
    compare: (a, b) => pathLength(b.path) - pathLength(a.path),
    describe: (loser, winner) => comparePaths(loser, winner, 'is shorter than'),
  },
  {
    compare: (a, b) => literalCount(b.path) - literalCount(a.path),
    describe: (loser, winner) => comparePaths(loser, winner, 'has fewer literal segments than'),
  },
  {
    compare: (a, b) => Number(hasRest(a.path)) - Number(hasRest(b.path)),
    describe: (loser, winner) => comparePaths(loser, winner, 'matches longer paths as well, unlike'),
  },
  {
    compare: (a, b) => shape(b.path).length - shape(a.path).length,
    describe: (loser, winner) => comparePaths(loser, winner, 'has fewer segments than'),
  },
  {
    compare: (a, b) => compareText(shape(a.path), shape(b.path)),
    describe: (loser, winner) => comparePaths(loser, winner, 'has a wildcard further left than'),
  },
  {
    compare: (a, b) => b.conditionCount - a.conditionCount,
    describe: (loser, winner) =>
      lessSpecific(winner, `it has ${count(loser.conditionCount)} besides host and path, ${winner.name} has ${winner.conditionCount}`),
  },
  {
    compare: (a, b) => compareText(a.name, b.name),
    describe: (_loser, winner) => `loses to ${winner.name}: both are equally specific, and ${winner.name} comes first by name`,
  },
]

/** Negative when `a` is tried before `b`. Zero only for rules of one route that no request can tell apart. */
export function compareSpecificity(a: Ranked, b: Ranked): number {
  for (const criterion of CRITERIA) {
    const order = criterion.compare(a, b)
    if (order !== 0) return order
  }
  return 0
}

/** Why `loser`, which matches too, is not taken, in plain words. */
export function describeLoss(loser: Ranked, winner: Ranked): string {
  const decisive = CRITERIA.find((criterion) => criterion.compare(loser, winner) !== 0)
  return decisive === undefined ? `loses to ${winner.name}: both are the same` : decisive.describe(loser, winner)
}

function pathLength(path: PathPattern): number {
  if (path.kind === 'exact') return path.path.length
  if (path.kind === 'prefix') return path.prefix.length
  return path.kind === 'regex' ? path.pattern.length : 0
}

function literalCount(path: PathPattern): number {
  return path.kind === 'template' ? path.template.segments.filter((segment) => segment.kind === 'literal').length : 0
}

function hasRest(path: PathPattern): boolean {
  return path.kind === 'template' && path.template.hasRest
}

/** One character per segment; literals sort first. */
function shape(path: PathPattern): string {
  if (path.kind !== 'template') return ''
  return path.template.segments.map((segment) => (segment.kind === 'literal' ? '0' : '1')).join('')
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function comparePaths(loser: Ranked, winner: Ranked, how: string): string {
  return lessSpecific(winner, `${describePattern(loser.path)} ${how} ${describePattern(winner.path)}`)
}

function lessSpecific(winner: Ranked, why: string): string {
  return `less specific than ${winner.name}: ${why}`
}

function count(conditions: number): string {
  return conditions === 1 ? '1 condition' : `${conditions} conditions`
}
