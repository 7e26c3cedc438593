import assert from 'node:assert/strict'
import type http from 'node:http'
import { describe, it } from 'node:test'
import { startSluice } from '../../support/sluice.ts'
import { startRawUpstream, startUpstream } from '../../support/upstream.ts'

interface Seen {
  body: string
  attempt: string | undefined
}

/** An upstream that notes what it gets and answers with `status`. */
function recorder(seen: Seen[], status = 200, headers: Record<string, string> = {}): http.RequestListener {
  return (request, response) => {
    const pieces: Buffer[] = []
    request.on('data', (piece: Buffer) => pieces.push(piece))
    request.on('end', () => {
      seen.push({ body: Buffer.concat(pieces).toString(), attempt: request.headers['x-sluice-attempt'] as string | undefined })
      response.writeHead(status, headers).end(`from ${status}\n`)
    })
  }
}

function config(endpoints: string[], service: object = {}, more: object = {}): object {
  return {
    workers: 1,
    accessLog: null,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: { up: { endpoints, ejection: null, ...service } },
    routes: { all: { to: 'up' } },
    ...more,
  }
}

describe('a request whose endpoint fails', () => {
  it('is repeated on another endpoint when the connection is refused, whatever its method, with its body', async (t) => {
    const dead = await startUpstream(t, () => undefined)
    await dead.stop()
    const seen: Seen[] = []
    const live = await startUpstream(t, recorder(seen))
    const gateway = await startSluice(t, config([dead.address, live.address]))
    for (let i = 0; i < 4; i++) {
      const response = await fetch(gateway.url, { method: 'POST', body: `body ${i}` })
      assert.equal(response.status, 200)
      await response.text()
    }
    assert.deepEqual(
      seen.map(({ body }) => body),
      ['body 0', 'body 1', 'body 2', 'body 3'],
    )
    // Whoever met the dead endpoint first came as a second attempt.
    assert.ok(seen.some(({ attempt }) => attempt === '2'))
  })

  it('is repeated after a reset when it is idempotent, and not when it is a POST', async (t) => {
    const resetting = await startRawUpstream(t, (socket) => socket.once('data', () => socket.resetAndDestroy()))
    const seen: Seen[] = []
    const live = await startUpstream(t, recorder(seen))
    const gateway = await startSluice(t, config([resetting.address, live.address]))
    const statuses: number[] = []
    for (const method of ['PUT', 'GET', 'POST', 'POST']) {
      const response = await fetch(gateway.url, { method, ...(method === 'GET' ? {} : { body: 'x'.repeat(10_000) }) })
      statuses.push(response.status)
      await response.text()
    }
    assert.deepEqual(statuses, [200, 200, 502, 200])
    assert.deepEqual(
      seen.map(({ body }) => body.length),
      [10_000, 0, 10_000],
    )
  })

  it('is repeated as POST too when it carries an Idempotency-Key', async (t) => {
    const resetting = await startRawUpstream(t, (socket) => socket.once('data', () => socket.resetAndDestroy()))
    const seen: Seen[] = []
    const live = await startUpstream(t, recorder(seen))
    const gateway = await startSluice(t, config([resetting.address, live.address]))
    const response = await fetch(gateway.url, { method: 'POST', body: 'once', headers: { 'idempotency-key': 'k1' } })
    assert.equal(response.status, 200)
    assert.deepEqual(seen, [{ body: 'once', attempt: '2' }])
  })

  it('is not repeated when more of its body was sent than is kept', async (t) => {
    const resetting = await startRawUpstream(t, (socket) => {
      let received = 0
      socket.on('data', (bytes) => {
        received += bytes.length
        if (received > 150_000) socket.resetAndDestroy()
      })
    })
    const live = await startUpstream(t, recorder([]))
    const gateway = await startSluice(t, config([resetting.address, live.address]))
    const response = await fetch(gateway.url, { method: 'PUT', body: 'x'.repeat(200_000) })
    assert.equal(response.status, 502)
    await response.text()
  })

  it('is repeated on a status of the policy, and the last response is passed on when attempts run out', async (t) => {
    const seen: Seen[] = []
    const busy = await startUpstream(t, recorder(seen, 503))
    const live = await startUpstream(t, recorder(seen))
    const gateway = await startSluice(t, config([busy.address, live.address]))
    const first = await fetch(gateway.url)
    assert.deepEqual([first.status, await first.text()], [200, 'from 200\n'])
    const alone = await startSluice(t, config([busy.address]))
    const second = await fetch(alone.url)
    assert.deepEqual([second.status, await second.text()], [503, 'from 503\n'])
    // Whoever stands before this gateway need not try again.
    assert.equal(second.headers.get('x-sluice-retry'), 'no')
  })

  it('keeps to what the endpoint says about trying again', async (t) => {
    const seen: Seen[] = []
    const forbidding = await startUpstream(t, recorder(seen, 503, { 'x-sluice-retry': 'no' }))
    const gateway = await startSluice(t, config([forbidding.address]))
    const response = await fetch(gateway.url)
    await response.text()
    assert.equal(response.status, 503)
    assert.equal(seen.length, 1)
  })

  it('is not repeated when it is itself a retry of a gateway before', async (t) => {
    const seen: Seen[] = []
    const busy = await startUpstream(t, recorder(seen, 503))
    const gateway = await startSluice(t, config([busy.address]))
    await (await fetch(gateway.url, { headers: { 'x-sluice-attempt': '2' } })).text()
    assert.equal(seen.length, 1)
  })

  it('is repeated when an endpoint does not answer within the per-try timeout', async (t) => {
    const silent = await startUpstream(t, () => undefined)
    const live = await startUpstream(t, recorder([]))
    const gateway = await startSluice(t, config([silent.address, live.address], { timeouts: { perTry: '200ms', request: '5s' } }))
    const startedMs = performance.now()
    const response = await fetch(gateway.url)
    await response.text()
    assert.equal(response.status, 200)
    const tookMs = performance.now() - startedMs
    assert.ok(tookMs > 150 && tookMs < 4500, `took ${tookMs} ms`)
  })

  it('stops when the time of the whole request is over', async (t) => {
    const silent = await startUpstream(t, () => undefined)
    const gateway = await startSluice(
      t,
      config([silent.address], { timeouts: { perTry: '1s', request: '1500ms' }, retry: { attempts: 5 } }),
    )
    const startedMs = performance.now()
    const response = await fetch(gateway.url)
    await response.text()
    assert.equal(response.status, 504)
    // Five attempts would take five seconds.
    assert.ok(performance.now() - startedMs < 4000)
  })
})

