import { spawn } from 'node:child_process'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { endsWithUs } from './children.ts'
import type { CleanupScope } from './cleanup.ts'

/** A server whose process is stopped with a full queue of connections: the kernel answers no further SYN. */
export async function startStalled(scope: CleanupScope): Promise<{ address: string }> {
  const program = `const s = require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(s.address().port))`
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  endsWithUs(child)
  const port = await new Promise<number>((resolve) => child.stdout.once('data', (data) => resolve(Number(data))))
  child.kill('SIGSTOP')
  child.unref()
  const fillers = Array.from({ length: 4 }, () => net.connect({ port, host: '127.0.0.1' }).on('error', () => {}))
  scope.after(() => {
    for (const filler of fillers) filler.destroy()
    child.kill('SIGKILL')
  })
  await sleep(200)
  return { address: `127.0.0.1:${port}` }
}
