import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** Resident memory of a process. */
export function residentBytes(pid: number): number {
  const pages = readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1]
  return Number(pages) * 4096
}

/** Open descriptors of a process, by what they are: `socket`, `anon_inode`, `pipe`, or a path. */
export function descriptors(pid: number): string[] {
  const folder = `/proc/${pid}/fd`
  const open: string[] = []
  for (const fd of readdirSync(folder)) {
    try {
      open.push(readlinkSync(`${folder}/${fd}`))
    } catch {
      // Closed since the folder was read.
    }
  }
  return open
}

export function socketCount(pid: number): number {
  return descriptors(pid).filter((target) => target.startsWith('socket:')).length
}

export type TcpState = 'established' | 'fin-wait-1' | 'fin-wait-2' | 'close-wait' | 'last-ack' | 'listen'

const STATES: Record<string, TcpState> = {
  '01': 'established',
  '04': 'fin-wait-1',
  '05': 'fin-wait-2',
  '08': 'close-wait',
  '09': 'last-ack',
  '0A': 'listen',
}

/** How many sockets of a process are in each TCP state. */
export function tcpStates(pid: number): Record<TcpState, number> {
  const inodes = new Set<string>()
  for (const target of descriptors(pid)) {
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1]
    if (inode !== undefined) inodes.add(inode)
  }
  const counts: Record<TcpState, number> = { established: 0, 'fin-wait-1': 0, 'fin-wait-2': 0, 'close-wait': 0, 'last-ack': 0, listen: 0 }
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of readFileSync(table, 'latin1').split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/)
      const state = STATES[fields[3] ?? '']
      if (state !== undefined && inodes.has(fields[9] ?? '')) counts[state]++
    }
  }
  return counts
}
