/** RFC 9113 sections 3 to 5: the preface, the format and size of frames, streams and their states, unknown things. */

import assert from 'node:assert/strict'
import { after } from 'node:test'
import {
  block,
  CONTINUATION,
  DATA,
  frame,
  GOAWAY,
  get,
  HEADERS,
  hello,
  PING,
  PREFACE,
  post,
  RST_STREAM,
  SETTINGS,
  u32,
  WINDOW_UPDATE,
} from '../e2e/http2/kit.ts'
import {
  ACK,
  accepted,
  bytes,
  CANCEL,
  COMPRESSION_ERROR,
  type Connection,
  connectionError,
  END_HEADERS,
  END_STREAM,
  FRAME_SIZE_ERROR,
  PRIORITY,
  PROTOCOL_ERROR,
  PUSH_PROMISE,
  REFUSED_STREAM,
  STREAM_CLOSED,
  STREAMS_ALLOWED,
  startSuite,
  streamError,
  WITH_PRIORITY,
} from './kit.ts'

const { check } = await startSuite({ after })
const raw = { isRaw: true }

// ---- 3.4: the preface ----

check('3.4', 'the preface and an empty SETTINGS frame are enough', accepted(1), [hello(), get(1)], raw)
check('3.4', 'a client need not wait for SETTINGS', accepted(1, 3), [hello(), get(1), get(3)], raw)
check(
  '3.4',
  'the preface may come byte by byte',
  accepted(1),
  async (c) => {
    for (const byte of hello()) {
      c.send(bytes(byte))
      await new Promise(setImmediate)
    }
    c.send(get(1))
  },
  raw,
)
check(
  '3.4',
  'another preface ends the connection',
  connectionError(PROTOCOL_ERROR),
  [PREFACE.replace('2.0', '2.1'), frame(SETTINGS, 0, 0)],
  { isRaw: true, only: 'TLS' },
)
check(
  '3.4',
  'a preface that is wrong at its end ends the connection',
  connectionError(PROTOCOL_ERROR),
  [`${PREFACE.slice(0, -2)}\n\n`, frame(SETTINGS, 0, 0)],
  { isRaw: true, only: 'TLS' },
)
check(
  '3.4',
  'without TLS another preface is HTTP/1.1, and refused as that',
  closedWithHttp1,
  [PREFACE.replace('SM', 'XX'), frame(SETTINGS, 0, 0)],
  { isRaw: true, only: 'cleartext' },
)
for (const [name, first] of [
  ['HEADERS', get(1)],
  ['PING', frame(PING, 0, 0, Buffer.alloc(8))],
  ['WINDOW_UPDATE', frame(WINDOW_UPDATE, 0, 0, u32(1))],
  ['DATA', frame(DATA, 0, 1, 'x')],
  ['GOAWAY', frame(GOAWAY, 0, 0, Buffer.alloc(8))],
  ['an unknown frame', frame(0x42, 0, 0)],
  ['an acknowledgement of SETTINGS', frame(SETTINGS, ACK, 0)],
] as const) {
  check('3.4', `${name} before SETTINGS ends the connection`, connectionError(PROTOCOL_ERROR), [PREFACE, first, frame(SETTINGS, 0, 0)], raw)
}

async function closedWithHttp1(c: Connection): Promise<void> {
  await c.raw.end()
}

// ---- 4.1: the format of frames ----

check('4.1', 'a frame of an unknown type is ignored', accepted(1), [frame(0xbe, 0, 0, 'anything'), get(1)])
check('4.1', 'a frame of an unknown type on a stream is ignored', accepted(1), [
  post(1),
  frame(0xbe, 0xff, 1, 'x'),
  frame(DATA, END_STREAM, 1, 'body'),
])
check('4.1', 'a frame of an unknown type on an idle stream opens nothing', accepted(1), [frame(0xbe, 0, 77), get(1)])
check('4.1', 'flags without a meaning are ignored on PING', accepted(), [frame(PING, 0xfe, 0, 'flagged!')])
check('4.1', 'flags without a meaning are ignored on HEADERS', accepted(1), [frame(HEADERS, 0xc2 | END_STREAM | END_HEADERS, 1, block())])
check('4.1', 'flags without a meaning are ignored on DATA', accepted(1), [post(1), frame(DATA, 0xf6 | END_STREAM, 1, 'body')])
check('4.1', 'flags without a meaning are ignored on SETTINGS, RST_STREAM, WINDOW_UPDATE and GOAWAY', accepted(), [
  frame(SETTINGS, 0xfe, 0),
  frame(WINDOW_UPDATE, 0xff, 0, u32(1)),
  post(1, '/hold'),
  frame(RST_STREAM, 0xff, 1, u32(CANCEL)),
  frame(GOAWAY, 0xff, 0, Buffer.alloc(8)),
])
check('4.1', 'the reserved bit of a stream id is ignored', accepted(1), [frame(HEADERS, 5, (1 | 0x8000_0000) >>> 0, block())])
check('4.1', 'the reserved bit is ignored where the stream is 0', accepted(), [frame(PING, 0, 0x8000_0000, 'reserved')])

