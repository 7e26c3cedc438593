import { join } from 'node:path'
import { programVersion, requireProgram } from '../harness/find-program.ts'
import { capture } from '../harness/processes.ts'
import type { Generator, LoadReport } from '../types.ts'

const SPREAD_SCRIPT = join(import.meta.dirname, '..', 'load', 'spread.lua')

/** HTTP/1.1 keep-alive, from wrk with one thread. wrk believes any certificate. */
export function wrk(connections: number, scheme: 'http' | 'https' = 'http'): Generator {
  return {
    title: () => `wrk ${programVersion('wrk', ['-v'], /wrk (?:debian\/)?([\d.]+)/) ?? 'missing'}`,
    run: async ({ port, seconds, routes }) => {
      const flags = ['-t1', `-c${connections}`, `-d${seconds}s`, '--latency', '--timeout', '5s', '-s', SPREAD_SCRIPT]
      const url = `${scheme}://127.0.0.1:${port}/`
      return parseWrk(await capture([requireProgram('wrk'), ...flags, url, '--', String(routes)], (seconds + 15) * 1000))
    },
  }
}

/** Reads what `wrk --latency` prints. Throws when a figure is missing, so that a changed format is never taken for a result. */
export function parseWrk(output: string): LoadReport {
  const total = /^\s*(\d+) requests in ([\d.]+)(us|ms|s|m|h), /m.exec(output)
  if (total === null) throw new Error(`wrk printed no total:\n${output}`)
  return {
    requests: Number(total[1]),
    seconds: toMs(total[2]!, total[3]!) / 1000,
    p50Ms: percentile(output, 50),
    p99Ms: percentile(output, 99),
    errors: wrkErrors(output),
  }
}

function wrkErrors(output: string): string[] {
  const errors: string[] = []
  const sockets = /^\s*Socket errors: (.*)$/m.exec(output)
  if (sockets !== null) errors.push(`socket errors: ${sockets[1]}`)
  const statuses = /^\s*Non-2xx or 3xx responses: (\d+)$/m.exec(output)
  if (statuses !== null) errors.push(`${statuses[1]} responses were not 2xx`)
  return errors
}

function percentile(output: string, rank: number): number {
  const match = new RegExp(`^\\s*${rank}%\\s+([\\d.]+)(us|ms|s|m|h)\\s*$`, 'm').exec(output)
  if (match === null) throw new Error(`wrk printed no ${rank}% line:\n${output}`)
  return toMs(match[1]!, match[2]!)
}

const UNIT_MS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

function toMs(value: string, unit: string): number {
  return Number(value) * UNIT_MS[unit]!
}
