import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { HeaderBlock } from './header-block.ts'
import * as ids from './header-id.ts'
import {
  HEADER_CONNECTION,
  HEADER_CONTENT_LENGTH,
  HEADER_COOKIE,
  HEADER_HOST,
  HEADER_NONE,
  HEADER_VIA,
  headerIdAt,
  headerIdOf,
} from './header-id.ts'
import { MessageHead, parseFields } from './http1/head.ts'

const LIMITS = { headBytes: 10_000, headers: 100, uriBytes: 100 }

function block(lines: string): HeaderBlock {
  const head = new MessageHead()
  assert.ok(parseFields(`${lines}\r\n`, 0, head, LIMITS) > 0)
  return head.headers
}

const bit = (id: number): number => 1 << id

describe('header ids', () => {
  const names = [
    'host',
    'connection',
    'content-length',
    'transfer-encoding',
    'keep-alive',
    'proxy-connection',
    'te',
    'trailer',
    'upgrade',
    'expect',
    'proxy-authorization',
    'proxy-authenticate',
    'x-forwarded-for',
    'x-forwarded-proto',
    'x-forwarded-host',
    'x-forwarded-port',
    'forwarded',
    'via',
    'x-request-id',
    'http2-settings',
    'x-real-ip',
    'cookie',
    'date',
    'retry-after',
    'x-sluice-timeout',
    'x-sluice-attempt',
    'content-type',
    'grpc-timeout',
  ]

  it('are all different, above zero and below 31', () => {
    const numbers = Object.entries(ids).flatMap(([name, id]) => (typeof id === 'number' && name !== 'HEADER_NONE' ? [id] : []))
    assert.equal(new Set(numbers).size, numbers.length)
    assert.equal(numbers.length, names.length)
    for (const id of numbers) assert.ok(id > 0 && id < 31)
  })

  it('find every known name in any case, also inside a longer text', () => {
    for (const name of names) {
      const id = headerIdOf(name)
      assert.notEqual(id, HEADER_NONE, name)
      assert.equal(headerIdOf(name.toUpperCase()), id)
      assert.equal(headerIdOf(name[0]?.toUpperCase() + name.slice(1)), id)
      assert.equal(headerIdAt(`xx${name}yy`, 2, 2 + name.length), id)
    }
  })

  it('find nothing else: one character more, less or different is another name', () => {
    for (const name of names) {
      for (const other of [
        `${name}x`,
        `x${name}`,
        name.slice(1),
        name.slice(0, -1),
        `${name.slice(0, -1)}~`,
        `~${name.slice(1)}`,
        name.replace('-', '_').replace(/^([^_]+)$/, '$1_'),
      ]) {
        if (!names.includes(other)) assert.equal(headerIdOf(other), HEADER_NONE, other)
      }
      for (let i = 0; i < name.length; i++) {
        const other = `${name.slice(0, i)}!${name.slice(i + 1)}`
        assert.equal(headerIdOf(other), HEADER_NONE, other)
      }
    }
    assert.equal(headerIdOf(''), HEADER_NONE)
    assert.equal(headerIdOf('x'.repeat(200)), HEADER_NONE)
  })

  it('fold no character of a token onto another except letters', () => {
    const tokens = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i)).filter((char) =>
      /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(char),
    )
    for (const name of names) {
      for (let i = 0; i < name.length; i++) {
        for (const char of tokens) {
          if (char.toLowerCase() === name[i]) continue
          assert.equal(headerIdOf(name.slice(0, i) + char + name.slice(i + 1)), HEADER_NONE)
        }
      }
    }
  })
})

