// `npm test`: every test of the repository in one run of Node's test runner, whose summary is the end of the output.
//   npm test                          everything
//   npm test -- src/route             the tests in a folder, or one file
//   npm test -- --test-name-pattern=x options go to node as they are
import { spawn } from 'node:child_process'
import { statSync } from 'node:fs'
import { constants } from 'node:os'
import { relative, resolve } from 'node:path'
import { isStarted, listFiles, ROOT } from './files.ts'

/** The folders that hold tests. The console has a toolchain of its own. */
export const TEST_FOLDERS = ['src', 'scripts', 'bench', 'examples', 'test']

/** One test may take this long unless it sets its own limit. */
const TEST_TIMEOUT_MS = 60_000
/** The whole run. Reached only when a test file leaves something open, which Node.js would wait for without end. */
const RUN_TIMEOUT_MS = 30 * 60_000
/** Test files at once: enough to use two cores, few enough that tests with real sockets keep their deadlines. */
const CONCURRENCY = 2

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

function main(args: readonly string[]): void {
  let selected: ReturnType<typeof selectTests>
  try {
    selected = selectTests(args)
  } catch (error) {
    console.error(`npm test: ${(error as Error).message}`)
    process.exitCode = 2
    return
  }
  const node = [
    '--test',
    `--test-timeout=${TEST_TIMEOUT_MS}`,
    `--test-concurrency=${CONCURRENCY}`,
    // After the defaults, so that an option given by hand wins.
    ...selected.options,
    ...selected.files,
  ]
  const child = spawn(process.execPath, node, { cwd: ROOT, stdio: 'inherit' })
  const limit = setTimeout(() => {
    console.error(`npm test: stopped after ${RUN_TIMEOUT_MS / 60_000} minutes; the test files still running are named above`)
    child.kill('SIGINT')
  }, RUN_TIMEOUT_MS)
  // A Ctrl-C reaches the test runner too; it prints its summary, and this process waits for it.
  process.on('SIGINT', () => {})
  process.on('SIGTERM', () => child.kill('SIGTERM'))
  child.on('exit', (code, signal) => {
    clearTimeout(limit)
    process.exitCode = code ?? 128 + (signal === null ? 1 : constants.signals[signal])
  })
}

if (isStarted(import.meta.filename)) main(process.argv.slice(2))
