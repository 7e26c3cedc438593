// Active health checks with real processes: what dies gets nothing, what comes back is used again, on every worker.
import assert from 'node:assert/strict'
import net from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startSluice } from '../../support/sluice.ts'
import { startRawUpstream, startUpstream } from '../../support/upstream.ts'
import { startUpstreamProcess } from '../../support/upstream-process.ts'
import { waitFor } from '../../support/wait.ts'
import { scrape } from '../operations/support/metrics.ts'
import {
  configuration,
  DOWN_INTERVAL_MS,
  endpoint,
  HEALTH,
  INTERVAL_MS,
  linesWith,
  requestMany,
  SLACK_MS,
  stateOf,
  TIMEOUT_MS,
} from './kit.ts'

test('an endpoint that is killed gets no request after two intervals and the timeout, and is back within one downInterval', async (t) => {
  const upstreams = await Promise.all([1, 2, 3].map(() => startUpstreamProcess(t)))
  const sluice = await startSluice(t, configuration(upstreams.map((upstream) => upstream.address)))
  const [a, b] = upstreams as [(typeof upstreams)[0], (typeof upstreams)[0]]
  await waitFor('all to be healthy', async () => {
    for (const upstream of upstreams) if ((await stateOf(sluice, upstream.address)) !== 'healthy') return false
    return true
  })
  assert.deepEqual([...(await requestMany(sluice, 90)).keys()], [200])

  const killedMs = performance.now()
  await a.kill()
  await waitFor('the dead one to be found', async () => (await stateOf(sluice, a.address)) === 'unhealthy', { everyMs: 10 })
  const foundAfterMs = performance.now() - killedMs
  assert(foundAfterMs <= 2 * INTERVAL_MS + TIMEOUT_MS + SLACK_MS, `found after ${foundAfterMs} ms`)

  // Every worker has seen it: four of them, and hundreds of connections.
  const before = await endpoint(sluice, a.address)
  assert.deepEqual([...(await requestMany(sluice, 400)).keys()], [200])
  const after = await endpoint(sluice, a.address)
  assert.equal(after.requests, before.requests, 'the dead one gets nothing')
  assert.equal(after.inUse, false)
  assert.equal(after.putAside, false)
  assert.equal(after.health?.lastCheck?.result, 'fail')
  assert.equal(after.health.lastCheck.error, 'connection refused')
  assert.equal((await stateOf(sluice, b.address)) ?? '', 'healthy')
  assert.equal((await fetch(`${sluice.adminUrl}/readyz`)).status, 200, 'a gateway is ready whatever its services are')
  const metrics = await scrape(sluice)
  assert.equal(metrics.sum('sluice_endpoint_health', { endpoint: a.address }), 0)
  assert.equal(metrics.sum('sluice_endpoint_health', { endpoint: b.address }), 1)
  assert(metrics.sum('sluice_health_checks_total', { service: 'up', result: 'fail' }) >= 2)

  await a.restart()
  const restartedMs = performance.now()
  await waitFor('the restarted one to be used', async () => (await stateOf(sluice, a.address)) === 'healthy', { everyMs: 10 })
  const backAfterMs = performance.now() - restartedMs
  assert(backAfterMs <= DOWN_INTERVAL_MS + SLACK_MS, `back after ${backAfterMs} ms`)
  assert.deepEqual([...(await requestMany(sluice, 300)).keys()], [200])
  const share = (await endpoint(sluice, a.address)).requests - after.requests
  assert(share >= 70 && share <= 130, `${share} of 300 requests`)
  assert.equal(linesWith(sluice, 'an endpoint is unhealthy').length, 1)
  assert.equal(linesWith(sluice, 'an endpoint is healthy again').length, 1)
})

test('traffic to an endpoint that was put aside comes back with the first check that passes, not after failTimeout', async (t) => {
  const upstreams = await Promise.all([1, 2].map(() => startUpstreamProcess(t)))
  const [a] = upstreams as [(typeof upstreams)[0]]
  const ejection = { maxFails: 2, failTimeout: '10m' }
  const sluice = await startSluice(
    t,
    configuration(
      upstreams.map((upstream) => upstream.address),
      { ejection },
    ),
  )
  await a.kill()
  await requestMany(sluice, 60)
  await waitFor('both ways to see it', async () => {
    const { putAside, health } = await endpoint(sluice, a.address)
    return putAside && health?.state === 'unhealthy'
  })
  await a.restart()
  await waitFor('it to be in use', async () => (await endpoint(sluice, a.address)).inUse, { timeoutMs: DOWN_INTERVAL_MS + 2 * SLACK_MS })
  assert.equal((await endpoint(sluice, a.address)).putAside, false)
})

