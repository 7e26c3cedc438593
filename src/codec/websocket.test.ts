import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../base/clock.ts'
import { acceptKeyOf, createCloseFrame, createWebSocketKey, FrameTracker, isWebSocketKey } from './websocket.ts'

/** A frame with this payload length; masked as a client's is. */
function frame(first: number, length: number, isMasked: boolean): Buffer {
  const head = length < 126 ? Buffer.alloc(2) : length < 65_536 ? Buffer.alloc(4) : Buffer.alloc(10)
  head[0] = first
  head[1] = (isMasked ? 0x80 : 0) | (length < 126 ? length : length < 65_536 ? 126 : 127)
  if (length >= 65_536) head.writeBigUInt64BE(BigInt(length), 2)
  else if (length >= 126) head.writeUInt16BE(length, 2)
  // A payload that looks like frame heads, so that reading it as such would show.
  return Buffer.concat([head, Buffer.alloc(isMasked ? 4 : 0, 0x81), Buffer.alloc(length, 0x88)])
}

describe('the handshake', () => {
  it('answers the key of RFC 6455 section 1.3 as it is written there', () => {
    assert.equal(acceptKeyOf('dGhlIHNhbXBsZSBub25jZQ=='), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
  })

  it('makes keys that are keys, each another', () => {
    const random = createSeededRandom(3)
    const keys = Array.from({ length: 100 }, () => createWebSocketKey(random))
    assert.ok(keys.every(isWebSocketKey))
    assert.equal(new Set(keys).size, 100)
  })

  it('takes 16 bytes in base64 for a key, and nothing else', () => {
    assert.equal(isWebSocketKey('dGhlIHNhbXBsZSBub25jZQ=='), true)
    for (const bad of [
      '',
      'abc',
      'dGhlIHNhbXBsZSBub25jZQ',
      'dGhlIHNhbXBsZSBub25jZR==',
      'dGhlIHNhbXBsZSBub25jZQ== ',
      'dGhlIHNhbXBsZSBub25jZQAA',
    ]) {
      assert.equal(isWebSocketKey(bad), false, bad)
    }
  })
})

describe('a frame tracker', () => {
  const stream = Buffer.concat([
    frame(0x81, 5, true),
    frame(0x02, 200, false),
    frame(0x89, 0, true),
    frame(0x00, 70_000, true),
    frame(0x80, 0, false),
    frame(0x88, 2, true),
  ])

  it('counts frames and messages, with control frames between the pieces of a message, however the bytes are split', () => {
    for (const size of [1, 2, 3, 7, 64, 4096, stream.length]) {
      const tracker = new FrameTracker()
      let last = -1
      for (let at = 0; at < stream.length; at += size) {
        const end = Math.min(stream.length, at + size)
        const boundary = tracker.read(stream, at, end)
        if (boundary !== -1) last = boundary
      }
      assert.equal(last, stream.length)
      assert.equal(tracker.isAtBoundary, true)
      assert.deepEqual([tracker.frames, tracker.messages, tracker.largestBytes, tracker.isClosing], [6, 2, 70_200, true])
    }
  })

  it('says where the last complete frame ends', () => {
    const tracker = new FrameTracker()
    const two = Buffer.concat([frame(0x81, 3, false), frame(0x81, 3, false)])
    assert.equal(tracker.read(two, 0, 4), -1)
    assert.equal(tracker.isAtBoundary, false)
    assert.equal(tracker.read(two, 4, 7), 5)
    assert.equal(tracker.isAtBoundary, false)
    assert.equal(tracker.read(two, 7, 10), 10)
  })

  it('knows the size of a message before its payload has come', () => {
    const tracker = new FrameTracker()
    tracker.read(frame(0x82, 1_000_000, true), 0, 14)
    assert.equal(tracker.largestBytes, 1_000_000)
  })

  it('reads the Close frames we make', () => {
    const close = createCloseFrame(1001, 'the gateway is shutting down')
    const tracker = new FrameTracker()
    assert.equal(tracker.read(close, 0, close.length), close.length)
    assert.equal(tracker.isClosing, true)
    assert.equal(close.readUInt16BE(2), 1001)
  })
})
