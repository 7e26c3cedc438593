import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { createSelfSigned } from './certificate.ts'

test('a self-signed certificate is one that OpenSSL reads and believes by itself', () => {
  const notBefore = new Date('2026-01-02T03:04:05Z')
  const notAfter = new Date('2027-01-02T03:04:05Z')
  for (let i = 0; i < 20; i++) {
    const { cert, key } = createSelfSigned({ names: ['localhost', '*.demo.test'], addresses: ['127.0.0.1'], notBefore, notAfter })
    const parsed = new X509Certificate(cert)
    assert.equal(parsed.subject, 'CN=localhost')
    assert.equal(parsed.subjectAltName, 'DNS:localhost, DNS:*.demo.test, IP Address:127.0.0.1')
    assert.equal(parsed.validFromDate.getTime(), notBefore.getTime())
    assert.equal(parsed.validToDate.getTime(), notAfter.getTime())
    assert.ok(parsed.checkPrivateKey(createPrivateKey(key)))
    assert.ok(parsed.verify(parsed.publicKey))
    assert.ok(parsed.ca)
    assert.equal(parsed.checkHost('x.demo.test'), '*.demo.test')
    assert.equal(parsed.checkIP('127.0.0.1'), '127.0.0.1')
  }
})
