import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { endsWithUs } from './children.ts'
import type { CleanupScope } from './cleanup.ts'

/** An upstream in a process of its own, so that it can be killed, and so that it does not share a CPU with the test. */
export interface UpstreamProcess {
  readonly pid: number
  port: number
  /** `127.0.0.1:port`. */
  address: string
  /** Ends it without a goodbye, as `kill -9` does. */
  kill(): Promise<void>
  /** The same port again. */
  restart(): Promise<void>
  /** Requests answered so far by the running process; health checks on `/healthz` are not counted. */
  served(): Promise<number>
  /** How it behaves from now on; a restart begins as the first start did. */
  setMode(mode: UpstreamMode): Promise<void>
  /** SIGSTOP: the kernel still accepts connections, nobody answers. */
  freeze(): void
  thaw(): void
}

/** Answer after a while, or break the connection off with an RST. */
export type UpstreamMode = { delayMs: number } | 'reset'

const PROGRAM = join(import.meta.dirname, 'upstream-program.ts')

/** Answers every request with `body`, `delayMs` after it came. `/count` tells how many it has answered. */
export async function startUpstreamProcess(
  scope: CleanupScope,
  { body = 'ok', delayMs = 0 }: { body?: string; delayMs?: number } = {},
): Promise<UpstreamProcess> {
  let running = await start(0, body, delayMs)
  const { port } = running
  const kill = () => end(running.child)
  scope.after(kill)
  return {
    get pid() {
      return running.child.pid!
    },
    port,
    address: `127.0.0.1:${port}`,
    kill,
    async restart() {
      running = await start(port, body, delayMs)
    },
    async served() {
      const response = await fetch(`http://127.0.0.1:${port}/count`)
      return Number(await response.text())
    },
    async setMode(mode) {
      const response = await fetch(`http://127.0.0.1:${port}/mode/${mode === 'reset' ? mode : mode.delayMs}`)
      await response.text()
    },
    freeze: () => void running.child.kill('SIGSTOP'),
    thaw: () => void running.child.kill('SIGCONT'),
  }
}

function start(port: number, body: string, delayMs: number): Promise<{ child: ChildProcess; port: number }> {
  const child = spawn(process.execPath, [PROGRAM, String(port), body, String(delayMs)], { stdio: ['ignore', 'pipe', 'inherit'] })
  endsWithUs(child)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`the upstream ended with ${code}`)))
    child.stdout!.setEncoding('utf8').once('data', (text: string) => resolve({ child, port: Number(text) }))
  })
}

function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => {
    child.once('exit', () => resolve())
    child.kill('SIGKILL')
  })
}
