import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSecureContext } from 'node:tls'
import type { ServiceTlsConfig } from '../config/tls-types.ts'
import { createTlsOptions, tlsFailureOf } from './service-tls.ts'

const CONFIG: ServiceTlsConfig = {
  ca: null,
  serverName: null,
  verify: true,
  cert: null,
  key: null,
  minVersion: 'TLSv1.2',
  alpn: ['http/1.1'],
  revision: '',
}
const context = createSecureContext()
const nameFor = (hostHeader: string, host: string, serverName: string | null = null) =>
  createTlsOptions({ ...CONFIG, serverName }, context, hostHeader, host).servername

test('the name that is asked for: given, from hostHeader, or the host of the endpoint; addresses are not asked for', () => {
  assert.equal(nameFor('preserve', 'users.internal'), 'users.internal')
  assert.equal(nameFor('endpoint', 'users.internal', 'given.test'), 'given.test')
  assert.equal(nameFor('api.test:8443', '10.0.0.1'), 'api.test')
  assert.equal(nameFor('preserve', '10.0.0.1'), '')
  assert.equal(nameFor('preserve', '[::1]'), '')
  assert.equal(nameFor('10.0.0.9:80', 'users.internal'), 'users.internal')
})

test('failures of TLS are put into words, other failures are left alone', () => {
  const failure = (code: string, message = 'message') => tlsFailureOf(Object.assign(new Error(message), { code }))
  assert.match(failure('SELF_SIGNED_CERT_IN_CHAIN') ?? '', /authority that is not believed \(SELF_SIGNED_CERT_IN_CHAIN\)$/)
  assert.match(failure('ERR_SSL_SOMETHING_NEW', 'strange') ?? '', /strange \(ERR_SSL_SOMETHING_NEW\)/)
  assert.notEqual(failure('ECONNRESET', 'Client network socket disconnected before secure TLS connection was established'), null)
  assert.equal(failure('ECONNREFUSED'), null)
  assert.equal(failure('ECONNRESET'), null)
})
