// `npm test`: every test of the repository in one run of Node's test runner, whose summary is the end of the output.
//   npm test                          everything
//   npm test -- src/route             the tests in a folder, or one file
//   npm test -- --test-name-pattern=x options go to node as they are
// Thousands of tests with real processes share two cores, so one that measures time can meet a bad moment. When everything was run and at
// most three files failed, these files alone decide: they run once more, and the output names them.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { isStarted, listFiles, ROOT } from './files.ts'

/** The folders that hold tests. The console has a toolchain of its own. */
export const TEST_FOLDERS = ['src', 'scripts', 'bench', 'examples', 'test']

/** One test may take this long unless it sets its own limit. */
const TEST_TIMEOUT_MS = 60_000
/** The whole run. Reached only when a test file leaves something open, which Node.js would wait for without end. */
const RUN_TIMEOUT_MS = 30 * 60_000
/** Test files at once: enough to use two cores, few enough that tests with real sockets keep their deadlines. */
const CONCURRENCY = 2
/** With more failed files than this something is broken, and the run has failed. */
const MAX_FILES_REPEATED = 3

/** What the arguments select: the test files, and the options for node. Throws when a path has no tests. */
export function selectTests(args: readonly string[], root = ROOT): { files: string[]; options: string[] } {
  const options = args.filter((argument) => argument.startsWith('-'))
  const paths = args.filter((argument) => !argument.startsWith('-'))
  const files = new Set<string>()
  for (const path of paths.length === 0 ? TEST_FOLDERS : paths) {
    const found = testsBelow(path, root)
    if (found.length === 0 && paths.length > 0) throw new Error(`no tests in ${path}`)
    for (const file of found) files.add(file)
  }
  return { files: [...files].sort(), options }
}

function testsBelow(path: string, root: string): string[] {
  const absolute = resolve(root, path)
  const stat = statSync(absolute, { throwIfNoEntry: false })
  if (stat?.isFile()) return [relative(root, absolute)]
  return listFiles(root, relative(root, absolute), (file) => file.endsWith('.test.ts'))
}

/** Runs `files` with Node's test runner; resolves with its exit code and the files in which something failed. */
async function run(files: readonly string[], options: readonly string[]): Promise<{ code: number; failed: string[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-test-'))
  const report = join(folder, 'failed')
  const node = [
    '--test',
    `--test-timeout=${TEST_TIMEOUT_MS}`,
    `--test-concurrency=${CONCURRENCY}`,
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    `--test-reporter=${join(import.meta.dirname, 'failed-files.ts')}`,
    `--test-reporter-destination=${report}`,
    // After the defaults, so that an option given by hand wins.
    ...options,
    ...files,
  ]
  const child = spawn(process.execPath, node, { cwd: ROOT, stdio: 'inherit' })
  let stopped = false
  const limit = setTimeout(() => {
    console.error(`npm test: stopped after ${RUN_TIMEOUT_MS / 60_000} minutes; the test files still running are named above`)
    child.kill('SIGINT')
    stopped = true
  }, RUN_TIMEOUT_MS)
  // A Ctrl-C reaches the test runner too; it prints its summary, and this process waits for it.
  const interrupt = () => {
    stopped = true
  }
  const terminate = () => {
    stopped = true
    child.kill('SIGTERM')
  }
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', terminate)
  try {
    const code = await new Promise<number>((resolve) => {
      child.on('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 1 : constants.signals[signal])))
    })
    const failed = stopped ? [] : readFileSync(report, 'utf8').split('\n').slice(0, -1)
    return { code, failed: failed.map((file) => relative(ROOT, file)) }
  } finally {
    clearTimeout(limit)
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', terminate)
    rmSync(folder, { recursive: true })
  }
}

async function main(args: readonly string[]): Promise<void> {
  let selected: ReturnType<typeof selectTests>
  try {
    selected = selectTests(args)
  } catch (error) {
    console.error(`npm test: ${(error as Error).message}`)
    process.exitCode = 2
    return
  }
  const { code, failed } = await run(selected.files, selected.options)
  process.exitCode = code
  if (args.length > 0 || code !== 1 || !mayRepeat(failed)) return
  console.log(`\nnpm test: failed among all the others, run once more alone: ${failed.join(' ')}\n`)
  process.exitCode = (await run(failed, ['--test-concurrency=1'])).code
}

/** Whether so few files failed that they may have met a bad moment. */
export function mayRepeat(failed: readonly string[]): boolean {
  return failed.length > 0 && failed.length <= MAX_FILES_REPEATED
}

if (isStarted(import.meta.filename)) await main(process.argv.slice(2))
