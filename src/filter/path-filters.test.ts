import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GatewayError } from '../base/error.ts'
import type { Exchange } from '../exchange/exchange.ts'
import type { Filter } from '../exchange/filter.ts'
import { createExchange, exchangeOf, LISTENER_CONFIG } from './exchange.contract.ts'
import { createPrefixRewriteFilter, createRewriteFilter } from './rewrite.ts'
import { createStripPrefixFilter } from './strip-prefix.ts'

const RAW_SLASHES = { listener: { path: { mergeSlashes: false, escapedSlashes: 'keep' as const } } }

function after(filter: Filter, x: Exchange): string {
  assert.equal(filter.onRequest?.(x), undefined)
  return x.target
}

function refusal(filter: Filter, x: Exchange): string {
  try {
    filter.onRequest?.(x)
  } catch (error) {
    assert.ok(error instanceof GatewayError)
    return error.code
  }
  return `not refused: ${x.target}`
}

describe('strip-prefix', () => {
  it('takes whole segments once and leaves the query', () => {
    const filter = createStripPrefixFilter('/api')
    assert.equal(after(filter, exchangeOf('/api/users?a=1')), '/users?a=1')
    assert.equal(after(filter, exchangeOf('/api/api/users')), '/api/users')
    assert.equal(after(filter, exchangeOf('/api')), '/')
    assert.equal(after(filter, exchangeOf('/api/')), '/')
    assert.equal(after(filter, exchangeOf('/api?x')), '/?x')
  })

  it('leaves paths alone that only begin with the same letters', () => {
    const filter = createStripPrefixFilter('/base')
    for (const path of ['/basement', '/basement/a', '/', '/bas', '/x/base', '/BASE/a']) assert.equal(after(filter, exchangeOf(path)), path)
  })

  it('compares in the normal form of paths', () => {
    assert.equal(after(createStripPrefixFilter('/caf\u00e9'), exchangeOf('/caf%C3%A9/menu')), '/menu')
    assert.equal(after(createStripPrefixFilter('/%7euser'), exchangeOf('/~user/a')), '/a')
  })

  it('never leaves a path that starts with two slashes', () => {
    assert.equal(after(createStripPrefixFilter('/a'), exchangeOf('/a//evil.example/x', RAW_SLASHES)), '/evil.example/x')
  })

  it('does nothing for the prefix / and for OPTIONS *', () => {
    assert.equal(after(createStripPrefixFilter('/'), exchangeOf('/a/b')), '/a/b')
    assert.equal(after(createStripPrefixFilter('/a'), createExchange('OPTIONS * HTTP/1.1\nHost: a')), '*')
  })
})

describe('rewrite with a prefix', () => {
  it('replaces whole segments with one slash between the parts', () => {
    const filter = createPrefixRewriteFilter('/users', '/v2/people')
    assert.equal(after(filter, exchangeOf('/users/7?a=1')), '/v2/people/7?a=1')
    assert.equal(after(filter, exchangeOf('/users')), '/v2/people')
    assert.equal(after(filter, exchangeOf('/users/')), '/v2/people/')
    assert.equal(after(filter, exchangeOf('/usersX/7')), '/usersX/7')
    assert.equal(after(createPrefixRewriteFilter('/a', '/b/'), exchangeOf('/a/x')), '/b/x')
    assert.equal(after(createPrefixRewriteFilter('/a', '/b/'), exchangeOf('/a')), '/b/')
    assert.equal(after(createPrefixRewriteFilter('/a', '/'), exchangeOf('/a/x')), '/x')
    assert.equal(after(createPrefixRewriteFilter('/a', '/'), exchangeOf('/a')), '/')
  })

  it('puts a base before everything with the prefix /', () => {
    const filter = createPrefixRewriteFilter('/', '/base')
    assert.equal(after(filter, exchangeOf('/x/y')), '/base/x/y')
    assert.equal(after(filter, exchangeOf('/')), '/base')
  })

  it('encodes what cannot be sent and refuses what is no path', () => {
    assert.equal(after(createPrefixRewriteFilter('/a', '/<b>'), exchangeOf('/a/x')), '/%3Cb%3E/x')
    assert.throws(() => createPrefixRewriteFilter('/a', '/../b'), /not a path/)
  })
})

