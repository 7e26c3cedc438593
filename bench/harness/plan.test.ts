import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Competitor, ProxySetup, Scenario } from '../types.ts'
import { planScenario } from './plan.ts'

const setup = { downstream: 'http1', upstream: 'http1', routes: 10 } as const
const scenario: Scenario = {
  kind: 'load',
  name: 'x',
  title: 'X',
  setup,
  upstream: 'small',
  generator: { title: () => '', run: () => Promise.reject(new Error('not here')) },
  unit: 'requests',
  compare: { with: ['one', 'two', 'gone'] },
  goals: [{ against: 'one', mustReach: 0.5, aim: null }],
}

function competitor(name: string, version: string | null = '1'): Competitor {
  const launch = () => ({ files: {}, command: ['false'] as const })
  const lacks = ({ downstream }: ProxySetup) => (downstream === 'tcp' && name === 'two' ? 'no tcp' : null)
  return { name, title: name, version: () => version, install: `install ${name}`, lacks, launch }
}

const named = (name: string) => competitor(name, name === 'gone' ? null : '1')

function outcomes(steps: ReturnType<typeof planScenario>): string[] {
  return steps.map((step) =>
    'pair' in step ? `${step.pair.against} ${step.pair.goal?.mustReach ?? '-'}` : `${step.row.against} ${step.row.outcome}`,
  )
}

test('a program that is not installed gets a row that says so', () => {
  const steps = planScenario(scenario, { subject: competitor('sluice'), named, against: null, base: null })
  assert.deepEqual(outcomes(steps), ['one 0.5', 'two -', 'gone missing'])
  assert.equal('row' in steps[2]! && steps[2].row.reason, 'install gone')
})

test('a program that lacks something for the setup gets a row that says what', () => {
  const tcp = { ...scenario, setup: { downstream: 'tcp', upstream: 'tcp', routes: 1 } } as const
  const steps = planScenario(tcp, { subject: competitor('sluice'), named, against: null, base: null })
  assert.deepEqual(outcomes(steps), ['one 0.5', 'two missing', 'gone missing'])
  assert.equal('row' in steps[1]! && steps[1].row.reason, 'no tcp')
})

test('a program left out by hand keeps its row, one asked for by hand gets one', () => {
  const steps = planScenario(scenario, { subject: competitor('sluice'), named, against: ['two', 'three'], base: null })
  assert.deepEqual(outcomes(steps), ['one left out', 'two -', 'gone left out', 'three -'])
})

test('the goals of Sluice are not held against another program in its place', () => {
  const steps = planScenario(scenario, { subject: competitor('one'), named, against: ['one'], base: null })
  assert.equal(outcomes(steps)[0], 'one -')
})

test('a comparison with itself runs the same program in the other setup', () => {
  const itself = { ...scenario, compare: { itself: { ...setup, routes: 1 }, labels: ['many', 'few'] as const } }
  const [step] = planScenario(itself, { subject: competitor('sluice'), named, against: null, base: null })
  assert.ok(step !== undefined && 'pair' in step)
  assert.deepEqual([step.pair.ours.setup.routes, step.pair.theirs.setup.routes], [10, 1])
  assert.equal(step.pair.theirs.title, 'sluice, few')
})

test('another checkout is the only opponent, in the same setup', () => {
  const steps = planScenario(scenario, { subject: competitor('sluice'), named, against: null, base: competitor('base') })
  assert.deepEqual(outcomes(steps), ['base -'])
})
