/** RFC 9113 in the role of the client: an endpoint breaks each rule, and what becomes of the request and of the connection. */
import assert from 'node:assert/strict'
import { after } from 'node:test'
import { CONTINUATION, DATA, field, frame, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, u32, WINDOW_UPDATE } from '../e2e/http2/kit.ts'
import { waitFor } from '../support/wait.ts'
import {
  ACK,
  bytes,
  CANCEL,
  COMPRESSION_ERROR,
  ENABLE_CONNECT_PROTOCOL,
  ENABLE_PUSH,
  END_HEADERS,
  END_STREAM,
  FLOW_CONTROL_ERROR,
  FRAME_SIZE_ERROR,
  INITIAL_WINDOW_SIZE,
  MAX_FRAME_SIZE,
  MAX_WINDOW,
  NO_ERROR,
  PADDED,
  PRIORITY,
  PROTOCOL_ERROR,
  PUSH_PROMISE,
  STREAM_CLOSED,
  WITH_PRIORITY,
} from './kit.ts'
import { answered, brokenConnection, brokenStream, type Expected, head, last, OK, startUpstreamSuite, whole } from './upstream-kit.ts'

const { check } = await startUpstreamSuite({ after })
const fields = (...all: [string, string][]): Buffer => Buffer.concat(all.map(([name, value]) => field(name, value)))
const response = (...all: [string, string][]): Buffer => Buffer.concat([OK, fields(...all)])
/** It had begun: the answer breaks off. */
const broken = (rest: Partial<Expected>): Expected => ({ client: null, ...rest })
const setting = (id: number, value: number): Buffer => Buffer.concat([bytes(0, id), u32(value)])

// ---- 4: frames ----

check('4.1', 'unknown frames, flags and reserved bits are ignored', answered('fine'), (id) => [
  frame(0xbe, 0xff, 0, 'x'),
  frame(0xbe, 0xff, id, 'x'),
  frame(HEADERS, END_HEADERS | 0xc2, (id | 0x8000_0000) >>> 0, OK),
  frame(DATA, END_STREAM | 0xf6, id, 'fine'),
])
check('4.2', 'a frame beyond 16,384 bytes is an error of size', brokenConnection(FRAME_SIZE_ERROR), (id) => [
  frame(HEADERS, END_HEADERS, id, Buffer.alloc(16_385)),
])
check('4.2', 'DATA beyond 16,384 bytes is an error of size', broken({ goaway: FRAME_SIZE_ERROR }), (id) => [
  head(id),
  last(id, 'x'.repeat(16_385)),
])
check('4.2', 'HEADERS too short for their priority are an error of size', brokenConnection(FRAME_SIZE_ERROR), (id) => [
  frame(HEADERS, 5 | WITH_PRIORITY, id, 'abc'),
])
check('4.3', 'a field block that cannot be decompressed ends the connection', brokenConnection(COMPRESSION_ERROR), (id) => [
  head(id, bytes('ff ff ff ff ff ff')),
])
check('4.3', 'trailers that cannot be decompressed end the connection', broken({ goaway: COMPRESSION_ERROR }), (id) => [
  head(id),
  frame(HEADERS, 5, id, bytes('80')),
])
check('4.3', 'another frame within a field block ends the connection', brokenConnection(PROTOCOL_ERROR), (id) => [
  frame(HEADERS, 0, id, OK),
  frame(PING, 0, 0, Buffer.alloc(8)),
])
check('4.3', 'an unknown frame within a field block ends the connection', brokenConnection(PROTOCOL_ERROR), (id) => [
  frame(HEADERS, 0, id, OK),
  frame(0xbe, 0, id),
])
check('4.3', 'a field block may come in pieces', answered('fine'), (id) => [
  frame(HEADERS, 0, id),
  frame(CONTINUATION, 0, id, response(['x-a', 'b']).subarray(0, 4)),
  frame(CONTINUATION, END_HEADERS, id, response(['x-a', 'b']).subarray(4)),
  last(id, 'fine'),
])

