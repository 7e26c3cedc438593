import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type SluiceProcess, startSluice } from '../../support/sluice.ts'
import { startUpstream } from '../../support/upstream.ts'
import { waitFor } from '../../support/wait.ts'

function config(endpoints: string[], hedge: object | null, service: object = {}): object {
  return {
    workers: 1,
    accessLog: null,
    listeners: { web: { address: '127.0.0.1:0' } },
    // The first endpoint gets every first attempt.
    services: {
      up: { endpoints: endpoints.map((address, priority) => ({ address, priority })), ejection: null, hedge, balance: 'first', ...service },
    },
    routes: { all: { to: 'up' } },
  }
}

async function hedges(gateway: SluiceProcess): Promise<Record<string, number>> {
  const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
  const found: Record<string, number> = {}
  for (const [, result, count] of text.matchAll(/^sluice_upstream_hedges_total\{.*result="([a-z-]+)".*\} (\d+)$/gm)) {
    found[result as string] = Number(count)
  }
  return found
}

const ALWAYS = { after: '40ms', budget: '100%' }

describe('a request that takes long, with hedging', () => {
  it('is sent to a second endpoint too; its answer counts, and the first attempt is cancelled on the wire', async (t) => {
    let cancelled = 0
    const slow = await startUpstream(t, (_, response) => {
      response.once('close', () => cancelled++)
    })
    const attempts: (string | undefined)[] = []
    const fast = await startUpstream(t, (request, response) => {
      attempts.push(request.headers['x-sluice-attempt'] as string)
      response.end('fast')
    })
    const gateway = await startSluice(t, config([slow.address, fast.address], ALWAYS))
    const startedMs = performance.now()
    const response = await fetch(gateway.url)
    assert.equal(await response.text(), 'fast')
    const tookMs = performance.now() - startedMs
    assert.ok(tookMs >= 40 && tookMs < 5000, `took ${tookMs} ms`)
    assert.deepEqual(attempts, ['2'])
    await waitFor('the cancelled attempt', () => cancelled === 1)
    assert.deepEqual(await hedges(gateway), { sent: 1, won: 1 })
  })

  it('keeps the first answer when that comes first, and the second endpoint sees its request cancelled', async (t) => {
    let answerFirst = () => {}
    const slowish = await startUpstream(t, (_, response) => {
      answerFirst = () => response.end('first')
    })
    let cancelled = 0
    const stuck = await startUpstream(t, (_, response) => {
      response.once('close', () => cancelled++)
      answerFirst()
    })
    const gateway = await startSluice(t, config([slowish.address, stuck.address], ALWAYS))
    assert.equal(await (await fetch(gateway.url)).text(), 'first')
    await waitFor('the cancelled attempt', () => cancelled === 1)
    assert.deepEqual(await hedges(gateway), { sent: 1, lost: 1 })
  })

  it('goes on alone when one of both fails, with an error or with a status', async (t) => {
    let answerFirst = () => {}
    const slowish = await startUpstream(t, (_, response) => {
      answerFirst = () => response.end('first')
    })
    const failing = await startUpstream(t, (_, response) => response.writeHead(500).end())
    const resetting = await startUpstream(t, (request) => request.socket.resetAndDestroy())
    for (const second of [failing, resetting]) {
      const gateway = await startSluice(t, config([slowish.address, second.address], ALWAYS))
      const answer = fetch(gateway.url)
      await waitFor('the failure', async () => (await hedges(gateway))['failed'] === 1)
      answerFirst()
      const response = await answer
      assert.equal(response.status, 200)
      assert.equal(await response.text(), 'first')
      assert.deepEqual(await hedges(gateway), { sent: 1, failed: 1 })
      await gateway.stop()
    }
  })

  it('is sent whole, with its body, when it is idempotent; a POST is not hedged', async (t) => {
    let isStuck = false
    const slow = await startUpstream(t, (_, response) => void (isStuck || setTimeout(() => response.end('slow'), 300)))
    const bodies: string[] = []
    const fast = await startUpstream(t, (request, response) => {
      const pieces: Buffer[] = []
      request.on('data', (piece: Buffer) => pieces.push(piece))
      request.on('end', () => {
        bodies.push(Buffer.concat(pieces).toString())
        response.end('fast')
      })
    })
    for (const retry of [{}, null]) {
      const gateway = await startSluice(t, config([slow.address, fast.address], ALWAYS, { retry }))
      const body = 'abc'.repeat(10_000)
      isStuck = true
      assert.equal(await (await fetch(gateway.url, { method: 'PUT', body })).text(), 'fast')
      isStuck = false
      assert.equal(bodies.pop(), body)
      assert.equal(await (await fetch(gateway.url, { method: 'POST', body })).text(), 'slow')
      assert.deepEqual(bodies, [])
      // Too much to keep.
      assert.equal(await (await fetch(gateway.url, { method: 'PUT', body: 'x'.repeat(100_000) })).text(), 'slow')
      assert.deepEqual(bodies, [])
      await gateway.stop()
    }
  })

  it('stays within its budget', async (t) => {
    const waiting: (() => void)[] = []
    const slow = await startUpstream(t, (_, response) => void waiting.push(() => response.end('slow')))
    let seen = 0
    const second = await startUpstream(t, (_, response) => {
      seen++
      response.end('second')
    })
    const gateway = await startSluice(t, config([slow.address, second.address], { after: '10ms', budget: '10%' }))
    for (let round = 1; round <= 10; round++) {
      const answers = Array.from({ length: 20 }, async () => (await fetch(gateway.url)).text())
      // Each has either its backup or a refusal before the slow endpoint answers.
      await waitFor('what becomes of each request', async () => {
        const { sent = 0, 'budget-exhausted': refused = 0 } = await hedges(gateway)
        return sent + refused >= 20 * round
      })
      for (const answer of waiting.splice(0)) answer()
      await Promise.all(answers)
    }
    assert.ok(seen > 5 && seen <= 20, `${seen} backups of 200 requests`)
    const { sent, 'budget-exhausted': refused } = await hedges(gateway)
    assert.equal(sent, seen)
    assert.equal((refused ?? 0) + seen, 200)
  })

  it('takes its delay from the latencies of the last requests', async (t) => {
    let count = 0
    // Every 20th answer takes 1 s instead of 5 ms.
    const first = await startUpstream(t, (_, response) => void setTimeout(() => response.end('first'), ++count % 20 === 0 ? 1000 : 5))
    const second = await startUpstream(t, (_, response) => response.end('second'))
    const gateway = await startSluice(t, config([first.address, second.address], { after: 'p90', budget: '50%', minSamples: 20 }))
    for (let i = 0; i < 60; i++) await (await fetch(gateway.url)).text()
    // The quantile is taken anew every 3 s.
    await sleep(3100)
    const lateMs: number[] = []
    for (let i = 0; i < 60; i++) {
      const startedMs = performance.now()
      const before = count
      const text = await (await fetch(gateway.url)).text()
      if (count === before || count % 20 !== 0) continue
      assert.equal(text, 'second')
      lateMs.push(performance.now() - startedMs)
    }
    // Each would take a second, and with a wrong delay hardly less. The machine may hold up one of them, but not all.
    assert.equal(lateMs.length, 3)
    assert.ok(Math.min(...lateMs) < 500, `${lateMs} ms`)
  })

  it('does not outlive a client that goes away', async (t) => {
    let open = 0
    const stuck = () =>
      startUpstream(t, (_, response) => {
        open++
        response.once('close', () => open--)
      })
    const [a, b] = [await stuck(), await stuck()]
    const gateway = await startSluice(t, config([a.address, b.address], ALWAYS))
    const abort = new AbortController()
    const request = fetch(gateway.url, { signal: abort.signal })
    await waitFor('both attempts', () => open === 2)
    // A client that is gone at once could also be one that has only said all it has to say.
    await sleep(150)
    abort.abort()
    await assert.rejects(request)
    await waitFor('their end', () => open === 0)
  })
})
