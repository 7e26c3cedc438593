import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { CHARTS, DOCUMENT, findSection, formatResult } from './report.ts'
import { SCENARIOS } from './scenarios/index.ts'

const isNightly = process.env.SLUICE_NIGHTLY === '1'
const document = readFileSync(DOCUMENT, 'utf8')

describe('docs/resilience.md', () => {
  for (const scenario of SCENARIOS) {
    const isRun = isNightly || scenario.isFast
    it(`${isRun ? 'says what the simulation gives' : 'has figures'} for ${scenario.name}`, { timeout: 300_000 }, () => {
      const text = findSection(document, scenario.name)?.text ?? ''
      assert(text.includes('| --- |'), `no figures for ${scenario.name}; run test/simulation/report.ts`)
      if (!isRun) return
      const result = scenario.run()
      assert.equal(text, formatResult(result), 'the figures are old; run "node test/simulation/report.ts"')
      for (const [file, svg] of Object.entries(result.charts)) assert.equal(readFileSync(join(CHARTS, file), 'utf8'), svg, file)
    })
  }

  it('has no marks of scenarios that are none', () => {
    const names = [...document.matchAll(/<!-- simulation: (.+?) -->/g)].map(([, name]) => name)
    assert.deepEqual(
      names,
      SCENARIOS.map(({ name }) => name),
    )
  })
})
