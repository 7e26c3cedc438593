import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { REQUEST_FIELDS, REQUEST_HOST } from '../../../test/vectors/http1/request-fields.ts'
import { REQUEST_FRAMING } from '../../../test/vectors/http1/request-framing.ts'
import { REQUEST_LINE } from '../../../test/vectors/http1/request-line.ts'
import { LIMITS } from '../../../test/vectors/http1/vector.ts'
import { encodeFields, REASONS, statusLine } from './encode.ts'
import { MessageHead, parseFields, parseRequestHead, parseResponseHead, RequestHead, ResponseHead } from './head.ts'

function parsed(lines: string): MessageHead {
  const head = new MessageHead()
  assert.equal(parseFields(`${lines}\r\n`, 0, head, LIMITS), lines.length + 2)
  return head
}

describe('encodeFields', () => {
  it('gives canonical lines back as they came', () => {
    const lines = 'Host: a\r\nX: y\r\nEmpty: \r\nx: z\r\n'
    assert.equal(encodeFields(parsed(lines).headers), lines)
  })

  it('writes lines of another form anew, in their place', () => {
    assert.equal(
      encodeFields(parsed('A: 1\r\nB:2\r\nC:  3\r\nD:\t4\r\nE: 5 \r\nF:\r\nG: 7\r\n').headers),
      'A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: \r\nG: 7\r\n',
    )
  })

  it('leaves out removed lines at the beginning, in the middle and at the end of a run', () => {
    for (const removed of ['a', 'b', 'c', 'd', 'e']) {
      const { headers } = parsed('A: 1\r\nB: 2\r\nC:3\r\nD: 4\r\nE: 5\r\n')
      headers.remove(removed)
      const expected = [
        ['A', '1'],
        ['B', '2'],
        ['C', '3'],
        ['D', '4'],
        ['E', '5'],
      ].filter(([name]) => name?.toLowerCase() !== removed)
      assert.equal(encodeFields(headers), expected.map(([name, value]) => `${name}: ${value}\r\n`).join(''))
    }
  })

  it('is empty for an empty block and for one that lost every line', () => {
    assert.equal(encodeFields(parsed('').headers), '')
    const { headers } = parsed('A: 1\r\nA: 2\r\n')
    headers.remove('a')
    assert.equal(encodeFields(headers), '')
  })

  it('appends added fields behind the others', () => {
    const { headers } = parsed('A: 1\r\nB:2\r\n')
    headers.add('C', '3')
    headers.set('A', '4')
    assert.equal(encodeFields(headers), 'B: 2\r\nC: 3\r\nA: 4\r\n')
  })

  it('parses to the same pairs for every valid vector', () => {
    for (const vector of [...REQUEST_LINE, ...REQUEST_HOST, ...REQUEST_FIELDS, ...REQUEST_FRAMING]) {
      if (typeof vector.expected === 'number') continue
      const head = new RequestHead()
      assert.ok(parseRequestHead(vector.bytes, head, LIMITS) > 0)
      assert.deepEqual(parsed(encodeFields(head.headers)).headers.toPairs(), head.headers.toPairs(), vector.name)
    }
  })

  it('agrees with toPairs after any sequence of changes', () => {
    const name = fc.constantFrom('Host', 'host', 'X-A', 'x-a', 'Connection', 'TE', '__proto__', 'X')
    const value = fc.constantFrom('', 'a', 'a b', '\xff', 'c:d')
    const line = fc
      .tuple(name, fc.constantFrom(':', ': ', ':  ', ':\t'), value, fc.constantFrom('', ' ', '\t'))
      .map((parts) => `${parts.join('')}\r\n`)
    const change = fc.tuple(fc.constantFrom('set', 'add', 'remove'), name, value)
    fc.assert(
      fc.property(fc.array(line, { maxLength: 8 }), fc.array(change, { maxLength: 6 }), (lines, changes) => {
        const { headers } = parsed(lines.join(''))
        for (const [action, field, text] of changes) {
          if (action === 'remove') headers.remove(field.toLowerCase())
          else headers[action as 'set' | 'add'](field, text)
        }
        assert.deepEqual(parsed(encodeFields(headers)).headers.toPairs(), headers.toPairs())
      }),
      { numRuns: 500, seed: 1 },
    )
  })
})

describe('statusLine', () => {
  it('uses the registered reason when the other side sent none or the same', () => {
    assert.equal(statusLine(200, ''), 'HTTP/1.1 200 OK\r\n')
    assert.equal(statusLine(404, 'Not Found'), 'HTTP/1.1 404 Not Found\r\n')
  })
  it('keeps a reason that differs', () => {
    assert.equal(statusLine(200, 'Fine'), 'HTTP/1.1 200 Fine\r\n')
  })
  it('keeps the space for a status without a registered reason', () => {
    assert.equal(statusLine(299, ''), 'HTTP/1.1 299 \r\n')
  })
  it('parses back for every status and reason', () => {
    const head = new ResponseHead()
    for (let status = 100; status <= 999; status++) {
      for (const reason of ['', 'Odd one', REASONS[status] ?? '']) {
        const text = `${statusLine(status, reason)}\r\n`
        assert.equal(parseResponseHead(text, head, LIMITS), text.length)
        assert.equal(head.status, status)
        assert.equal(head.reason, reason === '' ? (REASONS[status] ?? '') : reason)
      }
    }
  })
})
