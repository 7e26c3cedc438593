import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startSluice } from '../../support/sluice.ts'
import { startUpstream } from '../../support/upstream.ts'

describe('the circuit breaker of a service', () => {
  it('opens at 50% errors, sends nothing while open, then exactly the configured probes over 4 workers, and closes', async (t) => {
    let isWell = false
    let requests = 0
    const upstream = await startUpstream(t, (_request, response) => {
      requests++
      // Slow enough that every request of a burst meets the half-open breaker.
      const status = isWell || requests % 2 === 0 ? 200 : 500
      setTimeout(() => response.writeHead(status).end(), 100)
    })
    const gateway = await startSluice(t, {
      workers: 4,
      accessLog: null,
      listeners: { web: { address: '127.0.0.1:0' } },
      services: {
        up: { endpoints: [upstream.address], retry: null, breaker: { minRequests: 20, openFor: '1s', window: '10s', probes: 3 } },
      },
      routes: { all: { to: 'up' } },
    })
    const burst = (count: number) =>
      Promise.all(
        Array.from({ length: count }, async () => {
          // A connection each, so that the kernel spreads them over the workers.
          const response = await fetch(gateway.url, { headers: { connection: 'close' } })
          await response.arrayBuffer()
          return response
        }),
      )
    await burst(40)
    requests = 0
    const openedMs = performance.now()
    const refused = await burst(40)
    assert.ok(refused.every((response) => response.status === 503 && response.headers.get('retry-after') !== null))
    assert.equal(requests, 0)
    await sleep(Math.max(0, 1100 - (performance.now() - openedMs)))

    isWell = true
    const trial = await burst(40)
    assert.equal(requests, 3)
    assert.equal(trial.filter((response) => response.status === 200).length, 3)

    const well = await burst(40)
    assert.ok(well.every((response) => response.status === 200))
  })

  it('does not open on 404', async (t) => {
    const upstream = await startUpstream(t, (_request, response) => response.writeHead(404).end())
    const gateway = await startSluice(t, {
      accessLog: null,
      workers: 1,
      listeners: { web: { address: '127.0.0.1:0' } },
      services: { up: { endpoints: [upstream.address], breaker: { minRequests: 5 } } },
      routes: { all: { to: 'up' } },
    })
    for (let i = 0; i < 50; i++) {
      const response = await fetch(gateway.url)
      await response.arrayBuffer()
      assert.equal(response.status, 404)
    }
  })
})
