// SIGTERM: what runs is finished, nobody who plays by the rules of HTTP loses a request, and the process ends soon.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { rawRequest } from '../../support/raw.ts'
import { startSluice } from '../../support/sluice.ts'
import { startRawUpstream, startUpstream } from '../../support/upstream.ts'
import { startUpstreamProcess } from '../../support/upstream-process.ts'
import { waitFor } from '../../support/wait.ts'
import { runWrk } from '../../support/wrk.ts'
import { CarefulClients } from './support/careful-clients.ts'
import { KeptConnection } from './support/kept-connection.ts'

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'

const config = (address: string, more: object = {}) => ({
  workers: 2,
  accessLog: null,
  listeners: { web: { address: '127.0.0.1:0', maxConnectionsPerClient: 0 } },
  services: { up: { endpoints: [address] } },
  routes: { a: { to: 'up' } },
  ...more,
})

const ended = { code: 0, signal: null }

for (const [what, options] of [
  ['busy', { clients: 48 }],
  ['mostly idle', { clients: 200, thinkMs: 150 }],
] as const) {
  test(`${what} clients that heed Connection: close lose no request when the gateway is stopped`, async (t) => {
    const upstream = await startUpstreamProcess(t)
    const sluice = await startSluice(t, config(upstream.address))
    const clients = new CarefulClients({ port: sluice.port(), ...options })
    await sleep(1000)
    const exit = sluice.stop()
    const counts = await clients.refused()
    assert.deepEqual(counts.lost, [])
    assert.equal(counts.bad.size, 0)
    assert.equal(counts.refused, options.clients)
    assert.deepEqual(await exit, ended)
    t.diagnostic(JSON.stringify(counts))
  })
}

test('every request of wrk that was taken is answered when the gateway is stopped under its load', async (t) => {
  const upstream = await startUpstreamProcess(t)
  const sluice = await startSluice(t, config(upstream.address, { accessLog: { path: 'access.log', format: '${status}' } }))
  const load = runWrk(sluice.url, { connections: 32, seconds: 3 })
  await sleep(1500)
  const startMs = performance.now()
  assert.deepEqual(await sluice.stop(), ended)
  const tookMs = performance.now() - startMs
  const { bad, errors, requests } = await load
  // wrk opens connections to the very end, and what it counts when nobody listens any more says nothing. But an answer that it did
  // not get is one that the gateway has logged and wrk has not counted.
  const statuses = readFileSync(join(sluice.folder, 'access.log'), 'utf8').split('\n').slice(0, -1)
  assert(statuses.every((status) => status === '200'))
  assert.equal(requests, statuses.length)
  assert.deepEqual({ bad, timeout: errors.timeout }, { bad: 0, timeout: 0 })
  assert(requests > 1000)
  t.diagnostic(`${requests} requests, stopped in ${Math.round(tookMs)} ms`)
  assert(tookMs < 15_000)
})

test('connections in the queue of the kernel are taken before the socket is closed', async (t) => {
  const upstream = await startUpstreamProcess(t)
  const losses: number[] = []
  for (let i = 0; i < 3; i++) {
    const sluice = await startSluice(t, config(upstream.address))
    const clients = new CarefulClients({ port: sluice.port(), clients: 48, isClosing: true })
    await sleep(500)
    const exit = sluice.stop()
    losses.push((await clients.refused()).lost.length)
    assert.deepEqual(await exit, ended)
  }
  t.diagnostic(`lost: ${losses.join(', ')}`)
  // On a machine with more to do than it can, a worker may be put to sleep between its last look at the queue and the closing.
  assert(losses.filter((lost) => lost === 0).length >= 2, `lost: ${losses.join(', ')}`)
})