// ---- 4.2: the size of frames ----

check('4.2', 'DATA of 16,384 bytes is taken', accepted(1), [post(1), frame(DATA, END_STREAM, 1, Buffer.alloc(16_384))])
check('4.2', 'DATA beyond 16,384 bytes is an error of size', connectionError(FRAME_SIZE_ERROR), [
  post(1),
  frame(DATA, END_STREAM, 1, Buffer.alloc(16_385)),
])
check('4.2', 'HEADERS beyond 16,384 bytes are an error of size', connectionError(FRAME_SIZE_ERROR), [
  frame(HEADERS, 5, 1, Buffer.alloc(16_385)),
])
check('4.2', 'SETTINGS beyond 16,384 bytes are an error of size', connectionError(FRAME_SIZE_ERROR), [
  frame(SETTINGS, 0, 0, Buffer.alloc(6 * 2731)),
])
check('4.2', 'an unknown frame beyond 16,384 bytes is an error of size', connectionError(FRAME_SIZE_ERROR), [
  frame(0x42, 0, 0, Buffer.alloc(16_385)),
])
check('4.2', 'the announced length alone is enough for that', connectionError(FRAME_SIZE_ERROR), [
  bytes('ffffff', 0, 0, u32(1).toString('hex')),
])
check('4.2', 'HEADERS too short for their priority are an error of size', connectionError(FRAME_SIZE_ERROR), [
  frame(HEADERS, 5 | WITH_PRIORITY, 1, 'abc'),
])

// ---- 4.3: field blocks ----

check('4.3', 'a field block that cannot be decompressed ends the connection', connectionError(COMPRESSION_ERROR), [
  frame(HEADERS, 5, 1, bytes('ff ff ff ff ff ff')),
])
check('4.3', 'a field block in two frames is one', accepted(1), split(1, frame(CONTINUATION, END_HEADERS, 1, block().subarray(9))))
for (const [name, between] of [
  ['DATA of the stream', frame(DATA, 0, 1, 'x')],
  ['HEADERS of another stream', get(3)],
  ['HEADERS of the same stream', get(1)],
  ['PRIORITY', frame(PRIORITY, 0, 1, bytes('00000000 10'))],
  ['RST_STREAM', frame(RST_STREAM, 0, 1, u32(CANCEL))],
  ['SETTINGS', frame(SETTINGS, 0, 0)],
  ['PING', frame(PING, 0, 0, Buffer.alloc(8))],
  ['GOAWAY', frame(GOAWAY, 0, 0, Buffer.alloc(8))],
  ['WINDOW_UPDATE', frame(WINDOW_UPDATE, 0, 0, u32(1))],
  ['CONTINUATION of another stream', frame(CONTINUATION, END_HEADERS, 3, block().subarray(9))],
  ['an unknown frame', frame(0x42, 0, 1)],
] as const) {
  check('4.3', `${name} within a field block ends the connection`, connectionError(PROTOCOL_ERROR), [...split(1), between])
}

/** HEADERS with the beginning of a block. */
function split(id: number, ...rest: Buffer[]): Buffer[] {
  return [frame(HEADERS, END_STREAM, id, block().subarray(0, 9)), ...rest]
}

// ---- 5.1: states of streams ----