describe('header block', () => {
  it('finds fields without regard to case, first one first', () => {
    const headers = block('Host: a\r\nX-One: 1\r\nx-ONE: 2\r\nEmpty:\r\n')
    assert.equal(headers.get('host'), 'a')
    assert.equal(headers.get('x-one'), '1')
    assert.deepEqual(headers.getAll('x-one'), ['1', '2'])
    assert.equal(headers.get('empty'), '')
    assert.equal(headers.has('empty'), true)
    assert.equal(headers.get('x-on'), undefined)
    assert.equal(headers.get('x-onee'), undefined)
    assert.equal(headers.has('x-two'), false)
    assert.deepEqual(headers.getAll('x-two'), [])
    assert.equal(headers.get(''), undefined)
  })

  it('folds only letters: "@" is not "`" and "[" is not "{"', () => {
    const headers = block('X^A: 1\r\nX~A: 2\r\n')
    assert.equal(headers.get('x^a'), '1')
    assert.equal(headers.get('x~a'), '2')
    assert.equal(block('X_A: 1\r\n').get('x\x7fa'), undefined)
  })

  it('treats names that objects have as any other', () => {
    const empty = block('')
    for (const name of ['__proto__', 'constructor', 'tostring', 'hasownproperty', 'length']) {
      assert.equal(empty.get(name), undefined)
      assert.equal(empty.has(name), false)
    }
    const headers = block('__proto__: a\r\nconstructor: b\r\n')
    headers.add('__proto__', 'c')
    assert.deepEqual(headers.getAll('__proto__'), ['a', 'c'])
    assert.deepEqual(headers.toPairs(), [
      ['__proto__', 'a'],
      ['constructor', 'b'],
      ['__proto__', 'c'],
    ])
    headers.remove('__proto__')
    assert.deepEqual(headers.toPairs(), [['constructor', 'b']])
    assert.equal(({} as Record<string, unknown>)['a'], undefined)
  })

  it('adds behind what arrived and finds it by name and by id', () => {
    const headers = block('Via: 1.1 a\r\n')
    headers.add('VIA', '1.1 b')
    headers.add('X', '1')
    assert.deepEqual(headers.getAll('via'), ['1.1 a', '1.1 b'])
    assert.equal(headers.getById(HEADER_VIA), '1.1 a')
    assert.equal(headers.get('x'), '1')
    headers.add('Host', 'h')
    assert.equal(headers.getById(HEADER_HOST), 'h')
    assert.equal(headers.get('host'), 'h')
  })

  it('set replaces every field of the name by one at the end', () => {
    const headers = block('X: 1\r\nY: 2\r\nx: 3\r\n')
    headers.add('X', '4')
    headers.set('x', '5')
    assert.deepEqual(headers.toPairs(), [
      ['Y', '2'],
      ['x', '5'],
    ])
    headers.set('Z', '6')
    headers.set('Z', '7')
    assert.deepEqual(headers.toPairs(), [
      ['Y', '2'],
      ['x', '5'],
      ['Z', '7'],
    ])
  })

  it('set on a well-known field is found by id', () => {
    const headers = block('Host: a\r\n')
    headers.set('HOST', 'b')
    assert.equal(headers.getById(HEADER_HOST), 'b')
    assert.equal(headers.get('host'), 'b')
    assert.deepEqual(headers.toPairs(), [['HOST', 'b']])
  })

  it('remove takes arrived and added fields, and nothing when there is none', () => {
    const headers = block('X: 1\r\nY: 2\r\n')
    headers.add('x', '3')
    headers.add('Z', '4')
    headers.remove('x')
    assert.deepEqual(headers.toPairs(), [
      ['Y', '2'],
      ['Z', '4'],
    ])
    headers.remove('nothing')
    headers.remove('z')
    assert.deepEqual(headers.toPairs(), [['Y', '2']])
    assert.equal(headers.extra, null)
    headers.add('N', '5')
    assert.deepEqual(headers.toPairs(), [
      ['Y', '2'],
      ['N', '5'],
    ])
  })

  it('removeById takes arrived and added fields of any case', () => {
    const headers = block('Cookie: a\r\nX: 1\r\ncOOKIE: b\r\n')
    headers.add('COOKIE', 'c')
    headers.add('Y', '2')
    headers.removeById(HEADER_COOKIE)
    assert.deepEqual(headers.toPairs(), [
      ['X', '1'],
      ['Y', '2'],
    ])
    assert.equal(headers.getById(HEADER_COOKIE), undefined)
    assert.equal(headers.get('cookie'), undefined)
    headers.removeById(HEADER_VIA)
    assert.deepEqual(headers.toPairs(), [
      ['X', '1'],
      ['Y', '2'],
    ])
  })

  it('removeById of HEADER_NONE leaves the unknown fields alone', () => {
    const headers = block('X: 1\r\nHost: a\r\n')
    headers.add('Y', '2')
    headers.removeById(HEADER_NONE)
    assert.equal(headers.getById(HEADER_NONE), undefined)
    assert.deepEqual(headers.toPairs(), [
      ['X', '1'],
      ['Host', 'a'],
      ['Y', '2'],
    ])
  })

  it('removing twice is removing once', () => {
    const headers = block('Host: a\r\nX: 1\r\n')
    headers.remove('host')
    headers.removeById(HEADER_HOST)
    headers.remove('host')
    assert.deepEqual(headers.toPairs(), [['X', '1']])
  })
})

