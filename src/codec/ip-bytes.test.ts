import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressToBytes, formatIpv4, formatIpv6, toMapped } from './ip-bytes.ts'

test('IPv6 is written as RFC 5952 wants it', () => {
  for (const [written, expected] of [
    ['2001:0DB8:0000:0000:0000:0000:0000:0001', '2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['0:0:0:0:0:1:0:0', '::1:0:0'],
    ['fe80::a:b%lo', 'fe80::a:b'],
  ] as const) {
    const bytes = addressToBytes(written)
    assert.ok(bytes !== null && bytes.length === 16, written)
    assert.equal(formatIpv6(bytes, 0), expected)
  }
})

test('IPv4, and IPv6 that stands for it, are four bytes', () => {
  assert.deepEqual([...(addressToBytes('192.0.2.7') ?? [])], [192, 0, 2, 7])
  assert.deepEqual([...(addressToBytes('::ffff:192.0.2.7') ?? [])], [192, 0, 2, 7])
  const mapped = toMapped(Uint8Array.of(192, 0, 2, 7))
  assert.equal(formatIpv6(mapped, 0), '192.0.2.7')
  assert.equal(formatIpv4(mapped, 12), '192.0.2.7')
})

test('what is no address is none', () => {
  for (const text of ['', 'x', '10.0.0.0/8', '1.2.3', '::g', 'localhost']) assert.equal(addressToBytes(text), null, text)
})
