import assert from 'node:assert/strict'
import http, { type ServerResponse } from 'node:http'
import http2 from 'node:http2'
import type net from 'node:net'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { startSluice } from '../../support/sluice.ts'
import { waitFor } from '../../support/wait.ts'
import { Authority, metric } from '../tls/kit.ts'
import { addHealth, echoMessage, grpc, startEcho, unary } from './kit.ts'

test('calls and health checks go over TLS on both sides', async (t) => {
  const authority = new Authority(t)
  const { cert, key, certPath, keyPath } = authority.issue('app.test')
  const credentials = grpc.ServerCredentials.createSsl(null, [{ private_key: Buffer.from(key), cert_chain: Buffer.from(cert) }])
  const echo = await startEcho(t, {}, credentials)
  addHealth(echo)
  const tls = { ca: authority.path, serverName: 'app.test' }
  const health = { grpc: true, interval: '100ms', downInterval: '100ms', startUnhealthy: true }
  const gateway = await startSluice(t, {
    workers: 1,
    listeners: { web: { address: '127.0.0.1:0', tls: { certificates: [{ cert: certPath, key: keyPath }] } } },
    services: { echo: { endpoints: [echo.address], protocol: 'grpc', tls, health } },
    routes: { all: { to: 'echo' } },
  })
  await waitFor('the check', async () => (await metric(gateway.adminUrl, 'sluice_endpoint_health')) === 1)
  const client = new grpc.Client(`127.0.0.1:${gateway.port()}`, grpc.credentials.createSsl(Buffer.from(authority.cert)), {
    'grpc.ssl_target_name_override': 'app.test',
    'grpc.default_authority': 'app.test',
  })
  t.after(() => client.close())
  const { code, message, details } = await unary(client, echoMessage('hello'))
  assert.equal(code, grpc.status.OK, details)
  assert.deepEqual(message, echoMessage('hello'))
})

test('checks by HTTP speak HTTP/2 to a service that does, with TLS and without, and HTTP/1.1 to a port of their own', async (t) => {
  const authority = new Authority(t)
  const { cert, key } = authority.issue('app.test')
  const seen: Record<string, Set<string>> = { plain: new Set(), secure: new Set(), own: new Set(), told: new Set() }
  const serve = async (name: string, server: net.Server): Promise<number> => {
    server.on('request', (request: { httpVersion: string }, response: ServerResponse) => {
      seen[name]?.add(request.httpVersion)
      response.end('ok')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.after(() => void server.close())
    return (server.address() as AddressInfo).port
  }
  const plain = await serve('plain', http2.createServer())
  const secure = await serve('secure', http2.createSecureServer({ cert, key, allowHTTP1: true }))
  const own = await serve('own', http.createServer())
  const told = await serve('told', http2.createServer())
  const pace = { interval: '100ms', downInterval: '100ms', startUnhealthy: true }
  const tls = { ca: authority.path, serverName: 'app.test' }
  const service = (port: number, check: object, rest: object = {}) => ({
    endpoints: [`127.0.0.1:${port}`],
    protocol: 'http2',
    health: { ...pace, ...check },
    ...rest,
  })
  const gateway = await startSluice(t, {
    workers: 1,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: {
      plain: service(plain, { http: '/healthz' }),
      secure: service(secure, { http: '/healthz' }, { tls, protocol: 'grpc' }),
      own: service(plain, { http: '/healthz', port: own }),
      told: service(plain, { http: { path: '/healthz', protocol: 'http2' }, port: told }),
    },
    routes: { all: { to: 'plain' } },
  })
  for (const name of ['plain', 'secure', 'own', 'told']) {
    const labels = { service: name }
    await waitFor(`the check of ${name}`, async () => (await metric(gateway.adminUrl, 'sluice_endpoint_health', labels)) === 1)
  }
  assert.deepEqual(seen, { plain: new Set(['2.0']), secure: new Set(['2.0']), own: new Set(['1.1']), told: new Set(['2.0']) })
})
