import { programVersion, requireProgram } from '../harness/find-program.ts'
import { capture } from '../harness/processes.ts'
import type { Generator, LoadReport } from '../types.ts'

/** Requests of each kind in the run that finds out how many fill the time: redis-benchmark counts, it does not look at the clock. */
const FIRST_REQUESTS = 10_000

/** SET and GET of 64 bytes, one after the other, from redis-benchmark with one thread. */
export function redisBenchmark(connections: number, pipelined: number): Generator {
  /** Requests per second at a port, as of the last run. */
  const rates = new Map<number, number>()
  const run = async (port: number, requests: number) => {
    const flags = ['-h', '127.0.0.1', '-p', port, '-c', connections, '-P', pipelined, '-n', requests, '-t', 'set,get', '-d', '64', '--csv']
    // Long enough for a hundredth of the expected rate.
    const report = parseRedisBenchmark(await capture([requireProgram('redis-benchmark'), ...flags.map(String)], 300_000), requests)
    rates.set(port, report.requests / report.seconds)
    return report
  }
  return {
    title: () => `redis-benchmark ${programVersion('redis-benchmark', ['--version'], /redis-benchmark ([\d.]+)/) ?? 'missing'}`,
    run: async ({ port, seconds }) => {
      // Its CPU time is charged to the proxy like that of the rest, so its commands count as well.
      const first = rates.has(port) ? null : await run(port, FIRST_REQUESTS)
      const report = await run(port, Math.max(FIRST_REQUESTS, Math.round((rates.get(port)! * seconds) / 2)))
      if (first === null) return report
      return { ...report, requests: report.requests + first.requests, seconds: report.seconds + first.seconds }
    },
  }
}

/**
 * Reads the table that `redis-benchmark --csv` prints, one line per command, each of which was sent `requestsEach` times. The percentiles
 * are those of the slowest command. Throws when a figure is missing. (An error of the server ends redis-benchmark with code 1.)
 */
export function parseRedisBenchmark(output: string, requestsEach: number): LoadReport {
  const rows = output.split('\n').filter((line) => line.startsWith('"'))
  const [head, ...lines] = rows.map((line) => line.split('","').map((cell) => cell.replaceAll('"', '')))
  if (head === undefined || lines.length === 0) throw new Error(`redis-benchmark printed no table:\n${output.slice(-2000)}`)
  const column = (name: string) => {
    const index = head.indexOf(name)
    const values = lines.map((line) => Number(line[index] ?? Number.NaN))
    if (index === -1 || values.some((value) => !Number.isFinite(value))) throw new Error(`redis-benchmark printed no ${name}:\n${output}`)
    return values
  }
  return {
    requests: lines.length * requestsEach,
    seconds: column('rps').reduce((sum, rps) => sum + requestsEach / rps, 0),
    p50Ms: Math.max(...column('p50_latency_ms')),
    p99Ms: Math.max(...column('p99_latency_ms')),
    errors: [],
  }
}
