/** Where a request ends: RFC 9112 section 6, and the known ways of request smuggling. */
import { HEAD_INVALID } from '../../../src/codec/http1/head.ts'
import { accept, type HeadVector, post, refuse } from './vector.ts'

const ZERO = '0\r\n\r\n'
const old = (method: string, lines: string, body = ''): string => `${method} / HTTP/1.0\r\nHost: a\r\n${lines}\r\n\r\n${body}`

export const REQUEST_FRAMING: readonly HeadVector[] = [
  accept('no framing field: no body', post('X: y'), { contentLength: -1, chunked: false }),
  accept('Content-Length: 0', post('Content-Length: 0'), { contentLength: 0 }),
  accept('Content-Length: 5', post('Content-Length: 5', 'hello'), { contentLength: 5, rest: 'hello' }),
  accept('Content-Length without a space', post('Content-Length:5', 'hello'), { contentLength: 5, rest: 'hello' }),
  accept('Content-Length in odd case and with spaces', post('cONTENT-lENGTH: \t5 \t', 'hello'), { contentLength: 5, rest: 'hello' }),
  accept('Content-Length with leading zeros', post('Content-Length: 0005', 'hello'), { contentLength: 5, rest: 'hello' }),
  accept('Content-Length of 15 digits', post('Content-Length: 999999999999999'), { contentLength: 999_999_999_999_999 }),
  accept('a body with GET', 'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx', { contentLength: 1, rest: 'x' }),
  accept('a body with DELETE', 'DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx', { contentLength: 1, rest: 'x' }),
  accept('a chunked body with GET', `GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${ZERO}`, { chunked: true, rest: ZERO }),
  accept('Transfer-Encoding: chunked', post('Transfer-Encoding: chunked', ZERO), { chunked: true, contentLength: -1, rest: ZERO }),
  accept('Transfer-Encoding: Chunked in odd case', post('tRANSFER-eNCODING: cHuNkEd', ZERO), { chunked: true, rest: ZERO }),
  accept('Transfer-Encoding with spaces around', post('Transfer-Encoding: \t chunked \t', ZERO), { chunked: true, rest: ZERO }),
  accept('POST on 1.0 with a length', old('POST', 'Content-Length: 1', 'x'), { contentLength: 1, rest: 'x' }),
  accept('GET on 1.0 with length zero', old('GET', 'Content-Length: 0'), { contentLength: 0 }),
  accept('TE and Trailer are no framing', post('TE: trailers\r\nTrailer: X'), { contentLength: -1, chunked: false }),

  // Content-Length.
  ...['', ' ', '+5', '-5', '-0', '0x5', '0X5', '5x', '1_0', '1,0', '1.0', '5.', '.5', '1e1', '5 5', '5\t5', '"5"', '5;', '5,', ',5', '5,5', '5, 5', '5, 6', '5,\t5', 'five', 'NaN', 'Infinity', '٥'.replace('٥', '\xd9\xa5'), '\xb2', '5\xa0', '\xa05', '5\0', '5\x0b'].map(
    (value) => refuse(`Content-Length: ${JSON.stringify(value)}`, post(`Content-Length: ${value}`, 'hello'), HEAD_INVALID),
  ),
  refuse('Content-Length of 16 digits', post('Content-Length: 1000000000000000'), HEAD_INVALID),
  refuse('Content-Length of 2^53', post('Content-Length: 9007199254740992'), HEAD_INVALID),
  refuse('Content-Length of 2^64', post('Content-Length: 18446744073709551616'), HEAD_INVALID),
  refuse('Content-Length of 2^64 + 5', post('Content-Length: 18446744073709551621', 'hello'), HEAD_INVALID),
  refuse('Content-Length of many zeros', post(`Content-Length: ${'0'.repeat(40)}5`, 'hello'), HEAD_INVALID),
  refuse('two equal Content-Length', post('Content-Length: 5\r\nContent-Length: 5', 'hello'), HEAD_INVALID),
  refuse('two different Content-Length', post('Content-Length: 5\r\nContent-Length: 6', 'hello!'), HEAD_INVALID),
  refuse('two Content-Length of zero', post('Content-Length: 0\r\nContent-Length: 0'), HEAD_INVALID),
  refuse('two Content-Length of different case', post('Content-Length: 5\r\ncontent-length: 5', 'hello'), HEAD_INVALID),
  refuse('two Content-Length with others between', post('Content-Length: 5\r\nX: y\r\nContent-Length: 0', 'hello'), HEAD_INVALID),
  refuse('a valid and an empty Content-Length', post('Content-Length: 5\r\nContent-Length:', 'hello'), HEAD_INVALID),

  // Transfer-Encoding.
  ...[
    '', 'identity', 'gzip', 'gzip, chunked', 'chunked, identity', 'chunked, gzip', 'identity, chunked', 'chunked, chunked', 'chunked,chunked', ',chunked', ', chunked', 'chunked,', 'chunked ,', 'chunked;q=1',
    'chunked; x', 'xchunked', 'chunkedx', 'x chunked', 'chunked x', '"chunked"', "'chunked'", 'chunk', 'chunked\0', '\x0bchunked', 'chunked\x0b', '\x0cchunked', 'chunked\x85', '\xa0chunked', 'chunked\xa0', 'chun\tked', 'CHUNKED, x', 'cow', 'chu\xacked',
  ].map((value) => refuse(`Transfer-Encoding: ${JSON.stringify(value)}`, post(`Transfer-Encoding: ${value}`, ZERO), HEAD_INVALID)),
  refuse('two Transfer-Encoding: chunked', post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', ZERO), HEAD_INVALID),
  refuse('Transfer-Encoding: chunked, then identity', post('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity', ZERO), HEAD_INVALID),
  refuse('Transfer-Encoding: identity, then chunked', post('Transfer-Encoding: identity\r\nTransfer-Encoding: chunked', ZERO), HEAD_INVALID),
  refuse('Transfer-Encoding: gzip, then chunked in odd case', post('Transfer-Encoding: gzip\r\ntransfer-encoding: chunked', ZERO), HEAD_INVALID),
  refuse('Transfer-Encoding on 1.0', old('POST', 'Transfer-Encoding: chunked', ZERO), HEAD_INVALID),
  refuse('Transfer-Encoding: identity on 1.0', old('POST', 'Transfer-Encoding: identity'), HEAD_INVALID),
  refuse('a space inside the name Transfer-Encoding', post('Transfer -Encoding: chunked', ZERO), HEAD_INVALID),
  refuse('a folded chunked', post('Transfer-Encoding: \r\n chunked', ZERO), HEAD_INVALID),
  refuse('a NUL before the colon', post('Transfer-Encoding\0: chunked', ZERO), HEAD_INVALID),
  accept('Transfer_Encoding is another field, and marked', post('Transfer_Encoding: chunked'), { chunked: false, hasUnderscore: true }),
  accept('Content_Length is another field, and marked', post('Content_Length: 5'), { contentLength: -1, hasUnderscore: true }),
  accept('X-Transfer-Encoding is another field', post('X-Transfer-Encoding: chunked'), { chunked: false }),

  // Both.
  refuse('Content-Length, then Transfer-Encoding (CL.TE)', post('Content-Length: 6\r\nTransfer-Encoding: chunked', `${ZERO}G`), HEAD_INVALID),
  refuse('Transfer-Encoding, then Content-Length (TE.CL)', post('Transfer-Encoding: chunked\r\nContent-Length: 4', `5c\r\nGPOST / HTTP/1.1\r\n\r\n${ZERO}`), HEAD_INVALID),
  refuse('Transfer-Encoding with Content-Length: 0', post('Transfer-Encoding: chunked\r\nContent-Length: 0', ZERO), HEAD_INVALID),
  refuse('Content-Length with an unknown Transfer-Encoding (TE.TE)', post('Content-Length: 4\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: cow', ZERO), HEAD_INVALID),
  refuse('both on 1.0', old('POST', 'Content-Length: 5\r\nTransfer-Encoding: chunked', ZERO), HEAD_INVALID),

  // HTTP/1.0 with a body on a method without one.
  refuse('GET on 1.0 with a body', old('GET', 'Content-Length: 1', 'x'), HEAD_INVALID),
  refuse('HEAD on 1.0 with a body', old('HEAD', 'Content-Length: 1', 'x'), HEAD_INVALID),
  refuse('DELETE on 1.0 with a body', old('DELETE', 'Content-Length: 1', 'x'), HEAD_INVALID),

  // A smuggled request only ever appears as the next message or as an error.
  accept('a second request behind Content-Length: 0', post('Content-Length: 0', 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n'), { contentLength: 0, rest: 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n' }),
  accept('a request inside a body', post('Content-Length: 27', 'GET /x HTTP/1.1\r\nHost: b\r\n\r'), { contentLength: 27, rest: 'GET /x HTTP/1.1\r\nHost: b\r\n\r' }),
]
