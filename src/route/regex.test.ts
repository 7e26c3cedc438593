import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { normalizePath } from '../exchange/target.ts'
import { normalizeConfiguredPath } from './path.ts'
import { literalSegments } from './regex.ts'

describe('literalSegments', () => {
  const cases: [string, string[]][] = [
    ['^/users/\\d+$', ['users']],
    ['^/users/me/x', ['users', 'me']],
    ['^/users', []],
    ['^/', []],
    ['^', []],
    ['', []],
    ['/users/', []],
    ['^users/', []],
    ['^\\/api\\/v1\\/', ['api', 'v1']],
    ['^/a\\.b/', ['a.b']],
    ['^/a.b/', []],
    ['^/a/b?/c', ['a']],
    ['^/a/b*', ['a']],
    ['^/a/?', []],
    ['^/a/{2}', []],
    ['^/a/+b/', ['a']],
    ['^/a/|^/b/', []],
    ['^/a/(b|c)', []],
    ['^(/a)?/b', []],
    ['^/a/\\w', ['a']],
    ['^/a/\\', ['a']],
  ]
  for (const [pattern, expected] of cases) {
    it(`of ${pattern === '' ? 'nothing' : pattern} are [${expected.join(', ')}]`, () =>
      assert.deepEqual(literalSegments(pattern), expected))
  }
})

describe('normalizeConfiguredPath', () => {
  it('gives what the same path becomes in a request', () => {
    for (const path of ['/a%2fb', '/%7euser', '/caf%c3%a9', '/a%20b', '/~a-b_c.d', "/!$&'()*+,;=:@", '/%41']) {
      assert.equal(normalizeConfiguredPath(path), normalizePath(path, { mergeSlashes: false, escapedSlashes: 'keep' }), path)
    }
  })

  it('encodes what cannot stand in a request', () => {
    assert.equal(normalizeConfiguredPath('/a b/日本/é'), '/a%20b/%E6%97%A5%E6%9C%AC/%C3%A9')
    assert.equal(normalizeConfiguredPath('/\ud800'), '/%EF%BF%BD')
  })
})
