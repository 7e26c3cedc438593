import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { endsWithUs } from './children.ts'
import type { CleanupScope } from './cleanup.ts'
import { type RunResult, runProgram } from './run.ts'

/** The launcher of this checkout. */
export const LAUNCHER = join(import.meta.dirname, '../../bin/sluice')

export interface StartOptions {
  /** The name of the config file. Default `sluice.yaml`, or `sluice.json` for an object. */
  fileName?: string
  /** More arguments for `sluice run`, such as `--watch`. */
  args?: string[]
  env?: Record<string, string | undefined>
  /** Other files in the config's folder, by name. */
  files?: Record<string, string>
  /** How long the start may take. Default 90 s: it takes one, and a busy machine takes many times as long. */
  timeoutMs?: number
}

/** A running `sluice run`. */
export interface SluiceProcess {
  pid: number
  /** `http://127.0.0.1:port` of the first listener. */
  url: string
  /** The port of a listener; of the first one without a name. */
  port(name?: string): number
  /** `http://host:port` of the admin listener, or null when it is off. */
  adminUrl: string | null
  /** The folder and the file of the configuration. */
  folder: string
  configPath: string
  /** Everything printed so far, standard output and standard error, by line (the last 20,000). */
  logs: string[]
  /** Replaces the configuration in one step (write, rename), as editors and deployments do. Reloads nothing. */
  writeConfig(config: string | object): void
  /** Replaces the configuration and asks the admin listener to load it; resolves when that is done or refused. */
  reload(config: string | object): Promise<{ status: number; problems: { message: string; path?: string; line?: number }[] }>
  signal(name: NodeJS.Signals): void
  /** SIGTERM, then waits for the end. */
  stop(): Promise<Exit>
  /** SIGKILL, then waits for the end. */
  kill(): Promise<Exit>
  /** Resolves when the process has ended. */
  exited: Promise<Exit>
}

export interface Exit {
  code: number | null
  signal: NodeJS.Signals | null
}

const STOP_TIMEOUT_MS = 40_000
const MAX_LOG_LINES = 20_000

/**
 * Starts `sluice run` with a configuration of its own in a temporary folder and waits until it serves. Listeners belong on port 0
 * (`address: "127.0.0.1:0"`); an admin listener on port 0 is added when the configuration does not mention one.
 */
export async function startSluice(scope: CleanupScope, config: string | object, options: StartOptions = {}): Promise<SluiceProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-test-'))
  const configPath = join(folder, options.fileName ?? (typeof config === 'string' ? 'sluice.yaml' : 'sluice.json'))
  for (const [name, text] of Object.entries(options.files ?? {})) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  writeFileSync(configPath, toText(config))
  const child = spawn(process.execPath, [LAUNCHER, 'run', '--json', '-c', configPath, ...(options.args ?? [])], {
    cwd: folder,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  endsWithUs(child)
  const exited = new Promise<Exit>((resolve) => child.once('close', (code, signal) => resolve({ code, signal })))
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal)
    const force = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    const exit = await exited
    clearTimeout(force)
    return exit
  }
  scope.after(async () => {
    await end('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  })
  const logs: string[] = []
  const started = await readStart(child, logs, exited, options.timeoutMs ?? 90_000)
  const port = (name?: string) => portOf(started.listeners, name)
  const adminUrl = started.admin === null ? null : `http://${started.admin}`
  const writeConfig = (next: string | object) => {
    writeFileSync(`${configPath}.new`, toText(next))
    renameSync(`${configPath}.new`, configPath)
  }
  return {
    pid: child.pid!,
    url: `http://127.0.0.1:${port()}`,
    port,
    adminUrl,
    folder,
    configPath,
    logs,
    writeConfig,
    async reload(next) {
      if (adminUrl === null) throw new Error('reload() needs the admin listener')
      writeConfig(next)
      const response = await fetch(`${adminUrl}/reload`, { method: 'POST' })
      const { problems = [] } = (await response.json()) as { problems?: { message: string }[] }
      return { status: response.status, problems }
    },
    signal: (name) => void child.kill(name),
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    exited,
  }
}

/** Runs `sluice` with any arguments to its end. */
export function runSluice(
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string | undefined> } = {},
): Promise<RunResult> {
  return runProgram(process.execPath, [LAUNCHER, ...args], options)
}

/** The text of a configuration, with an admin listener on a port of its own when it has none: the default port is one for all. */
function toText(config: string | object): string {
  if (typeof config === 'object') return JSON.stringify({ admin: { address: '127.0.0.1:0' }, ...config }, null, 2)
  return /^\s*("?admin"?\s*:|import |export )/m.test(config) ? config : `${config}\nadmin: { address: "127.0.0.1:0" }\n`
}

interface StartLine {
  listeners: Record<string, string>
  admin: string | null
}

function readStart(child: ChildProcess, logs: string[], exited: Promise<Exit>, timeoutMs: number): Promise<StartLine> {
  return new Promise((resolve, reject) => {
    const fail = (why: string) => {
      clearTimeout(limit)
      reject(new Error(`sluice ${why}; it printed:\n${logs.join('\n')}`))
    }
    const limit = setTimeout(() => fail(`did not start in ${timeoutMs} ms`), timeoutMs)
    const onLine = (line: string) => {
      logs.push(line)
      if (logs.length > MAX_LOG_LINES) logs.shift()
      if (!line.startsWith('{"listeners":')) return
      clearTimeout(limit)
      resolve(JSON.parse(line) as StartLine)
    }
    readLines(child.stdout!, onLine)
    readLines(child.stderr!, onLine)
    child.once('error', (error) => fail(`could not be started: ${error.message}`))
    void exited.then(({ code, signal }) => fail(`ended with ${code ?? signal} before it served`))
  })
}

/** Calls back for each whole line. Not node:readline, which would keep a line that is not complete at the end of the process. */
function readLines(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  let rest = ''
  stream.setEncoding('utf8')
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop()!
    for (const line of lines) onLine(line)
  })
  stream.on('end', () => {
    if (rest !== '') onLine(rest)
  })
}

function portOf(listeners: Record<string, string>, name?: string): number {
  const address = name === undefined ? Object.values(listeners)[0] : listeners[name]
  if (address === undefined) throw new Error(`no listener ${name ?? 'at all'}; there are: ${Object.keys(listeners).join(', ')}`)
  return Number(address.slice(address.lastIndexOf(':') + 1))
}
