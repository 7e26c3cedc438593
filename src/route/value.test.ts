import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { equalsQueryText, findCookie, findQueryParameter, Span } from './value.ts'

const encoder = new TextEncoder()

function rawParameter(query: string, name: string): string | null {
  const span = new Span()
  return findQueryParameter(query, encoder.encode(name), span) ? query.slice(span.start, span.end) : null
}

function cookie(header: string, name: string): string | null {
  const span = new Span()
  return findCookie(header, name, span) ? header.slice(span.start, span.end) : null
}

describe('findQueryParameter', () => {
  it('finds the first of several', () => assert.equal(rawParameter('a=1&b=2&a=3', 'a'), '1'))

  it('gives the empty value to a name without one', () => {
    assert.equal(rawParameter('a', 'a'), '')
    assert.equal(rawParameter('b=1&a&c', 'a'), '')
    assert.equal(rawParameter('a=', 'a'), '')
  })

  it('compares whole names', () => {
    assert.equal(rawParameter('aa=1&ba=2', 'a'), null)
    assert.equal(rawParameter('a=1', 'aa'), null)
    assert.equal(rawParameter('', 'a'), null)
    assert.equal(rawParameter('&&', ''), null)
  })

  it('keeps further equals signs in the value', () => assert.equal(rawParameter('a=b=c', 'a'), 'b=c'))

  it('decodes names', () => {
    assert.equal(rawParameter('caf%C3%A9=1', 'café'), '1')
    assert.equal(rawParameter('a+b=1', 'a b'), '1')
    assert.equal(rawParameter('%61=1', 'a'), '1')
    assert.equal(rawParameter('a%3Db=1', 'a=b'), '1')
  })

  it('finds what URLSearchParams finds', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', ' ', 'é', '=', '&', '+', '%', '日'), maxLength: 3 })
    const name = text.filter((candidate) => candidate !== '')
    fc.assert(
      fc.property(fc.array(fc.tuple(name, text), { maxLength: 4 }), name, text, (pairs, wantedName, wantedValue) => {
        const parameters = new URLSearchParams(pairs)
        const query = parameters.toString()
        const span = new Span()
        const found = findQueryParameter(query, encoder.encode(wantedName), span)
        assert.equal(found, parameters.has(wantedName))
        if (!found) return
        const value = parameters.get(wantedName) ?? ''
        assert.equal(equalsQueryText(query, span.start, span.end, encoder.encode(value)), true)
        assert.equal(equalsQueryText(query, span.start, span.end, encoder.encode(wantedValue)), value === wantedValue)
      }),
      { numRuns: 2000 },
    )
  })
})

describe('equalsQueryText', () => {
  const equals = (text: string, wanted: string) => equalsQueryText(text, 0, text.length, encoder.encode(wanted))

  it('takes a malformed escape for itself', () => {
    assert.equal(equals('100%', '100%'), true)
    assert.equal(equals('%zz', '%zz'), true)
    assert.equal(equals('%4', '%4'), true)
    assert.equal(equals('%zz', '%ZZ'), false)
  })

  it('does not read past the end of the piece', () => {
    assert.equal(equalsQueryText('%41', 0, 2, encoder.encode('A')), false)
    assert.equal(equalsQueryText('%41', 0, 2, encoder.encode('%4')), true)
    assert.equal(equalsQueryText('ab', 0, 1, encoder.encode('ab')), false)
  })
})

describe('findCookie', () => {
  it('finds a cookie anywhere in the field', () => {
    assert.equal(cookie('a=1', 'a'), '1')
    assert.equal(cookie('b=2; a=1', 'a'), '1')
    assert.equal(cookie('b=2;a=1;c=3', 'a'), '1')
    assert.equal(cookie('  a=1 ', 'a'), '1')
  })

  it('compares whole names, with their case', () => {
    assert.equal(cookie('aa=1; xa=2; A=3', 'a'), null)
    assert.equal(cookie('a', 'a'), null)
    assert.equal(cookie('', 'a'), null)
    assert.equal(cookie('b=a=1', 'a'), null)
  })

  it('finds the first of several', () => assert.equal(cookie('a=1; a=2', 'a'), '1'))

  it('takes the quotes off', () => {
    assert.equal(cookie('a="1 2"; b=3', 'a'), '1 2')
    assert.equal(cookie('a=""', 'a'), '')
    assert.equal(cookie('a="', 'a'), '"')
    assert.equal(cookie('a="1', 'a'), '"1')
  })

  it('gives an empty value', () => assert.equal(cookie('a=; b=1', 'a'), ''))

  it('stays inside a cookie shorter than the name', () => assert.equal(cookie('a;bc=1', 'a;bc'), null))
})
