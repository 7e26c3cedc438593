import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mixHash } from './hash.ts'
import type { RequestOptions } from './routing.contract.ts'
import { createEntry, createRequest, exact, prefix, regex, template } from './routing.contract.ts'
import type { RouteEntry } from './rule.ts'
import { createRouteTable } from './table.ts'

/** The name of the route each request gets. */
function routesOf(entries: RouteEntry<string>[], requests: RequestOptions[]): (string | null)[] {
  const table = createRouteTable(entries)
  return requests.map((request) => table.match(createRequest(request))?.route ?? null)
}

/** The name of the route each path gets. */
function routesOfPaths(entries: RouteEntry<string>[], paths: string[]): (string | null)[] {
  return routesOf(
    entries,
    paths.map((path) => ({ path })),
  )
}

function paramsOf(text: string, path: string): Record<string, string> | null {
  const match = createRouteTable([createEntry('t', { path: template(text) })]).match(createRequest({ path }))
  return match?.params == null ? null : { ...match.params }
}

describe('an empty table', () => {
  it('matches nothing', () => assert.equal(createRouteTable([]).match(createRequest()), null))
})

describe('hosts', () => {
  const entries = [
    createEntry('any'),
    createEntry('exact', { hosts: ['API.Example.com.'] }),
    createEntry('wide', { hosts: ['*.example.com'] }),
    createEntry('narrow', { hosts: ['*.eu.example.com', '*.us.example.com'] }),
  ]

  it('prefer exact, then the longer wildcard, then the shorter, then any', () => {
    const hosts = [
      'api.example.com',
      'a.eu.example.com',
      'a.b.us.example.com',
      'www.example.com',
      'eu.example.com',
      'example.com',
      'other.org',
      '',
    ]
    assert.deepEqual(
      routesOf(
        entries,
        hosts.map((host) => ({ host })),
      ),
      ['exact', 'narrow', 'narrow', 'wide', 'wide', 'any', 'any', 'any'],
    )
  })

  it('need a label before the suffix of a wildcard, and a dot between them', () => {
    const wide = [createEntry('wide', { hosts: ['*.example.com'] })]
    const hosts = ['example.com', '.example.com', 'badexample.com', 'a.example.com.evil.org', 'x.y.example.com']
    assert.deepEqual(
      routesOf(
        wide,
        hosts.map((host) => ({ host })),
      ),
      [null, null, null, null, 'wide'],
    )
  })

  it('fall back to less specific hosts when path or conditions fail', () => {
    const layered = [
      createEntry('exact', { hosts: ['api.example.com'], path: prefix('/users'), methods: ['POST'] }),
      createEntry('wild', { hosts: ['*.example.com'], path: prefix('/users') }),
      createEntry('any', { path: prefix('/') }),
    ]
    const host = 'api.example.com'
    assert.deepEqual(
      routesOf(layered, [
        { host, path: '/users', method: 'POST' },
        { host, path: '/users', method: 'GET' },
        { host, path: '/orders' },
      ]),
      ['exact', 'wild', 'any'],
    )
  })

  it('are refused when the star is anywhere but in front of a dot', () => {
    for (const host of ['*', '*.', 'a.*.com', '*a.com', '**.com', '', '.']) {
      assert.throws(() => createRouteTable([createEntry('bad', { hosts: [host] })]), { message: /^route "bad": host / }, host)
    }
  })
})

describe('prefixes', () => {
  it('match whole segments only', () => {
    const entries = [createEntry('base', { path: prefix('/base') })]
    assert.deepEqual(routesOfPaths(entries, ['/base', '/base/', '/base/x', '/basement', '/bas', '/Base', '/']), [
      'base',
      'base',
      'base',
      null,
      null,
      null,
      null,
    ])
  })

  it('prefer the longer one, in whatever order they are written', () => {
    const entries = [
      createEntry('a', { path: prefix('/') }),
      createEntry('b', { path: prefix('/api') }),
      createEntry('c', { path: prefix('/api/v1/users') }),
    ]
    const paths = ['/api/v1/users/7', '/api/v1/usersX', '/api/v1', '/apix', '/']
    for (const order of [entries, entries.toReversed()]) assert.deepEqual(routesOfPaths(order, paths), ['c', 'b', 'b', 'a', 'a'])
  })

  it('mean the same with and without a slash at the end', () => {
    assert.deepEqual(routesOfPaths([createEntry('p', { path: prefix('/a/b/') })], ['/a/b', '/a/b/', '/a/b/c', '/a/bc']), [
      'p',
      'p',
      'p',
      null,
    ])
  })

  it('of / match every path', () => {
    assert.deepEqual(routesOfPaths([createEntry('root', { path: prefix('/') })], ['/', '/a', '//', '/a/b/', '*']), [
      'root',
      'root',
      'root',
      'root',
      'root',
    ])
  })
})