describe('the bits of seen', () => {
  it('are set for every well-known field that was parsed, and for no other', () => {
    assert.equal(block('Host: a\r\nX: 1\r\nCONNECTION: close\r\n').seen, bit(HEADER_HOST) | bit(HEADER_CONNECTION))
    assert.equal(block('X: 1\r\nHosts: a\r\n').seen, 0)
  })

  it('are set by add and set', () => {
    const headers = block('')
    headers.add('x', '1')
    assert.equal(headers.seen, 0)
    headers.add('Host', 'a')
    headers.set('Content-Length', '1')
    assert.equal(headers.seen, bit(HEADER_HOST) | bit(HEADER_CONTENT_LENGTH))
  })

  it('stay when a field is removed, and a later look-up answers undefined', () => {
    const headers = block('Host: a\r\n')
    headers.removeById(HEADER_HOST)
    assert.equal(headers.seen, bit(HEADER_HOST))
    assert.equal(headers.getById(HEADER_HOST), undefined)
    headers.add('host', 'b')
    assert.equal(headers.getById(HEADER_HOST), 'b')
  })

  it('are cleared by reset with everything else', () => {
    const headers = block('Host: a\r\nX: 1\r\n')
    headers.add('Y', '2')
    headers.reset()
    assert.equal(headers.seen, 0)
    assert.deepEqual(headers.toPairs(), [])
    assert.equal(headers.get('host'), undefined)
    assert.equal(headers.get('y'), undefined)
  })
})

describe('ready-made lines', () => {
  const UNLISTED = bit(HEADER_NONE)

  it('stay as they are while other names are asked for', () => {
    const headers = block('Host: a\r\nX: 1\r\n')
    headers.addLines('Via: 2.0 s\r\n', bit(HEADER_VIA))
    assert.equal(headers.get('x'), '1')
    assert.deepEqual(headers.getAll('y'), [])
    headers.remove('x')
    assert.equal(headers.countById(HEADER_HOST), 1)
    assert.equal(headers.tail, 'Via: 2.0 s\r\n')
    assert.equal(headers.get('via'), '2.0 s')
    assert.equal(headers.tail, '')
  })

  it('of a name without an id are found, counted and removed', () => {
    const headers = block('Host: a\r\n')
    headers.addLines('X-Own: 1\r\n', UNLISTED)
    assert.equal(headers.get('x-own'), '1')
    headers.addLines('X-Own: 2\r\n', UNLISTED)
    assert.deepEqual(headers.getAll('x-own'), ['1', '2'])
    headers.addLines('X-Own: 3\r\n', UNLISTED)
    headers.remove('x-own')
    assert.equal(headers.has('x-own'), false)
  })

  it('count with what arrived and what was added', () => {
    const headers = block('Via: 1\r\nVIA: 2\r\nX: 1\r\n')
    headers.add('via', '3')
    headers.addLines('Via: 4\r\n', bit(HEADER_VIA))
    assert.equal(headers.countById(HEADER_VIA), 4)
    headers.removeById(HEADER_VIA)
    assert.equal(headers.countById(HEADER_VIA), 0)
  })
})
