// Several workers behind one port: their numbers are one, and the death of one is not the death of the others.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startSluice } from '../../support/sluice.ts'
import { startUpstream } from '../../support/upstream.ts'
import { startUpstreamProcess } from '../../support/upstream-process.ts'
import { waitFor } from '../../support/wait.ts'
import { loadSeconds } from '../../support/wrk.ts'
import { CarefulClients } from './support/careful-clients.ts'
import { KeptConnection } from './support/kept-connection.ts'
import { scrape } from './support/metrics.ts'
import { tcpStates } from './support/process-state.ts'

const get = (path = '/') => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`

test('two workers share the connections, and their numbers are added up exactly', async (t) => {
  const upstream = await startUpstream(t, (_, response) => void response.end('12345'))
  const sluice = await startSluice(t, {
    workers: 2,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: { up: { endpoints: [upstream.address] } },
    routes: { a: { match: { prefix: '/' }, to: 'up' } },
  })
  assert.equal(tcpStates(sluice.pid).listen, 3, 'two for the workers, one for the admin listener')
  const connections = await Promise.all(Array.from({ length: 40 }, () => KeptConnection.open(sluice.port())))
  const each = 25
  await Promise.all(
    connections.map(async (connection) => {
      for (let i = 0; i < each; i++) assert.equal((await connection.request(get())).status, 200)
    }),
  )
  const metrics = await scrape(sluice)
  const total = connections.length * each
  assert.equal(metrics.sum('sluice_requests_total', { listener: 'web', route: 'a', code: '200' }), total)
  assert.equal(metrics.sum('sluice_request_duration_seconds_count', { route: 'a' }), total)
  assert.equal(metrics.sum('sluice_response_bytes_total', { route: 'a' }), total * 5)
  assert.equal(metrics.sum('sluice_upstream_attempts_total', { service: 'up', outcome: 'success' }), total)
  assert.equal(metrics.sum('sluice_connections_accepted_total'), connections.length)
  assert.equal(metrics.sum('sluice_connections_open'), connections.length)
  assert.equal(metrics.sum('sluice_requests_in_flight'), 0)
  assert.equal(metrics.sum('sluice_workers'), 2)
  for (const connection of connections) connection.close()
  await waitFor('the end of the connections', async () => (await scrape(sluice)).sum('sluice_connections_open') === 0)
})

test('maxConnections holds over all workers', async (t) => {
  const sluice = await startSluice(t, {
    workers: 2,
    listeners: { web: { address: '127.0.0.1:0', maxConnections: 10 } },
    routes: { a: { respond: { body: 'ok' } } },
  })
  const connections = await Promise.all(Array.from({ length: 25 }, () => KeptConnection.open(sluice.port())))
  const statuses = await Promise.all(
    connections.map((connection) =>
      connection.request(get()).then(
        ({ status }) => status,
        () => 0,
      ),
    ),
  )
  const served = statuses.filter((status) => status === 200).length
  // Two workers may look at the same moment.
  assert(served >= 10 && served <= 11, `${served} were served`)
  assert.equal(statuses.filter((status) => status === 503).length, 25 - served)
  const metrics = await scrape(sluice)
  assert.equal(metrics.sum('sluice_connections_refused_total'), 25 - served)
  assert.equal(metrics.sum('sluice_connections_open'), served)
  for (const connection of connections) connection.close()
})

for (const [how, statement] of [
  ['throws where nobody catches', "setTimeout(() => { throw new Error('on purpose') })"],
  ['ends its thread', 'process.exit(3)'],
] as const) {
  test(`a worker whose filter ${how} is replaced, and only its own connections notice`, { timeout: 120_000 }, async (t) => {
    const upstream = await startUpstreamProcess(t)
    const slow = await startUpstream(t, () => {})
    const sluice = await startSluice(
      t,
      `export default {
  workers: 2,
  accessLog: null,
  admin: { address: '127.0.0.1:0' },
  listeners: { web: { address: '127.0.0.1:0' } },
  services: { up: { endpoints: ['${upstream.address}'] }, slow: { endpoints: ['${slow.address}'] } },
  routes: {
    die: { match: { path: '/die' }, filters: [async (x, next) => { ${statement}; await next() }], to: 'slow' },
    slow: { match: { path: '/slow' }, to: 'slow' },
    rest: { match: { prefix: '/' }, to: 'up' },
  },
}
`,
      { fileName: 'sluice.config.mjs' },
    )
    const before = await scrape(sluice)
    const clients = new CarefulClients({ port: sluice.port(), clients: 32 })
    await sleep(500)
    const held = await Promise.all(Array.from({ length: 8 }, () => KeptConnection.open(sluice.port())))
    const answers = held.map((connection) =>
      connection.request(get('/slow')).then(
        () => true,
        () => false,
      ),
    )
    await waitFor('the slow requests', async () => (await scrape(sluice)).sum('sluice_requests_in_flight') >= 8)
    let counters = (await scrape(sluice)).counters()
    const killer = await KeptConnection.open(sluice.port())
    await assert.rejects(killer.request(get('/die')), /the connection ended/)
    const answeredAtDeath = clients.counts.answered
    for (let i = 0; i < 20; i++) {
      const now = (await scrape(sluice)).counters()
      for (const [name, value] of counters) assert((now.get(name) ?? 0) >= value, `${name} went back from ${value} to ${now.get(name)}`)
      counters = now
      await sleep(25)
    }
    await waitFor('the replacement', async () => (await scrape(sluice)).sum('sluice_workers') === 2)
    await sleep(loadSeconds(1) * 100)
    assert(clients.counts.answered > answeredAtDeath)
    assert.equal((await fetch(`${sluice.adminUrl}/readyz`)).status, 200)
    const metrics = await scrape(sluice)
    assert.equal(metrics.sum('sluice_worker_restarts_total') - before.sum('sluice_worker_restarts_total'), 1)
    assert(sluice.logs.some((line) => line.includes('a worker died and is replaced')))
    assert.equal(tcpStates(sluice.pid).listen, 3)
    // What the dead worker had in flight is gone from the count; what the other one has is not.
    const survivors = held.filter((connection) => connection.ended === 'no').length
    const { lost, bad } = await clients.stop()
    assert(lost.length <= 32, `${lost.length} lost`)
    assert.equal(bad.size, 0)
    await waitFor('the end of the load', async () => {
      const now = await scrape(sluice)
      return now.sum('sluice_requests_in_flight') === survivors && now.sum('sluice_connections_open') === survivors
    })
    // A reload reaches the new worker as well.
    const { status } = await fetch(`${sluice.adminUrl}/reload`, { method: 'POST' })
    assert.equal(status, 200)
    for (const connection of held) connection.close()
    await Promise.all(answers)
    await waitFor('the end of the connections', async () => (await scrape(sluice)).sum('sluice_requests_in_flight') === 0)
    assert.deepEqual(await sluice.stop(), { code: 0, signal: null })
  })
}
