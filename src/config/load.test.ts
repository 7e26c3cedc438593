import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import fc from 'fast-check'
import { defineConfig } from './define.ts'
import { formatProblems, type LoadInput, type LoadResult, loadConfig } from './load.ts'
import type { GatewayConfig } from './types.ts'

const MINIMAL = 'listeners: { web: { address: ":8080" } }\n'

function load(input: Partial<LoadInput> = {}): Promise<LoadResult> {
  return loadConfig({
    path: 'sluice.yaml',
    env: {},
    readFile: async () => assert.fail('no file is read'),
    importModule: async () => assert.fail('no module is imported'),
    cpuCount: 3,
    ...input,
  })
}

async function loadOk(text: string, input: Partial<LoadInput> = {}): Promise<GatewayConfig> {
  const result = await load({ text, ...input })
  assert.ok(result.ok, result.ok ? '' : formatProblems(result.problems))
  return result.config
}

async function problemsOf(input: Partial<LoadInput>): Promise<string[]> {
  const result = await load(input)
  assert.ok(!result.ok)
  return result.problems.map(({ path, message }) => `${path}: ${message}`)
}

const failWith = (code: string) => async () => {
  throw Object.assign(new Error(code), { code })
}

test('the smallest configuration gets every default', async () => {
  assert.deepEqual(await loadOk(MINIMAL), {
    workers: 3,
    admin: { address: { host: '127.0.0.1', port: 9900 }, token: null, tls: null },
    accessLog: { path: '-', format: 'json' },
    log: { level: 'info', format: 'json' },
    drainTimeoutMs: 30_000,
    overload: null,
    listeners: {
      web: {
        name: 'web',
        address: { host: '', port: 8080 },
        protocol: 'http',
        trustedProxies: [],
        maxConnections: 10_000,
        maxConnectionsPerClient: 1024,
        maxRequestsPerConnection: 0,
        limits: { headBytes: 61_440, headers: 100, uriBytes: 8192, bodyBytes: 1_073_741_824 },
        timeouts: { headMs: 10_000, bodyMs: 30_000, sendMs: 60_000, idleMs: 75_000 },
        headers: { underscore: 'drop', forwarded: 'x-forwarded', via: 'sluice', requestId: true },
        path: { mergeSlashes: true, escapedSlashes: 'reject' },
        http2: { maxConcurrentStreams: 100, streamWindowBytes: 262_144, connectionWindowBytes: 1_048_576 },
        tls: null,
        httpsRedirect: null,
        proxyProtocol: null,
      },
    },
    services: {},
    routes: {},
  })
})

test('a service and a route get every default', async () => {
  const config = await loadOk(`${MINIMAL}services: { a: { endpoints: ["b:1"] } }\nroutes: { r: { to: a } }\n`)
  assert.deepEqual(config.services['a'], {
    name: 'a',
    endpoints: [{ address: 'b:1', host: 'b', port: 1, weight: 1, tags: {} }],
    protocol: 'http1',
    hostHeader: 'preserve',
    balance: { algorithm: 'round-robin' },
    pool: { idleTimeoutMs: 90_000, connectTimeoutMs: 1000, maxConnections: 1024, maxPending: 1024, pendingTimeoutMs: 1000 },
    timeouts: { requestMs: 15_000, perTryMs: null, idleMs: 60_000, propagate: true },
    health: null,
    ejection: { maxFails: 3, failTimeoutMs: 10_000, outliers: null },
    retry: {
      attempts: 2,
      on: ['connect-failure', 'refused-stream', 'reset', 'timeout', '503'],
      budgetRatio: 0.2,
      nonIdempotent: false,
      replayBytes: 65_536,
    },
    breaker: null,
    concurrency: null,
    hedge: null,
    fallback: null,
    http2: null,
    proxyProtocol: null,
    tls: null,
  })
  assert.deepEqual(config.routes['r'], {
    name: 'r',
    match: { hosts: null, path: null, methods: null, headers: [], query: [], cookies: [], clientIp: null },
    priority: 0,
    filters: [],
    destination: { kind: 'services', services: [{ service: 'a', weight: 1 }] },
    timeouts: { requestMs: null, perTryMs: null },
    maxBodyBytes: null,
    importance: 'normal',
    concurrency: null,
    fallback: null,
    webSocket: {
      isRequired: false,
      origins: null,
      idleMs: 300_000,
      pingMs: null,
      maxLifetimeMs: null,
      maxConnections: null,
      maxConnectionsPerClient: null,
      maxMessageBytes: null,
      messagesPerSecond: null,
    },
    upgrades: [],
  })
})

