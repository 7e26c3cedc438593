// `npm test`: every test of the repository in one run of Node's test runner, whose summary is the end of the output.
//   npm test                          everything
//   npm test -- src/route             the tests in a folder, or one file
//   npm test -- --test-name-pattern=x options go to node as they are
// Thousands of tests with real processes share two cores, so one that measures time can meet a bad moment. When everything was run and at
// most three files failed, these files alone decide: they run once more, and the output names them.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { isStarted, listFiles, ROOT } from './files.ts'

/** The folders that hold tests. The console has a toolchain of its own. */
export const TEST_FOLDERS = ['src', 'scripts', 'bench', 'examples', 'test']

/** One test may take this long unless it sets its own limit. Far more than any takes, because a busy machine takes many times as long. */
const TEST_TIMEOUT_MS = 120_000
/** The whole run. Reached only when a test file never gives its thread back: what leaves something open is ended by ends-in-time.ts. */
const RUN_TIMEOUT_MS = 45 * 60_000
/** How long the test runner may take to print its summary when it is told to stop. */
const STOP_TIMEOUT_MS = 10_000
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

/** Runs `files` with Node's test runner; resolves with its exit code and the files in which something failed, none when it was stopped. */
async function run(files: readonly string[], options: readonly string[]): Promise<{ code: number; failed: string[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-test-'))
  const report = join(folder, 'failed')
  const node = [
    '--test',
    `--test-timeout=${TEST_TIMEOUT_MS}`,
    `--test-concurrency=${CONCURRENCY}`,
    `--import=${pathToFileURL(join(import.meta.dirname, 'ends-in-time.ts'))}`,
    // Each reporter has a destination, so reporters given by hand take the place of ours.
    ...(options.some((option) => option.startsWith('--test-reporter')) ? [] : reporters(report)),
    // After the defaults, so that an option given by hand wins.
    ...options,
    ...files,
  ]
  const child = spawn(process.execPath, node, { cwd: ROOT, stdio: 'inherit' })
  const stopper = new Stopper(child)
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.on('error', reject)
      child.on('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 1 : constants.signals[signal])))
    })
    if (stopper.isStopped) return { code: code === 0 ? 1 : code, failed: [] }
    const failed = existsSync(report) ? readFileSync(report, 'utf8').split('\n').slice(0, -1) : []
    return { code, failed: failed.map((file) => relative(ROOT, file)) }
  } finally {
    stopper.close()
    rmSync(folder, { recursive: true })
  }
}

function reporters(report: string): string[] {
  return [
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    `--test-reporter=${join(import.meta.dirname, 'failed-files.ts')}`,
    `--test-reporter-destination=${report}`,
  ]
}

/** Stops the test runner when the time is over or when this process is told to end; the runner prints its summary even so. */
class Stopper {
  isStopped = false
  readonly #child: ChildProcess
  readonly #limit: NodeJS.Timeout
  #force: NodeJS.Timeout | undefined
  // A Ctrl-C reaches the test runner too, and hearing of it twice does it no harm; a signal from elsewhere reaches only this process.
  readonly #stop = () => {
    this.isStopped = true
    this.#child.kill('SIGTERM')
    this.#force ??= setTimeout(() => this.#child.kill('SIGKILL'), STOP_TIMEOUT_MS)
  }

  constructor(child: ChildProcess) {
    this.#child = child
    this.#limit = setTimeout(() => {
      console.error(`npm test: stopped after ${RUN_TIMEOUT_MS / 60_000} minutes; the runner names the test files still running`)
      this.#stop()
    }, RUN_TIMEOUT_MS)
    process.on('SIGINT', this.#stop)
    process.on('SIGTERM', this.#stop)
  }

  close(): void {
    clearTimeout(this.#limit)
    clearTimeout(this.#force)
    process.off('SIGINT', this.#stop)
    process.off('SIGTERM', this.#stop)
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
  if (args.length > 0 || code !== 1 || !mayRepeat(failed, selected.files)) return
  console.log(`\nnpm test: failed among all the others, run once more alone: ${failed.join(' ')}\n`)
  process.exitCode = (await run(failed, ['--test-concurrency=1'])).code
}

/** Whether so few of the test files failed that they may have met a bad moment. A file that holds no tests of its own would pass alone. */
export function mayRepeat(failed: readonly string[], files: readonly string[]): boolean {
  return failed.length > 0 && failed.length <= MAX_FILES_REPEATED && failed.every((file) => files.includes(file))
}

if (isStarted(import.meta.filename)) await main(process.argv.slice(2))
