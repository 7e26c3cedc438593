import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { REQUEST_FIELDS, REQUEST_HOST } from '../../../test/vectors/http1/request-fields.ts'
import { REQUEST_FRAMING } from '../../../test/vectors/http1/request-framing.ts'
import { REQUEST_LINE } from '../../../test/vectors/http1/request-line.ts'
import { RESPONSE } from '../../../test/vectors/http1/response.ts'
import { type HeadExpectation, type HeadVector, LIMITS } from '../../../test/vectors/http1/vector.ts'
import {
  HEAD_INCOMPLETE,
  type HeadLimits,
  isHost,
  MessageHead,
  parseFields,
  parseRequestHead,
  parseResponseHead,
  RequestHead,
  ResponseHead,
} from './head.ts'

type Parse<Head extends MessageHead> = (text: string, head: Head, limits: HeadLimits) => number

/** Everything a parse leaves behind, as plain values. */
function snapshot(
  head: MessageHead,
): Required<Omit<HeadExpectation, 'rest' | 'method' | 'target' | 'status' | 'reason'>> & Record<string, unknown> {
  const { minor, contentLength, chunked, connection, hasUnderscore, hosts } = head
  const shared = {
    minor,
    contentLength,
    chunked,
    connection,
    hasUnderscore,
    hosts,
    seen: head.headers.seen,
    fields: head.headers.toPairs(),
  }
  if (head instanceof RequestHead) return { ...shared, method: head.method, target: head.target }
  if (head instanceof ResponseHead) return { ...shared, status: head.status, reason: head.reason }
  return shared
}

/** Every offset of a small text; of a large one its beginning, its end, and steps between. */
function splitOffsets(length: number): number[] {
  const offsets: number[] = []
  for (let at = 0; at <= length; at += at < 1024 || at > length - 256 ? 1 : 997) offsets.push(at)
  if (offsets.at(-1) !== length) offsets.push(length)
  return offsets
}

function checkWhole(vector: HeadVector, result: number, head: MessageHead): void {
  const { expected, bytes } = vector
  if (typeof expected === 'number') {
    assert.equal(result, expected)
    return
  }
  const { rest, ...wanted } = expected
  assert.equal(result, bytes.length - (rest ?? '').length, 'the length of the head')
  const seen = snapshot(head)
  for (const [key, value] of Object.entries(wanted)) assert.deepEqual(seen[key], value, key)
}

/** `result` of a part against the result of the whole: the same answer, or "more", and never a valid head out of an invalid one. */
function checkPart(whole: number, part: number, offset: number): void {
  if (whole > 0) assert.equal(part, offset < whole ? HEAD_INCOMPLETE : whole, `after ${offset} bytes`)
  else assert.ok(part === whole || part === HEAD_INCOMPLETE, `after ${offset} bytes: ${part} instead of ${whole}`)
}

function describeVectors<Head extends MessageHead>(
  title: string,
  vectors: readonly HeadVector[],
  create: () => Head,
  parse: Parse<Head>,
): void {
  describe(title, () => {
    it('has vectors with names of their own', () => {
      assert.equal(new Set(vectors.map((vector) => vector.name)).size, vectors.length)
    })
    for (const vector of vectors) {
      const { bytes } = vector
      const limits = { ...LIMITS, ...vector.limits }
      it(`${typeof vector.expected === 'number' ? 'refuses' : 'accepts'} ${vector.name}`, () => {
        const head = create()
        const result = parse(bytes, head, limits)
        checkWhole(vector, result, head)
        const whole = snapshot(head)

        // In two parts: the head object still carries what the first part left in it.
        for (const offset of splitOffsets(bytes.length)) {
          checkPart(result, parse(bytes.slice(0, offset), head, limits), offset)
          assert.equal(parse(bytes, head, limits), result, `split at ${offset}`)
          assert.deepEqual(snapshot(head), whole, `split at ${offset}`)
        }

        // Byte by byte, as a connection does it: the text grows and is parsed again until there is an answer.
        const slow = create()
        let text = ''
        let answer = HEAD_INCOMPLETE
        for (let i = 0; i < Math.min(bytes.length, 4096) && answer === HEAD_INCOMPLETE; i++) {
          text += bytes[i]
          answer = parse(text, slow, limits)
        }
        if (answer === HEAD_INCOMPLETE && bytes.length > 4096) return
        assert.equal(answer, result, 'byte by byte')
        if (result > 0) assert.deepEqual(snapshot(slow), whole)
      })
    }
  })
}