// ---- 5: streams ----

check('5.1', 'HEADERS on a stream that the gateway has not opened end the connection', brokenConnection(PROTOCOL_ERROR), (id) => [
  head(id + 2),
])
check('5.1', 'DATA on a stream that the gateway has not opened ends the connection', brokenConnection(PROTOCOL_ERROR), (id) => [
  last(id + 2),
])
check('5.1', 'RST_STREAM on a stream that the gateway has not opened ends the connection', brokenConnection(PROTOCOL_ERROR), (id) => [
  frame(RST_STREAM, 0, id + 2, u32(CANCEL)),
])
check('5.1', 'WINDOW_UPDATE on a stream that the gateway has not opened ends the connection', brokenConnection(PROTOCOL_ERROR), (id) => [
  frame(WINDOW_UPDATE, 0, id + 2, u32(1)),
])
check('5.1.1', 'HEADERS on a stream of the endpoint end the connection', brokenConnection(PROTOCOL_ERROR), () => [head(2)])
check('5.1.1', 'HEADERS on stream 0 end the connection', brokenConnection(PROTOCOL_ERROR), () => [head(0)])
check('5.1', 'DATA on a closed stream is STREAM_CLOSED, and nobody else suffers', { ...answered('fine'), reset: STREAM_CLOSED }, (id) => [
  ...whole(id, 'fine'),
  last(id, 'more'),
])
check('5.1', 'HEADERS on a closed stream end the connection', { ...answered('fine'), goaway: STREAM_CLOSED }, (id) => [
  ...whole(id, 'fine'),
  head(id),
])
check('5.1', 'WINDOW_UPDATE, RST_STREAM and PRIORITY on a closed stream are ignored', answered('fine'), (id) => [
  ...whole(id, 'fine'),
  frame(WINDOW_UPDATE, 0, id, u32(1)),
  frame(RST_STREAM, 0, id, u32(NO_ERROR)),
  frame(PRIORITY, 0, id, bytes('00000000 10')),
])
check('5.3', 'PRIORITY on an idle stream is taken', answered('fine'), (id) => [
  frame(PRIORITY, 0, id + 20, bytes('00000000 10')),
  ...whole(id, 'fine'),
])
check('5.3', 'PRIORITY of a wrong length on an idle stream ends the connection', brokenConnection(FRAME_SIZE_ERROR), (id) => [
  frame(PRIORITY, 0, id + 20, 'abc'),
])

// ---- 6: types of frames ----

