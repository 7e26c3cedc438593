import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { waitFor } from '../test/support/wait.ts'
import { ROOT } from './files.ts'
import { mayRepeat, selectTests } from './test.ts'

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
  const run = (path: string) => spawnSync(process.execPath, [join(ROOT, 'scripts/test.ts'), path], { encoding: 'utf8', env: environment() })
  const good = run(join(folder, 'good.test.ts'))
  assert.equal(good.status, 0, good.stdout + good.stderr)
  assert.match(good.stdout, /ℹ tests 1\n(ℹ .*\n)+$/)
  assert.equal(run(folder).status, 1)
  assert.equal(run(join(folder, 'none')).status, 2)
})

/** A copy of the command in a tree of its own, with these files in its `test` folder. Returns the tree. */
function makeTree(t: TestContext, files: Record<string, string>): string {
  const root = makeRoot(t, [])
  for (const file of ['test.ts', 'failed-files.ts', 'ends-in-time.ts', 'files.ts']) {
    cpSync(join(ROOT, 'scripts', file), join(root, 'scripts', file))
  }
  writeFileSync(join(root, 'package.json'), '{ "type": "module" }')
  mkdirSync(join(root, 'test'))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, 'test', name), text)
  return root
}

function environment(more: Record<string, string> = {}): NodeJS.ProcessEnv {
  // Without NODE_TEST_CONTEXT: the runner would take itself for a test file of the run it is started from.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  return { ...env, ...more }
}

function runTree(root: string, args: string[] = [], env: Record<string, string> = {}): { status: number | null; stdout: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'scripts/test.ts'), ...args], {
    encoding: 'utf8',
    env: environment(env),
    timeout: 50_000,
  })
  return { status, stdout: stdout + stderr }
}

/** The command run on everything, where that is one test in each file. */
function runEverything(t: TestContext, tests: Record<string, string>): { status: number | null; stdout: string } {
  const file = ([name, body]: [string, string]) => [
    `${name}.test.ts`,
    `import fs from 'node:fs'\nimport { test } from 'node:test'\ntest('${name}', () => {${body}})\n`,
  ]
  return runTree(makeTree(t, Object.fromEntries(Object.entries(tests).map(file))))
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

test('a file that crashes in any way is a failure, alone too', (t) => {
  const { status, stdout } = runEverything(t, {
    exits: 'process.exit(1)',
    killed: "process.kill(process.pid, 'SIGKILL'); for (;;);",
    parsed: '} this is no program {',
  })
  assert.equal(status, 1)
  assert.match(
    stdout,
    /ℹ fail 3\n.*run once more alone: test\/exits\.test\.ts test\/killed\.test\.ts test\/parsed\.test\.ts\n.*ℹ fail 3\n/s,
  )
})

test('a failure in a test that several files share repeats the file that was run, not the one it is written in', (t) => {
  const root = makeTree(t, {
    'contract.ts': "import { test } from 'node:test'\nexport const contract = () => test('contract', () => { throw new Error('x') })\n",
    'user.test.ts': "import { contract } from './contract.ts'\ncontract()\n",
  })
  const { status, stdout } = runTree(root)
  assert.match(stdout, /run once more alone: test\/user\.test\.ts\n/)
  assert.equal(status, 1)
})

test('only test files that were run may decide once more', () => {
  assert(mayRepeat(['a', 'b', 'c'], ['a', 'b', 'c', 'd']))
  assert(!mayRepeat([], ['a']))
  assert(!mayRepeat(['a', 'b', 'c', 'd'], ['a', 'b', 'c', 'd']))
  assert(!mayRepeat(['a', 'contract'], ['a', 'b']))
})

test('a file that does not end after its tests fails, and says what keeps it', (t) => {
  const root = makeTree(t, {
    'open.test.ts':
      "import net from 'node:net'\nimport { test } from 'node:test'\ntest('opens', () => void net.createServer().listen(0))\n",
    'closes.test.ts': "import { test } from 'node:test'\ntest('closes', () => {})\n",
  })
  const { status, stdout } = runTree(root, ['test'], { SLUICE_TEST_END_MS: '100' })
  assert.equal(status, 1)
  assert.match(stdout, /these keep the process alive: .*TCPServerWrap/)
  assert.match(stdout, /✔ closes.*✔ opens.*✖ test\/open\.test\.ts.*ℹ pass 2\nℹ fail 1\n/s)
})

test('a reporter given by hand takes the place of the usual ones, and an option node does not know fails', (t) => {
  const root = makeTree(t, { 'a.test.ts': "import { test } from 'node:test'\ntest('a', () => {})\n" })
  const { status, stdout } = runTree(root, ['--test-reporter=tap'])
  assert.match(stdout, /^TAP version 13\n.*ok 1 - a\n/s)
  assert.equal(status, 0)
  assert.equal(runTree(root, ['--no-such-option']).status, 9)
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} to the command alone ends the test files with it; the summary names them, and nothing is repeated`, async (t) => {
    const root = makeTree(t, {
      'bad.test.ts': "import { test } from 'node:test'\ntest('bad', () => { throw new Error('x') })\n",
      'long.test.ts':
        "import fs from 'node:fs'\nimport { test } from 'node:test'\ntest('long', async () => { fs.writeFileSync('pid', `${process.pid}`); await new Promise((resolve) => setTimeout(resolve, 40_000)) })\n",
    })
    const child = spawn(process.execPath, [join(root, 'scripts/test.ts')], { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] })
    t.after(() => void child.kill('SIGKILL'))
    let printed = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text))
    const exited = new Promise((resolve) => child.on('close', (code) => resolve(code)))
    const pidFile = join(root, 'pid')
    const pid = await waitFor(
      'both files',
      () => printed.includes('✖ bad') && existsSync(pidFile) && Number(readFileSync(pidFile, 'utf8')),
      {
        timeoutMs: 30_000,
      },
    )
    child.kill(signal)
    assert.equal(await exited, 1)
    assert.match(printed, /Interrupted while running:.*long\.test\.ts/s)
    assert.doesNotMatch(printed, /once more/)
    await waitFor('the end of the test file', () => !existsSync(`/proc/${pid}`))
  })
}