test('short and long forms mean the same', async () => {
  const rest = 'match: { path: /a }, respond: {}'
  const short = await loadOk(
    `${MINIMAL}services: { a: { endpoints: ["b:1"], balance: random } }\nroutes: { r: { ${rest}, filters: [{ redirect: /x }, { headers: { request: { remove: A } } }] } }\n`,
  )
  const long = await loadOk(
    `${MINIMAL}services: { a: { endpoints: [{ address: "b:1" }], balance: { algorithm: random } } }\nroutes: { r: { ${rest}, filters: [{ redirect: { to: /x } }, { headers: { request: { remove: [a] } } }] } }\n`,
  )
  assert.deepEqual(short, long)
})

test('conditions on values become tests, header names lower case, cookies and queries as written', async () => {
  const config = await loadOk(
    `${MINIMAL}routes: { r: { match: { headers: { X-B: "1", X-A: { regex: "^c" } }, query: { Q: true }, cookies: { C: false } }, respond: {} } }\n`,
  )
  const { headers, query, cookies } = config.routes['r']!.match
  assert.deepEqual(headers, [
    { name: 'x-a', test: 'regex', pattern: '^c' },
    { name: 'x-b', test: 'exact', value: '1' },
  ])
  assert.deepEqual(query, [{ name: 'Q', test: 'present' }])
  assert.deepEqual(cookies, [{ name: 'C', test: 'absent' }])
})

test('a path with braces or a star is a template, others are exact, prefixes lose a last slash', async () => {
  const config = await loadOk(
    `${MINIMAL}routes:\n  a: { match: { path: /a }, respond: {} }\n  b: { match: { path: "/b/{id}/**" }, respond: {} }\n  c: { match: { prefix: /c/ }, respond: {} }\n  d: { match: { prefix: / }, respond: {} }\n`,
  )
  assert.deepEqual(
    Object.values(config.routes).map((route) => route.match.path),
    [
      { kind: 'exact', path: '/a' },
      { kind: 'template', template: '/b/{id}/**' },
      { kind: 'prefix', prefix: '/c' },
      { kind: 'prefix', prefix: '/' },
    ],
  )
})

test('policies are expanded in order', async () => {
  const config = await loadOk(
    `${MINIMAL}policies: { p: [{ strip-prefix: /a }, { strip-prefix: /b }], none: [] }\nroutes: { r: { filters: [{ strip-prefix: /0 }, p, none, { strip-prefix: /z }], respond: {} } }\n`,
  )
  assert.deepEqual(
    config.routes['r']!.filters.map((filter) => filter.kind === 'strip-prefix' && filter.prefix),
    ['/0', '/a', '/b', '/z'],
  )
})

test('a map as body is sent as JSON unless its type is given', async () => {
  const config = await loadOk(
    `${MINIMAL}routes: { a: { match: { path: /a }, respond: { body: { x: [1, null] } } }, b: { match: { path: /b }, respond: { headers: { Content-Type: application/x }, body: [] } } }\n`,
  )
  assert.deepEqual(config.routes['a']!.destination, {
    kind: 'respond',
    respond: { status: 200, headers: { 'content-type': 'application/json' }, body: '{"x":[1,null]}' },
  })
  assert.deepEqual(config.routes['b']!.destination, {
    kind: 'respond',
    respond: { status: 200, headers: { 'content-type': 'application/x' }, body: '[]' },
  })
})

test('a redirect as text is temporary and keeps the query', async () => {
  const config = await loadOk(`${MINIMAL}routes: { a: { redirect: "https://example.com/" } }\n`)
  const redirect = {
    status: 302,
    to: 'https://example.com/',
    scheme: null,
    host: null,
    port: null,
    path: null,
    stripPrefix: null,
    keepQuery: true,
  }
  assert.deepEqual(config.routes['a']!.destination, { kind: 'redirect', redirect })
})

