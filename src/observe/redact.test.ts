import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isSecretName, REDACTED, redactSecrets } from './redact.ts'

describe('redaction', () => {
  it('knows secret names in every spelling, and leaves others alone', () => {
    for (const name of [
      'token',
      'adminToken',
      'access_token',
      'X-Api-Key',
      'Authorization',
      'Proxy-Authorization',
      'set-cookie',
      'clientSecret',
      'secrets',
      'PASSWORD',
    ]) {
      assert.ok(isSecretName(name), name)
    }
    for (const name of ['tokenBucket', 'key', 'cookies', 'host', 'passwordless_', 'authority', 'sort-key'])
      assert.ok(!isSecretName(name), name)
  })

  it('replaces values under secret names at any depth and keeps whether there is one', () => {
    const value = { admin: { token: 'x', address: 'a' }, list: [{ secret: { deep: 1 }, password: null, apiKey: 5 }], token: false }
    assert.deepEqual(redactSecrets(value), {
      admin: { token: REDACTED, address: 'a' },
      list: [{ secret: REDACTED, password: null, apiKey: REDACTED }],
      token: false,
    })
    assert.equal(value.admin.token, 'x')
  })

  it('replaces the value of a pair whose name is secret, as in header conditions', () => {
    const value = {
      headers: [
        { name: 'authorization', test: 'exact', value: 'Bearer x' },
        { name: 'x-env', test: 'exact', value: 'canary' },
      ],
    }
    assert.deepEqual(redactSecrets(value), {
      headers: [
        { name: 'authorization', test: 'exact', value: REDACTED },
        { name: 'x-env', test: 'exact', value: 'canary' },
      ],
    })
  })

  it('takes user and password out of URLs', () => {
    assert.equal(
      redactSecrets('see redis://user:p%40ss@host:6379/0 and http://a/b@c'),
      `see redis://${REDACTED}@host:6379/0 and http://a/b@c`,
    )
  })

  it('turns errors, dates, maps and circles into plain data', () => {
    const error = Object.assign(new Error('failed', { cause: new Error('why: http://u:p@h/') }), { code: 'EX', token: 't' })
    const circle: Record<string, unknown> = { error, when: new Date(0), map: new Map([['token', 'x']]), big: 10n }
    circle['self'] = circle
    const plain = JSON.parse(JSON.stringify(redactSecrets(circle))) as Record<string, Record<string, unknown>>
    assert.equal(plain['self'], '[circular]')
    assert.equal(plain['when'], '1970-01-01T00:00:00.000Z')
    assert.deepEqual(plain['map'], { token: REDACTED })
    assert.equal(plain['big'], '10')
    assert.equal(plain['error']?.['code'], 'EX')
    assert.equal(plain['error']?.['token'], REDACTED)
    assert.equal((plain['error']?.['cause'] as Record<string, unknown> | undefined)?.['message'], `why: http://${REDACTED}@h/`)
  })

  it('is not led astray by a key named __proto__ or by great depth', () => {
    const hostile = JSON.parse('{"__proto__":{"polluted":true}}') as unknown
    const copy = redactSecrets(hostile) as Record<string, unknown>
    assert.equal(copy['polluted'], undefined)
    assert.deepEqual(Object.keys(copy), ['__proto__'])
    let deep: unknown = 1
    for (let i = 0; i < 10_000; i++) deep = [deep]
    assert.match(JSON.stringify(redactSecrets(deep)), /too deep/)
  })
})
