import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CHUNKED } from '../../../test/vectors/http1/chunked.ts'
import type { ChunkedVector } from '../../../test/vectors/http1/vector.ts'
import { CHUNK_DATA, CHUNK_END, CHUNK_ERROR, CHUNK_NEED_MORE, ChunkedDecoder } from './chunked.ts'

interface Decoded {
  readonly answer: number
  readonly data: string
  readonly trailers: string
  /** Bytes up to the end of the message; -1 unless it ended. */
  readonly consumed: number
}

/** Feeds `bytes` cut at `cuts`, each piece in the middle of a larger buffer as a connection would hold it. */
function decode(decoder: ChunkedDecoder, bytes: string, cuts: readonly number[]): Decoded {
  let data = ''
  let from = 0
  for (const to of [...cuts, bytes.length]) {
    const buffer = Buffer.from(`##${bytes.slice(from, to)}##`, 'latin1')
    const end = 2 + to - from
    decoder.position = 2
    let event = decoder.next(buffer, end)
    for (; event === CHUNK_DATA; event = decoder.next(buffer, end)) {
      assert.ok(decoder.dataStart >= 2 && decoder.dataStart < decoder.dataEnd && decoder.dataEnd <= end, 'the data lies inside the buffer')
      data += buffer.toString('latin1', decoder.dataStart, decoder.dataEnd)
    }
    if (event === CHUNK_END) return { answer: event, data, trailers: decoder.trailers, consumed: from + decoder.position - 2 }
    if (event === CHUNK_ERROR) return { answer: event, data, trailers: '', consumed: -1 }
    assert.equal(event, CHUNK_NEED_MORE)
    assert.equal(decoder.position, end, 'everything was read')
    from = to
  }
  return { answer: CHUNK_NEED_MORE, data, trailers: '', consumed: -1 }
}

function check(vector: ChunkedVector, decoded: Decoded, how: string): void {
  const { expected, bytes } = vector
  if (expected === 'error') assert.equal(decoded.answer, CHUNK_ERROR, how)
  else if (expected === 'more') assert.equal(decoded.answer, CHUNK_NEED_MORE, how)
  else {
    const { data, trailers = '', rest = '' } = expected
    assert.deepEqual(decoded, { answer: CHUNK_END, data, trailers, consumed: bytes.length - rest.length }, how)
  }
}

describe('chunked decoder', () => {
  for (const vector of CHUNKED) {
    const { name, bytes, maxTrailerBytes = 1024 } = vector
    it(`${vector.expected === 'error' ? 'refuses' : 'reads'} ${name}`, () => {
      const decoder = new ChunkedDecoder(maxTrailerBytes)
      const whole = decode(decoder, bytes, [])
      check(vector, whole, 'whole')
      for (let offset = 0; offset <= bytes.length; offset++) {
        decoder.reset()
        const parts = decode(decoder, bytes, [offset])
        check(vector, parts, `split at ${offset}`)
        assert.equal(parts.data, whole.data, `split at ${offset}`)
      }
      decoder.reset()
      check(
        vector,
        decode(
          decoder,
          bytes,
          Array.from({ length: bytes.length }, (_, i) => i),
        ),
        'byte by byte',
      )
    })
  }

  it('has vectors with names of their own', () => {
    assert.equal(new Set(CHUNKED.map((vector) => vector.name)).size, CHUNKED.length)
  })

  it('reads the next body after reset, whatever state it was left in', () => {
    const decoder = new ChunkedDecoder(100)
    for (const left of [
      '5',
      '5;a',
      '5;"',
      '5;"\\',
      '5\r',
      '5\r\nhe',
      '5\r\nhello',
      '5\r\nhello\r',
      '0\r\n',
      '0\r\nX',
      '0\r\nX: y\r\n\r',
      'broken',
      '0\r\n\r\n',
    ]) {
      decode(decoder, left, [])
      decoder.reset()
      assert.deepEqual(
        decode(decoder, '2\r\nok\r\n0\r\nA: b\r\n\r\n', []),
        { answer: CHUNK_END, data: 'ok', trailers: 'A: b\r\n', consumed: 18 },
        left,
      )
    }
  })

  it('goes on refusing after an error', () => {
    const decoder = new ChunkedDecoder(100)
    assert.equal(decode(decoder, 'x', []).answer, CHUNK_ERROR)
    assert.equal(decode(decoder, '0\r\n\r\n', []).answer, CHUNK_ERROR)
    assert.equal(decode(decoder, '', []).answer, CHUNK_ERROR)
  })

  it('refuses bytes behind the end until it is reset', () => {
    const decoder = new ChunkedDecoder(100)
    assert.equal(decode(decoder, '0\r\n\r\n', []).answer, CHUNK_END)
    assert.equal(decode(decoder, '', []).answer, CHUNK_NEED_MORE)
    assert.equal(decode(decoder, '0\r\n\r\n', []).answer, CHUNK_ERROR)
  })

  it('never touches bytes behind the end it was given', () => {
    const decoder = new ChunkedDecoder(100)
    const buffer = Buffer.from('5\r\nhello\r\n0\r\n\r\n')
    assert.equal(decoder.next(buffer, 5), CHUNK_DATA)
    assert.equal(decoder.dataEnd, 5)
    assert.equal(decoder.next(buffer, 5), CHUNK_NEED_MORE)
  })

  it('reads any Uint8Array, also one in the middle of its memory', () => {
    const memory = new Uint8Array(64)
    const bytes = memory.subarray(10, 28)
    bytes.set(Buffer.from('0\r\nX: yz\r\n\r\n'))
    const decoder = new ChunkedDecoder(100)
    assert.equal(decoder.next(bytes, 13), CHUNK_END)
    assert.equal(decoder.trailers, 'X: yz\r\n')
  })
})