test('substituted text is typed only where text is not accepted', async () => {
  const text = `workers: "\${N}"\nadmin: { token: "\${TOKEN}" }\nlisteners: { web: { address: ":\${PORT}", headers: { requestId: "\${ID}" } } }
services: { a: { endpoints: ["b:1"], ejection: "\${OFF}", timeouts: { request: "\${ZERO}" } } }
routes: { r: { match: { headers: { x: "\${ID}" } }, respond: { body: "\${N}" } } }\n`
  const config = await loadOk(text, { env: { N: '5', TOKEN: '12345678901234567890', PORT: '81', ID: 'false', OFF: 'null', ZERO: '0' } })
  assert.equal(config.workers, 5)
  assert.equal(config.admin?.token, '12345678901234567890')
  assert.equal(config.listeners['web']!.address.port, 81)
  const { web } = config.listeners
  assert.ok(web?.protocol === 'http')
  assert.equal(web.headers.requestId, false)
  assert.equal(config.services['a']!.ejection, null)
  assert.equal(config.services['a']!.timeouts.requestMs, 0)
  assert.deepEqual(config.routes['r']!.match.headers, [{ name: 'x', test: 'exact', value: 'false' }])
  assert.deepEqual(config.routes['r']!.destination, { kind: 'respond', respond: { status: 200, headers: {}, body: '5' } })
})

test('what is written in quotes without substitution stays text', async () => {
  assert.deepEqual(await problemsOf({ text: `workers: "5"\n${MINIMAL}` }), [
    'workers: found "5"; expected auto or a whole number from 1 to 64',
  ])
})

test('files are read once, relative to the configuration, and listed for watching', async () => {
  const reads: string[] = []
  const text =
    'admin: { token: "${file:secret/token}" }\nlisteners: { web: { address: ":1", headers: { via: "${file:/abs}" } }, b: { address: ":2", headers: { via: "${file:/abs}" } } }\n'
  const path = resolve('/etc/sluice/sluice.yaml')
  const readFile = async (file: string) => {
    reads.push(file)
    return file === path ? text : file === '/abs' ? 'name\n' : '0123456789abcdef\n'
  }
  const result = await load({ path, readFile })
  assert.ok(result.ok)
  assert.deepEqual(result.files, [path, resolve(dirname(path), 'secret/token'), '/abs'])
  assert.deepEqual(reads, result.files)
  assert.equal(result.config.admin?.token, '0123456789abcdef')
})

test('a failed load lists the files as well, so that a repair of one is noticed', async () => {
  const result = await load({ path: '/c.yaml', text: `admin: { token: "\${file:/none}" }\n${MINIMAL}`, readFile: failWith('ENOENT') })
  assert.ok(!result.ok)
  assert.deepEqual(result.files, ['/c.yaml', '/none'])
})

test('an unreadable file is one clear problem', async () => {
  assert.deepEqual(await problemsOf({ readFile: failWith('ENOENT') }), [': does not exist'])
  assert.deepEqual(await problemsOf({ readFile: failWith('EACCES') }), [': may not be read (permission denied)'])
  assert.deepEqual(await problemsOf({ readFile: failWith('EISDIR') }), [': is a directory'])
})

test('a secret from a file is not printed when it is in the wrong place', async () => {
  const text =
    'listeners: { web: { address: ":1", timeouts: { idle: "${file:/s}" }, headers: { underscore: "${file:/s}" } } }\nroutes: { r: { to: "x" } }\n'
  const result = await load({ text, readFile: async () => 'hunter2' })
  assert.ok(!result.ok)
  assert.ok(!formatProblems(result.problems).includes('hunter2'))
})

test('a byte order mark is skipped and CRLF lines are counted', async () => {
  await loadOk(`\ufeff${MINIMAL}`)
  const result = await load({ text: `${MINIMAL.trimEnd()}\r\nworkers: x\r\n` })
  assert.ok(!result.ok)
  assert.deepEqual([result.problems[0]?.line, result.problems[0]?.column, result.problems[0]?.sourceLine], [2, 10, 'workers: x'])
})