describe('rewrite with a pattern', () => {
  it('fills in groups by number and by name', () => {
    assert.equal(after(createRewriteFilter('^/users/(.*)', '/$1'), exchangeOf('/users/7/x')), '/7/x')
    assert.equal(after(createRewriteFilter('^/(?<kind>\\w+)/(?<id>\\d+)$', '/$<id>/of/$<kind>'), exchangeOf('/cat/3')), '/3/of/cat')
    assert.equal(after(createRewriteFilter('^/a$', '/$$1'), exchangeOf('/a')), '/$1')
  })

  it('takes a group that took no part as nothing', () => {
    assert.equal(after(createRewriteFilter('^/a(/b)?$', '/c$1'), exchangeOf('/a')), '/c')
  })

  it('replaces only the part that matches, and only the first', () => {
    assert.equal(after(createRewriteFilter('old', 'new'), exchangeOf('/a/old/old')), '/a/new/old')
  })

  it('leaves a path that does not match, and never looks at the query', () => {
    const x = exchangeOf('/a?to=/users/1')
    assert.equal(after(createRewriteFilter('/users/(.*)', '/$1'), x), '/a?to=/users/1')
    assert.equal(x.targetChanged, false)
    assert.equal(after(createRewriteFilter('.', '/x'), createExchange('OPTIONS * HTTP/1.1\nHost: a')), '*')
  })

  it('keeps the query of the request behind that of the new path', () => {
    assert.equal(after(createRewriteFilter('^/find/(.*)', '/search?kind=$1'), exchangeOf('/find/cat?q=1')), '/search?kind=cat&q=1')
    assert.equal(after(createRewriteFilter('^/find/(.*)', '/search?kind=$1'), exchangeOf('/find/cat')), '/search?kind=cat')
    assert.equal(after(createRewriteFilter('^/find', '/search?kind=1'), exchangeOf('/find/tail?q=1')), '/search/tail?kind=1&q=1')
  })

  it('drops the query of the request when the new path ends with a question mark', () => {
    assert.equal(after(createRewriteFilter('^/a', '/b?'), exchangeOf('/a?q=1')), '/b')
    assert.equal(after(createRewriteFilter('^/a', '/b?c=1?'), exchangeOf('/a?q=1')), '/b?c=1')
  })

  it('does not let a path add parameters to the new query', () => {
    const x = exchangeOf('/u/bob&admin=1+;x')
    assert.equal(after(createRewriteFilter('^/u/(.*)', '/user?name=$1'), x), '/user?name=bob%26admin%3D1%2B%3Bx')
  })

  it('makes / of nothing and merges slashes as the listener does', () => {
    assert.equal(after(createRewriteFilter('^/dir(.*)', '$1'), exchangeOf('/dir')), '/')
    assert.equal(after(createRewriteFilter('^/dir(.*)', '/$1'), exchangeOf('/dir/abc')), '/abc')
  })

  it('encodes what cannot be sent', () => {
    assert.equal(after(createRewriteFilter('^/a', '/"<b>'), exchangeOf('/a')), '/%22%3Cb%3E')
  })

  it('refuses a result that is no path', () => {
    assert.equal(refusal(createRewriteFilter('^/dir(.*)', '$1'), exchangeOf('/directory')), 'bad_request')
    assert.equal(refusal(createRewriteFilter('^/(.)(.*)', '/x%$2'), exchangeOf('/azz')), 'bad_request')
  })

  it('cannot be made to climb out of the new base', () => {
    // The classic: a pattern without a slash at its end, and a path that brings two dots along.
    assert.equal(refusal(createRewriteFilter('^/static(.*)', '/files/$1'), exchangeOf('/static../secret')), 'bad_request')
    assert.equal(refusal(createRewriteFilter('^/static(.*)', '/files/$1'), exchangeOf('/static..')), 'bad_request')
    assert.equal(refusal(createRewriteFilter('^/a(.*)b', '/%2e$1'), exchangeOf('/a.b/secret')), 'bad_request')
  })

  it('only shows the pattern paths of the length the listener allows', () => {
    const listener = { limits: { ...LISTENER_CONFIG.limits, uriBytes: 10 } }
    const x = exchangeOf('/a', { listener })
    x.setPath(`/${'a'.repeat(10)}`)
    assert.equal(refusal(createRewriteFilter('a', 'b'), x), 'uri_too_long')
  })
})
