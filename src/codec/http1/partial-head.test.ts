import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { WireBuffer } from '../../base/wire.ts'
import { HEAD_INCOMPLETE, HEAD_TARGET_TOO_LONG, HEAD_TOO_LARGE, type HeadLimits, RequestHead, readRequestHead } from './head.ts'
import { HeadReader, isWorthReading, joinPartialHead } from './partial-head.ts'

const LIMITS: HeadLimits = { headBytes: 4096, headers: 100, uriBytes: 256 }

/** Feeds `text` byte by byte as a connection does. Returns the result and how often the head was read. */
function trickle(text: string): { result: number; reads: number } {
  const bytes = Buffer.from(text, 'latin1') as WireBuffer
  let partial: WireBuffer | null = null
  let reads = 0
  for (let at = 0; at < bytes.length; at++) {
    const had: number = partial?.length ?? 0
    partial = joinPartialHead(partial, bytes, at, at + 1)
    if (had > 0 && !isWorthReading(partial, had, LIMITS)) continue
    reads++
    const result = readRequestHead(partial, 0, partial.length, new RequestHead(), LIMITS)
    if (result !== HEAD_INCOMPLETE) return { result, reads }
  }
  return { result: HEAD_INCOMPLETE, reads }
}

describe('a head that trickles in', () => {
  it('is read once per line and comes out whole', () => {
    const text = 'GET /a HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nX-Two: 2\r\n\r\n'
    const { result, reads } = trickle(text)
    assert.equal(result, text.length)
    assert.ok(reads <= 6, `read ${reads} times`)
  })

  it('is refused when a line without end passes the limit of the head', () => {
    assert.equal(trickle(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(5000)}`).result, HEAD_TOO_LARGE)
  })

  it('is refused when the target passes its limit, before any line is complete', () => {
    assert.equal(trickle(`GET /${'a'.repeat(600)}`).result, HEAD_TARGET_TOO_LONG)
  })

  it('is refused at the end of a broken line, not at the end of the head', () => {
    const { result } = trickle('GET / HTTP/1.1\r\nHost: a\nX: y')
    assert.ok(result < 0)
  })

  it('costs work in proportion to its lines', () => {
    const { reads } = trickle(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(3900)}\r\n\r\n`)
    assert.ok(reads <= 5, `read ${reads} times`)
  })
})

describe('a reader of heads', () => {
  const text = `GET /a HTTP/1.1\r\nHost: a\r\nX-Long: ${'y'.repeat(3000)}\r\n\r\n`
  const bytes = Buffer.from(`${text}GET /b HTTP/1.1\r\nHost: b\r\n\r\n`, 'latin1') as WireBuffer

  it('takes a head at any split, and says how much of the last piece belongs to it', () => {
    for (let split = 1; split < text.length; split += 7) {
      const reader = new HeadReader()
      const head = new RequestHead()
      assert.equal(reader.read(bytes, 0, split, head, LIMITS), HEAD_INCOMPLETE)
      assert.equal(reader.partial?.length, split)
      assert.equal(reader.read(bytes, split, bytes.length, head, LIMITS), text.length - split)
      assert.equal(reader.partial, null)
      assert.equal(head.target, '/a')
      assert.equal(reader.read(bytes, text.length, bytes.length, head, LIMITS), bytes.length - text.length)
      assert.equal(head.target, '/b')
    }
  })

  it('takes memory for a head that comes byte by byte as it doubles', () => {
    const reader = new HeadReader()
    const head = new RequestHead()
    const memories = new Set<unknown>()
    for (let at = 0; at < text.length - 1; at++) {
      assert.equal(reader.read(bytes, at, at + 1, head, LIMITS), HEAD_INCOMPLETE)
      memories.add(`${reader.partial!.byteOffset} ${(reader.partial as Buffer).buffer.byteLength}`)
    }
    assert.ok(memories.size <= 13, `${memories.size} times`)
    assert.equal(reader.read(bytes, text.length - 1, text.length, head, LIMITS), 1)
    assert.equal(head.headers.get('x-long')?.length, 3000)
  })
})
