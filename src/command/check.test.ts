import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { createFakeIo, makeFolder } from '../../test/support/command-io.ts'
import { checkCommand } from './check.ts'

const GOOD = `
listeners: { web: { address: "127.0.0.1:0" } }
services: { a: { endpoints: ["127.0.0.1:1"] }, b: { endpoints: ["127.0.0.1:2"] } }
routes: { a: { match: { prefix: / }, to: a } }
`

test('a good configuration is summed up', async (t) => {
  const folder = makeFolder(t, { 'sluice.yaml': GOOD })
  const io = createFakeIo(folder)
  assert.equal(await checkCommand(['-c', join(folder, 'sluice.yaml')], io), 0)
  assert.equal(io.out(), `${join(folder, 'sluice.yaml')}: ok (1 listener, 2 services, 1 route)\n`)
  assert.equal(io.err(), '')
})

test('every mistake of a bad one is printed with its place', async (t) => {
  const folder = makeFolder(t, { 'bad.yaml': `${GOOD.replace('services:', 'servces:')}workers: many\nlog: { level: loud }\n` })
  const io = createFakeIo(folder)
  assert.equal(await checkCommand(['-c', join(folder, 'bad.yaml')], io), 1)
  assert.equal(io.out(), '')
  assert.match(io.err(), /bad\.yaml:3:1: servces: unknown key; did you mean "services"\?\n {2}servces: /)
  assert.match(io.err(), /bad\.yaml:5:10: workers: /)
  assert.match(io.err(), /bad\.yaml:6:\d+: log\.level: /)
  assert.match(io.err(), /bad\.yaml: \d+ problems\n$/)
})

test('--json tells both outcomes to a program', async (t) => {
  const folder = makeFolder(t, { 'good.yaml': GOOD, 'bad.yaml': 'listeners: 1\n' })
  const good = createFakeIo(folder)
  assert.equal(await checkCommand(['--json', '-c', join(folder, 'good.yaml')], good), 0)
  assert.deepEqual(JSON.parse(good.out()), { ok: true, problems: [] })
  const bad = createFakeIo(folder)
  assert.equal(await checkCommand(['--json', '-c', join(folder, 'bad.yaml')], bad), 1)
  const { ok, problems } = JSON.parse(bad.out()) as { ok: boolean; problems: { line: number; path: string }[] }
  assert.equal(ok, false)
  assert.deepEqual({ line: problems[0]!.line, path: problems[0]!.path }, { line: 1, path: 'listeners' })
  assert.equal(bad.err(), '')
})

test('the first of the usual files in the working folder is taken', async (t) => {
  const folder = makeFolder(t, { 'sluice.json': '{}', 'sluice.yml': GOOD })
  const io = createFakeIo(folder)
  assert.equal(await checkCommand([], io), 0)
  assert.match(io.out(), /^sluice\.yml: ok/)
})

test('a configuration in TypeScript is imported, and again when it has changed', async (t) => {
  const folder = makeFolder(t, {
    'sluice.config.ts': 'const port: number = 0\nexport default { listeners: { web: { address: `127.0.0.1:${port}` } } }\n',
  })
  const io = createFakeIo(folder)
  assert.equal(await checkCommand([], io), 0, io.err())
  assert.match(io.out(), /^sluice\.config\.ts: ok \(1 listener, 0 services, 0 routes\)/)
  const { writeFileSync } = await import('node:fs')
  writeFileSync(join(folder, 'sluice.config.ts'), 'export default { listners: {} }\n')
  const again = createFakeIo(folder)
  assert.equal(await checkCommand([], again), 1)
  assert.match(again.err(), /listners: unknown key/)
})

test('the environment is the one of the command', async (t) => {
  const folder = makeFolder(t, { 'sluice.yaml': GOOD.replace('127.0.0.1:0', '127.0.0.1:$' + '{PORT}') })
  assert.equal(await checkCommand([], createFakeIo(folder, { env: { PORT: '8080' } })), 0)
  const io = createFakeIo(folder)
  assert.equal(await checkCommand([], io), 1)
  assert.match(io.err(), /PORT/)
})
