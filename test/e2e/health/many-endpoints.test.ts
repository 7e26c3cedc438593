// 500 endpoints on real ports, half of them over HTTP/2: each is checked at its own pace, and the main thread has hardly anything to do.
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

test('500 endpoints are each checked once in every interval, without drift', { timeout: 120_000 }, async (t) => {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'many-endpoints-program.ts'), String(COUNT)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.after(() => void child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout })
  const [first] = (await once(lines, 'line')) as [string]
  const ports = JSON.parse(first) as number[]
  const addresses = ports.map((port) => `127.0.0.1:${port}`)
  const health = { http: '/healthz', interval: `${INTERVAL_MS}ms`, timeout: '1s' }
  const half = {
    one: { endpoints: addresses.slice(0, COUNT / 2), health },
    two: { endpoints: addresses.slice(COUNT / 2), health, protocol: 'http2' },
  }
  const sluice = await startSluice(t, configuration(addresses, {}, { workers: 1, services: half, routes: { all: { to: 'one' } } }))
  const startedMs = performance.now()
  const cpuBefore = (await scrape(sluice)).sum('process_cpu_seconds_total')
  await sleep(SECONDS * 1000)
  const cpu = (await scrape(sluice)).sum('process_cpu_seconds_total') - cpuBefore
  child.stdin.write('\n')
  const [second] = (await once(lines, 'line')) as [string]
  const times = JSON.parse(second) as number[][]
  const lastedMs = Math.round(performance.now() - startedMs)

  const endpoints = (await services(sluice)).flatMap((service) => service.endpoints)
  assert.equal(endpoints.filter((endpoint) => endpoint.health?.state === 'healthy').length, COUNT)
  const gaps = times.flatMap((one) => one.slice(2).map((at, i) => at - one[i + 1]!))
  const counts = times.map((one) => one.length)
  const sorted = gaps.toSorted((a, b) => a - b)
  const at = (share: number) => Math.round(sorted[Math.floor(share * (sorted.length - 1))]!)
  t.diagnostic(
    `${gaps.length} intervals: least ${at(0)}, 5% ${at(0.05)}, median ${at(0.5)}, 99% ${at(0.99)}, most ${at(1)} ms; cpu ${((cpu / SECONDS) * 100).toFixed(1)}%`,
  )
  t.diagnostic(`checks of an endpoint in ${lastedMs} ms: ${Math.min(...counts)} to ${Math.max(...counts)}`)
  // A machine that stands still for a moment makes one interval longer and the next one shorter. Their mean stays, unless the pace drifts;
  // only what was late at the very beginning shortens it.
  const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length
  assert(mean > 0.8 * INTERVAL_MS && mean < 1.05 * INTERVAL_MS, `${mean} ms from one check to the next`)
  assert(at(0.1) > 0.6 * INTERVAL_MS && at(0.9) < 1.4 * INTERVAL_MS, `${at(0.1)} to ${at(0.9)} ms`)
  // Two near the start, then one in each interval.
  const intervals = lastedMs / INTERVAL_MS
  for (const count of counts) assert(count >= intervals - 2 && count <= intervals + 3, `${count} checks in ${intervals} intervals`)
})
