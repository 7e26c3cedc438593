import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** The fields of /proc/<pid>/stat that matter here (proc(5)). */
export interface ProcessStat {
  readonly pid: number
  readonly parentPid: number
  /** User and system time of all its threads and of the children it has waited for, in clock ticks. */
  readonly cpuTicks: number
}

/**
 * Reads one line of /proc/<pid>/stat; null when it is not one. The name in brackets may hold spaces and brackets, so the fields
 * are counted from the last `)`.
 */
export function parseProcessStat(text: string): ProcessStat | null {
  const nameEnd = text.lastIndexOf(')')
  if (nameEnd === -1) return null
  const pid = Number.parseInt(text, 10)
  // After the name: state is field 3, ppid 4, utime 14, stime 15, cutime 16, cstime 17.
  const fields = text.slice(nameEnd + 2).split(' ')
  const parentPid = Number(fields[1])
  const cpuTicks = Number(fields[11]) + Number(fields[12]) + Number(fields[13]) + Number(fields[14])
  if (!Number.isInteger(pid) || !Number.isInteger(parentPid) || !Number.isInteger(cpuTicks)) return null
  return { pid, parentPid, cpuTicks }
}

/** `root` and everything below it, parents before children; empty when `root` is not there. */
export function treeOf(root: number, all: readonly ProcessStat[]): ProcessStat[] {
  const children = Map.groupBy(all, (stat) => stat.parentPid)
  const tree = all.filter((stat) => stat.pid === root)
  // The list grows while it is walked; a process has one parent, so nothing comes twice.
  for (const stat of tree) tree.push(...(children.get(stat.pid) ?? []))
  return tree
}

/** The live process tree of `root`. */
export function readTree(root: number): ProcessStat[] {
  const all: ProcessStat[] = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const text = readOrNull(`/proc/${name}/stat`)
    const stat = text === null ? null : parseProcessStat(text)
    if (stat !== null) all.push(stat)
  }
  return treeOf(root, all)
}

/** CPU time of the tree since it started, in seconds; resolution is one clock tick, usually 10 ms. */
export function treeCpuSeconds(root: number): number {
  const ticks = readTree(root).reduce((sum, stat) => sum + stat.cpuTicks, 0)
  return ticks / ticksPerSecond()
}

/** CPU time of the whole machine since it was started, in seconds, with what a hypervisor gave to somebody else. */
export function machineCpuSeconds(): number {
  return parseBusyTicks(readOrNull('/proc/stat') ?? '') / ticksPerSecond()
}

/** Everything but idle and waiting for disks in the first line of /proc/stat, in ticks. Guest time is part of user time there. */
export function parseBusyTicks(text: string): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = text.split('\n')[0]!.split(/\s+/).slice(1).map(Number)
  return user + nice + system + irq + softirq + steal
}

/**
 * Resident memory of the tree in bytes. From /proc/<pid>/smaps_rollup, which is exact; where that may not be read (a process of
 * another user), from /proc/<pid>/status, which can be some hundred KiB off.
 */
export function treeRssBytes(root: number): number {
  let total = 0
  for (const { pid } of readTree(root)) {
    total += parseRssBytes(readOrNull(`/proc/${pid}/smaps_rollup`) ?? readOrNull(`/proc/${pid}/status`) ?? '')
  }
  return total
}

/** The `Rss:` or `VmRSS:` line of such a file, in bytes; 0 when there is none (the process has just ended). */
export function parseRssBytes(text: string): number {
  const match = /^(?:Vm)?RSS:\s+(\d+) kB$/im.exec(text)
  return match === null ? 0 : Number(match[1]) * 1024
}

let ticks = 0
function ticksPerSecond(): number {
  if (ticks === 0) ticks = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))
  return ticks
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // The process ended between the listing and the read.
    return null
  }
}
