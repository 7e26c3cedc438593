import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ConfigProblem, formatPath, formatProblems, sortProblems } from './problem.ts'

const PROBLEM: ConfigProblem = { file: 'sluice.yaml', line: 2, column: 3, path: 'a.b', message: 'is wrong', sourceLine: '  b: 1' }

test('a problem is printed with place, path, source line and a caret', () => {
  assert.equal(formatProblems([PROBLEM]), 'sluice.yaml:2:3: a.b: is wrong\n    b: 1\n    ^\n')
})

test('without a place only file and path are printed', () => {
  assert.equal(formatProblems([{ ...PROBLEM, line: 0, column: 0, sourceLine: '' }]), 'sluice.yaml: a.b: is wrong\n')
  assert.equal(formatProblems([{ ...PROBLEM, line: 0, path: '', sourceLine: '' }]), 'sluice.yaml: is wrong\n')
})

test('tabs are kept under the source line so that the caret stands below the place', () => {
  assert.equal(formatProblems([{ ...PROBLEM, column: 4, sourceLine: '\t"b": 1' }]), 'sluice.yaml:2:4: a.b: is wrong\n  \t"b": 1\n  \t  ^\n')
})

test('of a very long line only the part around the place is printed', () => {
  const line = `${'x'.repeat(5000)}here${'y'.repeat(5000)}`
  const [, source = '', caret = ''] = formatProblems([{ ...PROBLEM, column: 5001, sourceLine: line }]).split('\n')
  assert.ok(source.length < 200)
  assert.equal(source.slice(caret.indexOf('^'), caret.indexOf('^') + 4), 'here')
})

test('control characters of the file do not reach the terminal', () => {
  assert.ok(!formatProblems([{ ...PROBLEM, sourceLine: 'a: \u001b[31mred' }]).includes('\u001b'))
})

test('paths quote keys that are not plain and number list positions', () => {
  assert.equal(formatPath(['routes', 'a.b', 'filters', 0, 'x']), 'routes["a.b"].filters[0].x')
  assert.equal(formatPath([]), '')
})

test('problems are sorted by place and said once', () => {
  const later = { ...PROBLEM, line: 10 }
  const right = { ...PROBLEM, column: 9, path: 'z' }
  assert.deepEqual(sortProblems([later, right, PROBLEM, { ...PROBLEM }]), [PROBLEM, right, later])
})
