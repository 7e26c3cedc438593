// Loaded into every test file before it: when its tests are over and the process does not end, it fails and says what keeps it. Without
// this, Node's test runner waits without end for a file that leaves a server, a timer or a child process open.
import { after } from 'node:test'
import { isMainThread } from 'node:worker_threads'

/** Longer than any connection or process takes that was told to end and is on its way. */
const END_TIMEOUT_MS = Number(process.env['SLUICE_TEST_END_MS'] ?? 20_000)

// Only where tests run: the runner itself and the threads of a test load this file too.
if (process.env['NODE_TEST_CONTEXT'] !== undefined && isMainThread) {
  after(() => {
    const late = setTimeout(() => {
      console.error(`\nthe tests are over, and these keep the process alive: ${process.getActiveResourcesInfo().join(', ')}`)
      process.exit(1)
    }, END_TIMEOUT_MS)
    late.unref()
  })
}
