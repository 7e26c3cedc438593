import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createFakeIo, makeFolder } from '../../test/support/command-io.ts'
import { checkCommand } from './check.ts'
import { initCommand } from './init.ts'

test('the starter is valid as it is written', async (t) => {
  const io = createFakeIo(makeFolder(t))
  assert.equal(await initCommand([], io), 0)
  assert.match(io.out(), /^wrote sluice\.yaml/)
  assert.equal(await checkCommand([], io), 0, io.err())
  assert.match(io.out(), /sluice\.yaml: ok \(1 listener, 1 service, 2 routes\)/)
})

test('what is there is never overwritten', async (t) => {
  const folder = makeFolder(t, { 'sluice.yaml': 'mine' })
  const io = createFakeIo(folder)
  assert.equal(await initCommand([], io), 1)
  assert.match(io.err(), /sluice\.yaml exists already/)
  assert.equal(readFileSync(join(folder, 'sluice.yaml'), 'utf8'), 'mine')
})

test('--ts writes the same configuration as a module', async (t) => {
  const folder = makeFolder(t)
  const io = createFakeIo(folder)
  assert.equal(await initCommand(['--ts'], io), 0)
  const text = readFileSync(join(folder, 'sluice.config.ts'), 'utf8')
  // The temporary folder has no package `sluice` to import from.
  const { writeFileSync } = await import('node:fs')
  writeFileSync(join(folder, 'sluice.config.ts'), text.replace(/^import .*$/m, 'const defineConfig = <T>(config: T): T => config'))
  assert.equal(await checkCommand([], io), 0, io.err())
  assert.match(io.out(), /sluice\.config\.ts: ok \(1 listener, 1 service, 2 routes\)/)
})
