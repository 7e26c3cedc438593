import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import findMyWay from 'find-my-way'
import type { MatchConfig, PathMatchConfig, ValueMatchConfig } from '../config/types.ts'
import { explainMatch } from './explain.ts'
import { createEntry, createRequest, exact, findByBruteForce, prefix, regex, template } from './routing.contract.ts'
import type { RouteEntry } from './rule.ts'
import { createRouteTable } from './table.ts'

// Few distinct values everywhere, so that routes meet each other and requests meet routes.
const word = fc.constantFrom('a', 'b', 'ab', 'users')
const segments = fc.array(word, { minLength: 1, maxLength: 4 })
const plainPath = segments.map((parts) => `/${parts.join('/')}`)
const part = fc.oneof(word, fc.constantFrom('{x}', '*'))
const templateText = fc
  .tuple(fc.array(part, { maxLength: 4 }), fc.boolean())
  .filter(([parts, open]) => (open || parts.length > 0) && parts.filter((text) => text === '{x}').length <= 1)
  .map(([parts, open]) => `/${[...parts, ...(open ? ['**'] : [])].join('/')}`)
const pattern = fc.oneof(
  fc.constantFrom('^/a/', '^/a/b', '^/users/\\w+$', 'b$', '^/a|b$', '^/ab?', '^/a/b*/', '^/(a|users)/', '.', '^/users\\/', '^/a/b{1}/'),
  plainPath.map((path) => `^${path}`),
  plainPath.map((path) => `^${path}/.*`),
)
const pathMatch: fc.Arbitrary<PathMatchConfig | null> = fc.oneof(
  fc.constant(null),
  plainPath.map(exact),
  templateText.map(template),
  templateText.map(template),
  fc.oneof(plainPath, fc.constant('/')).map(prefix),
  pattern.map(regex),
)
const host = fc.constantFrom('a.com', 'x.a.com', 'y.x.a.com', 'b.com', 'a.com.b.com')
const hosts = fc.option(
  fc.array(
    fc.oneof(
      host,
      host.map((name) => `*.${name}`),
      fc.constant('*.com'),
    ),
    { minLength: 1, maxLength: 3 },
  ),
)
const value: fc.Arbitrary<ValueMatchConfig> = fc
  .tuple(fc.constantFrom('p', 'q'), fc.constantFrom('1', '2'))
  .chain(([name, text]) =>
    fc.constantFrom<ValueMatchConfig>(
      { name, test: 'present' },
      { name, test: 'absent' },
      { name, test: 'exact', value: text },
      { name, test: 'regex', pattern: `^${text}` },
    ),
  )
const values = fc.oneof(
  { weight: 3, arbitrary: fc.constant<ValueMatchConfig[]>([]) },
  { weight: 1, arbitrary: fc.array(value, { maxLength: 2 }) },
)
const match: fc.Arbitrary<MatchConfig> = fc.record({
  hosts,
  path: pathMatch,
  methods: fc.option(fc.subarray(['GET', 'POST', 'HEAD']), { freq: 2 }),
  headers: values,
  query: values,
  cookies: values,
  clientIp: fc.option(fc.subarray(['192.0.2.1', '192.0.2.2']), { freq: 1 }),
})
const priority = fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: -1, max: 2 }) })
const entries = fc
  .array(fc.tuple(match, priority), { maxLength: 25 })
  .map((list) => list.map(([config, level], i) => createEntry(`r${(i * 7) % 25}`, config, level)))
