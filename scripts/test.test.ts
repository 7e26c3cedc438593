import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { ROOT } from './files.ts'
import { selectTests } from './test.ts'

function makeRoot(t: TestContext, paths: string[]): string {
  const root = mkdtempSync(join(tmpdir(), 'select-'))
  t.after(() => rmSync(root, { recursive: true }))
  for (const path of paths) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), '')
  }
  return root
}

test('without arguments every test of every folder runs, and nothing else', (t) => {
  const root = makeRoot(t, [
    'src/a/b.test.ts',
    'src/a/b.ts',
    'test/e2e/c.test.ts',
    'scripts/d.test.ts',
    'bench/e.test.ts',
    'bench/node_modules/x/f.test.ts',
    'test/fixtures/g.test.ts',
    'console/h.test.ts',
  ])
  assert.deepEqual(selectTests([], root), {
    files: ['bench/e.test.ts', 'scripts/d.test.ts', 'src/a/b.test.ts', 'test/e2e/c.test.ts'],
    options: [],
  })
})

test('a folder, a file and options of node pass through', (t) => {
  const root = makeRoot(t, ['src/a/b.test.ts', 'src/a/c.test.ts', 'src/d.test.ts'])
  assert.deepEqual(selectTests(['src/a', '--test-only'], root), { files: ['src/a/b.test.ts', 'src/a/c.test.ts'], options: ['--test-only'] })
  assert.deepEqual(selectTests(['src/d.test.ts', './src/d.test.ts'], root).files, ['src/d.test.ts'])
})

test('a path without tests is an error, never a run of nothing that passes', (t) => {
  const root = makeRoot(t, ['src/a.test.ts'])
  assert.throws(() => selectTests(['src/typo'], root), /no tests in src\/typo/)
})

test('the output ends with the summary of the test runner, and a failing test fails the command', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'run-'))
  t.after(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'good.test.ts'), "import { test } from 'node:test'\ntest('good', () => {})\n")
  writeFileSync(join(folder, 'bad.test.ts'), "import { test } from 'node:test'\ntest('bad', () => { throw new Error('x') })\n")
  const run = (path: string) => {
    // Without this, the runner takes itself for a test file of the run it is started from.
    const { NODE_TEST_CONTEXT: _, ...env } = process.env
    return spawnSync(process.execPath, [join(ROOT, 'scripts/test.ts'), path], { encoding: 'utf8', env })
  }
  const good = run(join(folder, 'good.test.ts'))
  assert.equal(good.status, 0, good.stdout + good.stderr)
  assert.match(good.stdout, /ℹ tests 1\n(ℹ .*\n)+$/)
  assert.equal(run(folder).status, 1)
  assert.equal(run(join(folder, 'none')).status, 2)
})

/** A copy of the command in a tree of its own, run there on everything. */
function runEverything(t: TestContext, tests: Record<string, string>): { status: number | null; stdout: string } {
  const root = makeRoot(t, [])
  for (const file of ['test.ts', 'failed-files.ts', 'files.ts']) cpSync(join(ROOT, 'scripts', file), join(root, 'scripts', file))
  writeFileSync(join(root, 'package.json'), '{ "type": "module" }')
  mkdirSync(join(root, 'test'))
  for (const [name, body] of Object.entries(tests)) {
    writeFileSync(
      join(root, 'test', `${name}.test.ts`),
      `import fs from 'node:fs'\nimport { test } from 'node:test'\ntest('${name}', () => {${body}})\n`,
    )
  }
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const { status, stdout } = spawnSync(process.execPath, [join(root, 'scripts/test.ts')], { encoding: 'utf8', env })
  return { status, stdout }
}

const BAD_MOMENT = "if (!fs.existsSync('met')) { fs.writeFileSync('met', ''); throw new Error('a bad moment') }"

test('of everything, a file that failed runs once more alone, is named, and decides', (t) => {
  const met = runEverything(t, { good: '', unsteady: BAD_MOMENT })
  assert.equal(met.status, 0, met.stdout)
  assert.match(met.stdout, /ℹ fail 1\n.*run once more alone: test\/unsteady\.test\.ts\n.*ℹ tests 1\n.*ℹ fail 0\n/s)
  const broken = runEverything(t, { good: '', broken: "throw new Error('x')" })
  assert.equal(broken.status, 1)
  assert.equal(broken.stdout.split('✖ broken').length, 5, 'each run shows it in its order and at its end')
})

test('when many files fail, none gets another chance', (t) => {
  const { status, stdout } = runEverything(t, {
    a: BAD_MOMENT,
    b: "throw new Error('x')",
    c: "throw new Error('x')",
    d: "throw new Error('x')",
  })
  assert.equal(status, 1)
  assert.doesNotMatch(stdout, /once more/)
})
