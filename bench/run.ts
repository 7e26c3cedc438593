// `npm run bench`: Sluice and other proxies, measured in turns on this machine. docs/benchmarks.md tells how to read the result.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { competitorNamed } from './competitors/index.ts'
import { sluice } from './competitors/sluice.ts'
import { renderSection, replaceRegion } from './harness/document.ts'
import { type Machine, machineInWords, readMachine } from './harness/machine.ts'
import { measurePair } from './harness/pair.ts'
import { pinNothing } from './harness/pinning.ts'
import { type Field, planScenario } from './harness/plan.ts'
import { killAll, stopAll } from './harness/processes.ts'
import { ratiosInWords, renderRound, renderTable } from './harness/table.ts'
import { type Options, parseOptions, USAGE, UsageError } from './options.ts'
import { SCENARIOS, scenarioNamed } from './scenarios/index.ts'
import type { Row, Scenario, ScenarioResult } from './types.ts'

const BENCH = import.meta.dirname
const DOCUMENT = join(BENCH, '..', 'docs', 'benchmarks.md')

/** Characters of the reason why a row failed; a log can be long. */
const MOST_REASON = 500

/** Runs the benchmark and gives the exit code: 0 fine, 1 something failed or is invalid, 2 wrong usage. */
async function main(args: readonly string[]): Promise<number> {
  let options: Options | null
  let scenarios: readonly Scenario[]
  let field: Field
  try {
    options = parseOptions(args)
    if (options === null) {
      console.log(`${USAGE}\n\nScenarios:\n${SCENARIOS.map(({ name, title }) => `  ${name.padEnd(18)}${title}`).join('\n')}`)
      return 0
    }
    scenarios = options.only?.map(scenarioNamed) ?? SCENARIOS
    field = readField(options)
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof RangeError)) throw error
    console.error(`bench: ${error.message}`)
    return 2
  }
  if (!options.pin) pinNothing()
  const obstacle = findObstacle(field)
  if (obstacle !== null) {
    console.error(`bench: ${obstacle}`)
    return 1
  }
  installPackages()
  return measureAll(options, scenarios, field)
}

async function measureAll(options: Options, scenarios: readonly Scenario[], field: Field): Promise<number> {
  const machine = readMachine()
  console.log(machineInWords(machine))
  warnWhenBusy(machine)
  const results: ScenarioResult[] = []
  for (const scenario of scenarios) {
    console.log(`\n${scenario.title}`)
    const result = { scenario, rows: await measureScenario(scenario, field, options) }
    results.push(result)
    console.log(`\n${renderTable(result)}`)
    // After each scenario, so that a run that is stopped later has not been for nothing.
    if (options.write) writeSection(result, machine, options)
  }
  if (options.json !== null) writeFileSync(options.json, `${JSON.stringify({ machine, options, results }, null, 2)}\n`)
  return verdictOf(results, options)
}

async function measureScenario(scenario: Scenario, field: Field, options: Options): Promise<Row[]> {
  const rows: Row[] = []
  for (const step of planScenario(scenario, field)) {
    if ('row' in step) {
      rows.push(step.row)
      console.log(`  ${step.row.title}: ${step.row.outcome}, ${step.row.reason}`)
      continue
    }
    const { ours, theirs, against } = step.pair
    const progress = `  ${scenario.name}: ${ours.title} against ${theirs.title}`
    try {
      const row = await measurePair(scenario, step.pair, options, (round, one, two) => {
        console.log(`${progress}, round ${round} of ${options.rounds}: ${renderRound(one, two)}`)
      })
      rows.push(row)
      console.log(`  ${ratiosInWords(row)}`)
    } catch (error) {
      const reason = (error as Error).message.replaceAll(/\s*\n\s*/g, ' ').slice(0, MOST_REASON)
      rows.push({ outcome: 'failed', against, title: theirs.title, reason })
      console.log(`${progress}: failed, ${reason}`)
    }
  }
  return rows
}

function readField({ subject, against, base }: Options): Field {
  for (const name of against ?? []) competitorNamed(name)
  return { subject: competitorNamed(subject), named: competitorNamed, against, base: base === null ? null : sluice(resolve(base)) }
}

/** Why nothing can be measured, or null. */
function findObstacle({ subject }: Field): string | null {
  if (process.platform !== 'linux') return 'CPU time and memory are read from /proc: this needs Linux'
  return subject.version() === null ? `${subject.title} is missing: ${subject.install}` : null
}

/** The npm packages to compare with. When they cannot be installed, they are named as missing like any other program. */
function installPackages(): void {
  if (existsSync(join(BENCH, 'node_modules'))) return
  console.log('Installing the npm packages to compare with (npm ci in bench/) ...')
  const { status } = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: BENCH,
    stdio: 'inherit',
    timeout: 300_000,
  })
  if (status !== 0) console.error('bench: npm ci in bench/ failed; going on without these packages')
}

function warnWhenBusy({ loadAverage, cpus }: Machine): void {
  if (loadAverage > cpus / 4)
    console.log(`Note: the load average is ${loadAverage}: something else runs here, and every figure will show it.`)
}

/** A section with a failed row stays as it was: the last good figures are worth more than the log of a program that did not start. */
function writeSection(result: ScenarioResult, machine: Machine, options: Options): void {
  const measured = result.rows.some((row) => row.outcome === 'measured')
  if (!measured || result.rows.some((row) => row.outcome === 'failed')) {
    console.error(`bench: ${result.scenario.name}: not written, ${measured ? 'a row failed' : 'nothing was measured'}`)
    return
  }
  const text = renderSection(result, machine, options)
  writeFileSync(DOCUMENT, replaceRegion(readFileSync(DOCUMENT, 'utf8'), result.scenario.name, text))
}

function verdictOf(results: readonly ScenarioResult[], { failBelow }: Options): number {
  let code = 0
  for (const { scenario, rows } of results) {
    for (const row of rows) {
      if (row.outcome === 'failed') code = 1
      if (row.outcome !== 'measured') continue
      if (row.invalid.length > 0) code = 1
      if (failBelow === null || scenario.kind !== 'load' || row.ratio.median >= failBelow) continue
      console.error(`bench: ${scenario.name} against ${row.theirs.title}: ${row.ratio.median.toFixed(3)} is below ${failBelow}`)
      code = 1
    }
  }
  return code
}

process.on('exit', killAll)
for (const [name, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.once(name, () => {
    console.error(`
bench: ${name}, stopped`)
    // The exit listener ends what runs: at once, because nothing of it is worth waiting for.
    process.exit(code)
  })
}
try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  console.error(`bench: ${(error as Error).message}`)
  process.exitCode = 1
} finally {
  await stopAll()
}
