import type { LoadSample, MeasuredRow, MemorySample, Row, Sample, Scenario, ScenarioResult, Side } from '../types.ts'
import { median, spread } from './statistics.ts'

/** A scenario's rows as a Markdown table that also reads well in a terminal, and below it what is wrong with a row that does not count. */
export function renderTable({ scenario, rows }: ScenarioResult): string {
  const head = scenario.kind === 'load' ? loadHead(scenario.unit) : MEMORY_HEAD
  const body = rows.map((row) => cells(scenario, row, head.length))
  const widths = head.map((title, column) => Math.max(title.length, ...body.map((line) => line[column]!.length)))
  const lines = [head, widths.map((width) => '-'.repeat(width)), ...body].map(
    (line) => `| ${line.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`,
  )
  const remarks = [...absoluteGoal(scenario, rows), ...rows.flatMap(remarksOn)]
  if (remarks.length > 0) lines.push('', ...remarks.map((remark) => `- ${remark}`))
  return lines.join('\n')
}

/** What a reader must know about a row besides its figures. */
function remarksOn(row: Row): string[] {
  if (row.outcome !== 'measured') return [`${row.title}: ${row.outcome}, ${row.reason}`]
  const samples = [...row.ours.samples, ...row.theirs.samples]
  const foreign = Math.max(...samples.map((sample) => (sample.kind === 'load' ? sample.foreignCpus : 0)))
  const disturbed = `${row.theirs.title}: disturbed, other programs of this machine used up to ${foreign.toFixed(2)} CPUs during a round`
  return foreign > DISTURBED_CPUS ? [...row.invalid, disturbed] : [...row.invalid]
}

/** Whether Sluice stays below the bytes per connection it is allowed, over all rows. */
function absoluteGoal(scenario: Scenario, rows: readonly Row[]): string[] {
  const ours = rows.flatMap((row) => (row.outcome === 'measured' && row.ours.name === 'sluice' ? row.ours.samples : []))
  if (scenario.kind !== 'memory' || scenario.most === undefined || ours.length === 0) return []
  const { mustReach, aim } = scenario.most
  const bytes = median(ours.map((sample) => (sample.kind === 'memory' ? sample.bytesPerConnection : Number.NaN)))
  const result = bytes <= mustReach ? 'reached' : 'SHORT'
  return [
    `Sluice: ${format(bytes, 0)} bytes per connection, goal at most ${format(mustReach, 0)} (aim ${format(aim ?? mustReach, 0)}): ${result}`,
  ]
}

/** Foreign work from which a row is called disturbed. Housekeeping of a quiet machine stays well below. */
const DISTURBED_CPUS = 0.15

const SHARED_HEAD = ['against', 'ratio, median', 'min to max', 'goal', 'verdict']
const loadHead = (unit: string) => [...SHARED_HEAD, `${unit} per CPU-second`, `${unit} per second`, 'CPU in use', 'p50 ms', 'p99 ms']
const MEMORY_HEAD = [...SHARED_HEAD, 'bytes per connection', 'RSS without, MiB', 'RSS with, MiB']

function cells(scenario: Scenario, row: Row, columns: number): string[] {
  if (row.outcome !== 'measured') return padded([row.title, '', '', '', row.outcome], columns)
  const { theirs, ratio, goal } = row
  const range = `${ratio.min.toFixed(2)} to ${ratio.max.toFixed(2)}`
  const goalText = goal === null ? 'none' : `${scenario.kind === 'load' ? 'at least' : 'at most'} ${trim(goal.mustReach)}`
  const shared = [`${theirs.title} (${theirs.version})`, ratio.median.toFixed(2), range, goalText, verdict(scenario, row)]
  return [...shared, ...(scenario.kind === 'load' ? loadCells(row) : memoryCells(row))]
}

/** Whether a row meets its goal: `reached`, `short by <difference>`, `invalid`, or `no goal`. */
export function verdict(scenario: Scenario, { invalid, ratio, goal }: MeasuredRow): string {
  if (invalid.length > 0) return 'INVALID'
  if (goal === null) return 'no goal'
  const margin = scenario.kind === 'load' ? ratio.median - goal.mustReach : goal.mustReach - ratio.median
  return margin >= 0 ? 'reached' : `SHORT by ${(-margin).toFixed(2)}`
}

function loadCells(row: MeasuredRow): string[] {
  const load = (pick: (sample: LoadSample) => number, digits: number) =>
    both(row, (sample) => (sample.kind === 'load' ? pick(sample) : Number.NaN), digits)
  return [
    load((sample) => sample.requestsPerCpuSecond, 0),
    load((sample) => sample.requestsPerSecond, 0),
    load((sample) => sample.cpuSeconds / sample.seconds, 2),
    load((sample) => sample.p50Ms, 2),
    load((sample) => sample.p99Ms, 2),
  ]
}

function memoryCells(row: MeasuredRow): string[] {
  const memory = (pick: (sample: MemorySample) => number, digits: number) =>
    both(row, (sample) => (sample.kind === 'memory' ? pick(sample) : Number.NaN), digits)
  return [
    memory((sample) => sample.bytesPerConnection, 0),
    memory((sample) => sample.rssBeforeBytes / 2 ** 20, 1),
    memory((sample) => sample.rssAfterBytes / 2 ** 20, 1),
  ]
}

/** Medians of both sides: `ours / theirs`. */
function both({ ours, theirs }: MeasuredRow, pick: (sample: Sample) => number, digits: number): string {
  const of = (side: Side) => format(median(side.samples.map(pick)), digits)
  return `${of(ours)} / ${of(theirs)}`
}

function format(value: number, digits: number): string {
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

function trim(value: number): string {
  return String(Math.round(value * 100) / 100)
}

function padded(line: string[], columns: number): string[] {
  return [...line, ...Array<string>(columns - line.length).fill('')]
}

/** One line about one round, for the progress output. */
export function renderRound(ours: Sample, theirs: Sample): string {
  if (ours.kind === 'memory' && theirs.kind === 'memory') {
    return `${format(ours.bytesPerConnection, 0)} / ${format(theirs.bytesPerConnection, 0)} bytes per connection`
  }
  if (ours.kind !== 'load' || theirs.kind !== 'load') return ''
  const [a, b] = [ours.requestsPerCpuSecond, theirs.requestsPerCpuSecond]
  return `${format(a, 0)} / ${format(b, 0)} per CPU-second, ratio ${(a / b).toFixed(3)}`
}

/** Ratios of a row in words, every round of it. */
export function ratiosInWords(row: MeasuredRow): string {
  const { min, median, max } = spread(row.ratios)
  const rounds = row.ratios.map((ratio) => ratio.toFixed(3)).join(', ')
  return `${row.theirs.title}: median ${median.toFixed(3)}, from ${min.toFixed(3)} to ${max.toFixed(3)} (rounds: ${rounds})`
}
