// Figures and pictures of docs/resilience.md: `node test/simulation/report.ts` runs every scenario (about a minute) and writes its tables
// between the marks `<!-- simulation: NAME -->` and `<!-- end -->`, and its charts to docs/resilience/. Names as arguments run only those.
// The text around is written by hand.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isStarted, ROOT } from '../../scripts/files.ts'
import { formatTable, type ScenarioResult } from './scenario.ts'
import { SCENARIOS } from './scenarios/index.ts'

export const DOCUMENT = join(ROOT, 'docs/resilience.md')
export const CHARTS = join(ROOT, 'docs/resilience')

const END = '<!-- end -->'

function startOf(name: string): string {
  return `<!-- simulation: ${name} -->`
}

/** What stands between the marks of a scenario. */
export function formatResult({ tables, charts }: ScenarioResult): string {
  const pictures = Object.entries(charts).map(([file, svg]) => `![${/<title>(.*)<\/title>/.exec(svg)?.[1]}](resilience/${file})`)
  return [...pictures, ...tables.map(formatTable)].join('\n\n')
}

/** The part of the document between the marks of a scenario; null when it has none. */
export function findSection(document: string, name: string): { from: number; to: number; text: string } | null {
  const start = document.indexOf(startOf(name))
  if (start === -1) return null
  const from = start + startOf(name).length
  const to = document.indexOf(END, from)
  return to === -1 ? null : { from, to, text: document.slice(from, to).trim() }
}

function replaceSection(document: string, name: string, text: string): string {
  const section = findSection(document, name)
  if (section === null) throw new Error(`docs/resilience.md has no marks for ${name}`)
  return `${document.slice(0, section.from)}\n\n${text}\n\n${document.slice(section.to)}`
}

function main(names: readonly string[]): void {
  mkdirSync(CHARTS, { recursive: true })
  let document = readFileSync(DOCUMENT, 'utf8')
  for (const scenario of SCENARIOS) {
    if (names.length > 0 && !names.includes(scenario.name)) continue
    const startedMs = performance.now()
    const result = scenario.run()
    document = replaceSection(document, scenario.name, formatResult(result))
    for (const [file, svg] of Object.entries(result.charts)) writeFileSync(join(CHARTS, file), svg)
    console.log(`${scenario.name}: ${((performance.now() - startedMs) / 1000).toFixed(1)} s`)
  }
  writeFileSync(DOCUMENT, document)
}

if (isStarted(import.meta.filename)) main(process.argv.slice(2))
