import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { SCENARIOS } from '../scenarios/index.ts'
import type { LoadSample } from '../types.ts'
import { replaceRegion } from './document.ts'
import { makeRow, type Pair } from './pair.ts'
import { renderTable, verdict } from './table.ts'

test('only the region of the scenario is replaced, also the second time', () => {
  const before = 'a\n<!-- bench:x begin -->\nold\n<!-- bench:x end -->\nb\n<!-- bench:y begin -->\nkeep\n<!-- bench:y end -->\n'
  const after = replaceRegion(replaceRegion(before, 'x', 'new'), 'x', 'newer')
  assert.equal(after, before.replace('old', 'newer'))
  assert.throws(() => replaceRegion(before, 'z', 'new'), /no region/)
})

test('the document has a region for every scenario', () => {
  const document = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'benchmarks.md'), 'utf8')
  for (const { name } of SCENARIOS) assert.doesNotThrow(() => replaceRegion(document, name, ''))
})

const scenario = SCENARIOS[0]!
const competitor = {
  name: 'c',
  title: 'C',
  version: () => '1.2',
  install: '',
  lacks: () => null,
  launch: () => ({ files: {}, command: ['false'] as const }),
}
const contender = { competitor, setup: scenario.setup, title: 'C' }
const pair: Pair = { against: 'c', ours: contender, theirs: contender, goal: { against: 'c', mustReach: 0.75, aim: 1 } }

function sample(requestsPerCpuSecond: number, errors: string[] = [], foreignCpus = 0): LoadSample {
  return {
    kind: 'load',
    requests: 1000,
    seconds: 1,
    p50Ms: 1,
    p99Ms: 2,
    errors,
    cpuSeconds: 1,
    foreignCpus,
    requestsPerSecond: 1000,
    requestsPerCpuSecond,
  }
}

test('the verdict comes from the median of the paired ratios', () => {
  const slow = makeRow(pair, [sample(60), sample(70), sample(900)], [sample(100), sample(100), sample(1000)])
  assert.equal(slow.ratio.median, 0.7)
  assert.equal(verdict(scenario, slow), 'SHORT by 0.05')
  assert.equal(verdict(scenario, makeRow(pair, [sample(75)], [sample(100)])), 'reached')
})

test('one error in one round makes the row invalid and is told below the table', () => {
  const row = makeRow(pair, [sample(100), sample(100, ['3 responses were not 2xx'])], [sample(100), sample(100)])
  const text = renderTable({ scenario, rows: [row] })
  assert.match(text, /INVALID/)
  assert.match(text, /- C, round 2: 3 responses were not 2xx/)
})

test('a run without CPU time has no figure and is invalid, never infinitely fast', () => {
  const row = makeRow(pair, [sample(Number.NaN)], [sample(100)])
  assert.equal(verdict(scenario, row), 'INVALID')
  assert.equal(verdict(scenario, makeRow(pair, [sample(Number.POSITIVE_INFINITY)], [sample(1)])), 'INVALID')
})

test('work of other programs during a round is told below the table', () => {
  const text = renderTable({ scenario, rows: [makeRow(pair, [sample(100, [], 0.8)], [sample(100)])] })
  assert.match(text, /- C: disturbed, other programs of this machine used up to 0.80 CPUs/)
})

test('a row that was not measured is in the table with its reason', () => {
  const text = renderTable({ scenario, rows: [{ outcome: 'missing', against: 'c', title: 'C', reason: 'install it' }] })
  assert.match(text, /\| C +\|.*missing/)
  assert.match(text, /- C: missing, install it/)
})

test('bytes per connection are held against the goal of Sluice itself, over all rows', () => {
  const memory = SCENARIOS.find(({ name }) => name === 'websocket-memory')!
  const reading = (bytesPerConnection: number) =>
    ({ kind: 'memory', rssBeforeBytes: 0, rssAfterBytes: 1, bytesPerConnection, errors: [] }) as const
  const ours = { ...contender, competitor: { ...competitor, name: 'sluice' } }
  const textOf = (bytes: number) => renderTable({ scenario: memory, rows: [makeRow({ ...pair, ours }, [reading(bytes)], [reading(1)])] })
  assert.match(textOf(15_000), /- Sluice: 15,000 bytes per connection, goal at most 20,000 \(aim 12,000\): reached/)
  assert.match(textOf(21_000), /: SHORT/)
  const other = renderTable({ scenario: memory, rows: [makeRow(pair, [reading(1)], [reading(1)])] })
  assert.doesNotMatch(other, /goal at most/)
})
