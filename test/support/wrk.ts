import { requirePrograms } from './programs.ts'
import { type RunResult, runProgram } from './run.ts'

/** What wrk saw. */
export interface LoadResult {
  requests: number
  perSecond: number
  /** Answers with a status other than 2xx and 3xx. */
  bad: number
  errors: { connect: number; read: number; write: number; timeout: number }
  p99Ms: number
}

const PROGRAM = requirePrograms(['wrk']).wrk

/** How long a load test loads: `SLUICE_TEST_LOAD_SECONDS` (30 is the full length), or `usual`. */
export function loadSeconds(usual: number): number {
  return Number(process.env['SLUICE_TEST_LOAD_SECONDS'] ?? usual)
}

export interface LoadOptions {
  connections: number
  /** At most, when `until` is given. */
  seconds: number
  /** Ends the load, which still tells what it saw. */
  until?: AbortSignal
}

/** Keep-alive GETs from one thread of wrk. A request that takes 30 s is an error. */
export async function runWrk(url: string, { connections, seconds, until }: LoadOptions): Promise<LoadResult> {
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '30s', '--latency', url]
  const timeoutMs = seconds * 1000 + 60_000
  return parse(await runProgram(PROGRAM, args, until === undefined ? { timeoutMs } : { timeoutMs, interrupt: until }))
}

/** Fails the assertion with everything wrk counted. */
export function hasNoError({ requests, bad, errors }: LoadResult): boolean {
  return requests > 0 && bad === 0 && errors.connect + errors.read + errors.write + errors.timeout === 0
}

const MILLISECONDS = { us: 0.001, ms: 1, s: 1000 }

function parse({ stdout, stderr, code }: RunResult): LoadResult {
  const requests = /(\d+) requests in/.exec(stdout)
  if (requests === null) throw new Error(`wrk ended with ${code}: ${stdout}${stderr}`)
  const p99 = /99%\s+([\d.]+)(us|ms|s)/.exec(stdout)
  const errors = /connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(stdout)
  return {
    requests: Number(requests[1]),
    perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1] ?? 0),
    bad: Number(/Non-2xx or 3xx responses: (\d+)/.exec(stdout)?.[1] ?? 0),
    errors: {
      connect: Number(errors?.[1] ?? 0),
      read: Number(errors?.[2] ?? 0),
      write: Number(errors?.[3] ?? 0),
      timeout: Number(errors?.[4] ?? 0),
    },
    p99Ms: Number(p99?.[1] ?? Number.NaN) * MILLISECONDS[(p99?.[2] ?? 'ms') as keyof typeof MILLISECONDS],
  }
}
