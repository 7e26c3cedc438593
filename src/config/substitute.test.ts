import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSubstitution, findExpressions, isExempt, plainScalar } from './substitute.ts'

const { apply } = createSubstitution({
  env: { A: 'one', EMPTY: '', INNER: '${A}' },
  files: new Map([
    ['f', { text: 'content\n' }],
    ['two', { text: 'a\n\n' }],
    ['gone', { failure: 'does not exist' }],
  ]),
  source: '',
})

const textOf = (text: string) => apply(text, ['x']).text

test('variables, defaults and files are put in', () => {
  assert.equal(textOf('<${A}>${A}'), '<one>one')
  assert.equal(textOf('${NONE:-two}'), 'two')
  assert.equal(textOf('${EMPTY}'), '')
  assert.equal(textOf('${EMPTY:-default}'), 'default')
  assert.equal(textOf('${NONE:-}'), '')
  assert.equal(textOf('${file:f}'), 'content')
})

test('only one line end of a file is taken off', () => assert.equal(textOf('${file:two}'), 'a\n'))

test('an escaped expression and any other dollar stay', () => {
  assert.equal(textOf('$${A} $1 $$ $A {A} $'), '${A} $1 $$ $A {A} $')
  assert.equal(apply('$${A}', ['x']).substituted, false)
})

test('what was put in is not looked at again', () => assert.equal(textOf('${INNER}'), '${A}'))

test('each expression that cannot be answered is a problem of its own', () => {
  const { problems } = apply('${NONE} ${file:gone} ${a-b} ${} ${A', ['x'])
  assert.deepEqual(
    problems.map((problem) => problem.expression),
    ['${NONE}', '${file:gone}', '${a-b}', '${}', '${A'],
  )
  assert.match(problems[0]!.message, /the environment variable NONE is not set/)
  assert.match(problems[1]!.message, /the file gone does not exist/)
})

test('names of the prototype are not variables', () => assert.equal(apply('${constructor}', ['x']).problems.length, 1))

test('the format of the access log has expressions of its own', () => {
  assert.equal(apply('${method}', ['accessLog', 'format']).text, '${method}')
  assert.ok(isExempt(['accessLog', 'format']) && !isExempt(['accessLog', 'path']))
})

test('placeholders of header values and their escape are left to the filter, and nothing from outside becomes one', () => {
  for (const path of [
    ['routes', 'r', 'filters', 0, 'headers', 'request', 'set', 'x-a'],
    ['policies', 'p', 0, 'headers', 'response', 'add', 'x-a'],
  ]) {
    assert.equal(apply('${clientIp} ${params.id} $${A} ${A} ${INNER}', path).text, '${clientIp} ${params.id} $${A} one $${A}')
    assert.equal(apply('${NONE}', path).problems.length, 1)
  }
  assert.equal(apply('${clientIp}', ['routes', 'r', 'filters', 0, 'respond', 'headers', 'x', 'y']).problems.length, 1)
})

test('expressions are found without the escaped ones', () => assert.deepEqual(findExpressions('${A} $${B} ${file:c}'), ['A', 'file:c']))

test('plain text is typed as YAML would', () => {
  assert.deepEqual(['5', '-1.5', 'true', 'false', 'null', '~'].map(plainScalar), [5, -1.5, true, false, null, null])
  assert.deepEqual(['', '5s', '05', '0x10', '1e3', 'True', 'NULL', ' 5'].map(plainScalar), [
    '',
    '5s',
    '05',
    '0x10',
    '1e3',
    'True',
    'NULL',
    ' 5',
  ])
})