check('5.1', 'DATA on an idle stream ends the connection', connectionError(PROTOCOL_ERROR), [frame(DATA, END_STREAM, 1, 'x')])
check('5.1', 'RST_STREAM on an idle stream ends the connection', connectionError(PROTOCOL_ERROR), [frame(RST_STREAM, 0, 1, u32(CANCEL))])
check('5.1', 'WINDOW_UPDATE on an idle stream ends the connection', connectionError(PROTOCOL_ERROR), [frame(WINDOW_UPDATE, 0, 1, u32(1))])
check('5.1', 'CONTINUATION on an idle stream ends the connection', connectionError(PROTOCOL_ERROR), [
  frame(CONTINUATION, END_HEADERS, 1, block()),
])
check('5.1', 'PRIORITY on an idle stream is taken', accepted(1), [frame(PRIORITY, 0, 1, bytes('00000000 10')), get(1)])
check('5.1', 'DATA on a stream the client has ended is STREAM_CLOSED', streamError(1, STREAM_CLOSED), [
  get(1, '/hold'),
  frame(DATA, END_STREAM, 1, 'x'),
])
check('5.1', 'HEADERS on a stream the client has ended are STREAM_CLOSED', streamError(1, STREAM_CLOSED), [get(1, '/hold'), get(1)])
check('5.1', 'a client may end a stream that it has ended with RST_STREAM', accepted(), [
  get(1, '/hold'),
  frame(RST_STREAM, 0, 1, u32(CANCEL)),
])
check('5.1', 'WINDOW_UPDATE and PRIORITY on a stream the client has ended are taken', accepted(3), [
  get(1, '/hold'),
  frame(WINDOW_UPDATE, 0, 1, u32(100)),
  frame(PRIORITY, 0, 1, bytes('00000000 10')),
  get(3),
])
check('5.1', 'CONTINUATION on a stream the client has ended ends the connection', connectionError(PROTOCOL_ERROR), [
  get(1, '/hold'),
  frame(CONTINUATION, END_HEADERS, 1, block()),
])
check('5.1', 'DATA on a closed stream is STREAM_CLOSED', streamError(1, STREAM_CLOSED), after1(frame(DATA, END_STREAM, 1, 'x')))
check('5.1', 'HEADERS on a closed stream are STREAM_CLOSED', connectionError(STREAM_CLOSED), after1(get(1)))
check(
  '5.1',
  'CONTINUATION on a closed stream ends the connection',
  connectionError(PROTOCOL_ERROR),
  after1(frame(CONTINUATION, END_HEADERS, 1, block())),
)
check(
  '5.1',
  'WINDOW_UPDATE, RST_STREAM and PRIORITY on a closed stream are ignored',
  accepted(),
  after1(frame(WINDOW_UPDATE, 0, 1, u32(1)), frame(RST_STREAM, 0, 1, u32(CANCEL)), frame(PRIORITY, 0, 1, bytes('00000000 10'))),
)
check('5.1', 'DATA on a stream that the client has reset is STREAM_CLOSED', streamError(1, STREAM_CLOSED), [
  post(1, '/hold'),
  frame(RST_STREAM, 0, 1, u32(CANCEL)),
  frame(DATA, END_STREAM, 1, 'x'),
])
check('5.1', 'HEADERS on a stream that the client has reset are STREAM_CLOSED', connectionError(STREAM_CLOSED), [
  post(1, '/hold'),
  frame(RST_STREAM, 0, 1, u32(CANCEL)),
  get(1),
])
check('5.1', 'what was on its way to a stream that the gateway reset is ignored', streamError(1, PROTOCOL_ERROR), [
  frame(HEADERS, END_HEADERS, 1, block('GET', '')),
  frame(DATA, 0, 1, 'on its way'),
  frame(WINDOW_UPDATE, 0, 1, u32(5)),
  frame(HEADERS, 5, 1, block()),
  frame(RST_STREAM, 0, 1, u32(CANCEL)),
])

/** These frames after the whole answer on stream 1. */
function after1(...frames: Buffer[]): (c: Connection) => Promise<void> {
  return async (c) => {
    c.send(get(1))
    await c.answer(1)
    c.send(...frames)
  }
}

// ---- 5.1.1: ids of streams ----

check('5.1.1', 'HEADERS on stream 0 end the connection', connectionError(PROTOCOL_ERROR), [get(0)])
check('5.1.1', 'HEADERS on an even stream end the connection', connectionError(PROTOCOL_ERROR), [get(2)])
check('5.1.1', 'an id below one that was used ends the connection', connectionError(PROTOCOL_ERROR), [get(5), get(3)])
check('5.1.1', 'ids may be left out', accepted(1, 7, 31), [get(1), get(7), get(31)])
check('5.1.1', 'frames for an id that was left out find a closed stream', streamError(3, STREAM_CLOSED), [
  get(7),
  frame(WINDOW_UPDATE, 0, 3, u32(1)),
  frame(DATA, END_STREAM, 3, 'x'),
])
check('5.1.1', 'the largest id is served', async (c) => void assert.equal((await c.answer(0x7fff_ffff)).status, 200), [get(0x7fff_ffff)])

