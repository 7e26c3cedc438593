import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { BANNED_CALLS, checkStructure, formatViolation } from './layers.ts'

const MAP = 'base/ codec/ config/ service/ proxy/ admin/ command/'

/** The violations of a small tree; `files` are added to a manifest and a map that are in order. */
function check(t: TestContext, files: Record<string, string>): string[] {
  const root = mkdtempSync(join(tmpdir(), 'layers-'))
  t.after(() => rmSync(root, { recursive: true }))
  const all = { 'ARCHITECTURE.md': MAP, 'package.json': '{"dependencies":{"yaml":"1"},"devDependencies":{"fast-check":"1"}}', ...files }
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  return checkStructure(root).map(formatViolation)
}

test('a tree in order has no violations', (t) => {
  const violations = check(t, {
    'src/base/clock.ts': 'export const now = () => Date.now()',
    'src/codec/a.ts': "import { now } from '../base/clock.ts'\nimport { b } from './b.ts'\n",
    'src/codec/b.ts': "import net from 'node:net'\nimport { parse } from 'yaml'\n// Date.now() is for others\n",
    'src/codec/b.test.ts': "import fc from 'fast-check'\nimport { x } from '../../test/support/x.ts'\nsetTimeout(() => {}, 1)\n",
    'src/main.ts': "import './command/run.ts'\nprocess.env['HOME']\n",
    'src/command/run.ts': "import { x } from '../base/clock.ts'\nsetTimeout(() => {}, 1)\n",
  })
  assert.deepEqual(violations, [])
})

test('an import against the order is refused, also as a type', (t) => {
  const violations = check(t, {
    'src/proxy/handle.ts': 'export type X = 1',
    'src/codec/a.ts': "\nimport type { X } from '../proxy/handle.ts'\n",
  })
  assert.equal(violations.length, 1)
  assert.match(violations[0]!, /^src\/codec\/a\.ts:2: src\/codec must not import src\/proxy\/handle\.ts/)
})

test('folders of one layer do not import each other', (t) => {
  const violations = check(t, { 'src/codec/a.ts': "import '../limit/b.ts'", 'src/limit/b.ts': '', 'ARCHITECTURE.md': `${MAP} limit/` })
  assert.equal(violations.length, 1)
  assert.match(violations[0]!, /must not import src\/limit\/b\.ts/)
})

test('a folder without a place in the order is refused', (t) => {
  const violations = check(t, { 'src/misc/a.ts': '', 'ARCHITECTURE.md': 'misc/' })
  assert.match(violations.join('\n'), /src\/misc has no place in the import order/)
})

test('src imports nothing from tests or scripts', (t) => {
  const violations = check(t, { 'src/base/a.ts': "import '../../scripts/x.ts'\nimport './b.test.ts'\n", 'src/base/b.test.ts': '' })
  assert.match(violations[0]!, /a\.ts:1: src must not import scripts\/x\.ts/)
  assert.match(violations[1]!, /a\.ts:2: src\/base\/b\.test\.ts is a test/)
})

test('what the package ships may be named from src', (t) => {
  const violations = check(t, {
    'package.json': '{"files":["examples/demo"]}',
    'src/command/a.ts': "new URL('../../package.json', import.meta.url)\nnew URL('../../examples/demo/a.yaml', import.meta.url)\n",
    'src/command/b.ts': "new URL('../../examples/other/a.yaml', import.meta.url)\n",
  })
  assert.equal(violations.length, 1)
  assert.match(violations[0]!, /b\.ts:1: src must not import examples\/other\/a\.yaml/)
})

test('an import cycle is named once with its path; a type-only import does not close one', (t) => {
  const violations = check(t, {
    'src/base/a.ts': "import './b.ts'",
    'src/base/b.ts': "import './c.ts'",
    'src/base/c.ts': "import './a.ts'",
    'src/base/d.ts': "import type { E } from './e.ts'",
    'src/base/e.ts': "import './d.ts'",
  })
  assert.equal(violations.length, 1)
  assert.match(violations[0]!, /import cycle: src\/base\/a\.ts -> src\/base\/b\.ts -> src\/base\/c\.ts -> src\/base\/a\.ts/)
})

const BANNED_SAMPLES = {
  'Date.now': 'const t = Date.now()',
  'new Date()': 'const t = new Date()',
  'performance.now': 'const t = performance.now()',
  'process.hrtime': 'const t = process.hrtime.bigint()',
  setTimeout: 'setTimeout(f, 1)',
  setInterval: 'globalThis.setInterval(f, 1)',
  'Math.random': 'const r = Math.random',
  'process.env': "const e = process.env['X']",
}

test('every banned call has a sample here', () => {
  assert.deepEqual(
    BANNED_CALLS.map(({ name }) => name),
    Object.keys(BANNED_SAMPLES),
  )
})

for (const [name, code] of Object.entries(BANNED_SAMPLES)) {
  test(`${name} is refused with its reason outside the files that may use it`, (t) => {
    const violations = check(t, { 'src/service/a.ts': `\n${code}\n`, 'src/base/clock.ts': code })
    assert.equal(violations.length, 1)
    assert.ok(violations[0]!.startsWith(`src/service/a.ts:2: ${name} is not allowed here: `), violations[0])
  })
}

test('what only looks like a banned call is let through', (t) => {
  const source = 'socket.setTimeout(5)\nnew Date(0)\ntimers.setInterval(f)\n"Date.now()"\nconst processEnv = 1'
  assert.deepEqual(check(t, { 'src/service/a.ts': source }), [])
})

test('timers are not to be had by import either', (t) => {
  const violations = check(t, { 'src/service/a.ts': "import { setTimeout as wait } from 'node:timers/promises'" })
  assert.match(violations[0]!, /node:timers\/promises is not allowed here/)
})

test('node:http stays off the data path but may serve the admin listener', (t) => {
  const violations = check(t, { 'src/proxy/a.ts': "import http from 'node:http'", 'src/admin/a.ts': "import http from 'node:http'" })
  assert.equal(violations.length, 1)
  assert.match(violations[0]!, /^src\/proxy\/a\.ts:1: node:http is not allowed on the data path/)
})

test('a package must be a dependency, and a built-in module is written with node:', (t) => {
  const violations = check(t, { 'src/base/a.ts': "import fc from 'fast-check'\nimport fs from 'fs'\nimport x from '@a/b/c'\n" })
  assert.match(violations[0]!, /a\.ts:1: fast-check is not in the dependencies/)
  assert.match(violations[1]!, /a\.ts:2: write node:fs/)
  assert.match(violations[2]!, /a\.ts:3: @a\/b is not in the dependencies/)
})

test('a file over 500 lines is refused, also a test', (t) => {
  const violations = check(t, { 'src/base/a.test.ts': '\n'.repeat(501), 'src/base/b.ts': '\n'.repeat(500) })
  assert.equal(violations.length, 1)
  assert.match(violations[0]!, /src\/base\/a\.test\.ts:501: 501 lines/)
})

test('a folder that the map does not name is refused', (t) => {
  const violations = check(t, { 'src/base/a.ts': '', 'ARCHITECTURE.md': 'database/ codec/' })
  assert.deepEqual(violations, ['ARCHITECTURE.md:1: does not name the folder base/'])
})
