import assert from 'node:assert/strict'
import { test } from 'node:test'
import { serviceSchema } from './service-schema.ts'

const parse = (more: object) => serviceSchema.safeParse({ endpoints: ['a:1'], ...more })

test('HTTP/1.1 has no settings of HTTP/2', () => {
  const result = parse({})
  assert.deepEqual([result.data?.protocol, result.data?.http2], ['http1', null])
  const refused = parse({ http2: { maxStreams: 10 } })
  assert.equal(refused.success, false)
  assert.match(String(refused.error?.issues[0]?.message), /found http2 although the protocol is http1/)
})

test('http2 and grpc have settings, also when none are given', () => {
  const defaults = {
    streamWindowBytes: 1024 * 1024,
    connectionWindowBytes: 16 * 1024 * 1024,
    maxStreams: 256,
    connections: 1,
    pingMs: 30_000,
  }
  for (const protocol of ['http2', 'grpc']) {
    assert.deepEqual(parse({ protocol }).data?.http2, defaults)
    assert.deepEqual(parse({ protocol, http2: null }).data?.http2, defaults)
  }
  const given = { streamWindow: '64KiB', connectionWindow: '2MiB', maxStreams: 7, connections: 4, ping: 0 }
  assert.deepEqual(parse({ protocol: 'grpc', http2: given }).data?.http2, {
    streamWindowBytes: 65_536,
    connectionWindowBytes: 2 * 1024 * 1024,
    maxStreams: 7,
    connections: 4,
    pingMs: 0,
  })
})

test('windows that HTTP/2 does not know, and counts that are none, are refused', () => {
  for (const http2 of [{ streamWindow: '1KiB' }, { connectionWindow: '4GiB' }, { maxStreams: 0 }, { connections: 0 }])
    assert.equal(parse({ protocol: 'http2', http2 }).success, false, JSON.stringify(http2))
})
