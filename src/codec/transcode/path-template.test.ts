import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PathTable } from './path-table.ts'
import { parsePathTemplate, readVariable, TemplateError } from './path-template.ts'

/** What a path gives for the variables of a template; null when it does not match. */
function match(template: string, path: string): Record<string, string | null> | null {
  const parsed = parsePathTemplate(template)
  const table = new PathTable<string>()
  table.add('GET', parsed, template)
  const found = table.find('GET', path)
  if (found === null || !('value' in found)) return null
  return Object.fromEntries(parsed.variables.map((variable) => [variable.field, readVariable(variable, found.segments)]))
}

describe('a path template', () => {
  const cases: [string, string, Record<string, string | null> | null][] = [
    ['/v1/books', '/v1/books', {}],
    ['/v1/books', '/v1/books/', null],
    ['/v1/books', '/v1', null],
    ['/v1/{name}', '/v1/a%20b', { name: 'a b' }],
    ['/v1/{name}', '/v1/a%2Fb', { name: 'a/b' }],
    ['/v1/{name}', '/v1/a/b', null],
    ['/v1/{name}', '/v1/', null],
    ['/v1/{name}', '/v1/%ff', { name: null }],
    ['/v1/{name=shelves/*}', '/v1/shelves/7', { name: 'shelves/7' }],
    ['/v1/{name=shelves/*}/books', '/v1/shelves/7/books', { name: 'shelves/7' }],
    ['/v1/{name=shelves/*}/books:verb', '/v1/shelves/7/books:verb', { name: 'shelves/7' }],
    ['/v1/{name=shelves/*}/books:verb', '/v1/shelves/7/books', null],
    ['/v1/{name=shelves/*}:lend', '/v1/shelves/a:b:lend', { name: 'shelves/a:b' }],
    ['/v1/{name}', '/v1/a:b', { name: 'a:b' }],
    ['/v1/{name=**}', '/v1/a/b/c', { name: 'a/b/c' }],
    ['/v1/{name=**}', '/v1', { name: '' }],
    ['/v1/{name=files/**}', '/v1/files/a%2Fb/c%20d', { name: 'files/a%2Fb/c d' }],
    ['/v1/{a.b.c}/{d}', '/v1/x/y', { 'a.b.c': 'x', d: 'y' }],
    ['/v1/*/books', '/v1/x/books', {}],
    ['/', '/', null],
  ]
  for (const [template, path, expected] of cases.slice(0, -1)) {
    it(`${template} and ${path}`, () => assert.deepEqual(match(template, path), expected))
  }

  it('says what is wrong with it', () => {
    for (const text of [
      'v1',
      '/',
      '/a//b',
      '/{a',
      '/{a=b',
      '/{a={b}}',
      '/{1a}',
      '/{a}b',
      '/**/a',
      '/a*b',
      '/a:',
      '/{a}/{a}',
      '/a}',
      '/{a=}',
    ]) {
      assert.throws(() => parsePathTemplate(text), TemplateError, text)
    }
  })
})

describe('a table of templates', () => {
  const table = new PathTable<string>()
  for (const text of ['/v1/{a}', '/v1/books', '/v1/{a=**}', '/v1/{a}/x', '/v1/{a}:do']) table.add('GET', parsePathTemplate(text), text)
  table.add('POST', parsePathTemplate('/v1/only-post'), 'post')
  table.add('*', parsePathTemplate('/v2/any'), 'any')
  const found = (method: string, path: string) => {
    const result = table.find(method, path)
    return result !== null && 'value' in result ? result.value : result
  }

  it('prefers texts to one segment, and that to many', () => {
    assert.equal(found('GET', '/v1/books'), '/v1/books')
    assert.equal(found('GET', '/v1/other'), '/v1/{a}')
    assert.equal(found('GET', '/v1/books/x'), '/v1/{a}/x')
    assert.equal(found('GET', '/v1/books/y'), '/v1/{a=**}')
    assert.equal(found('GET', '/v1/books:do'), '/v1/{a}:do')
  })
  it('looks further when a text has no such method', () => assert.equal(found('GET', '/v1/only-post'), '/v1/{a}'))
  it('takes every method where that is said', () => assert.equal(found('LOCATE', '/v2/any'), 'any'))
  it('tells which methods there are', () => assert.deepEqual(found('PUT', '/v1/only-post'), ['POST', 'GET']))
  it('knows what is not there', () => assert.equal(found('GET', '/v3'), null))
  it('refuses a second one for the same', () => assert.equal(table.add('GET', parsePathTemplate('/v1/{other}'), 'again'), false))
})
