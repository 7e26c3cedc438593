import { availableParallelism } from 'node:os'
import { findProgram } from './find-program.ts'

// The proxy gets the last CPU for itself, the load generator and the upstream share the others: otherwise the scheduler moves the
// proxy between caches, and how often it does differs from round to round. One CPU, or no taskset: nothing is pinned.
const cpus = availableParallelism()
let pinned = cpus > 1 && findProgram('taskset') !== null

/** CPU list of the measured proxy. */
export const PROXY_CPUS = String(cpus - 1)
/** CPU list of everything else. */
export const LOAD_CPUS = cpus > 2 ? `0-${cpus - 2}` : '0'

/** Turns pinning off for the whole run (`--no-pin`). */
export function pinNothing(): void {
  pinned = false
}

/** Where things run, in words, for the report. */
export function pinningInWords(): string {
  return pinned ? `proxy on CPU ${PROXY_CPUS}, load and upstream on CPU ${LOAD_CPUS}` : 'nothing pinned to a CPU'
}

/** The command, bound to a CPU list. taskset replaces itself by the program, so the process id stays that of the program. */
export function pin(command: readonly [string, ...string[]], cpuList: string): readonly [string, ...string[]] {
  return pinned ? ['taskset', '-c', cpuList, ...command] : command
}
