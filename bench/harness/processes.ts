import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Launch } from '../types.ts'
import { LOAD_CPUS, pin } from './pinning.ts'

/** A program that runs until it is stopped. */
export interface Running {
  readonly name: string
  readonly pid: number
  /** True until the program has ended, by itself or because it was asked to. */
  readonly alive: () => boolean
  /** The end of what it printed. */
  readonly log: () => string
}

/** How long a program has to end after SIGTERM before it is killed. */
const STOP_MS = 3000

// Every child leads a process group of its own, so that what it started can be ended with it.
const children = new Map<number, ChildProcess>()
let workspace: string | null = null
let folders = 0

/** A new folder below the one temporary folder of this run. */
export function newFolder(name: string): string {
  // World-readable: nginx started by root drops its worker to another user.
  if (workspace === null) {
    workspace = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
    chmodSync(workspace, 0o755)
  }
  const folder = join(workspace, `${++folders}-${name}`)
  mkdirSync(folder)
  return folder
}

/** Writes the files of a launch and starts its command on the given CPUs, output into a log file. */
export function start(name: string, folder: string, launch: Launch, cpus: string): Running {
  for (const [file, text] of Object.entries(launch.files)) writeFileSync(join(folder, file), text)
  const logPath = join(folder, 'output.log')
  const log = openSync(logPath, 'a')
  const [program, ...args] = pin(launch.command, cpus)
  const environment = { ...process.env, NODE_ENV: 'production', ...launch.environment }
  const child = spawn(program, args, { cwd: folder, stdio: ['ignore', log, log], env: environment, detached: true })
  closeSync(log)
  track(child)
  const pid = child.pid
  if (pid === undefined) throw new Error(`${name}: cannot start ${launch.command[0]}`)
  return {
    name,
    pid,
    alive: () => child.exitCode === null && child.signalCode === null,
    log: () => readFileSync(logPath, 'utf8').split('\n').slice(-20).join('\n').trim(),
  }
}

/** Runs a command of the load side to its end and returns its standard output. Throws when it fails or takes longer than `limitMs`. */
export function capture(command: readonly [string, ...string[]], limitMs: number): Promise<string> {
  const [program, ...args] = pin(command, LOAD_CPUS)
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  track(child)
  return new Promise((resolve, reject) => {
    let out = ''
    let err = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text))
    const limit = setTimeout(() => child.kill('SIGKILL'), limitMs)
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(limit)
      if (code === 0) resolve(out)
      else reject(new Error(`${command[0]} ended with ${signal ?? `exit code ${code}`}: ${err.trim() || out.trim()}`))
    })
  })
}

/** A helper of the load side that is spoken to over its standard input and output. */
export function startHelper(command: readonly [string, ...string[]]): ChildProcess {
  const [program, ...args] = pin(command, LOAD_CPUS)
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], detached: true })
  track(child)
  return child
}

function track(child: ChildProcess): void {
  const pid = child.pid
  // Without a pid it never ran; the listener keeps the error from being thrown as uncaught.
  child.on('error', () => {})
  if (pid === undefined) return
  children.set(pid, child)
  child.on('exit', () => children.delete(pid))
}

/** Ends one program and everything it has started: SIGTERM, then SIGKILL for what is left of its process group. */
export async function stop(pid: number): Promise<void> {
  signal(pid, 'SIGTERM')
  for (let waited = 0; waited < STOP_MS && children.has(pid); waited += 20) await sleep(20)
  signal(-pid, 'SIGKILL')
}

/** Ends everything this run has started and removes its files. Safe to call twice. */
export async function stopAll(): Promise<void> {
  await Promise.all([...children.keys()].map(stop))
  removeFiles()
}

/** The same without waiting, for the moment in which this process ends. */
export function killAll(): void {
  for (const pid of children.keys()) signal(-pid, 'SIGKILL')
  removeFiles()
}

function removeFiles(): void {
  if (workspace !== null) rmSync(workspace, { recursive: true, force: true })
  workspace = null
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    // ESRCH: it has ended already, which is what was wanted.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