describe('the retry budget', () => {
  it('keeps the attempts at a dead service near 1.2 times the requests', async (t) => {
    let attempts = 0
    const failing = await startUpstream(t, (_request, response) => {
      attempts++
      response.writeHead(503).end()
    })
    const gateway = await startSluice(t, config([failing.address]))
    const requests = 400
    for (let i = 0; i < requests; i += 10) {
      await Promise.all(Array.from({ length: 10 }, async () => (await fetch(gateway.url)).arrayBuffer()))
    }
    // 20% of the requests, and ten in ten seconds that are always allowed.
    assert.ok(attempts <= requests * 1.2 + 12, `${attempts} attempts for ${requests} requests`)
    assert.ok(attempts > requests, 'nothing was repeated at all')
    const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
    assert.match(
      metrics,
      /sluice_upstream_retries_total\{service="up",reason="budget-exhausted"\} \d+|reason="budget-exhausted",service="up"/,
    )
  })

  it('holds through three gateways in a row', async (t) => {
    let attempts = 0
    const dead = await startUpstream(t, (_request, response) => {
      attempts++
      response.writeHead(503).end()
    })
    const bottom = await startSluice(t, config([dead.address]))
    const middle = await startSluice(t, config([`127.0.0.1:${bottom.port()}`]))
    const top = await startSluice(t, config([`127.0.0.1:${middle.port()}`]))
    const requests = 300
    for (let i = 0; i < requests; i += 10) {
      await Promise.all(Array.from({ length: 10 }, async () => (await fetch(top.url)).arrayBuffer()))
    }
    assert.ok(attempts <= requests * 1.2 + 12, `${attempts} attempts for ${requests} requests at the top`)
  })
})