test('auto workers are at least one', async () => assert.equal((await loadOk(MINIMAL, { cpuCount: 0 })).workers, 1))

const OPTIONS = { listeners: { web: { address: ':8080' } }, routes: {} }

const loadExport = (exported: unknown, path = '/etc/sluice.config.ts') =>
  load({ path, importModule: async () => ({ default: exported }), env: { PORT: '99' } })

test('a module exports options, a function or a promise of them', async () => {
  for (const exported of [OPTIONS, () => OPTIONS, async () => OPTIONS, Promise.resolve(OPTIONS)]) {
    const result = await loadExport(exported)
    assert.ok(result.ok)
    assert.equal(result.module, null)
  }
  const result = await loadExport(({ env }: { env: Record<string, string> }) => ({ listeners: { web: { address: `:${env['PORT']}` } } }))
  assert.ok(result.ok && result.config.listeners['web']!.address.port === 99)
})

test('a real module is imported by its file URL', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-'))
  try {
    const path = join(directory, 'sluice.config.ts')
    writeFileSync(
      path,
      `const filter = (x: number): number => x\nexport default { listeners: { web: { address: ':1' } }, routes: { r: { filters: [filter], respond: {} } } }\n`,
    )
    const result = await load({ path, importModule: (url) => import(url) })
    assert.ok(result.ok && result.module !== null)
    const { default: exported } = (await import(result.module)) as { default: { routes: { r: { filters: unknown[] } } } }
    assert.equal(typeof exported.routes.r.filters[0], 'function')
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('the types of a configuration know its keys and the filter type', () => {
  defineConfig({
    listeners: { web: { address: ':1', timeouts: { head: '5s', body: 0 } } },
    routes: {
      r: {
        filters: ['p', { 'strip-prefix': '/x' }, (x, next) => (x.request.path === '/' ? x.respond(204) : next())],
        respond: { body: { a: 1 } },
      },
    },
  })
  defineConfig(({ env }) => ({ listeners: { web: { address: `:${env['PORT']}` } } }))
  // @ts-expect-error: an unknown key.
  defineConfig({ listeners: {}, listenrs: {} })
  // @ts-expect-error: a number is no duration.
  defineConfig({ listeners: { web: { address: ':1', timeouts: { head: 5 } } } })
})

test('functions become references with their path, also through a policy', async () => {
  const tag = () => {}
  const result = await loadExport(
    defineConfig({
      listeners: { web: { address: ':8080' } },
      policies: { p: [{ 'strip-prefix': '/a' }, tag] },
      routes: { r: { filters: ['p', () => {}], respond: {} } },
    }),
  )
  assert.ok(result.ok)
  assert.equal(result.module, pathToFileURL('/etc/sluice.config.ts').href)
  assert.deepEqual(result.config.routes['r']!.filters.slice(1), [
    { kind: 'custom', ref: { kind: 'function', path: ['policies', 'p', 1], name: 'tag' } },
    { kind: 'custom', ref: { kind: 'function', path: ['routes', 'r', 'filters', 1], name: 'anonymous' } },
  ])
  assert.doesNotThrow(() => structuredClone(result.config))
})

test('problems of a module have no line, and are still all reported', async () => {
  const result = await loadExport({ listeners: { web: { adress: ':1', maxConnections: () => 5 } }, routes: { r: { to: 'x' } } })
  assert.ok(!result.ok)
  assert.equal(
    formatProblems(result.problems),
    [
      '/etc/sluice.config.ts: listeners.web.adress: unknown key; did you mean "address"?',
      '/etc/sluice.config.ts: listeners.web.maxConnections: found a function; expected a whole number from 1 to 1000000',
      '/etc/sluice.config.ts: routes.r.to: no service named "x"; there are no services',
      '',
    ].join('\n'),
  )
})

test('a module that throws, exports nothing or exports what is no data is a problem', async () => {
  const broken = { path: 'a.mjs', importModule: () => Promise.reject(new Error('boom')) }
  assert.deepEqual(await problemsOf(broken), [': cannot be imported: boom'])
  assert.match((await problemsOf({ path: 'a.js', importModule: async () => ({}) }))[0]!, /no default export/)
  const self: Record<string, unknown> = { listeners: {} }
  self['routes'] = self
  const getter = Object.defineProperty({}, 'listeners', { enumerable: true, get: () => assert.fail('boom') })
  for (const exported of [
    self,
    getter,
    new Map(),
    { listeners: new Date(0) },
    { listeners: 5n },
    Symbol('x'),
    null,
    () => Promise.reject(new Error('x')),
  ]) {
    const result = await loadExport(exported)
    assert.ok(!result.ok && result.problems.length > 0)
    assert.equal(typeof formatProblems(result.problems), 'string')
  }
})

test('text formats cannot make a reference to a function', async () => {
  const filter = '{ kind: custom, ref: { kind: function, path: [a], name: b } }'
  const problems = await problemsOf({ text: `${MINIMAL}routes: { r: { filters: [${filter}], respond: {} } }\n` })
  assert.equal(problems.length, 2)
})

test('a name from the prototype is no service', async () => {
  assert.match(
    (await problemsOf({ text: `${MINIMAL}routes: { r: { filters: [toString], to: constructor } }\n` })).join(),
    /no policy named "toString".*no service named "constructor"/,
  )
})

test('ten thousand routes load in reasonable time', async () => {
  const routes = Array.from(
    { length: 10_000 },
    (_, i) => `  r${i}: { match: { host: h${i % 50}.example.com, path: "/a/${i}/{id}" }, to: s }\n`,
  ).join('')
  const before = process.cpuUsage()
  const config = await loadOk(`${MINIMAL}services: { s: { endpoints: ["b:1"] } }\nroutes:\n${routes}`)
  assert.equal(Object.keys(config.routes).length, 10_000)
  assert.ok(process.cpuUsage(before).user < 20_000_000)
})

const KEYS = [
  'listeners',
  'services',
  'routes',
  'policies',
  'web',
  'address',
  'match',
  'filters',
  'to',
  'respond',
  'redirect',
  'headers',
  'admin',
  'workers',
  'endpoints',
  'set',
  'rewrite',
  'path',
  'limits',
  '__proto__',
  'a b',
]
const key = fc.oneof(fc.constantFrom(...KEYS), fc.string({ maxLength: 4 }))
const leaf = fc.oneof(
  fc.constantFrom(':8080', 'a:1', '/x', '${A}', '${file:x}', '${', '5s', '1MiB', 'users', '{id}', '('),
  fc.string(),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
)
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof({ maxDepth: 6 }, leaf, fc.array(tie('tree'), { maxLength: 3 }), fc.dictionary(key, tie('tree'), { maxKeys: 6 })),
}))

