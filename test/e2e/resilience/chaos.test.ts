import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startSluice } from '../../support/sluice.ts'
import { startUpstreamProcess, type UpstreamProcess } from '../../support/upstream-process.ts'
import { hasNoError, runWrk } from '../../support/wrk.ts'

const PER_TRY_MS = 1000
/** Each kind of failure this often: once is half a minute, the nightly run takes a minute and more. */
const ROUNDS = process.env['SLUICE_NIGHTLY'] === '1' ? 3 : 1
const FAILURE_MS = 3000
const RECOVERY_MS = 3500
const SECONDS = (ROUNDS * 4 * (FAILURE_MS + RECOVERY_MS)) / 1000 + 4

/** What each endpoint answered within `durationMs`, as a share of all. */
async function shares(upstreams: readonly UpstreamProcess[], durationMs: number): Promise<number[]> {
  const before = await Promise.all(upstreams.map((upstream) => upstream.served()))
  await sleep(durationMs)
  const after = await Promise.all(upstreams.map((upstream) => upstream.served()))
  const counts = after.map((count, i) => count - (before[i] as number))
  const total = counts.reduce((sum, count) => sum + count, 0)
  return counts.map((count) => count / total)
}

describe('three endpoints that are killed, restarted, frozen and reset in turn, under load', () => {
  it('no request fails, few wait, and each endpoint gets its share again', { timeout: SECONDS * 1000 + 30_000 }, async (t) => {
    // An answer takes a moment, so that every failure meets requests under way.
    const start = () => startUpstreamProcess(t, { delayMs: 2 })
    const upstreams = [await start(), await start(), await start()]
    const gateway = await startSluice(t, {
      workers: 2,
      accessLog: null,
      listeners: { web: { address: '127.0.0.1:0' } },
      services: {
        up: {
          endpoints: upstreams.map((upstream) => upstream.address),
          timeouts: { perTry: `${PER_TRY_MS}ms`, request: '10s' },
          health: { http: '/healthz', interval: '500ms', timeout: '300ms', unhealthyAfter: 1, healthyAfter: 1 },
          ejection: { maxFails: 3, failTimeout: '1s' },
          // A frozen endpoint holds every request of a closed loop before it is noticed: all of them need their second attempt at once.
          retry: { attempts: 3, budget: '100%' },
        },
      },
      routes: { all: { to: 'up' } },
    })
    const load = runWrk(gateway.url, { connections: 64, seconds: SECONDS })
    const check = async (what: string) => {
      const found = await shares(upstreams, RECOVERY_MS - 2000)
      for (const share of found)
        assert.ok(Math.abs(share - 1 / 3) < 0.05 / 3, `after ${what} the shares are ${found.map((s) => s.toFixed(3))}`)
    }
    const recover = async (what: string) => {
      await sleep(2000)
      await check(what)
    }
    for (let round = 0; round < ROUNDS; round++) {
      const [a, b, c] = upstreams as [UpstreamProcess, UpstreamProcess, UpstreamProcess]
      await a.kill()
      await sleep(FAILURE_MS)
      await a.restart()
      await recover('kill and restart')

      b.freeze()
      await sleep(FAILURE_MS)
      b.thaw()
      await recover('a freeze')

      await c.setMode('reset')
      await sleep(FAILURE_MS)
      await c.setMode({ delayMs: 2 })
      await recover('resets')

      b.freeze()
      await sleep(300)
      await b.kill()
      await sleep(FAILURE_MS - 300)
      await b.restart()
      await recover('a freeze that ends in a kill')
    }
    const result = await load
    t.diagnostic(JSON.stringify(result))
    assert.ok(result.requests > 10_000)
    assert.ok(hasNoError(result), JSON.stringify(result))
    assert.ok(result.p99Ms < 2 * PER_TRY_MS, JSON.stringify(result))
  })
})