describeVectors('request line', REQUEST_LINE, () => new RequestHead(), parseRequestHead)
describeVectors('Host of a request', REQUEST_HOST, () => new RequestHead(), parseRequestHead)
describeVectors('field lines of a request', REQUEST_FIELDS, () => new RequestHead(), parseRequestHead)
describeVectors('framing of a request', REQUEST_FRAMING, () => new RequestHead(), parseRequestHead)
describeVectors('response head', RESPONSE, () => new ResponseHead(), parseResponseHead)

describe('a head object that is used again', () => {
  it('keeps nothing of the message before', () => {
    const used = new RequestHead()
    assert.ok(
      parseRequestHead('POST /long HTTP/1.0\r\nHost: b\r\nX_Y: 1\r\nConnection: close\r\nContent-Length: 5\r\n\r\n', used, LIMITS) > 0,
    )
    used.headers.add('X-Added', '1')
    const fresh = new RequestHead()
    const text = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
    assert.equal(parseRequestHead(text, used, LIMITS), parseRequestHead(text, fresh, LIMITS))
    assert.deepEqual(snapshot(used), snapshot(fresh))
  })

  it('keeps nothing of the response before', () => {
    const used = new ResponseHead()
    assert.ok(
      parseResponseHead('HTTP/1.0 404 Gone\r\nTransfer-Encoding-X: 1\r\nContent-Length: 5\r\nConnection: close\r\n\r\n', used, LIMITS) > 0,
    )
    const fresh = new ResponseHead()
    const text = 'HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n'
    assert.equal(parseResponseHead(text, used, LIMITS), parseResponseHead(text, fresh, LIMITS))
    assert.deepEqual(snapshot(used), snapshot(fresh))
  })

  it('shows no fields of a head that was refused', () => {
    const head = new RequestHead()
    assert.ok(parseRequestHead('GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n', head, LIMITS) > 0)
    assert.ok(parseRequestHead('GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nZ : 1\r\n\r\n', head, LIMITS) < 0)
    assert.deepEqual(head.headers.toPairs(), [])
  })
})

describe('field lines of a trailer section', () => {
  it('are parsed from the text of the decoder with an empty line behind it', () => {
    const head = new MessageHead()
    const text = 'X: y\r\nContent-Length: 5\r\n'
    assert.equal(parseFields(`${text}\r\n`, 0, head, LIMITS), text.length + 2)
    assert.deepEqual(head.headers.toPairs(), [
      ['X', 'y'],
      ['Content-Length', '5'],
    ])
    assert.equal(head.contentLength, 5, 'the caller sees the framing field')
  })

  it('are incomplete without the empty line', () => {
    assert.equal(parseFields('X: y\r\n', 0, new MessageHead(), LIMITS), HEAD_INCOMPLETE)
  })
})

describe('isHost', () => {
  it('accepts names, addresses and ports', () => {
    for (const value of ['', 'a', 'A-b.c_d', '1.2.3.4', '[::1]', '[::1]:0', 'a:', 'a:0', 'a:65535', ':80'])
      assert.equal(isHost(value), true, value)
  })
  it('refuses what is not a host', () => {
    for (const value of [' ', 'a b', 'a:65536', 'a:1:2', 'a/', 'a@b', '[', '[]', '[:]', '[::1', '[::1]1', '[::1]:x', 'a]', 'é', 'a\u0141'])
      assert.equal(isHost(value), false, value)
  })
})
