import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { RedirectConfig } from '../config/types.ts'
import type { Exchange } from '../exchange/exchange.ts'
import { createRedirectAnswer, createRespondAnswer } from './answer.ts'
import { createExchange, exchangeOf } from './exchange.contract.ts'
import { createRedirectFilter } from './redirect.ts'
import { createRespondFilter } from './respond.ts'

const PARTS: RedirectConfig = {
  status: 302,
  to: null,
  scheme: null,
  host: null,
  port: null,
  path: null,
  stripPrefix: null,
  keepQuery: true,
}

function location(config: Partial<RedirectConfig>, x: Exchange): string {
  const response = createRedirectAnswer({ ...PARTS, ...config })(x)
  if (response.status === 400) return '400'
  assert.deepEqual(response.headers.length, 2)
  assert.equal(response.headers[0], 'Location')
  return response.headers[1] as string
}

describe('the respond answer', () => {
  it('gives text a content type unless there is one', () => {
    const x = exchangeOf('/')
    assert.deepEqual(createRespondAnswer({ status: 200, headers: {}, body: 'hi\n' })(x), {
      status: 200,
      headers: ['content-type', 'text/plain; charset=utf-8'],
      body: Buffer.from('hi\n'),
    })
    assert.deepEqual(createRespondAnswer({ status: 201, headers: { 'content-type': 'text/html', a: 'b' }, body: '<p>' })(x).headers, [
      'content-type',
      'text/html',
      'a',
      'b',
    ])
    assert.deepEqual(createRespondAnswer({ status: 204, headers: {}, body: '' })(x), { status: 204, headers: [], body: null })
  })

  it('is what the respond filter answers', () => {
    const x = exchangeOf('/')
    createRespondFilter({ status: 418, headers: {}, body: 'tea' }).onRequest?.(x)
    assert.equal(x.local?.status, 418)
    assert.equal(x.local?.body?.toString(), 'tea')
  })
})

describe('the redirect answer', () => {
  it('goes to a whole target and carries the query over', () => {
    const to = 'https://www.example.com/new'
    assert.equal(location({ to }, exchangeOf('/old?a=1')), 'https://www.example.com/new?a=1')
    assert.equal(location({ to }, exchangeOf('/old')), to)
    assert.equal(location({ to, keepQuery: false }, exchangeOf('/old?a=1')), to)
    assert.equal(location({ to: '/new?b=2' }, exchangeOf('/old?a=1')), '/new?b=2&a=1')
    assert.equal(location({ to: '/new#part' }, exchangeOf('/old?a=1')), '/new?a=1#part')
  })

  it('stays relative when no part of the authority changes', () => {
    assert.equal(location({ path: '/new' }, exchangeOf('/old?a=1')), '/new?a=1')
    assert.equal(location({ stripPrefix: '/old' }, exchangeOf('/old/x')), '/x')
    assert.equal(location({ stripPrefix: '/old' }, exchangeOf('/older/x')), '/older/x')
    assert.equal(location({ stripPrefix: '/old' }, exchangeOf('/old')), '/')
  })

  it('never names another host because of a path with two slashes', () => {
    const raw = { listener: { path: { mergeSlashes: false, escapedSlashes: 'keep' as const } } }
    assert.equal(location({ stripPrefix: '/x' }, exchangeOf('//evil.example/a', raw)), '/evil.example/a')
    assert.equal(location({ stripPrefix: '/x' }, exchangeOf('/x//evil.example/a', raw)), '/evil.example/a')
    assert.equal(location({ stripPrefix: '/x' }, exchangeOf('/x///evil.example', raw)), '/evil.example')
  })

  it('changes scheme, host and port, with the usual port unless one is given', () => {
    assert.equal(location({ scheme: 'https' }, exchangeOf('/a?b')), 'https://api.example.com/a?b')
    assert.equal(location({ scheme: 'https', port: 8443 }, exchangeOf('/a')), 'https://api.example.com:8443/a')
    assert.equal(location({ scheme: 'https', port: 443 }, exchangeOf('/a')), 'https://api.example.com/a')
    assert.equal(location({ host: 'www.example.com' }, exchangeOf('/a')), 'http://www.example.com/a')
    assert.equal(location({ host: '[::1]', port: 81 }, exchangeOf('/a')), 'http://[::1]:81/a')
    assert.equal(location({ port: 81 }, exchangeOf('/a')), 'http://api.example.com:81/a')
  })

  it('builds no location from a host that is not plain', () => {
    assert.equal(location({ scheme: 'https' }, createExchange('GET / HTTP/1.0')), '400')
    assert.equal(location({ scheme: 'https' }, createExchange("GET / HTTP/1.1\nHost: a&b='c")), '400')
    assert.equal(location({ scheme: 'https', host: 'a.example' }, createExchange('GET /x HTTP/1.0')), 'https://a.example/x')
    assert.equal(location({ scheme: 'https' }, createExchange('GET / HTTP/1.1\nHost: [::1]:80')), 'https://[::1]/')
  })

  it('answers OPTIONS * with the root', () => {
    assert.equal(location({ scheme: 'https' }, createExchange('OPTIONS * HTTP/1.1\nHost: a.example')), 'https://a.example/')
  })

  it('is what the redirect filter answers, with its status', () => {
    const x = exchangeOf('/old')
    createRedirectFilter({ ...PARTS, status: 308, to: '/new' }).onRequest?.(x)
    assert.deepEqual(x.local, { status: 308, headers: ['Location', '/new'], body: null })
  })
})
