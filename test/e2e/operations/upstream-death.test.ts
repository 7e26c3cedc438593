// kill -9 of one of two upstreams under load, and its return.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type SluiceProcess, startSluice } from '../../support/sluice.ts'
import { startUpstreamProcess } from '../../support/upstream-process.ts'
import { waitFor } from '../../support/wait.ts'
import { runWrk } from '../../support/wrk.ts'
import { scrape } from './support/metrics.ts'

const CONNECTIONS = 32
const MAX_FAILS = 3
/** Longer than the load goes on with one endpoint dead, so that no trial falls into it. */
const FAIL_TIMEOUT_MS = 4000

interface Line {
  time: string
  status: number
  endpoint: string
  error: string
}

function accessLog(sluice: SluiceProcess): Line[] {
  const lines = readFileSync(join(sluice.folder, 'access.log'), 'utf8').split('\n').slice(0, -1)
  return lines.map((line) => {
    const [time = '', status, endpoint = '', error = ''] = line.split(' ')
    return { time, status: Number(status), endpoint, error }
  })
}

for (const workers of [1, 2]) {
  test(`the death of an upstream fails the requests on it and no more; it returns with its share (${workers} workers)`, async (t) => {
    const [heavy, light] = [await startUpstreamProcess(t, { delayMs: 5 }), await startUpstreamProcess(t, { delayMs: 5 })]
    const sluice = await startSluice(t, {
      workers,
      accessLog: { path: 'access.log', format: '${time} ${status} ${endpoint} ${errorCode}' },
      listeners: { web: { address: '127.0.0.1:0' } },
      services: {
        up: {
          endpoints: [
            { address: heavy.address, weight: 3 },
            { address: light.address, weight: 1 },
          ],
          ejection: { maxFails: MAX_FAILS, failTimeout: `${FAIL_TIMEOUT_MS}ms` },
          retry: null,
        },
      },
      routes: { a: { to: 'up' } },
    })
    const load = runWrk(sluice.url, { connections: CONNECTIONS, seconds: 4 })
    await sleep(1500)
    const killedMs = Date.now()
    await heavy.kill()
    const { bad, errors, requests } = await load
    await sleep(200)
    const failed = accessLog(sluice).filter(({ status }) => status !== 200)
    t.diagnostic(
      `${requests} requests, ${failed.length} failed: ${JSON.stringify(Object.groupBy(failed, ({ error }) => error).connect_failed?.length)} refused`,
    )
    assert.equal(errors.read + errors.write + errors.timeout + errors.connect, 0)
    assert.equal(bad, failed.length)
    assert(failed.every(({ status, endpoint }) => status === 502 && endpoint === heavy.address))
    // Never more are under way than there are clients, and those that fail first may come back once before the count is reached.
    assert(failed.length >= 1 && failed.length <= CONNECTIONS + MAX_FAILS, `${failed.length} failed`)
    const lastMs = Math.max(...failed.map(({ time }) => Date.parse(time)))
    assert(lastMs - killedMs < 2500, `the last one began ${lastMs - killedMs} ms after the death`)

    await heavy.restart()
    await waitFor('the return', async () => {
      await fetch(sluice.url)
      return (await heavy.served()) > 0
    })
    assert(Date.now() - killedMs >= FAIL_TIMEOUT_MS, 'not before failTimeout')
    // The weight that the failures took comes back with successes.
    const before = (await scrape(sluice)).sum('sluice_upstream_attempts_total', { outcome: 'failure' })
    await runWrk(sluice.url, { connections: CONNECTIONS, seconds: 1 })
    const [heavyBefore, lightBefore] = [await heavy.served(), await light.served()]
    const again = await runWrk(sluice.url, { connections: CONNECTIONS, seconds: 1 })
    const [byHeavy, byLight] = [(await heavy.served()) - heavyBefore, (await light.served()) - lightBefore]
    assert.equal(again.bad, 0)
    assert.equal((await scrape(sluice)).sum('sluice_upstream_attempts_total', { outcome: 'failure' }), before)
    const share = byHeavy / (byHeavy + byLight)
    assert(Math.abs(share - 0.75) < 0.05 * 0.75, `share ${share}`)
  })
}
