import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { routePrefixes } from '../competitors/routes.ts'
import { programVersion, requireProgram } from '../harness/find-program.ts'
import { capture, newFolder } from '../harness/processes.ts'
import type { Generator, LoadReport } from '../types.ts'

export interface H2loadSettings {
  readonly connections: number
  readonly streamsPerConnection: number
  /** What is asked for below each route. */
  readonly file: string
  /** Posted with every request; null: GET. */
  readonly body: Buffer | null
  /** Lines such as `te: trailers`. */
  readonly headers: readonly string[]
  /** Length of a good response. A gRPC call that failed has status 200 as well, but no message. */
  readonly responseBytes: number
}

/** HTTP/2 without TLS (prior knowledge), from h2load with one thread. */
export function h2load(settings: H2loadSettings): Generator {
  const { connections, streamsPerConnection, file, body, headers, responseBytes } = settings
  return {
    title: () => `h2load ${programVersion('h2load', ['--version'], /nghttp2\/([\d.]+)/) ?? 'missing'}`,
    run: async ({ port, seconds, routes }) => {
      const program = requireProgram('h2load')
      const folder = newFolder('h2load')
      const [uris, log, data] = [join(folder, 'uris'), join(folder, 'log'), join(folder, 'body')]
      writeFileSync(
        uris,
        routePrefixes(routes)
          .map((prefix) => `http://127.0.0.1:${port}${prefix}/${file}\n`)
          .join(''),
      )
      const flags = ['-t1', `-c${connections}`, `-m${streamsPerConnection}`, `-D${seconds}`, '-i', uris, `--log-file=${log}`]
      for (const header of headers) flags.push('-H', header)
      if (body !== null) {
        writeFileSync(data, body)
        flags.push('-d', data)
      }
      const output = await capture([program, ...flags], (seconds + 15) * 1000)
      const times = parseH2loadLog(readFileSync(log, 'latin1'))
      rmSync(folder, { recursive: true })
      return parseH2load(output, times, responseBytes)
    },
  }
}

/**
 * Reads what h2load prints, with the times of its log. Throws when a figure is missing, so that a changed format is never taken for
 * a result. What is under way when the time is over counts for nothing.
 */
export function parseH2load(output: string, timesMs: Float64Array, responseBytes: number): LoadReport {
  const finish = /^finished in ([\d.]+)(us|ms|s), /m.exec(output)
  const total = /^requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout$/m.exec(output)
  const statuses = /^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx$/m.exec(output)
  const data = /^traffic: .*\((\d+)\) data$/m.exec(output)
  if (finish === null || total === null || statuses === null || data === null)
    throw new Error(`h2load printed no summary:\n${output.slice(-2000)}`)
  const [, done, succeeded, failed, errored, timeout] = total.map(Number) as [number, number, number, number, number, number]
  const [, good, ...bad] = statuses.map(Number) as [number, number, number, number, number]
  if (timesMs.length === 0 && succeeded > 0) throw new Error('h2load wrote no times of requests')
  const errors: string[] = []
  if (failed + errored + timeout > 0) errors.push(`${failed} requests failed (${errored} errored, ${timeout} timeout)`)
  if (good < done) errors.push(`${done - good} responses were not 2xx (3xx, 4xx, 5xx: ${bad.join(', ')})`)
  // Responses under way at the end have their part in this, so it can be more.
  const missing = succeeded * responseBytes - Number(data[1])
  if (missing > 0) errors.push(`${missing} bytes of responses are missing`)
  const seconds = Number(finish[1]) * UNIT_SECONDS[finish[2]!]!
  return { requests: succeeded, seconds, p50Ms: percentile(timesMs, 0.5), p99Ms: percentile(timesMs, 0.99), errors }
}

/** The times of a log of h2load, in milliseconds, sorted: each line is a start, a status, and microseconds to the end of the response. */
export function parseH2loadLog(log: string): Float64Array {
  const lines = log.trimEnd().split('\n')
  const times = new Float64Array(log === '' ? 0 : lines.length)
  for (let index = 0; index < times.length; index++) {
    const line = lines[index]!
    const time = Number(line.slice(line.lastIndexOf('\t') + 1)) / 1000
    if (!(time >= 0) || !line.includes('\t')) throw new Error(`no line of a log of h2load: ${line}`)
    times[index] = time
  }
  return times.sort()
}

function percentile(sorted: Float64Array, rank: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * rank))] ?? 0
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { us: 0.000_001, ms: 0.001, s: 1 }
