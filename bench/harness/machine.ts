import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os'
import { pinningInWords } from './pinning.ts'

/** Where and when a run took place. */
export interface Machine {
  readonly date: string
  readonly cpu: string
  readonly cpus: number
  readonly memoryGiB: number
  readonly kernel: string
  readonly node: string
  readonly pinning: string
  /** One-minute load average before the first scenario: other work on the machine blurs every figure. */
  readonly loadAverage: number
}

/** Reads this machine, now. */
export function readMachine(): Machine {
  return {
    date: new Date().toISOString().slice(0, 16).replace('T', ' '),
    cpu: cpus()[0]?.model.trim() ?? 'unknown CPU',
    cpus: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${type()} ${release()}`,
    node: process.version,
    pinning: pinningInWords(),
    loadAverage: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  }
}

/** The machine in one sentence. */
export function machineInWords(machine: Machine): string {
  const { date, cpu, cpus, memoryGiB, kernel, node, pinning, loadAverage } = machine
  return (
    `${date} UTC; ${cpu}, ${cpus} CPUs, ${memoryGiB} GiB; ${kernel}; Node.js ${node}; ` + `${pinning}; load average before: ${loadAverage}.`
  )
}