test('a request under way is answered, the idle connections are closed, and nobody is told to come', async (t) => {
  const held: (() => void)[] = []
  const upstream = await startUpstream(t, (_, response) => void held.push(() => response.end('late')))
  const sluice = await startSluice(t, config(upstream.address))
  const idle = await KeptConnection.open(sluice.port(), { allowHalfOpen: true })
  const busy = await KeptConnection.open(sluice.port())
  const answer = busy.request(GET)
  await waitFor('the request at the upstream', () => held.length === 1)
  const exit = sluice.stop()
  await waitFor('not ready', async () => (await fetch(`${sluice.adminUrl}/readyz`)).status === 503)
  assert.match(await (await fetch(`${sluice.adminUrl}/readyz`)).text(), /"code": "draining"/)
  assert.equal((await fetch(`${sluice.adminUrl}/healthz`)).status, 200)
  assert.equal(await idle.untilEnded(), 'fin')
  await assert.rejects(rawRequest(sluice.port(), GET), { code: 'ECONNREFUSED' })
  await sleep(500)
  held[0]!()
  const { status, body, head } = await answer
  assert.deepEqual({ status, body }, { status: 200, body: 'late' })
  assert.match(head, /\r\nconnection: close/i)
  assert.deepEqual(await exit, ended)
  idle.close()
})

test('a request that an idle client was just sending is answered', async (t) => {
  const upstream = await startUpstream(t, (_, response) => void response.end('ok'))
  const sluice = await startSluice(t, config(upstream.address))
  const kept = await KeptConnection.open(sluice.port())
  await kept.request(GET)
  const exit = sluice.stop()
  await sleep(150)
  const { status, head } = await kept.request(GET)
  assert.equal(status, 200)
  assert.match(head, /\r\nconnection: close/i)
  assert.deepEqual(await exit, ended)
})

test('without requests the gateway ends at once, and with idle connections soon', async (t) => {
  const upstream = await startUpstream(t, (_, response) => void response.end('ok'))
  for (const connections of [0, 20]) {
    const sluice = await startSluice(t, config(upstream.address))
    const idle = await Promise.all(Array.from({ length: connections }, () => KeptConnection.open(sluice.port())))
    await Promise.all(idle.map((connection) => connection.request(GET)))
    const startMs = performance.now()
    assert.deepEqual(await sluice.stop(), ended)
    const tookMs = performance.now() - startMs
    t.diagnostic(`${connections} connections: ${Math.round(tookMs)} ms`)
    assert(tookMs < 8000, `${connections} connections: ${tookMs} ms`)
    for (const connection of idle) assert.equal(await connection.untilEnded(), 'fin')
  }
})

test('what does not end within the drain timeout is cut off', async (t) => {
  const upstream = await startRawUpstream(t, () => {})
  const sluice = await startSluice(t, config(upstream.address, { drainTimeout: '700ms' }))
  const answer = rawRequest(sluice.port(), GET, { timeoutMs: 10_000 })
  await waitFor('the request at the upstream', () => upstream.connections > 0)
  const startMs = performance.now()
  assert.deepEqual(await sluice.stop(), ended)
  const tookMs = performance.now() - startMs
  assert(tookMs > 600 && tookMs < 8000, `${tookMs} ms`)
  assert.equal((await answer).text, '')
})

test('a slow download goes on to its end', async (t) => {
  const upstream = await startUpstream(t, async (_, response) => {
    response.writeHead(200, { 'content-length': 400_000 })
    for (let i = 0; i < 4; i++) {
      response.write('x'.repeat(100_000))
      await sleep(300)
    }
    response.end()
  })
  const sluice = await startSluice(t, config(upstream.address))
  const kept = await KeptConnection.open(sluice.port())
  const answer = kept.request(GET)
  await sleep(150)
  const exit = sluice.stop()
  assert.equal((await answer).body.length, 400_000)
  // Its head said nothing of closing, as nobody knew: the connection ends as an idle one, not with the drain timeout.
  const startMs = performance.now()
  assert.equal(await kept.untilEnded(), 'fin')
  assert.deepEqual(await exit, ended)
  assert(performance.now() - startMs < 10_000)
})
