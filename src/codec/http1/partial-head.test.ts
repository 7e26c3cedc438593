import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { WireBuffer } from '../../base/wire.ts'
import { HEAD_INCOMPLETE, HEAD_TARGET_TOO_LONG, HEAD_TOO_LARGE, type HeadLimits, RequestHead, readRequestHead } from './head.ts'
import { isWorthReading, joinPartialHead } from './partial-head.ts'

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
