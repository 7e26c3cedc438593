import assert from 'node:assert/strict'
import { test } from 'node:test'
import { diffConfig } from './diff.ts'
import { loadConfig } from './load.ts'
import type { GatewayConfig } from './types.ts'

async function load(text: string): Promise<GatewayConfig> {
  const unused = async () => assert.fail('nothing is read')
  const result = await loadConfig({ path: 'c.yaml', text, env: {}, readFile: unused, importModule: unused, cpuCount: 1 })
  assert.ok(result.ok)
  return result.config
}

const BASE = `listeners:
  a: { address: ":1" }
  b: { address: ":2" }
  c: { address: ":3" }
services:
  s: { endpoints: ["x:1"] }
  t: { endpoints: ["x:1"] }
routes:
  r: { match: { path: /r }, to: s }
`

test('equal configurations have no difference, whatever the order of keys', async () => {
  const shuffled = BASE.replace(
    '  s: { endpoints: ["x:1"] }\n  t: { endpoints: ["x:1"] }\n',
    '  t: { endpoints: ["x:1"] }\n  s: { endpoints: [{ address: "x:1" }] }\n',
  )
  const diff = diffConfig(await load(BASE), await load(shuffled))
  assert.ok(diff.isEmpty)
  assert.equal(diff.summary, 'no changes')
})

test('listeners are told apart by what has to happen to their socket', async () => {
  const after = BASE.replace('  a: { address: ":1" }\n', '')
    .replace('":2" }', '":22" }')
    .replace('":3" }', '":3", maxConnections: 5 }\n  d: { address: ":4" }')
  const diff = diffConfig(await load(BASE), await load(after))
  assert.deepEqual(diff.listeners, { added: ['d'], removed: ['a'], rebound: ['b'], changed: ['c'] })
  assert.equal(diff.summary, 'listeners: 1 added (d), 1 removed (a), 1 moved to another address (b), 1 changed (c)')
  assert.ok(!diff.isEmpty)
})

test('only services and routes that differ are named', async () => {
  const after = BASE.replace('  t: { endpoints: ["x:1"] }', '  t: { endpoints: ["x:2"] }\n  u: { endpoints: ["x:1"] }').replace(
    'path: /r',
    'path: /q',
  )
  const diff = diffConfig(await load(BASE), await load(after))
  assert.deepEqual(diff.services, { added: ['u'], removed: [], changed: ['t'] })
  assert.deepEqual(diff.routes, { added: [], removed: [], changed: ['r'] })
  assert.deepEqual(diff.listeners, { added: [], removed: [], rebound: [], changed: [] })
  assert.equal(diff.summary, 'services: 1 added (u), 1 changed (t); routes: 1 changed (r)')
})

test('the parts that belong to the whole gateway are flags', async () => {
  const diff = diffConfig(
    await load(BASE),
    await load(`${BASE}workers: 2\nadmin: null\naccessLog: null\nlog: { level: warn }\ndrainTimeout: 1s\noverload: {}\n`),
  )
  assert.deepEqual(
    [diff.admin, diff.accessLog, diff.log, diff.workers, diff.drainTimeout, diff.overload],
    [true, true, true, true, true, true],
  )
  assert.equal(diff.summary, 'admin changed; accessLog changed; log changed; workers changed; drainTimeout changed; overload changed')
})

test('long lists of names are cut in the summary', async () => {
  const more = Array.from({ length: 9 }, (_, i) => `  n${i}: { endpoints: ["x:1"] }\n`).join('')
  const diff = diffConfig(await load(BASE), await load(BASE.replace('services:\n', `services:\n${more}`)))
  assert.equal(diff.summary, 'services: 9 added (n0, n1, n2, n3, n4, ...)')
})
