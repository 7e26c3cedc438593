import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { WireBuffer } from '../../base/wire.ts'
import { ByteWriter } from '../byte-writer.ts'
import { encodeFields } from '../http1/encode.ts'
import { parseRequestHead, RequestHead, ResponseHead } from '../http1/head.ts'
import { HpackDecoder } from './hpack-decoder.ts'
import { HpackEncoder } from './hpack-encoder.ts'
import {
  BLOCK_COMPRESSION,
  BLOCK_MALFORMED,
  BLOCK_OK,
  BLOCK_TOO_LARGE,
  BLOCK_URI_TOO_LONG,
  readIgnoredBlock,
  readRequestBlock,
  readResponseBlock,
  readTrailerBlock,
  Trailers,
} from './message.ts'

const LIMITS = { headBytes: 4000, headers: 30, uriBytes: 300 }
const RESULTS = [BLOCK_OK, BLOCK_MALFORMED, BLOCK_TOO_LARGE, BLOCK_COMPRESSION, BLOCK_URI_TOO_LONG]

function sequence(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const FIELDS: [string, string][] = [
  ['accept', '*/*'],
  ['x-long', 'abc '.repeat(20).trim()],
  ['cookie', 'a=b'],
  ['cookie', 'c=d; e=f'],
  ['te', 'trailers'],
  ['x_under', 'é'],
  ['content-type', 'text/plain'],
]

/** Bytes of a valid block, as the encoder writes it in its present state. */
function validBlock(encoder: HpackEncoder, next: (below: number) => number): Buffer {
  const writer = new ByteWriter()
  encoder.begin(writer)
  encoder.text(':method', ['GET', 'POST', 'OPTIONS'][next(3)] as string, writer)
  encoder.text(':scheme', 'https', writer)
  encoder.text(':path', ['/', '/a?b', '*', 'x'][next(4)] as string, writer)
  encoder.text(':authority', ['a', 'b:80', '[::1]'][next(3)] as string, writer)
  for (const [name, value] of FIELDS) if (next(2) === 0) encoder.text(name, value, writer)
  return Buffer.from(writer.bytes.subarray(0, writer.at))
}

/** What the head says over HTTP/1 must be exactly what an HTTP/1 parser reads from it. */
function assertCanonical(head: RequestHead): void {
  const text = `${head.method} ${head.target} HTTP/1.1\r\n${encodeFields(head.headers)}\r\n`
  const again = new RequestHead()
  assert.equal(parseRequestHead(text, again, { headBytes: 10_000, headers: 100, uriBytes: 1000 }), text.length, JSON.stringify(text))
  assert.deepEqual(again.headers.toPairs(), head.headers.toPairs())
  assert.equal(again.contentLength, head.contentLength)
  assert.equal(again.hasUnderscore, head.hasUnderscore)
  assert.equal(again.hosts, 1)
  assert.equal(again.headers.seen, head.headers.seen)
}

describe('field blocks made by chance', () => {
  it('whatever comes, the result is one of the five, and what is accepted is a head that HTTP/1 reads alike', () => {
    const next = sequence(2024)
    const head = new RequestHead()
    const response = new ResponseHead()
    const trailers = new Trailers()
    const counts = new Map<number, number>()
    for (let connection = 0; connection < 3000; connection++) {
      const decoder = new HpackDecoder()
      const encoder = new HpackEncoder()
      for (let round = 0; round < 8; round++) {
        const block = validBlock(encoder, next)
        const damage = next(4)
        for (let i = 0; i < damage; i++) block[next(block.length)] = next(2) === 0 ? next(256) : (block[next(block.length)] as number)
        const end = next(6) === 0 ? next(block.length) : block.length
        const bytes = block as unknown as WireBuffer
        const kind = next(8)
        let result: number
        if (kind === 0) result = readResponseBlock(decoder, bytes, 0, end, response, LIMITS)
        else if (kind === 1) result = readTrailerBlock(decoder, bytes, 0, end, LIMITS, trailers)
        else if (kind === 2) result = readIgnoredBlock(decoder, bytes, 0, end)
        else result = readRequestBlock(decoder, bytes, 0, end, head, LIMITS)
        assert.ok(RESULTS.includes(result))
        counts.set(result, (counts.get(result) ?? 0) + 1)
        if (result === BLOCK_OK && kind > 2 && head.method !== 'CONNECT') assertCanonical(head)
        assert.ok(decoder.tableBytes <= 4096)
        if (result === BLOCK_COMPRESSION) break
      }
    }
    for (const result of [BLOCK_OK, BLOCK_MALFORMED, BLOCK_COMPRESSION]) assert.ok((counts.get(result) ?? 0) > 300, `${result}`)
  })

  it('random bytes never do harm', () => {
    const next = sequence(5)
    const head = new RequestHead()
    for (let round = 0; round < 20_000; round++) {
      const bytes = Buffer.from(Array.from({ length: next(60) }, () => next(256))) as WireBuffer
      const result = readRequestBlock(new HpackDecoder(), bytes, 0, bytes.length, head, LIMITS)
      assert.ok(RESULTS.includes(result) && result !== BLOCK_OK)
    }
  })
})