describe('exact paths', () => {
  it('tell a trailing slash apart', () => {
    assert.deepEqual(routesOfPaths([createEntry('a', { path: exact('/a') })], ['/a', '/a/', '/', '/ab']), ['a', null, null, null])
  })

  it('win over templates, regexes and prefixes, and leave to them what their conditions refuse', () => {
    const entries = [
      createEntry('none'),
      createEntry('prefix', { path: prefix('/users/me') }),
      createEntry('regex', { path: regex('^/users/me$'), headers: [{ name: 'x-regex', test: 'present' }] }),
      createEntry('template', { path: template('/users/{id}'), headers: [{ name: 'x-template', test: 'present' }] }),
      createEntry('exact', { path: exact('/users/me'), methods: ['GET'] }),
    ]
    const path = '/users/me'
    const headers = { 'x-regex': '', 'x-template': '' }
    assert.deepEqual(
      routesOf(entries, [
        { path, headers },
        { path, headers, method: 'PUT' },
        { path, headers: { 'x-regex': '' }, method: 'PUT' },
        { path, method: 'PUT' },
        { path: '/users/you' },
      ]),
      ['exact', 'template', 'regex', 'prefix', 'none'],
    )
  })

  it('are compared as the request will be forwarded: encoded, in normal form', () => {
    const entries = [
      createEntry('cafe', { path: exact('/café/%7Euser/%2f') }),
      createEntry('literal', { path: template('/straße') }),
      createEntry('prefix', { path: prefix('/日本') }),
      createEntry('template', { path: template('/ü/{id}') }),
    ]
    const paths = ['/caf%C3%A9/~user/%2F', '/stra%C3%9Fe', '/%E6%97%A5%E6%9C%AC/x', '/%C3%BC/1', '/caf%c3%a9/~user/%2F']
    assert.deepEqual(routesOfPaths(entries, paths), ['cafe', 'literal', 'prefix', 'template', null])
  })
})

