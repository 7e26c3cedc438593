import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { explainMatch } from './explain.ts'
import type { RequestOptions } from './routing.contract.ts'
import { createEntry, createRequest, exact, prefix, regex, template } from './routing.contract.ts'
import type { RouteEntry } from './rule.ts'

/** One line per route: `+` where all the route asks holds, `-` where not. */
function explain(entries: RouteEntry<string>[], request: RequestOptions): string[] {
  return explainMatch(entries, createRequest(request)).considered.map(
    ({ name, matched, reason }) => `${matched ? '+' : '-'} ${name}: ${reason}`,
  )
}

describe('explainMatch', () => {
  it('names the winner and its parameters', () => {
    const entries = [createEntry('user', { path: template('/users/{id}') }), createEntry('all')]
    const { winner, params } = explainMatch(entries, createRequest({ path: '/users/7' }))
    assert.equal(winner, 'user')
    assert.deepEqual({ ...params }, { id: '7' })
  })

  it('has no winner when nothing matches', () => {
    assert.deepEqual(explainMatch([], createRequest()), { winner: null, params: null, considered: [] })
    assert.equal(explainMatch([createEntry('a', { path: exact('/a') })], createRequest()).winner, null)
  })

  it('goes through the routes from the most specific to the least', () => {
    const entries = [
      createEntry('any'),
      createEntry('users-prefix', { hosts: ['api.example.com'], path: prefix('/users') }),
      createEntry('users-exact', { hosts: ['api.example.com'], path: exact('/users'), methods: ['GET'] }),
      createEntry('users-wild', { hosts: ['*.example.com'], path: exact('/users') }),
    ]
    assert.deepEqual(explain(entries, { host: 'api.example.com', path: '/users' }), [
      '+ users-exact: the most specific match: host api.example.com, exact path /users, 1 other condition',
      '+ users-prefix: less specific than users-exact: prefix /users is less specific than exact path /users',
      '+ users-wild: less specific than users-exact: host *.example.com is less specific than host api.example.com',
      '+ any: less specific than users-exact: any host is less specific than host api.example.com',
    ])
  })

  const losses: [string, RouteEntry<string>, RequestOptions, string][] = [
    [
      'an exact host',
      createEntry('r', { hosts: ['www.example.com'] }),
      { host: 'api.example.com' },
      'host api.example.com does not match www.example.com',
    ],
    ['several hosts', createEntry('r', { hosts: ['*.b.com', 'a.com'] }), { host: 'b.com' }, 'host b.com does not match a.com or *.b.com'],
    ['no host in the request', createEntry('r', { hosts: ['a.com'] }), { host: '' }, 'the request names no host; wanted a.com'],
    ['an empty list of hosts', createEntry('r', { hosts: [] }), {}, 'it names no host'],
    ['an exact path', createEntry('r', { path: exact('/a') }), { path: '/a/' }, 'path /a/ does not match exact path /a'],
    ['a prefix', createEntry('r', { path: prefix('/a') }), { path: '/ab' }, 'path /ab does not match prefix /a'],
    ['a template', createEntry('r', { path: template('/a/{b}') }), { path: '/a' }, 'path /a does not match template /a/{b}'],
    ['a regex', createEntry('r', { path: regex('^/a$') }), { path: '/b' }, 'path /b does not match regex ^/a$'],
    ['the method', createEntry('r', { methods: ['GET'] }), { method: 'POST' }, 'method POST is not one of GET, HEAD'],
    [
      'a header',
      createEntry('r', { headers: [{ name: 'x-env', test: 'exact', value: 'canary' }] }),
      {},
      'header x-env is absent; wanted canary',
    ],
    [
      'the value of a header',
      createEntry('r', { headers: [{ name: 'x-env', test: 'exact', value: 'canary' }] }),
      { headers: { 'x-env': 'prod' } },
      'header x-env is "prod"; wanted canary',
    ],
    [
      'the form of a cookie',
      createEntry('r', { cookies: [{ name: 'id', test: 'regex', pattern: '^[0-9]+$' }] }),
      { headers: { cookie: 'a=1; id="x"' } },
      'cookie id is "x"; wanted a match of ^[0-9]+$',
    ],
    ['a query parameter', createEntry('r', { query: [{ name: 'v', test: 'present' }] }), { query: 'w=1' }, 'query parameter v is absent'],
    [
      'the value of a query parameter',
      createEntry('r', { query: [{ name: 'v', test: 'exact', value: '2' }] }),
      { query: 'v=a+b%21' },
      'query parameter v is "a b!"; wanted 2',
    ],
    [
      'what must be absent',
      createEntry('r', { headers: [{ name: 'x', test: 'absent' }] }),
      { headers: { x: '1' } },
      'header x is present; it must be absent',
    ],
    [
      'the client address',
      createEntry('r', { clientIp: ['10.0.0.0/8', '::1'] }),
      { clientIp: '192.0.2.9' },
      'client address 192.0.2.9 is not in 10.0.0.0/8, ::1',
    ],
  ]
  for (const [what, entry, request, reason] of losses) {
    it(`says when a route loses by ${what}`, () => assert.deepEqual(explain([entry], request), [`- r: ${reason}`]))
  }

  const beaten: [string, RouteEntry<string>, RouteEntry<string>, string][] = [
    ['priority', createEntry('w', {}, 2), createEntry('l', { path: exact('/a/b') }), 'loses to w: priority 0 is lower than priority 2'],
    [
      'a longer prefix',
      createEntry('w', { path: prefix('/a/b') }),
      createEntry('l', { path: prefix('/a') }),
      'less specific than w: prefix /a is shorter than prefix /a/b',
    ],
    [
      'more literal segments',
      createEntry('w', { path: template('/a/{x}') }),
      createEntry('l', { path: template('/{x}/{y}') }),
      'less specific than w: template /{x}/{y} has fewer literal segments than template /a/{x}',
    ],
    [
      'an end',
      createEntry('w', { path: template('/a/{x}') }),
      createEntry('l', { path: template('/a/**') }),
      'less specific than w: template /a/** matches longer paths as well, unlike template /a/{x}',
    ],
    [
      'more segments',
      createEntry('w', { path: template('/a/{x}/**') }),
      createEntry('l', { path: template('/a/**') }),
      'less specific than w: template /a/** has fewer segments than template /a/{x}/**',
    ],
    [
      'a literal further left',
      createEntry('w', { path: template('/a/{x}') }),
      createEntry('l', { path: template('/{x}/b') }),
      'less specific than w: template /{x}/b has a wildcard further left than template /a/{x}',
    ],
    [
      'more conditions',
      createEntry('w', { methods: ['GET'], clientIp: ['192.0.2.1'] }),
      createEntry('l', { methods: ['GET'] }),
      'less specific than w: it has 1 condition besides host and path, w has 2',
    ],
    ['name', createEntry('k'), createEntry('l'), 'loses to k: both are equally specific, and k comes first by name'],
  ]
  for (const [what, winner, loser, reason] of beaten) {
    it(`says when a route is beaten by ${what}`, () => {
      assert.equal(explain([loser, winner], { path: '/a/b' })[1], `+ l: ${reason}`)
    })
  }
})