// ---- 5.1.2: streams at a time ----

const held = Array.from({ length: STREAMS_ALLOWED }, (_, i) => get(1 + 2 * i, '/hold'))
const beyond = 1 + 2 * STREAMS_ALLOWED
check(
  '5.1.2',
  'a stream beyond the limit is refused, and the others stay',
  async (c) => {
    await streamErrorOf(c, beyond, REFUSED_STREAM)
    for (let id = 1; id < beyond; id += 2) assert.equal(c.find(RST_STREAM, id), undefined)
    c.send(frame(RST_STREAM, 0, 1, u32(CANCEL)), get(beyond + 2))
    assert.equal((await c.answer(beyond + 2)).status, 200)
  },
  [...held, get(beyond)],
)
check(
  '5.1.2',
  'the field block of a refused stream is decompressed all the same',
  async (c) => {
    await streamErrorOf(c, beyond, REFUSED_STREAM)
    // The field that the refused request put into the table.
    c.send(frame(RST_STREAM, 0, 1, u32(CANCEL)), frame(HEADERS, 5, beyond + 2, Buffer.concat([block(), bytes(0x80 | 62)])))
    assert.equal((await c.answer(beyond + 2)).status, 200)
  },
  [...held, frame(HEADERS, 5, beyond, Buffer.concat([block(), bytes(0x40, 3), Buffer.from('x-a'), bytes(1), Buffer.from('1')]))],
)

async function streamErrorOf(c: Connection, id: number, code: number): Promise<void> {
  const reset = await c.raw.frame(({ type, id: on }) => type === RST_STREAM && on === id)
  assert.equal(reset?.payload.readUInt32BE(), code)
}

// ---- 5.3: priority ----

check('5.3', 'HEADERS with a priority are taken', accepted(1), [
  frame(HEADERS, 5 | WITH_PRIORITY, 1, Buffer.concat([bytes('80000000 ff'), block()])),
])
check('5.3', 'HEADERS that depend on themselves break their stream', streamError(1, PROTOCOL_ERROR), [
  frame(HEADERS, 5 | WITH_PRIORITY, 1, Buffer.concat([bytes('00000001 ff'), block()])),
])
check('5.3', 'PRIORITY that depends on itself breaks its stream', streamError(1, PROTOCOL_ERROR), [
  get(1, '/hold'),
  frame(PRIORITY, 0, 1, bytes('00000001 ff')),
])
check('5.3', 'PRIORITY that depends on itself ends the connection where there is no stream to reset', connectionError(PROTOCOL_ERROR), [
  frame(PRIORITY, 0, 1, bytes('00000001 ff')),
])

// ---- 5.4 and 5.5: errors, what is not known ----

check(
  '5.4.1',
  'GOAWAY names the last stream that was begun',
  async (c) => {
    await connectionError(PROTOCOL_ERROR)(c)
    assert.equal(c.find(GOAWAY, 0)?.payload.readUInt32BE(), 5)
  },
  [get(1, '/hold'), get(5, '/hold'), frame(PING, 0, 3, Buffer.alloc(8))],
)
check('5.4.2', 'RST_STREAM is not answered with RST_STREAM', accepted(), async (c) => {
  c.send(post(1, '/hold'), frame(RST_STREAM, 0, 1, u32(CANCEL)))
  await c.ping()
  assert.equal(c.find(RST_STREAM, 1), undefined)
})
check('5.4.2', 'an error code that is not known is taken', accepted(3), [
  post(1, '/hold'),
  frame(RST_STREAM, 0, 1, u32(0xdead_beef)),
  get(3),
])
check('5.5', 'a setting that is not known is ignored', accepted(1), [frame(SETTINGS, 0, 0, bytes('00ff 00000001 f00d ffffffff')), get(1)])
check('5.5', 'frames of extensions are ignored: ALTSVC, ORIGIN, PRIORITY_UPDATE', accepted(1), [
  frame(10, 0, 0, 'a'),
  frame(12, 0, 0, 'b'),
  frame(16, 0, 0, bytes('00000001 753d30')),
  get(1),
])
check('8.4', 'PUSH_PROMISE of a client ends the connection', connectionError(PROTOCOL_ERROR), [
  frame(PUSH_PROMISE, END_HEADERS, 1, Buffer.concat([u32(2), block()])),
])
