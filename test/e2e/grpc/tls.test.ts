import assert from 'node:assert/strict'
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
