import { spawn } from 'node:child_process'
import { endsWithUs } from './children.ts'
import { requirePrograms } from './programs.ts'

export interface RunOptions {
  cwd?: string
  env?: Record<string, string | undefined>
  /** Given to the program's standard input. Default: nothing, closed. */
  input?: string
  /** Then it is killed. Default 60 s. */
  timeoutMs?: number
  /** Sends it a SIGINT when this is aborted. */
  interrupt?: AbortSignal
}

export interface RunResult {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** Runs a program to its end. Never throws for its exit code. */
export function runProgram(program: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      timeout: options.timeoutMs ?? 60_000,
      killSignal: 'SIGKILL',
    })
    endsWithUs(child)
    options.interrupt?.addEventListener('abort', () => void child.kill('SIGINT'))
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
    child.stdin.on('error', () => {})
    child.stdin.end(options.input ?? '')
  })
}

/** Runs curl, quiet but for errors, without a proxy or a config file of this machine. Throws when it fails; returns its output. */
export async function curl(...args: string[]): Promise<string> {
  const program = requirePrograms(['curl']).curl
  const { code, stdout, stderr } = await runProgram(program, ['-q', '-sS', '--noproxy', '*', '--max-time', '50', ...args])
  if (code !== 0) throw new Error(`curl ${args.join(' ')} ended with ${code}: ${stderr}${stdout}`)
  return stdout
}