check('6.1', 'DATA on stream 0 ends the connection', brokenConnection(PROTOCOL_ERROR), () => [last(0, 'x')])
check('6.1', 'padding is no part of the body', answered('fine'), (id) => [head(id), frame(DATA, PADDED | END_STREAM, id, '\x03fine\0\0\0')])
check('6.1', 'padding as long as the payload ends the connection', broken({ goaway: PROTOCOL_ERROR }), (id) => [
  head(id),
  frame(DATA, PADDED, id, '\x05abcd'),
])
check('6.2', 'padded HEADERS with a priority are taken', answered('fine'), (id) => [
  frame(HEADERS, END_HEADERS | PADDED | WITH_PRIORITY, id, bytes(2, '00000000 10', 0x88, '0000')),
  last(id, 'fine'),
])
check('6.2', 'padding longer than HEADERS ends the connection', brokenConnection(PROTOCOL_ERROR), (id) => [
  frame(HEADERS, END_HEADERS | PADDED, id, bytes(200, 0x88)),
])
check('6.3', 'PRIORITY on stream 0 ends the connection', brokenConnection(PROTOCOL_ERROR), () => [
  frame(PRIORITY, 0, 0, bytes('00000000 10')),
])
check('6.3', 'PRIORITY of a wrong length breaks its stream', brokenStream(FRAME_SIZE_ERROR), (id) => [frame(PRIORITY, 0, id, 'abc')])
check('6.4', 'RST_STREAM on stream 0 ends the connection', brokenConnection(PROTOCOL_ERROR), () => [frame(RST_STREAM, 0, 0, u32(CANCEL))])
check('6.4', 'RST_STREAM of 3 bytes ends the connection', brokenConnection(FRAME_SIZE_ERROR), (id) => [frame(RST_STREAM, 0, id, 'abc')])
check('6.4', 'RST_STREAM ends a request, and it alone', { client: [502, 'upstream_reset'] }, (id) => [
  frame(RST_STREAM, 0, id, u32(CANCEL)),
])
check('6.4', 'RST_STREAM behind a head breaks the answer off', broken({}), (id) => [
  head(id),
  frame(DATA, 0, id, 'half'),
  frame(RST_STREAM, 0, id, u32(2)),
])
check('6.5', 'SETTINGS on a stream end the connection', brokenConnection(PROTOCOL_ERROR), (id) => [frame(SETTINGS, 0, id)])
check('6.5', 'SETTINGS of 5 bytes end the connection', brokenConnection(FRAME_SIZE_ERROR), () => [frame(SETTINGS, 0, 0, 'abcde')])
check('6.5', 'an acknowledgement with a payload ends the connection', brokenConnection(FRAME_SIZE_ERROR), () => [
  frame(SETTINGS, ACK, 0, setting(1, 1)),
])
for (const [name, id, value, code] of [
  ['ENABLE_PUSH of 1, which only a client may say', ENABLE_PUSH, 1, PROTOCOL_ERROR],
  ['ENABLE_PUSH of 2', ENABLE_PUSH, 2, PROTOCOL_ERROR],
  ['INITIAL_WINDOW_SIZE of 2^31', INITIAL_WINDOW_SIZE, 0x8000_0000, FLOW_CONTROL_ERROR],
  ['MAX_FRAME_SIZE of 16,383', MAX_FRAME_SIZE, 16_383, PROTOCOL_ERROR],
  ['MAX_FRAME_SIZE of 2^24', MAX_FRAME_SIZE, 0x100_0000, PROTOCOL_ERROR],
  ['ENABLE_CONNECT_PROTOCOL of 2', ENABLE_CONNECT_PROTOCOL, 2, PROTOCOL_ERROR],
] as const) {
  check('6.5.2', `${name} ends the connection`, brokenConnection(code), () => [frame(SETTINGS, 0, 0, setting(id, value))])
}
check('6.5.2', 'ENABLE_PUSH of 0 and settings that are not known are taken', answered('fine'), (id) => [
  frame(SETTINGS, 0, 0, Buffer.concat([setting(ENABLE_PUSH, 0), setting(200, 1)])),
  ...whole(id, 'fine'),
])
check('6.6', 'PUSH_PROMISE ends the connection: push was switched off', brokenConnection(PROTOCOL_ERROR), (id) => [
  frame(PUSH_PROMISE, END_HEADERS, id, Buffer.concat([u32(2), bytes('82 84 86')])),
])
check('6.7', 'PING on a stream ends the connection', brokenConnection(PROTOCOL_ERROR), (id) => [frame(PING, 0, id, Buffer.alloc(8))])
check('6.7', 'PING of 7 bytes ends the connection', brokenConnection(FRAME_SIZE_ERROR), () => [frame(PING, 0, 0, Buffer.alloc(7))])
check('6.7', 'PING is answered with its own payload', answered('fine'), async (id, connection) => {
  connection.send(frame(PING, 0, 0, 'own load'))
  await waitFor('the answer', () =>
    connection.frames.some(({ type, flags, payload }) => type === PING && flags === ACK && payload.toString() === 'own load'),
  )
  return whole(id, 'fine')
})
check('6.8', 'GOAWAY on a stream ends the connection', brokenConnection(PROTOCOL_ERROR), (id) => [frame(GOAWAY, 0, id, Buffer.alloc(8))])
check('6.8', 'GOAWAY of 7 bytes ends the connection', brokenConnection(FRAME_SIZE_ERROR), () => [frame(GOAWAY, 0, 0, Buffer.alloc(7))])
check(
  '6.8',
  'what was asked before GOAWAY is answered, and the connection then ends in order',
  { ...answered('fine'), goaway: NO_ERROR },
  (id) => [frame(GOAWAY, 0, 0, Buffer.concat([u32(id), u32(NO_ERROR), Buffer.from('bye')])), ...whole(id, 'fine')],
)
check('6.9', 'a window of the connection that grows by 0 ends the connection', brokenConnection(PROTOCOL_ERROR), () => [
  frame(WINDOW_UPDATE, 0, 0, u32(0)),
])
check('6.9', 'a window of a stream that grows by 0 breaks it', brokenStream(PROTOCOL_ERROR), (id) => [frame(WINDOW_UPDATE, 0, id, u32(0))])
check('6.9', 'WINDOW_UPDATE of 3 bytes ends the connection', brokenConnection(FRAME_SIZE_ERROR), () => [frame(WINDOW_UPDATE, 0, 0, 'abc')])
check('6.9.1', 'a window of the connection beyond 2^31 - 1 ends the connection', brokenConnection(FLOW_CONTROL_ERROR), () => [
  frame(WINDOW_UPDATE, 0, 0, u32(MAX_WINDOW)),
])
check('6.9.1', 'a window of a stream beyond 2^31 - 1 breaks it', brokenStream(FLOW_CONTROL_ERROR), (id) => [
  frame(WINDOW_UPDATE, 0, id, u32(MAX_WINDOW)),
])
check('6.10', 'CONTINUATION without HEADERS ends the connection', brokenConnection(PROTOCOL_ERROR), (id) => [
  frame(CONTINUATION, END_HEADERS, id, OK),
])
check('6.10', 'CONTINUATION of another stream ends the connection', brokenConnection(PROTOCOL_ERROR), (id) => [
  frame(HEADERS, 0, id, OK),
  frame(CONTINUATION, END_HEADERS, id + 2),
])
check('6.10', 'CONTINUATION behind a complete head ends the connection', broken({ goaway: PROTOCOL_ERROR }), (id) => [
  head(id),
  frame(CONTINUATION, END_HEADERS, id),
])

