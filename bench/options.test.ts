import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseOptions, UsageError } from './options.ts'

test('without options everything runs for five rounds of four seconds', () => {
  const options = parseOptions([])
  assert.deepEqual([options?.only, options?.against, options?.rounds, options?.seconds], [null, null, 5, 4])
})

test('names are lists and figures are checked', () => {
  assert.deepEqual(parseOptions(['--only', 'small,large'])?.only, ['small', 'large'])
  for (const bad of ['0', '', 'x', '1.5', '101']) assert.throws(() => parseOptions(['--rounds', bad]), UsageError)
  assert.throws(() => parseOptions(['--round', '3']), UsageError)
})

test('the document only takes figures of Sluice against other programs', () => {
  assert.throws(() => parseOptions(['--write', '--subject', 'nginx']), UsageError)
  assert.throws(() => parseOptions(['--write', '--base', '../other']), UsageError)
  assert.equal(parseOptions(['--write'])?.write, true)
})
