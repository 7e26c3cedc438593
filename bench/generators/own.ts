import { join } from 'node:path'
import { capture } from '../harness/processes.ts'
import type { Generator, LoadReport } from '../types.ts'

const FOLDER = join(import.meta.dirname, '..', 'load')

/** A generator of our own in `bench/load/`, for load that no packaged program makes: called with port and seconds, it prints its report. */
export function own(script: string, ...settings: readonly (string | number)[]): Generator {
  return {
    title: () => `bench/load/${script}`,
    run: async ({ port, seconds }) => {
      const command = [join(FOLDER, script), String(port), String(seconds), ...settings.map(String)]
      return parseReport(await capture([process.execPath, ...command], (seconds + 15) * 1000))
    },
  }
}

/** Reads the line of JSON that such a generator prints. Throws when it is none, or a figure is missing. */
export function parseReport(output: string): LoadReport {
  const { requests, seconds, p50Ms, p99Ms, errors } = JSON.parse(output) as Partial<LoadReport>
  const figures = [requests, seconds, p50Ms, p99Ms]
  if (figures.some((figure) => typeof figure !== 'number') || !Array.isArray(errors)) throw new Error(`no report: ${output}`)
  return { requests: requests!, seconds: seconds!, p50Ms: p50Ms!, p99Ms: p99Ms!, errors }
}
