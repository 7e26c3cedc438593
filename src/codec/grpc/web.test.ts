import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Base64Decoder } from './base64-stream.ts'
import { encodeGrpcFrame, GrpcFrameError, GrpcMessageReader } from './message-reader.ts'
import { encodeTrailerFrame } from './web-trailers.ts'

describe('base64 in pieces', () => {
  // Three padded by themselves, one behind the other, as a client that flushes sends them.
  const parts = [Buffer.from([1, 2, 3, 4]), Buffer.from([0xff, 0xfe]), Buffer.from('abcdef')]
  const text = Buffer.from(parts.map((part) => part.toString('base64')).join(''))
  const expected = Buffer.concat(parts)

  it('is the same wherever it is cut', () => {
    for (let first = 0; first <= text.length; first++) {
      for (let second = first; second <= text.length; second++) {
        const decoder = new Base64Decoder()
        const pieces = [
          [0, first],
          [first, second],
          [second, text.length],
        ].map(([from, to]) => decoder.decode(text, from as number, to as number))
        assert.deepEqual(Buffer.concat(pieces as Buffer[]), expected, `${first}, ${second}`)
        assert.equal(decoder.isComplete, true)
      }
    }
  })
  it('refuses what is none', () => {
    for (const bad of ['a=bc', '=abc', 'ab*c', 'ab\nc', 'ab-_', 'ab=c']) {
      assert.equal(new Base64Decoder().decode(Buffer.from(bad), 0, bad.length), null, bad)
    }
  })
  it('knows when it is cut off', () => {
    const decoder = new Base64Decoder()
    decoder.decode(Buffer.from('abcde'), 0, 5)
    assert.equal(decoder.isComplete, false)
  })
})

describe('the frame of trailers', () => {
  it('has flag, length, and names in lower case', () => {
    const frame = encodeTrailerFrame('Grpc-Status: 5\r\ngrpc-message:not  here\r\n')
    const text = 'grpc-status:5\r\ngrpc-message:not  here\r\n'
    assert.deepEqual(frame, Buffer.concat([Buffer.from([0x80, 0, 0, 0, text.length]), Buffer.from(text)]))
  })
})

describe('messages out of frames', () => {
  const messages = [Buffer.from('a'), Buffer.alloc(0), Buffer.from('bcdefgh'.repeat(30))]
  const stream = Buffer.concat(messages.map(encodeGrpcFrame))

  it('are the same wherever the stream is cut', () => {
    for (let cut = 0; cut <= stream.length; cut++) {
      const reader = new GrpcMessageReader(1000)
      const read = [...reader.read(stream, 0, cut).map((one) => Buffer.from(one)), ...reader.read(stream, cut, stream.length)]
      assert.deepEqual(read, messages, String(cut))
      assert.equal(reader.isComplete, true)
    }
  })
  it('are the same byte by byte', () => {
    const reader = new GrpcMessageReader(1000)
    const read: Buffer[] = []
    for (let i = 0; i < stream.length; i++) read.push(...reader.read(stream, i, i + 1))
    assert.deepEqual(read, messages)
  })
  it('are refused when too large, before they are held', () => {
    const reader = new GrpcMessageReader(10)
    assert.throws(() => reader.read(Buffer.from([0, 0xff, 0, 0, 0]), 0, 5), GrpcFrameError)
    assert.throws(() => new GrpcMessageReader(10).read(Buffer.from([1, 0, 0, 0, 1, 1]), 0, 6), /compressed/)
  })
})
