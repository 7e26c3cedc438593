import type { ScenarioResult } from '../types.ts'
import { type Machine, machineInWords } from './machine.ts'
import type { Effort } from './pair.ts'
import { ratiosInWords, renderTable } from './table.ts'
import { UPSTREAM_TITLE } from './upstream.ts'

/** The text a scenario's region in docs/benchmarks.md gets. */
export function renderSection(result: ScenarioResult, machine: Machine, effort: Effort): string {
  const { scenario, rows } = result
  const measured = rows.filter((row) => row.outcome === 'measured')
  const ours = measured[0]?.ours
  const { rounds, seconds } = effort
  const pace = scenario.kind === 'load' ? `${rounds} rounds of ${seconds} s each` : `${rounds} rounds`
  const load = scenario.kind === 'load' ? `Load by ${scenario.generator.title()}, upstream` : 'Upstream'
  const around = `${load} ${UPSTREAM_TITLE[scenario.upstream]()}.`
  const parts = [
    `Taken ${machineInWords(machine)} ${around} ${ours === undefined ? 'Sluice was not measured' : `Sluice ${ours.version}`}, ${pace}.`,
    renderTable(result),
  ]
  if (measured.length > 0) parts.push(`Every round:\n\n${measured.map((row) => `- ${ratiosInWords(row)}`).join('\n')}`)
  return parts.join('\n\n')
}

/** Replaces the region of a scenario. Throws when the document has no such region. */
export function replaceRegion(document: string, name: string, text: string): string {
  const begin = `<!-- bench:${name} begin -->`
  const end = `<!-- bench:${name} end -->`
  const from = document.indexOf(begin)
  const to = document.indexOf(end)
  if (from === -1 || to < from) throw new Error(`docs/benchmarks.md has no region "${begin}" ... "${end}"`)
  return `${document.slice(0, from + begin.length)}\n${text}\n${document.slice(to)}`
}
