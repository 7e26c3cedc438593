import { residentBytes, socketCount, tcpStates } from '../e2e/operations/support/process-state.ts'
import { waitFor } from '../support/wait.ts'

/** What a process holds at one moment. */
export interface Holding {
  sockets: number
  closeWait: number
  established: number
  residentBytes: number
}

export function holding(pid: number): Holding {
  const states = tcpStates(pid)
  return { sockets: socketCount(pid), closeWait: states['close-wait'], established: states.established, residentBytes: residentBytes(pid) }
}

/**
 * Waits until the process holds no more sockets than `before`, and none that the other side has left (CLOSE-WAIT). Throws, with what
 * is left, when that does not come about.
 */
export async function assertNoSocketLeft(pid: number, before: Holding, timeoutMs = 60_000): Promise<void> {
  let now = holding(pid)
  const isClean = () => {
    now = holding(pid)
    return now.sockets <= before.sockets && now.closeWait === 0
  }
  await waitFor('the sockets to be closed', isClean, { timeoutMs, everyMs: 100 }).catch(() => {
    throw new Error(`${now.sockets} sockets after ${before.sockets} before; ${now.closeWait} in CLOSE-WAIT, ${now.established} open`)
  })
}