test('an endpoint that accepts and never answers is found by the timeout', async (t) => {
  const good = await startUpstream(t, (_, response) => response.end('ok'))
  const hole = await startRawUpstream(t, () => {})
  const startMs = performance.now()
  const sluice = await startSluice(t, configuration([good.address, hole.address]))
  await waitFor('it to be found', async () => (await stateOf(sluice, hole.address)) === 'unhealthy', { everyMs: 10 })
  const foundAfterMs = performance.now() - startMs
  const { health } = await endpoint(sluice, hole.address)
  assert.equal(health?.lastCheck?.error, `no success within ${TIMEOUT_MS}ms, while waiting for the response`)
  assert(health.lastCheck.durationMs >= TIMEOUT_MS - 1 && health.lastCheck.durationMs < TIMEOUT_MS + SLACK_MS)
  t.diagnostic(`found ${Math.round(foundAfterMs)} ms after the start of the process`)
  assert.deepEqual([...(await requestMany(sluice, 200)).keys()], [200])
  // One check at a time, and each is closed: the hole does not fill up.
  await sleep(3 * TIMEOUT_MS)
  assert(hole.open <= 1, `${hole.open} connections`)
})

test('a frozen process is found by a check by TCP when its queue of connections is full, and is back when it goes on', async (t) => {
  const good = await startUpstream(t, (_, response) => response.end('ok'))
  const frozen = await startUpstreamProcess(t)
  const sluice = await startSluice(t, configuration([good.address, frozen.address], { health: { ...HEALTH, http: undefined, tcp: true } }))
  await waitFor('it to be healthy', async () => (await stateOf(sluice, frozen.address)) === 'healthy')
  process.kill(frozen.pid, 'SIGSTOP')
  t.after(() => {
    try {
      process.kill(frozen.pid, 'SIGCONT')
    } catch {
      // Ended already.
    }
  })
  // The kernel goes on accepting until the queue is full: a check by TCP alone does not see a frozen process before that.
  await sleep(2 * INTERVAL_MS + TIMEOUT_MS)
  assert.equal(await stateOf(sluice, frozen.address), 'healthy')
  // Longer than any queue Node.js asks for.
  const waiting = Array.from({ length: 600 }, () => net.connect(frozen.port, '127.0.0.1').on('error', () => {}))
  t.after(() => waiting.forEach((socket) => void socket.destroy()))
  await waitFor('it to be found', async () => (await stateOf(sluice, frozen.address)) === 'unhealthy')
  const { health } = await endpoint(sluice, frozen.address)
  assert.equal(health?.lastCheck?.error, 'no success within 400ms, while connecting')
  assert.deepEqual([...(await requestMany(sluice, 100)).keys()], [200])
  for (const socket of waiting) socket.destroy()
  process.kill(frozen.pid, 'SIGCONT')
  await waitFor('it to be back', async () => (await stateOf(sluice, frozen.address)) === 'healthy', {
    timeoutMs: TIMEOUT_MS + 2 * SLACK_MS,
  })
})

test('statuses, a body and a host decide, and the reason is to be read', async (t) => {
  const seen = new Set<string>()
  const answers = async (status: number, body: string) =>
    (
      await startUpstream(t, (request, response) => {
        if (request.url === '/healthz?deep=1') seen.add(String(request.headers.host))
        response.writeHead(request.url === '/' ? 200 : status)
        response.end(body)
      })
    ).address
  const good = await answers(202, 'status: green')
  const wrongStatus = await answers(200, 'status: green')
  const wrongBody = await answers(202, 'status: red')
  const health = { ...HEALTH, http: { path: '/healthz?deep=1', status: [202], match: { regex: 'green$' }, host: 'checks.internal' } }
  const sluice = await startSluice(t, configuration([good, wrongStatus, wrongBody], { health }))
  await waitFor(
    'it to be known',
    async () => (await stateOf(sluice, wrongBody)) === 'unhealthy' && (await stateOf(sluice, wrongStatus)) === 'unhealthy',
  )
  assert.equal(await stateOf(sluice, good), 'healthy')
  assert.equal((await endpoint(sluice, wrongStatus)).health?.lastCheck?.error, 'status 200; expected 202')
  assert.equal((await endpoint(sluice, wrongBody)).health?.lastCheck?.error, 'the body has no match of green$')
  assert.deepEqual([...seen], ['checks.internal'])
})

