import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { startHelper, stop } from './processes.ts'

const SCRIPT = join(import.meta.dirname, '..', 'load', 'idle-clients.ts')
const OPEN_LIMIT_MS = 60_000

export interface IdleClients {
  /** How many connections are open now. */
  readonly countOpen: () => Promise<number>
  readonly close: () => Promise<void>
}

/** Opens that many keep-alive connections, one request on each, or WebSockets with one message on each. Throws when one of them fails or they take over a minute. */
export async function openIdleClients(port: number, count: number, routes: number, websocket: boolean): Promise<IdleClients> {
  const child = startHelper([process.execPath, SCRIPT, String(port), String(count), String(routes), websocket ? 'websocket' : 'http'])
  const pid = child.pid
  if (pid === undefined || child.stdin === null || child.stdout === null) throw new Error('cannot start the idle clients')
  const { stdin } = child
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const limit = setTimeout(() => child.kill('SIGKILL'), OPEN_LIMIT_MS)
  const first = await lines.next()
  clearTimeout(limit)
  if (first.value !== 'ready') {
    await stop(pid)
    throw new Error(`idle connections: ${first.value ?? 'the client ended early'}`)
  }
  return {
    countOpen: async () => {
      stdin.write('count\n')
      return Number((await lines.next()).value)
    },
    close: async () => {
      const ended = once(child, 'exit')
      stdin.end()
      await ended
    },
  }
}
