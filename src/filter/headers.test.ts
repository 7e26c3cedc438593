import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GatewayError } from '../base/error.ts'
import type { HeaderEditConfig } from '../config/types.ts'
import { createLocalHead, type Exchange } from '../exchange/exchange.ts'
import { createExchange } from './exchange.contract.ts'
import { createHeadersFilter } from './headers.ts'

const NONE: HeaderEditConfig = { set: {}, add: {}, remove: [] }

function requestFilter(edit: Partial<HeaderEditConfig>) {
  return createHeadersFilter({ kind: 'headers', request: { ...NONE, ...edit }, response: NONE })
}

function responseFilter(edit: Partial<HeaderEditConfig>) {
  return createHeadersFilter({ kind: 'headers', request: NONE, response: { ...NONE, ...edit } })
}

function request(fields = ''): Exchange {
  const x = createExchange(`PUT /users/7?a=1 HTTP/1.1\nHost: Api.Example.com:8080${fields}`, { clientIp: '192.0.2.9' })
  x.route = { name: 'users', filters: null }
  x.requestId = 'id-1'
  x.params = { id: '7', name: 'caf\u00e9 \u20ac\r\nx: y' }
  return x
}

function edited(edit: Partial<HeaderEditConfig>, fields = ''): [string, string][] {
  const x = request(fields)
  requestFilter(edit).onRequest?.(x)
  return x.request.headers.toPairs().filter(([name]) => name !== 'Host')
}

describe('the headers filter', () => {
  it('sets, adds and removes', () => {
    const fields = '\nX-A: 1\nX-A: 2\nX-B: 3\nX-C: 4'
    assert.deepEqual(edited({ set: { 'x-a': 'new' } }, fields), [
      ['X-B', '3'],
      ['X-C', '4'],
      ['x-a', 'new'],
    ])
    assert.deepEqual(edited({ add: { 'x-b': 'more' }, remove: ['x-a', 'X-C'] }, fields), [
      ['X-B', '3'],
      ['x-b', 'more'],
    ])
  })

  it('removes first, then sets, then adds', () => {
    assert.deepEqual(edited({ remove: ['x-a'], set: { 'x-a': 'set' }, add: { 'x-a': 'added' } }, '\nX-A: old'), [
      ['x-a', 'set'],
      ['x-a', 'added'],
    ])
  })

  it('fills in placeholders', () => {
    const set = {
      a: '${clientIp} ${host} ${path} ${method} ${requestId} ${route} ${scheme}',
      b: 'user-${params.id}!',
      c: '$${host} costs $1',
      d: '[${params.none}]',
    }
    assert.deepEqual(edited({ set }), [
      ['a', '192.0.2.9 api.example.com /users/7 PUT id-1 users http'],
      ['b', 'user-7!'],
      ['c', '${host} costs $1'],
      ['d', '[]'],
    ])
  })

  it('cannot be made to send a second field by a parameter', () => {
    assert.deepEqual(edited({ set: { a: '${params.name}' } }), [['a', 'caf%C3%A9 %E2%82%AC%0D%0Ax: y']])
  })

  it('takes host as the Host that goes upstream', () => {
    const x = request()
    requestFilter({ set: { host: '${params.id}.internal:80' } }).onRequest?.(x)
    assert.equal(x.upstreamHost, '7.internal:80')
    assert.deepEqual(x.request.headers.toPairs(), [['Host', 'Api.Example.com:8080']])
  })

  it('refuses a request whose Host would be none', () => {
    const x = request()
    const filter = requestFilter({ set: { host: '${params.name}' } })
    assert.throws(
      () => filter.onRequest?.(x),
      (error) => error instanceof GatewayError && error.code === 'bad_request',
    )
    assert.throws(() => requestFilter({ set: { host: 'a b' } }), /header host: "a b" is not a host/)
  })

  it('edits responses, and knows the service then', () => {
    const x = request()
    x.service = { service: { name: 'people' } }
    x.response = createLocalHead(200)
    x.response.headers.add('Server', 'secret')
    const filter = responseFilter({ set: { 'x-service': '${service}' }, remove: ['server'] })
    assert.equal(filter.onRequest, null)
    filter.onResponse?.(x)
    assert.deepEqual(x.response.headers.toPairs(), [['x-service', 'people']])
  })

  it('does not compile what it cannot fill in', () => {
    assert.throws(
      () => requestFilter({ set: { a: '${clientip}' } }),
      /header a: there is no placeholder \$\{clientip\}; did you mean "clientIp"\?/,
    )
    assert.throws(() => requestFilter({ set: { a: '${host' } }), /a "}" is missing/)
    assert.throws(() => requestFilter({ add: { a: '${service}' } }), /known in the response only/)
  })

  it('is nothing on a side without edits', () => {
    const filter = requestFilter({})
    assert.equal(filter.onRequest, null)
    assert.equal(filter.onResponse, null)
  })
})
