import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NameTable } from './name-table.ts'

test('exact names come first, then the longest wildcard; a wildcard is no name of its own', () => {
  const table = new NameTable<string>()
  table.add('a.example.com', 'exact')
  table.add('*.example.com', 'wide')
  table.add('*.a.example.com', 'deep')
  for (const [name, expected] of [
    ['a.example.com', 'exact'],
    ['b.example.com', 'wide'],
    ['x.y.example.com', 'wide'],
    ['b.a.example.com', 'deep'],
    ['x.b.a.example.com', 'deep'],
    ['example.com', null],
    ['.example.com', null],
    ['xexample.com', null],
    ['', null],
    ['com', null],
  ] as const) {
    assert.equal(table.find(name), expected, name)
  }
  assert.equal(new NameTable<string>().find('a.b'), null)
})