// ---- 8: messages ----

const malformed = brokenStream(PROTOCOL_ERROR)
check('8.1', 'interim responses come before the final one', answered('fine'), (id) => [
  head(id, field(':status', '103')),
  head(id, field(':status', '100')),
  ...whole(id, 'fine'),
])
check('8.1', 'an interim response that ends the stream breaks it', malformed, (id) => [frame(HEADERS, 5, id, field(':status', '103'))])
check('8.1', 'DATA before the head breaks the stream', malformed, (id) => [last(id, 'x')])
check('8.1', 'DATA behind an interim response breaks the stream', malformed, (id) => [head(id, field(':status', '103')), last(id, 'x')])
check('8.1', 'a second final head breaks the stream', broken({ reset: PROTOCOL_ERROR }), (id) => [
  head(id),
  frame(DATA, 0, id, 'x'),
  head(id),
])
check('8.1', 'trailers end an answer', answered('fine'), (id) => [
  head(id),
  frame(DATA, 0, id, 'fine'),
  frame(HEADERS, 5, id, field('x-sum', '1')),
])
check('8.1', 'pseudo fields in trailers break the stream', broken({ reset: PROTOCOL_ERROR }), (id) => [
  head(id),
  frame(DATA, 0, id, 'x'),
  frame(HEADERS, 5, id, OK),
])
check('8.1', 'an upper-case name in trailers breaks the stream', broken({ reset: PROTOCOL_ERROR }), (id) => [
  head(id),
  frame(DATA, 0, id, 'x'),
  frame(HEADERS, 5, id, field('X-Sum', '1')),
])
check('8.1.1', 'an answer shorter than its length breaks the stream', broken({ reset: PROTOCOL_ERROR }), (id) => [
  head(id, response(['content-length', '5'])),
  last(id, 'abcd'),
])
check('8.1.1', 'an answer longer than its length breaks the stream', broken({ reset: PROTOCOL_ERROR }), (id) => [
  head(id, response(['content-length', '3'])),
  last(id, 'abcd'),
])
check('8.1.1', 'a head with a length that ends the stream breaks it', malformed, (id) => [
  frame(HEADERS, 5, id, response(['content-length', '3'])),
])
check('8.1.1', 'an answer shorter than its length breaks the stream, trailers or not', broken({ reset: PROTOCOL_ERROR }), (id) => [
  head(id, response(['content-length', '5'])),
  frame(DATA, 0, id, 'abcd'),
  frame(HEADERS, 5, id, field('x-sum', '1')),
])
for (const value of ['', '-1', '5 ', '0x5', '5, 5', '1'.repeat(40)]) {
  check('8.1.1', `a content-length of ${JSON.stringify(value)} breaks the stream`, malformed, (id) => [
    head(id, response(['content-length', value])),
    last(id),
  ])
}
for (const [what, ...bad] of [
  ['an upper-case name', 'X-Upper', 'v'],
  ['an empty name', '', 'v'],
  ['a name with a space', 'x y', 'v'],
  ['a name with a colon', 'x:y', 'v'],
  ['a value with a NUL', 'x-field', 'a\0b'],
  ['a value with a line break', 'x-field', 'a\r\nx-split: 1'],
  ['a value with a space before it', 'x-field', ' a'],
  ['connection', 'connection', 'close'],
  ['keep-alive', 'keep-alive', 'timeout=1'],
  ['proxy-connection', 'proxy-connection', 'close'],
  ['transfer-encoding', 'transfer-encoding', 'chunked'],
  ['upgrade', 'upgrade', 'h2c'],
  ['te', 'te', 'trailers'],
  ['a pseudo field of requests', ':path', '/'],
  ['a pseudo field that is not known', ':reason', 'OK'],
  [':status twice', ':status', '200'],
] as const) {
  check('8.2, 8.3', `a head with ${what} breaks the stream`, malformed, (id) => [head(id, response(bad)), last(id, 'x')])
}
check('8.3.2', 'a head without :status breaks the stream', malformed, (id) => [head(id, field('x-field', 'v')), last(id)])
check('8.3', ':status behind another field breaks the stream', malformed, (id) => [
  head(id, fields(['x-field', 'v'], [':status', '200'])),
  last(id),
])
for (const status of ['', '20', '2000', '+20', '099', 'abc', '101']) {
  check('8.3.2', `a :status of ${JSON.stringify(status)} breaks the stream`, malformed, (id) => [
    head(id, field(':status', status)),
    last(id),
  ])
}

// ---- what the gateway itself sends ----

check(
  '8.2.2',
  'a request has no fields of the connection, and its names are in lower case',
  answered('lower case only'),
  (id, connection, got) => {
    const names = Object.keys(got)
    assert.deepEqual(
      names.filter((name) => name.startsWith(':')),
      names.slice(0, 4),
      'pseudo fields come first',
    )
    assert.ok(names.every((name) => name === name.toLowerCase()))
    for (const name of ['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'host', 'te'])
      assert.ok(!names.includes(name), name)
    const { flags, id: on } = connection.frames.findLast(({ type }) => type === HEADERS) as { flags: number; id: number }
    assert.deepEqual([on & 1, flags], [1, END_STREAM | END_HEADERS])
    return whole(id, 'lower case only')
  },
)
