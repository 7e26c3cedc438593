import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MAX_THRIFT_NAME_BYTES, ThriftReader } from './thrift.ts'

const CALL = Buffer.from('000000258001000100000009646f5f666f726d6174000000010c00010b00010000000470696e670000', 'hex')
const REPLY = Buffer.concat([
  Buffer.from('000000388001000200000009646f5f666f726d6174000000010c00000b000100000017', 'hex'),
  Buffer.from('127.0.0.1:6001 DoFormat'),
  Buffer.from([0, 0]),
])

function message(type: number, name: string, sequence: number, body = Buffer.alloc(5)): Buffer {
  const nameBytes = Buffer.from(name)
  const bytes = Buffer.alloc(16 + nameBytes.length)
  bytes.writeUInt32BE(12 + nameBytes.length + body.length, 0)
  bytes.writeUInt32BE(0x80010000 + type, 4)
  bytes.writeUInt32BE(nameBytes.length, 8)
  nameBytes.copy(bytes, 12)
  bytes.writeInt32BE(sequence, 12 + nameBytes.length)
  return Buffer.concat([bytes, body])
}

/** What is read when the bytes come in pieces of at most `size`. */
function read(bytes: Buffer, size = bytes.length): { messages: unknown[][]; isBroken: boolean } {
  const messages: unknown[][] = []
  const reader = new ThriftReader((...facts) => messages.push(facts))
  for (let at = 0; at < bytes.length; at += size) {
    const piece = bytes.subarray(at, at + size)
    reader.read(piece, piece.length)
  }
  return { messages, isBroken: reader.isBroken }
}

test('a call and its reply are the known bytes', () => {
  assert.equal(CALL.length, 41)
  assert.equal(REPLY.length, 60)
  assert.deepEqual(read(CALL).messages, [['call', '', 'do_format', 1]])
  assert.deepEqual(read(REPLY).messages, [['reply', '', 'do_format', 1]])
})

test('messages may be split anywhere', () => {
  const stream = Buffer.concat([CALL, message(4, 'Users:ping', -7), message(3, 'x', 3, Buffer.alloc(0)), REPLY, message(1, 'größe', 4)])
  const expected = [
    ['call', '', 'do_format', 1],
    ['oneway', 'Users', 'ping', -7],
    ['exception', '', 'x', 3],
    ['reply', '', 'do_format', 1],
    ['call', '', 'größe', 4],
  ]
  for (let size = 1; size <= stream.length; size++)
    assert.deepEqual(read(stream, size), { messages: expected, isBroken: false }, `pieces of ${size}`)
})

test('bytes behind the length of a read are not looked at', () => {
  const messages: unknown[] = []
  const reader = new ThriftReader((_type, _service, method) => messages.push(method))
  const larger = Buffer.concat([CALL, CALL])
  reader.read(larger, CALL.length)
  assert.deepEqual(messages, ['do_format'])
})

test('what is no strict binary message breaks the reader, and it stays quiet', () => {
  const wrong = {
    HTTP: Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    'the old binary protocol': Buffer.from('0000001500000004706f6e670100000001000000000000000000', 'hex'),
    'another version': Buffer.concat([CALL.subarray(0, 4), Buffer.from('80020001', 'hex'), CALL.subarray(8)]),
    'type 0': message(0, 'a', 1),
    'type 5': message(5, 'a', 1),
    'a long name': message(1, 'a'.repeat(MAX_THRIFT_NAME_BYTES + 1), 1),
    'a frame shorter than its head': Buffer.concat([Buffer.from('00000008', 'hex'), CALL.subarray(4)]),
    'a huge frame': Buffer.concat([Buffer.from('7fffffff', 'hex'), CALL.subarray(4)]),
  }
  for (const [what, bytes] of Object.entries(wrong)) {
    for (const size of [1, bytes.length]) {
      const result = read(Buffer.concat([bytes, CALL]), size)
      assert.deepEqual(result, { messages: [], isBroken: true }, what)
    }
  }
  assert.equal(read(message(1, 'a'.repeat(MAX_THRIFT_NAME_BYTES), 1)).isBroken, false)
})

test('an empty method name is a message', () => {
  assert.deepEqual(read(Buffer.concat([message(1, '', 9), CALL]), 1).messages, [
    ['call', '', '', 9],
    ['call', '', 'do_format', 1],
  ])
})