test('random structures never make it throw, as text and as a module', async () => {
  await fc.assert(
    fc.asyncProperty(fc.dictionary(key, tree, { maxKeys: 6 }), async (value) => {
      const text = JSON.stringify(value)
      for (const result of [await load({ path: 'c.json', text, readFile: failWith('ENOENT') }), await loadExport(value)]) {
        if (result.ok) continue
        assert.ok(result.problems.length > 0)
        for (const problem of result.problems) assert.doesNotMatch(problem.message, /could not be loaded/, text)
        assert.equal(typeof formatProblems(result.problems), 'string')
      }
    }),
    { numRuns: 300, seed: 1 },
  )
})

test('random text never makes it throw', async () => {
  const piece = fc.constantFrom(
    'listeners',
    'web',
    ':',
    ' ',
    '\n',
    '  ',
    '\t',
    '- ',
    '{',
    '}',
    '[',
    ']',
    '"',
    "'",
    '*a',
    '&a',
    '!x',
    '|',
    '>',
    '#',
    '%',
    '${A}',
    ',',
    '?',
    '<<',
    '---\n',
    'x',
    '\r',
    '\u0000',
  )
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 60 }), async (pieces) => {
      const result = await load({ text: pieces.join('') })
      if (result.ok) return
      for (const problem of result.problems) assert.doesNotMatch(problem.message, /could not be loaded/, pieces.join(''))
      formatProblems(result.problems)
    }),
    { numRuns: 1000, seed: 2 },
  )
})
