import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseReport } from './own.ts'

test('the report of a generator of our own is read whole or not at all', () => {
  const report = { requests: 10, seconds: 1, p50Ms: 0.5, p99Ms: 2, errors: ['1 times: closed'] }
  assert.deepEqual(parseReport(`${JSON.stringify(report)}\n`), report)
  assert.throws(() => parseReport('{"requests":10,"seconds":1,"p50Ms":1,"errors":[]}'), /no report/)
  assert.throws(() => parseReport('Error: connect ECONNREFUSED'), SyntaxError)
})
