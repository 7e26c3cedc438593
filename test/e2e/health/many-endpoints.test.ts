// 500 endpoints on real ports: each is checked at its own pace, and the main thread has hardly anything to do.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startSluice } from '../../support/sluice.ts'
import { scrape } from '../operations/support/metrics.ts'
import { configuration, services } from './kit.ts'

const COUNT = 500
const INTERVAL_MS = 2000
const SECONDS = 12
/** A busy machine answers late. */
const SLACK_MS = 400

test('500 endpoints are each checked once in every interval, without drift', { timeout: 60_000 }, async (t) => {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'many-endpoints-program.ts'), String(COUNT)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.after(() => void child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout })
  const [first] = (await once(lines, 'line')) as [string]
  const ports = JSON.parse(first) as number[]
  const addresses = ports.map((port) => `127.0.0.1:${port}`)
  const health = { http: '/healthz', interval: `${INTERVAL_MS}ms`, timeout: '1s' }
  const sluice = await startSluice(t, configuration(addresses, { health }, { workers: 1 }))
  const cpuBefore = (await scrape(sluice)).sum('process_cpu_seconds_total')
  await sleep(SECONDS * 1000)
  const cpu = (await scrape(sluice)).sum('process_cpu_seconds_total') - cpuBefore
  child.stdin.write('\n')
  const [second] = (await once(lines, 'line')) as [string]
  const times = JSON.parse(second) as number[][]

  const [service] = await services(sluice)
  assert.equal(service?.endpoints.filter((endpoint) => endpoint.health?.state === 'healthy').length, COUNT)
  const gaps = times.flatMap((one) => one.slice(2).map((at, i) => at - one[i + 1]!))
  const counts = times.map((one) => one.length)
  const sorted = gaps.toSorted((a, b) => a - b)
  const at = (share: number) => Math.round(sorted[Math.floor(share * (sorted.length - 1))]!)
  t.diagnostic(
    `${gaps.length} intervals: least ${at(0)}, median ${at(0.5)}, 99% ${at(0.99)}, most ${at(1)} ms; cpu ${((cpu / SECONDS) * 100).toFixed(1)}%`,
  )
  t.diagnostic(`checks of an endpoint in ${SECONDS} s: ${Math.min(...counts)} to ${Math.max(...counts)}`)
  assert(at(0) >= INTERVAL_MS * 0.9 - SLACK_MS && at(1) <= INTERVAL_MS * 1.1 + SLACK_MS)
  assert(Math.abs(at(0.5) - INTERVAL_MS) < 100, 'the median is the interval')
  // Two near the start, then one in each interval.
  for (const count of counts) assert(count >= SECONDS / 2 && count <= SECONDS / 2 + 3, `${count} checks`)
})
