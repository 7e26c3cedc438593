// TLS towards endpoints: who is believed, who we say we are, and what is said when it fails.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { startSluice } from '../../support/sluice.ts'
import { startRawUpstream, startUpstream } from '../../support/upstream.ts'
import { waitFor } from '../../support/wait.ts'
import { Authority, metric, startTlsUpstream } from './kit.ts'

const authority = new Authority({ after })
const stranger = new Authority({ after }, 'Another CA')
const server = authority.issue('app.test')
const local = authority.issue('local', { names: 'IP:127.0.0.1' })
const gateway = authority.issue('gateway')
const expired = authority.issue('app.test', { days: -1 })
const routes = { app: { match: { prefix: '/' }, to: 'app' } }
const service = (address: string, tls: object | null, more = {}) => ({
  app: { endpoints: [address], tls, retry: null, ejection: null, ...more },
})

test('an endpoint is believed by its authority and its name: given, from hostHeader, or its address', async (t) => {
  const named = await startTlsUpstream(t, { cert: server.cert, key: server.key })
  const byAddress = await startTlsUpstream(t, { cert: local.cert, key: local.key })
  const sluice = await startSluice(t, {
    listeners: { web: { address: '127.0.0.1:0' } },
    services: {
      name: { endpoints: [named.address], tls: { ca: authority.path, serverName: 'app.test' } },
      host: { endpoints: [named.address], hostHeader: 'app.test:443', tls: { ca: authority.path } },
      address: { endpoints: [byAddress.address], tls: { ca: authority.path } },
      anything: { endpoints: [named.address], tls: { verify: false } },
    },
    routes: Object.fromEntries(['name', 'host', 'address', 'anything'].map((name) => [name, { match: { prefix: `/${name}` }, to: name }])),
  })
  for (const name of ['name', 'host', 'address', 'anything']) {
    const response = await fetch(`${sluice.url}/${name}`)
    assert.deepEqual([name, response.status, await response.text()], [name, 200, 'secret\n'])
  }
})

for (const [what, tls, issued, words] of [
  ['a wrong authority', { ca: stranger.path, serverName: 'app.test' }, server, 'an authority that is not believed'],
  ['another name', { ca: authority.path, serverName: 'other.test' }, server, 'for another name'],
  ['an expired certificate', { ca: authority.path, serverName: 'app.test' }, expired, 'has expired'],
  [
    'a version too old',
    { ca: authority.path, serverName: 'app.test', minVersion: 'TLSv1.3' },
    { ...server, maxVersion: 'TLSv1.2' as const },
    '',
  ],
] as const) {
  test(`${what}: 502 that keeps the reason for the log`, async (t) => {
    const upstream = await startTlsUpstream(t, { ...issued })
    const sluice = await startSluice(t, {
      workers: 1,
      listeners: { web: { address: '127.0.0.1:0' } },
      services: service(upstream.address, tls),
      routes,
    })
    const response = await fetch(sluice.url)
    const body = (await response.json()) as { code: string; detail: string }
    assert.deepEqual([response.status, body.code], [502, 'upstream_tls'])
    assert.doesNotMatch(body.detail, /127\.0\.0\.1|authority that|other\.test/)
    const line = await waitFor('the log line', () => sluice.logs.find((text) => text.includes('TLS with an endpoint failed')))
    assert.ok(line.includes(words) && line.includes(upstream.address) && line.includes('"service":"app"'), line)
    for (let i = 0; i < 5; i++) await fetch(sluice.url)
    assert.equal(sluice.logs.filter((text) => text.includes('TLS with an endpoint failed')).length, 1, 'it is not said for every request')
  })
}

test('an endpoint that speaks no TLS is told apart from one that is not there', async (t) => {
  const plain = await startUpstream(t, (_, response) => void response.end('plain'))
  const sluice = await startSluice(t, {
    listeners: { web: { address: '127.0.0.1:0' } },
    services: service(plain.address, { verify: false }),
    routes,
  })
  assert.equal(((await (await fetch(sluice.url)).json()) as { code: string }).code, 'upstream_tls')
  await plain.stop()
  assert.equal(((await (await fetch(sluice.url)).json()) as { code: string }).code, 'connect_failed')
})

test('a handshake that stands still ends with the connect timeout', async (t) => {
  const silent = await startRawUpstream(t, () => undefined)
  const sluice = await startSluice(t, {
    listeners: { web: { address: '127.0.0.1:0' } },
    services: service(silent.address, { verify: false }, { pool: { connectTimeout: '200ms' } }),
    routes,
  })
  const response = await fetch(sluice.url)
  assert.deepEqual([response.status, ((await response.json()) as { code: string }).code], [504, 'connect_timeout'])
})

test('the gateway shows its own certificate, and later connections resume the session', async (t) => {
  const upstream = await startTlsUpstream(
    t,
    { cert: server.cert, key: server.key, ca: authority.cert, requestCert: true, rejectUnauthorized: true },
    (request, response) => {
      const { subject } = (request.socket as TLSSocket).getPeerCertificate()
      response.setHeader('Connection', 'close')
      response.end(subject?.CN)
    },
  )
  const tls = { ca: authority.path, serverName: 'app.test', cert: gateway.certPath, key: gateway.keyPath }
  const sluice = await startSluice(t, {
    workers: 1,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: service(upstream.address, tls),
    routes,
  })
  for (let i = 0; i < 5; i++) assert.equal(await (await fetch(sluice.url)).text(), 'gateway')
  assert.equal(upstream.handshakes, 5)
  assert.equal(upstream.resumed, 4)
})

test('health checks use the TLS of the service', async (t) => {
  const upstream = await startTlsUpstream(t, { cert: server.cert, key: server.key }, (request, response) => {
    response.statusCode = request.url === '/ready' ? 200 : 503
    response.end()
  })
  const tls = { ca: authority.path, serverName: 'app.test' }
  const check = { interval: '100ms', downInterval: '100ms', startUnhealthy: true }
  const sluice = await startSluice(t, {
    listeners: { web: { address: '127.0.0.1:0' } },
    services: {
      http: { endpoints: [upstream.address], tls, health: { http: '/ready', ...check } },
      tcp: { endpoints: [upstream.address], tls, health: { tcp: true, ...check } },
      wrong: { endpoints: [upstream.address], tls: { ca: stranger.path, serverName: 'app.test' }, health: { tcp: true, ...check } },
    },
    routes: { http: { match: { prefix: '/' }, to: 'http' } },
  })
  const states = async () => {
    const { services } = (await (await fetch(`${sluice.adminUrl}/services`)).json()) as {
      services: { name: string; endpoints: { health: unknown }[] }[]
    }
    return Object.fromEntries(services.map(({ name, endpoints }) => [name, JSON.stringify(endpoints[0]?.health)]))
  }
  await waitFor('the checks', async () => {
    const { http = '', tcp = '', wrong = '' } = await states()
    return http.includes('"healthy"') && tcp.includes('"healthy"') && wrong.includes('authority that is not believed')
  })
  assert.ok((await metric(sluice.adminUrl, 'sluice_upstream_connections')) >= 0)
})