describe('templates', () => {
  it('capture whole segments that are not empty', () => {
    assert.deepEqual(paramsOf('/users/{id}', '/users/1'), { id: '1' })
    assert.deepEqual(paramsOf('/{a}/x/{b-2}', '/1/x/2'), { a: '1', 'b-2': '2' })
    for (const path of ['/users', '/users/', '/users/1/', '/users/1/2', '/Users/1']) assert.equal(paramsOf('/users/{id}', path), null, path)
  })

  it('with a slash at the end want one', () => {
    assert.deepEqual(paramsOf('/users/{id}/', '/users/1/'), { id: '1' })
    assert.equal(paramsOf('/users/{id}/', '/users/1'), null)
  })

  it('take what is left by **, which may be nothing', () => {
    assert.deepEqual(paramsOf('/files/**', '/files/a/b%20c'), { rest: 'a/b c' })
    assert.deepEqual(paramsOf('/files/**', '/files/'), { rest: '' })
    assert.deepEqual(paramsOf('/files/**', '/files'), { rest: '' })
    assert.deepEqual(paramsOf('/users/{id}/**', '/users/1/posts/'), { id: '1', rest: 'posts/' })
    assert.deepEqual(paramsOf('/**', '/'), { rest: '' })
    assert.equal(paramsOf('/files/**', '/filesX'), null)
    assert.equal(paramsOf('/users/{id}/**', '/users'), null)
  })

  it('match one segment by * without capturing it', () => {
    const entries = [createEntry('star', { path: template('/a/*/c') })]
    assert.deepEqual(routesOfPaths(entries, ['/a/b/c', '/a//c', '/a/b/d', '/a/b/b/c']), ['star', null, null, null])
    assert.equal(paramsOf('/a/*/c', '/a/b/c'), null)
  })

  it('decode parameters, and leave malformed ones as they are', () => {
    assert.deepEqual(paramsOf('/u/{name}', '/u/caf%C3%A9+1'), { name: 'café+1' })
    assert.deepEqual(paramsOf('/u/{name}', '/u/a%2Fb'), { name: 'a/b' })
    for (const raw of ['%', '%zz', '%ff', 'a%C3', '%41%ff']) assert.deepEqual(paramsOf('/u/{name}', `/u/${raw}`), { name: raw })
  })

  it('give parameters that inherit nothing', () => {
    const table = createRouteTable([createEntry('t', { path: template('/{__proto__}/{constructor}') })])
    const params = table.match(createRequest({ path: '/a/b' }))?.params
    assert.deepEqual(Object.entries(params ?? {}), [
      ['__proto__', 'a'],
      ['constructor', 'b'],
    ])
    assert.equal(params?.['toString'], undefined)
  })

  it('prefer literals, then no **, then more segments, then literals further left', () => {
    const entries = ['/**', '/{a}/**', '/{a}/{b}', '/{a}/posts', '/users/{b}', '/users/**', '/users/{b}/**'].map((text) =>
      createEntry(text, { path: template(text) }),
    )
    assert.deepEqual(routesOfPaths(entries, ['/users/posts', '/users/1', '/x/posts', '/x/y', '/users', '/users/1/2', '/x/y/z', '/']), [
      '/users/{b}',
      '/users/{b}',
      '/{a}/posts',
      '/{a}/{b}',
      '/users/**',
      '/users/{b}/**',
      '/{a}/**',
      '/**',
    ])
  })

  it('are left again when the way down a literal ends nowhere', () => {
    const entries = ['/users/me/posts', '/{x}/me/{y}', '/users/{x}/likes'].map((text) => createEntry(text, { path: template(text) }))
    assert.deepEqual(routesOfPaths(entries, ['/users/me/likes', '/users/me/other', '/users/you/posts']), [
      '/users/{x}/likes',
      '/{x}/me/{y}',
      null,
    ])
  })

  const wrong: [string, RegExp][] = [
    ['users', /must start with \//],
    ['/a{b}', /"a\{b\}" is neither/],
    ['/{}', /is neither/],
    ['/{1a}', /is neither/],
    ['/a*', /is neither/],
    ['/**/a', /\*\* must be the last segment/],
    ['/{a}/{a}', /"a" appears twice/],
    ['/{rest}/**', /"rest" appears twice/],
  ]
  for (const [text, message] of wrong) {
    it(`are refused as ${text}`, () => assert.throws(() => createRouteTable([createEntry('t', { path: template(text) })]), message))
  }
})

describe('regexes', () => {
  it('match as they are written, anchored or not', () => {
    const entries = [
      createEntry('dir', { path: regex('^/dir(/.*)?$') }),
      createEntry('image', { path: regex('\\.(png|jpg)$') }),
      createEntry('either', { path: regex('^/x/|/y/z$') }),
    ]
    const paths = ['/dir', '/dir/a', '/directory', '/a/b.png', '/x/1', '/a/y/z', '/y/z/1']
    assert.deepEqual(routesOfPaths(entries, paths), ['dir', 'dir', null, 'image', 'either', 'either', null])
  })

  it('prefer the longer pattern', () => {
    const entries = [createEntry('a', { path: regex('^/a') }), createEntry('b', { path: regex('^/a/[0-9]+$') })]
    assert.deepEqual(routesOfPaths(entries, ['/a/1', '/a/x']), ['b', 'a'])
  })

  it('that are not valid are refused, never skipped', () => {
    assert.throws(
      () => createRouteTable([createEntry('bad', { path: regex('^/(') })]),
      /^Error: route "bad": regular expression "\^\/\(": /,
    )
    assert.throws(() => createRouteTable([createEntry('bad', { headers: [{ name: 'a', test: 'regex', pattern: '[' }] })]), /route "bad"/)
  })
})

describe('methods', () => {
  it('let HEAD in where GET is allowed', () => {
    const entries = [createEntry('read', { methods: ['GET'] }), createEntry('write', { methods: ['POST'] })]
    assert.deepEqual(
      routesOf(
        entries,
        ['GET', 'HEAD', 'POST', 'get', 'PUT'].map((method) => ({ method })),
      ),
      ['read', 'read', 'write', null, null],
    )
  })
})

describe('conditions', () => {
  it('make a route more specific by their number', () => {
    const entries = [
      createEntry('a', { path: prefix('/x') }),
      createEntry('b', { path: prefix('/x'), methods: ['GET'] }),
      createEntry('c', { path: prefix('/x'), methods: ['GET'], headers: [{ name: 'x-env', test: 'exact', value: 'canary' }] }),
    ]
    assert.deepEqual(
      routesOf(entries, [
        { path: '/x', headers: { 'x-env': 'canary' } },
        { path: '/x', headers: { 'x-env': 'canary2' } },
        { path: '/x', method: 'PUT', headers: { 'x-env': 'canary' } },
      ]),
      ['c', 'b', 'a'],
    )
  })

  it('are all asked before a less specific route is taken', () => {
    const entries = [
      createEntry('office', { path: exact('/admin'), clientIp: ['10.0.0.0/8', '2001:db8::/32'] }),
      createEntry('beta', { path: exact('/admin'), cookies: [{ name: 'beta', test: 'exact', value: '1' }] }),
      createEntry('debug', { path: prefix('/'), query: [{ name: 'debug', test: 'present' }] }),
      createEntry('rest', {}),
    ]
    const path = '/admin'
    assert.deepEqual(
      routesOf(entries, [
        { path, clientIp: '10.1.2.3', headers: { cookie: 'beta=2' } },
        { path, clientIp: '2001:db8::1' },
        { path, clientIp: '11.1.2.3', headers: { cookie: 'a=0; beta=1' } },
        { path, query: 'debug' },
        { path },
      ]),
      ['office', 'office', 'beta', 'debug', 'rest'],
    )
  })

  it('find header names that are written in upper case', () => {
    const entries = [createEntry('h', { headers: [{ name: 'X-Env', test: 'exact', value: 'a' }] })]
    assert.deepEqual(routesOf(entries, [{ headers: { 'x-env': 'a' } }, {}]), ['h', null])
  })

  it('refuse an address list that is not valid', () => {
    assert.throws(
      () => createRouteTable([createEntry('ip', { clientIp: ['10.0.0.0/40'] })]),
      /route "ip": "10\.0\.0\.0\/40" is not an address/,
    )
  })
})

describe('priority', () => {
  it('goes before host, path and conditions', () => {
    const entries = [
      createEntry('exact', { hosts: ['example.com'], path: exact('/a'), methods: ['GET'] }),
      createEntry('maintenance', { path: prefix('/a') }, 1),
      createEntry('last', { hosts: ['example.com'], path: exact('/b') }, -1),
      createEntry('any'),
    ]
    assert.deepEqual(routesOfPaths(entries, ['/a', '/b', '/c']), ['maintenance', 'any', 'any'])
  })

  it('still falls back when the conditions of the first fail', () => {
    const entries = [
      createEntry('exact', { path: exact('/a') }),
      createEntry('first', { methods: ['POST'] }, 5),
      createEntry('second', {}, 3),
    ]
    assert.deepEqual(routesOf(entries, [{ path: '/a', method: 'POST' }, { path: '/a' }]), ['first', 'second'])
  })
})

describe('equally specific routes', () => {
  it('are taken in the order of their names', () => {
    const entries = [createEntry('b', { path: prefix('/x') }), createEntry('a', { path: prefix('/x') })]
    assert.deepEqual(routesOfPaths(entries, ['/x']), ['a'])
    assert.deepEqual(routesOfPaths(entries.toReversed(), ['/x']), ['a'])
  })
})

describe('the object a match gives', () => {
  it('is the same every time when nothing is captured', () => {
    const table = createRouteTable([createEntry('a', { path: prefix('/a') })])
    assert.equal(table.match(createRequest({ path: '/a/1' })), table.match(createRequest({ path: '/a/2' })))
  })

  it('is fresh every time when something is captured', () => {
    const table = createRouteTable([createEntry('a', { path: template('/{x}') })])
    assert.notEqual(table.match(createRequest({ path: '/1' })), table.match(createRequest({ path: '/1' })))
  })
})

describe('segments with the same hash', () => {
  const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_'
  const triples = Array.from({ length: letters.length ** 3 }, (_, i) =>
    [i % 64, (i >> 6) % 64, i >> 12].map((index) => letters.charAt(index)).join(''),
  )

  function hashOf(text: string, seed = 0): number {
    let hash = seed
    for (let i = 0; i < text.length; i++) hash = mixHash(hash, text.charCodeAt(i))
    return hash
  }

  /** Another text of `start` and six letters with the hash of `target`: from both ends of the six letters to the middle. */
  function collide(target: string, start: string): string {
    const middle = new Map(triples.map((text) => [hashOf(text, hashOf(start)), text]))
    // mixHash backwards: multiply by the inverse of its factor modulo 2^32, then take the character off.
    let inverse = 1
    for (let i = 0; i < 5; i++) inverse = Math.imul(inverse, 2 - Math.imul(mixHash(0, 1), inverse))
    for (const text of triples) {
      let hash = hashOf(target)
      for (let i = 2; i >= 0; i--) hash = Math.imul(hash, inverse) ^ text.charCodeAt(i)
      const found = middle.get(hash)
      if (found !== undefined && start + found + text !== target) return start + found + text
    }
    throw new Error('no collision')
  }

  it('are told apart, also when one begins with the other', () => {
    const same = collide('usersX', '')
    const longer = collide('admin', 'admin')
    assert.equal(hashOf(same), hashOf('usersX'))
    assert.equal(hashOf(longer), hashOf('admin'))
    const entries = [createEntry('a', { path: prefix('/usersX') }), createEntry('b', { path: prefix('/admin') })]
    assert.deepEqual(routesOfPaths(entries, ['/usersX', `/${same}`, '/admin', `/${longer}`]), ['a', null, 'b', null])
    assert.deepEqual(routesOfPaths([createEntry('c', { path: prefix(`/${longer}`) })], [`/${longer}`, '/admin']), ['c', null])
  })
})

describe('hostile paths', () => {
  // Every level has a literal and a wildcard: a search that forgets where it has been takes 2^depth ways.
  const depth = 12
  const forked = Array.from({ length: 2 ** depth }, (_, bits) => {
    const parts = Array.from({ length: depth }, (_, level) => ((bits >> level) & 1 ? 'a' : '*'))
    return createEntry(`t${bits}`, { path: template(`/${parts.join('/')}/end`) })
  })

  /** How many character codes one match reads: the cost, told without a clock. */
  function countReads(table: ReturnType<typeof createRouteTable>, path: string): number {
    const original = String.prototype.charCodeAt
    let reads = 0
    String.prototype.charCodeAt = function (this: string, index: number) {
      reads++
      return original.call(this, index)
    }
    try {
      table.match(createRequest({ path }))
    } finally {
      String.prototype.charCodeAt = original
    }
    return reads
  }

  it('cost at most their length, however many segments they have', () => {
    const table = createRouteTable([...forked, createEntry('deep', { path: template('/*/a/**') })])
    const path = '/a'.repeat(32 * 1024)
    const reads = countReads(table, path)
    assert.ok(reads > 0 && reads <= path.length, `${reads} reads`)
  })

  it('with one endless segment are read once and compared once, not once per place', () => {
    const table = createRouteTable(forked)
    const path = `${'/a'.repeat(depth)}/${'e'.repeat(64 * 1024)}`
    const reads = countReads(table, path)
    // Besides, each of the tree's literals (fewer than 2^depth) is compared once.
    assert.ok(reads > 64 * 1024 && reads <= path.length + 2 ** depth, `${reads} reads`)
  })

  it('are matched by a tree as deep as themselves', () => {
    const text = '/*'.repeat(1000)
    const table = createRouteTable([createEntry('deep', { path: template(text) }), createEntry('open', { path: template(`${text}/**`) })])
    assert.equal(table.match(createRequest({ path: '/a'.repeat(1000) }))?.route, 'deep')
    assert.equal(table.match(createRequest({ path: '/a'.repeat(32 * 1024) }))?.route, 'open')
    assert.equal(table.match(createRequest({ path: '/'.repeat(64 * 1024) })), null)
  })
})
