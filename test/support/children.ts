import type { ChildProcess } from 'node:child_process'

const running = new Set<ChildProcess>()

function killAll(): void {
  for (const child of running) child.kill('SIGKILL')
}

process.on('exit', killAll)
// The test runner ends a test file like this when it is stopped itself.
process.once('SIGTERM', () => {
  killAll()
  process.kill(process.pid, 'SIGTERM')
})

/** Ends `child` with this process: a test file that breaks off, before its tests or in one, runs nothing that a cleanup scope knows. */
export function endsWithUs(child: ChildProcess): void {
  running.add(child)
  child.once('exit', () => running.delete(child))
}
