import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { KeyConfig } from '../../config/types.ts'
import { createKeyExtractor, type KeyInput } from './key.ts'

function read(
  on: KeyConfig,
  change: { path?: string; query?: string; clientIp?: string; headers?: Record<string, string> } = {},
): string | null {
  const input: KeyInput = {
    path: change.path ?? '/',
    query: change.query ?? '',
    clientIp: change.clientIp ?? '192.0.2.1',
    header: (name) => change.headers?.[name],
  }
  return createKeyExtractor(on)(input)
}

describe('a key', () => {
  it('is read from a header, the client address or the path', () => {
    assert.equal(read({ from: 'header', name: 'x-user' }, { headers: { 'x-user': 'ann' } }), 'ann')
    assert.equal(read({ from: 'client-ip' }, { clientIp: '2001:db8::1' }), '2001:db8::1')
    assert.equal(read({ from: 'path' }, { path: '/a/b' }), '/a/b')
  })

  it('is null when the request has none or an empty one', () => {
    assert.equal(read({ from: 'header', name: 'x-user' }), null)
    assert.equal(read({ from: 'header', name: 'x-user' }, { headers: { 'x-user': '' } }), null)
    assert.equal(read({ from: 'cookie', name: 'sid' }), null)
    assert.equal(read({ from: 'cookie', name: 'sid' }, { headers: { cookie: 'sid=' } }), null)
    assert.equal(read({ from: 'query', name: 'q' }, { query: 'q' }), null)
    assert.equal(read({ from: 'query', name: 'q' }, { query: 'q=&q=1' }), null)
  })

  it('is the value of exactly this cookie', () => {
    const cookies: [string, string | null][] = [
      ['sid=1', '1'],
      ['a=b; sid=1; c=d', '1'],
      ['a=b;sid=1', '1'],
      ['xsid=0; sid=1', '1'],
      ['sidx=0; sid=1', '1'],
      ['a=sid=0; sid=1', '1'],
      ['a=b sid=0', null],
      ['SID=1', null],
      ['a="sid=0"; sid=x=y', 'x=y'],
      ['sid = 1', null],
      ['sid=1 ; a=b', '1'],
    ]
    for (const [cookie, expected] of cookies) assert.equal(read({ from: 'cookie', name: 'sid' }, { headers: { cookie } }), expected, cookie)
  })

  it('is the value of exactly this query parameter, as it stands', () => {
    const queries: [string, string | null][] = [
      ['q=1', '1'],
      ['a=b&q=1&c=d', '1'],
      ['aq=0&q=1', '1'],
      ['qa=0&q=1', '1'],
      ['a=q=0&q=1', '1'],
      ['q=a%20b', 'a%20b'],
      ['q=x=y', 'x=y'],
    ]
    for (const [query, expected] of queries) assert.equal(read({ from: 'query', name: 'q' }, { query }), expected, query)
    assert.equal(read({ from: 'query', name: 'a b' }, { query: 'a%20b=1' }), '1')
  })

  it('is put together by a template, which is null only when all its parts are missing', () => {
    const on: KeyConfig = {
      from: 'template',
      parts: [
        { from: 'header', name: 'x-tenant' },
        { from: 'text', text: '-' },
        { from: 'query', name: 'q' },
      ],
    }
    assert.equal(read(on, { headers: { 'x-tenant': 't' }, query: 'q=1' }), 't-1')
    assert.equal(read(on, { query: 'q=1' }), '-1')
    assert.equal(read(on), null)
  })
})
