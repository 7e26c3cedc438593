import type { Competitor, MissingRow, Scenario } from '../types.ts'
import type { Pair } from './pair.ts'

/** What to do for one line of a scenario's table: measure a pair, or say why not. */
export type Step = { readonly pair: Pair } | { readonly row: MissingRow }

/** Who takes part. */
export interface Field {
  /** The program in our seat. */
  readonly subject: Competitor
  /** Known programs by name. */
  readonly named: (name: string) => Competitor
  /** `--against`; null: everybody the scenario names. */
  readonly against: readonly string[] | null
  /** `--base`: the one opponent of every scenario, in the same setup; null: none. */
  readonly base: Competitor | null
}

/** Lists a scenario's rows in order. A program that is not installed, or was left out, gets its row too. */
export function planScenario(scenario: Scenario, field: Field): Step[] {
  const { subject, against, base } = field
  const { setup, compare, goals } = scenario
  const ours = { competitor: subject, setup, title: subject.title }
  // The goals are Sluice's, not those of another program in its place.
  const goalAgainst = (name: string) => (subject.name === 'sluice' ? goals.find((goal) => goal.against === name) : undefined) ?? null
  if (base !== null) return [step({ against: base.name, ours, theirs: { competitor: base, setup, title: base.title }, goal: null })]
  if ('itself' in compare) {
    const [title, other] = compare.labels
    const theirs = { competitor: subject, setup: compare.itself, title: `${subject.title}, ${other}` }
    return [step({ against: 'itself', ours: { ...ours, title: `${subject.title}, ${title}` }, theirs, goal: goalAgainst('itself') })]
  }
  // A program asked for by name is measured even where the scenario does not name it.
  const names = new Set([...compare.with, ...(against ?? [])])
  return [...names].map((name) => {
    const competitor = field.named(name)
    if (against !== null && !against.includes(name)) {
      return { row: { outcome: 'left out', against: name, title: competitor.title, reason: 'not in --against' } }
    }
    return step({ against: name, ours, theirs: { competitor, setup, title: competitor.title }, goal: goalAgainst(name) })
  })
}

function step(pair: Pair): Step {
  const { competitor, title, setup } = pair.theirs
  const reason = competitor.version() === null ? competitor.install : competitor.lacks(setup)
  return reason === null ? { pair } : { row: { outcome: 'missing', against: pair.against, title, reason } }
}