const pairs = fc.array(fc.tuple(fc.constantFrom('p', 'q'), fc.constantFrom('1', '2', '12')), { maxLength: 3 })
const request = fc
  .record({
    host: fc.oneof(host, fc.constantFrom('', 'com', 'z.com', '.a.com')),
    method: fc.constantFrom('GET', 'POST', 'HEAD', 'PUT'),
    path: fc.oneof(
      plainPath,
      fc.array(fc.oneof(word, fc.constant('')), { minLength: 1, maxLength: 5 }).map((parts) => `/${parts.join('/')}`),
    ),
    clientIp: fc.constantFrom('192.0.2.1', '192.0.2.2', '192.0.2.3'),
    query: pairs.map((list) => list.map((pair) => pair.join('=')).join('&')),
    cookies: pairs.map((list) => list.map((pair) => pair.join('=')).join('; ')),
    headers: fc.dictionary(fc.constantFrom('p', 'q'), fc.constantFrom('1', '2', '12')),
  })
  .map(({ cookies, headers, ...rest }) => createRequest({ ...rest, headers: cookies === '' ? headers : { ...headers, cookie: cookies } }))

function assertAgreement(routes: RouteEntry<string>[], requests: ReturnType<typeof createRequest>[]): number {
  const table = createRouteTable(routes)
  let found = 0
  for (const one of requests) {
    const expected = findByBruteForce(routes, one)
    const actual = table.match(one)
    const explained = explainMatch(routes, one)
    assert.equal(actual?.route ?? null, expected, `the table for ${JSON.stringify(one)}`)
    assert.equal(explained.winner, expected, `explain for ${JSON.stringify(one)}`)
    assert.deepEqual({ ...explained.params }, { ...actual?.params })
    assert.equal(explained.considered.length, routes.length)
    assert.equal(explained.considered.find(({ matched }) => matched)?.name ?? null, expected)
    if (expected !== null) found++
  }
  return found
}

describe('table, explain and brute force', () => {
  it('find the same route for any routes and any request', () => {
    let found = 0
    let asked = 0
    fc.assert(
      fc.property(entries, fc.array(request, { minLength: 10, maxLength: 30 }), (routes, requests) => {
        asked += requests.length
        found += assertAgreement(routes, requests)
      }),
      { numRuns: 1000 },
    )
    // The generators are worth nothing when everything or nothing is found.
    assert.ok(found > asked * 0.2 && found < asked * 0.95, `${found} of ${asked} found`)
  })

  it('find the same route when every route is under the same host and has no conditions', () => {
    const bare = fc
      .array(pathMatch, { maxLength: 40 })
      .map((paths) => paths.map((path, i) => createEntry(`r${(i * 17) % 40}`, { path, hosts: ['a.com'] })))
    const plainRequest = fc.array(word, { maxLength: 5 }).map((parts) => createRequest({ host: 'a.com', path: `/${parts.join('/')}` }))
    fc.assert(
      fc.property(
        bare,
        fc.array(plainRequest, { minLength: 20, maxLength: 40 }),
        (routes, requests) => void assertAgreement(routes, requests),
      ),
      { numRuns: 500 },
    )
  })
})

describe('table and find-my-way', () => {
  // Both mean the same as long as no two routes differ in the order "leftmost literal" and "most literals": one wildcard per route.
  const parametric = fc
    .tuple(fc.array(word, { minLength: 1, maxLength: 4 }), fc.nat(4))
    .map(([parts, at]) => `/${parts.map((text, i) => (i === at ? '{x}' : text)).join('/')}`)

  it('find the same static or parametric route, with the same parameter', () => {
    fc.assert(
      fc.property(fc.uniqueArray(parametric, { maxLength: 30 }), fc.array(plainPath, { minLength: 20, maxLength: 40 }), (texts, paths) => {
        const table = createRouteTable(texts.map((text) => createEntry(text, { path: template(text) })))
        const oracle = findMyWay()
        for (const text of texts) oracle.on('GET', text.replace('{x}', ':x'), () => {}, text)
        for (const path of paths) {
          const expected = oracle.find('GET', path)
          const actual = table.match(createRequest({ path }))
          assert.equal(actual?.route ?? null, expected?.store ?? null, `${path} in ${texts.join(' ')}`)
          assert.equal(actual?.params?.x, expected?.params.x)
        }
      }),
      { numRuns: 500 },
    )
  })
})
