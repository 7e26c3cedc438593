import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { JsonStreamError, JsonValues } from './json-values.ts'

function split(pieces: readonly string[], maxBytes = 1000): string[] {
  const values = new JsonValues(maxBytes)
  const found: string[] = []
  for (const piece of pieces) {
    const bytes = Buffer.from(`..${piece}.`, 'latin1')
    for (const value of values.read(bytes, 2, bytes.length - 1)) found.push(value.toString('latin1'))
  }
  const last = values.end()
  return last === null ? found : [...found, last.toString('latin1')]
}

describe('a stream of JSON values', () => {
  const cases: [string, string[]][] = [
    ['[]', []],
    [' [ ] ', []],
    ['', []],
    ['[1,2 , 3]', ['1', '2', '3']],
    ['[{"a":[1,{"b":"]}"}]},"x\\"]",true,null]', ['{"a":[1,{"b":"]}"}]}', '"x\\"]"', 'true', 'null']],
    ['{"a":1}\n{"b":"}"}\n', ['{"a":1}', '{"b":"}"}']],
    ['{}{}', ['{}', '{}']],
    ['1\n2', ['1', '2']],
    ['[[1],[2]]', ['[1]', '[2]']],
    ['"a" "b"', ['"a"', '"b"']],
  ]
  for (const [text, expected] of cases) {
    it(`${JSON.stringify(text)} wherever it is cut`, () => {
      for (let cut = 0; cut <= text.length; cut++) assert.deepEqual(split([text.slice(0, cut), text.slice(cut)]), expected, String(cut))
      assert.deepEqual(split([...text]), expected)
    })
  }
  it('is refused when something is missing or too much', () => {
    for (const bad of ['[', '[1', '[1,', '[,1]', '[1,,2]', '[1 2]', '[{}{}]', '{"a"', '"a', '[1],', '[1] 2', '[1,]']) {
      assert.throws(() => split([bad]), JsonStreamError, bad)
    }
  })
  it('is refused when a value is larger than allowed', () => {
    assert.throws(() => split(['["', 'x'.repeat(20), '"]'], 10), /more than 10 bytes/)
    assert.throws(() => split([`["${'x'.repeat(20)}"]`], 10), /more than 10 bytes/)
    assert.equal(split([`["${'x'.repeat(7)}"]`], 10).length, 1)
  })
})
