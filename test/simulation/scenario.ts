/** What a scenario found: rows for the document, and pictures. */
export interface ScenarioResult {
  readonly tables: readonly ResultTable[]
  /** File names in docs/resilience and their SVG text. */
  readonly charts: Readonly<Record<string, string>>
}

export interface ResultTable {
  /** A line before the table; needed when a scenario has several. */
  readonly title?: string
  readonly columns: readonly string[]
  readonly rows: readonly (readonly (string | number)[])[]
}

export interface Scenario {
  /** The name of its mark in docs/resilience.md. */
  readonly name: string
  /** Quick enough for every test run; the others are checked nightly. */
  readonly isFast: boolean
  run(): ScenarioResult
}

/** Markdown. */
export function formatTable({ title, columns, rows }: ResultTable): string {
  const lines = [columns, columns.map((_, i) => (i === 0 ? '---' : '---:')), ...rows.map((row) => row.map(String))]
  const table = lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
  return title === undefined ? table : `${title}:\n\n${table}`
}

export function ms(value: number): string {
  if (!Number.isFinite(value)) return '-'
  return value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toFixed(1)
}

export function percent(ratio: number): string {
  return `${(ratio * 100).toFixed(1)}%`
}

export function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}