test('a reload with another path keeps what is known, and one without checks uses every endpoint', async (t) => {
  let paths: string[] = []
  const good = await startUpstream(t, (request, response) => {
    paths.push(request.url ?? '')
    response.end('ok')
  })
  const bad = await startUpstream(t, (request, response) => {
    response.writeHead(request.url === '/' ? 200 : 503)
    response.end()
  })
  const addresses = [good.address, bad.address]
  const sluice = await startSluice(t, configuration(addresses))
  await waitFor('it to be known', async () => (await stateOf(sluice, bad.address)) === 'unhealthy')
  const { health } = await endpoint(sluice, bad.address)
  // So long that no check comes between the reload and the question.
  const slow = { ...HEALTH, http: '/other', interval: '1h', downInterval: '1h' }
  assert.equal((await sluice.reload(configuration(addresses, { health: slow }))).status, 200)
  const kept = await endpoint(sluice, bad.address)
  assert.equal(kept.health?.state, 'unhealthy')
  assert.equal(kept.health.since, health?.since)
  assert.equal((await requestMany(sluice, 100)).get(200), 100)
  assert.equal((await endpoint(sluice, bad.address)).requests, kept.requests)
  await waitFor('the other path to be asked for', () => paths.includes('/other'))
  paths = []
  await sleep(3 * INTERVAL_MS)
  assert.deepEqual(
    paths.filter((path) => path === '/healthz'),
    [],
    'nobody asks for the old path any more',
  )
  assert.equal((await sluice.reload(configuration(addresses, { health: null }))).status, 200)
  const off = await endpoint(sluice, bad.address)
  assert.equal(off.health, null)
  assert.equal(off.inUse, true)
  await requestMany(sluice, 100)
  const got = (await endpoint(sluice, bad.address)).requests - off.requests
  assert(got >= 20, `${got} of 100 requests`)
  assert.equal((await scrape(sluice)).sum('sluice_endpoint_health'), 0)
})

test('when every endpoint is unhealthy all are used, and it is said once', async (t) => {
  const upstreams = await Promise.all(
    [1, 2].map(() =>
      startUpstream(t, (request, response) => {
        response.writeHead(request.url === '/' ? 200 : 500)
        response.end()
      }),
    ),
  )
  const sluice = await startSluice(t, configuration(upstreams.map((upstream) => upstream.address)))
  for (const { address } of upstreams) await waitFor('it to be found', async () => (await stateOf(sluice, address)) === 'unhealthy')
  assert.equal((await requestMany(sluice, 50)).get(200), 50)
  assert.equal(linesWith(sluice, 'every endpoint of the service is unhealthy').length, 1)
})

test('a new endpoint that is to start as unhealthy gets its first request after its first check', async (t) => {
  const first = await startUpstream(t, (_, response) => response.end('ok'))
  const order: string[] = []
  const second = await startUpstream(t, (request, response) => {
    order.push(request.url ?? '')
    response.end('ok')
  })
  const health = { ...HEALTH, startUnhealthy: true }
  const sluice = await startSluice(t, configuration([first.address], { health }))
  let isOver = false
  const load = (async () => {
    while (!isOver) await requestMany(sluice, 16)
  })()
  assert.equal((await sluice.reload(configuration([first.address, second.address], { health }))).status, 200)
  await waitFor('traffic', () => order.includes('/'))
  isOver = true
  await load
  assert.equal(order[0], '/healthz')
})

test('checks end with the process, also when it drains', async (t) => {
  const hole = await startRawUpstream(t, () => {})
  const sluice = await startSluice(t, configuration([hole.address]))
  await waitFor('a check', () => hole.connections > 0)
  const startMs = performance.now()
  assert.deepEqual(await sluice.stop(), { code: 0, signal: null })
  assert(performance.now() - startMs < 10_000)
})
