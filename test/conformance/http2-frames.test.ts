/** RFC 9113 section 6: each type of frame, with wrong lengths, streams, flags, padding and values; flow control. */
import assert from 'node:assert/strict'
import { after } from 'node:test'
import {
  block,
  CONTINUATION,
  DATA,
  field,
  frame,
  GOAWAY,
  get,
  HEADERS,
  hello,
  PING,
  post,
  RST_STREAM,
  SETTINGS,
  u32,
  WINDOW_UPDATE,
} from '../e2e/http2/kit.ts'
import {
  ACK,
  accepted,
  BIG,
  bytes,
  CANCEL,
  type Connection,
  connectionError,
  ENABLE_CONNECT_PROTOCOL,
  ENABLE_PUSH,
  END_HEADERS,
  END_STREAM,
  FLOW_CONTROL_ERROR,
  FRAME_SIZE_ERROR,
  HEADER_TABLE_SIZE,
  INITIAL_WINDOW_SIZE,
  MAX_CONCURRENT_STREAMS,
  MAX_FRAME_SIZE,
  MAX_HEADER_LIST_SIZE,
  MAX_WINDOW,
  PADDED,
  PRIORITY,
  PROTOCOL_ERROR,
  STREAM_WINDOW,
  startSuite,
  streamError,
  WITH_PRIORITY,
} from './kit.ts'

const { check } = await startSuite({ after })

// ---- 6.1: DATA ----

check('6.1', 'DATA on stream 0 ends the connection', connectionError(PROTOCOL_ERROR), [frame(DATA, 0, 0, 'x')])
check('6.1', 'padding is no part of the body', bodyIs(1, 'abcd'), [
  post(1),
  frame(DATA, PADDED, 1, bytes(3, '6162 000000')),
  frame(DATA, PADDED | END_STREAM, 1, bytes(0, '6364')),
])
check('6.1', 'DATA may be all padding', bodyIs(1, ''), [
  post(1),
  frame(DATA, PADDED | END_STREAM, 1, Buffer.concat([bytes(255), Buffer.alloc(255)])),
])
check('6.1', 'padding as long as the payload ends the connection', connectionError(PROTOCOL_ERROR), [
  post(1),
  frame(DATA, PADDED, 1, bytes(5, '0000000000').subarray(0, 5)),
])
check('6.1', 'padding longer than the payload ends the connection', connectionError(PROTOCOL_ERROR), [
  post(1),
  frame(DATA, PADDED, 1, bytes(6, '00000000')),
])
check('6.1', 'DATA without the length of its padding ends the connection', connectionError(FRAME_SIZE_ERROR, PROTOCOL_ERROR), [
  post(1),
  frame(DATA, PADDED, 1),
])
check('6.1', 'empty DATA is taken', bodyIs(1, 'x'), [
  post(1),
  frame(DATA, 0, 1),
  frame(DATA, 0, 1, 'x'),
  frame(DATA, 0, 1),
  frame(DATA, END_STREAM, 1),
])

function bodyIs(id: number, body: string) {
  return async (c: Connection) => assert.equal((await c.answer(id)).body.toString('latin1'), body)
}

// ---- 6.2: HEADERS ----

check('6.2', 'padded HEADERS are taken', accepted(1), [
  frame(HEADERS, 5 | PADDED, 1, Buffer.concat([bytes(10), block(), Buffer.alloc(10)])),
])
check('6.2', 'padded HEADERS with a priority are taken', accepted(1), [
  frame(HEADERS, 5 | PADDED | WITH_PRIORITY, 1, Buffer.concat([bytes(2, '00000000 0f'), block(), Buffer.alloc(2)])),
])
check('6.2', 'padding longer than the payload ends the connection', connectionError(PROTOCOL_ERROR), [
  frame(HEADERS, 5 | PADDED, 1, Buffer.concat([bytes(255), block()])),
])
check('6.2', 'padding that reaches into the priority ends the connection', connectionError(PROTOCOL_ERROR), [
  frame(HEADERS, 5 | PADDED | WITH_PRIORITY, 1, bytes(3, '00000000 0f', '0000')),
])
check('6.2', 'HEADERS without the length of their padding end the connection', connectionError(FRAME_SIZE_ERROR, PROTOCOL_ERROR), [
  frame(HEADERS, 5 | PADDED, 1),
])

// ---- 6.3: PRIORITY ----

check('6.3', 'PRIORITY on stream 0 ends the connection', connectionError(PROTOCOL_ERROR), [frame(PRIORITY, 0, 0, bytes('00000000 10'))])
for (const length of [4, 6]) {
  check('6.3', `PRIORITY of ${length} bytes breaks its stream`, streamError(1, FRAME_SIZE_ERROR), [
    get(1, '/hold'),
    frame(PRIORITY, 0, 1, Buffer.alloc(length)),
  ])
  check('6.3', `PRIORITY of ${length} bytes ends the connection where there is no stream to reset`, connectionError(FRAME_SIZE_ERROR), [
    frame(PRIORITY, 0, 1, Buffer.alloc(length)),
  ])
}

// ---- 6.4: RST_STREAM ----

check('6.4', 'RST_STREAM on stream 0 ends the connection', connectionError(PROTOCOL_ERROR), [frame(RST_STREAM, 0, 0, u32(CANCEL))])
for (const length of [0, 3, 5]) {
  check('6.4', `RST_STREAM of ${length} bytes ends the connection`, connectionError(FRAME_SIZE_ERROR), [
    get(1, '/hold'),
    frame(RST_STREAM, 0, 1, Buffer.alloc(length)),
  ])
}

// ---- 6.5: SETTINGS ----

check('6.5', 'an acknowledgement with a payload ends the connection', connectionError(FRAME_SIZE_ERROR), [
  frame(SETTINGS, ACK, 0, setting(ENABLE_PUSH, 0)),
])
check('6.5', 'SETTINGS on a stream end the connection', connectionError(PROTOCOL_ERROR), [frame(SETTINGS, 0, 1, setting(ENABLE_PUSH, 0))])
for (const length of [1, 5, 7]) {
  check('6.5', `SETTINGS of ${length} bytes end the connection`, connectionError(FRAME_SIZE_ERROR), [
    frame(SETTINGS, 0, 0, Buffer.alloc(length)),
  ])
}
check('6.5', 'an acknowledgement nobody waits for is ignored', accepted(), [frame(SETTINGS, ACK, 0)])
for (const [name, id, value, code] of [
  ['ENABLE_PUSH of 2', ENABLE_PUSH, 2, PROTOCOL_ERROR],
  ['INITIAL_WINDOW_SIZE of 2^31', INITIAL_WINDOW_SIZE, 0x8000_0000, FLOW_CONTROL_ERROR],
  ['INITIAL_WINDOW_SIZE of 2^32 - 1', INITIAL_WINDOW_SIZE, 0xffff_ffff, FLOW_CONTROL_ERROR],
  ['MAX_FRAME_SIZE of 0', MAX_FRAME_SIZE, 0, PROTOCOL_ERROR],
  ['MAX_FRAME_SIZE of 16,383', MAX_FRAME_SIZE, 16_383, PROTOCOL_ERROR],
  ['MAX_FRAME_SIZE of 2^24', MAX_FRAME_SIZE, 0x100_0000, PROTOCOL_ERROR],
  ['ENABLE_CONNECT_PROTOCOL of 2 (RFC 8441)', ENABLE_CONNECT_PROTOCOL, 2, PROTOCOL_ERROR],
] as const) {
  check('6.5.2', `${name} ends the connection`, connectionError(code), [settings([id, value])])
  check('6.5.2', `${name} in the first frame ends the connection`, connectionError(code), [hello([id, value])], { isRaw: true })
}
check('6.5.2', 'ENABLE_CONNECT_PROTOCOL that is taken back ends the connection (RFC 8441)', connectionError(PROTOCOL_ERROR), [
  settings([ENABLE_CONNECT_PROTOCOL, 1]),
  settings([ENABLE_CONNECT_PROTOCOL, 0]),
])
for (const [name, id, value] of [
  ['ENABLE_PUSH of 0', ENABLE_PUSH, 0],
  ['ENABLE_PUSH of 1', ENABLE_PUSH, 1],
  ['HEADER_TABLE_SIZE of 0', HEADER_TABLE_SIZE, 0],
  ['HEADER_TABLE_SIZE of 2^32 - 1', HEADER_TABLE_SIZE, 0xffff_ffff],
  ['MAX_CONCURRENT_STREAMS of 0', MAX_CONCURRENT_STREAMS, 0],
  ['INITIAL_WINDOW_SIZE of 2^31 - 1', INITIAL_WINDOW_SIZE, MAX_WINDOW],
  ['MAX_FRAME_SIZE of 16,384', MAX_FRAME_SIZE, 16_384],
  ['MAX_FRAME_SIZE of 2^24 - 1', MAX_FRAME_SIZE, 0xff_ffff],
  ['MAX_HEADER_LIST_SIZE of 0', MAX_HEADER_LIST_SIZE, 0],
] as const) {
  check('6.5.2', `${name} is taken`, accepted(1), [settings([id, value]), get(1)])
}
check('6.5.2', 'of a setting that is named twice the last counts', dataIs(1, 7), [
  settings([INITIAL_WINDOW_SIZE, 0], [INITIAL_WINDOW_SIZE, 7]),
  get(1, '/big'),
])
check(
  '6.5.3',
  'each SETTINGS frame is acknowledged, once',
  async (c) => {
    await c.ping()
    assert.equal(c.frames.filter(({ type, flags, payload }) => type === SETTINGS && flags === ACK && payload.length === 0).length, 4)
  },
  [settings(), settings([MAX_FRAME_SIZE, 20_000]), settings()],
)
check(
  '6.5.3',
  'a smaller HEADER_TABLE_SIZE is told at the beginning of the next field block (RFC 7541 section 4.2)',
  async (c) => {
    await c.answer(1)
    c.send(settings([HEADER_TABLE_SIZE, 0]), get(3))
    await c.answer(3)
    assert.equal(c.find(HEADERS, 3)?.payload[0], 0x20)
    // Twice in one go: the least is told first.
    c.send(settings([HEADER_TABLE_SIZE, 4096]), settings([HEADER_TABLE_SIZE, 0]), settings([HEADER_TABLE_SIZE, 100]), get(5))
    await c.answer(5)
    assert.deepEqual(c.find(HEADERS, 5)?.payload.subarray(0, 3), bytes('20 3f45'))
  },
  [get(1)],
)

function setting(id: number, value: number): Buffer {
  return Buffer.concat([bytes(0, id), u32(value)])
}

function settings(...pairs: [number, number][]): Buffer {
  return frame(SETTINGS, 0, 0, Buffer.concat(pairs.map(([id, value]) => setting(id, value))))
}

// ---- 6.7: PING ----

check(
  '6.7',
  'PING is answered with its own payload',
  async (c) => {
    await c.ping()
    assert.deepEqual(c.frames.filter(({ type }) => type === PING)[0], { type: PING, flags: ACK, id: 0, payload: Buffer.from('own load') })
  },
  [frame(PING, 0, 0, 'own load')],
)
check(
  '6.7',
  'an answer to PING is not answered',
  async (c) => {
    await c.ping()
    assert.equal(c.frames.filter(({ type }) => type === PING).length, 1)
  },
  [frame(PING, ACK, 0, 'not ours')],
)
check('6.7', 'PING on a stream ends the connection', connectionError(PROTOCOL_ERROR), [frame(PING, 0, 1, Buffer.alloc(8))])
for (const length of [0, 7, 9]) {
  check('6.7', `PING of ${length} bytes ends the connection`, connectionError(FRAME_SIZE_ERROR), [frame(PING, 0, 0, Buffer.alloc(length))])
}
check('6.7', 'an answer to PING of 7 bytes ends the connection', connectionError(FRAME_SIZE_ERROR), [frame(PING, ACK, 0, Buffer.alloc(7))])

// ---- 6.8: GOAWAY ----

check('6.8', 'GOAWAY on a stream ends the connection', connectionError(PROTOCOL_ERROR), [frame(GOAWAY, 0, 1, Buffer.alloc(8))])
check('6.8', 'GOAWAY of 7 bytes ends the connection', connectionError(FRAME_SIZE_ERROR), [frame(GOAWAY, 0, 0, Buffer.alloc(7))])
check(
  '6.8',
  'what was asked before GOAWAY is answered',
  async (c) => {
    c.send(frame(DATA, END_STREAM, 1, 'late'))
    assert.equal((await c.answer(1)).body.toString(), 'late')
    assert.equal((await c.answer(3)).status, 200)
  },
  [post(1), get(3), frame(GOAWAY, 0, 0, Buffer.concat([u32(0), u32(0xdead_beef), Buffer.from('some text')]))],
)

// ---- 6.9: WINDOW_UPDATE ----

check('6.9', 'a window of the connection that grows by 0 ends the connection', connectionError(PROTOCOL_ERROR), [
  frame(WINDOW_UPDATE, 0, 0, u32(0)),
])
check('6.9', 'a window of a stream that grows by 0 breaks it', streamError(1, PROTOCOL_ERROR), [
  get(1, '/hold'),
  frame(WINDOW_UPDATE, 0, 1, u32(0)),
])
check('6.9', 'the reserved bit is ignored', accepted(), [frame(WINDOW_UPDATE, 0, 0, u32(0x8000_0001))])
check('6.9', 'the reserved bit does not hide a 0', connectionError(PROTOCOL_ERROR), [frame(WINDOW_UPDATE, 0, 0, u32(0x8000_0000))])
for (const length of [0, 3, 5]) {
  check('6.9', `WINDOW_UPDATE of ${length} bytes ends the connection`, connectionError(FRAME_SIZE_ERROR), [
    frame(WINDOW_UPDATE, 0, 0, Buffer.alloc(length)),
  ])
  check('6.9', `WINDOW_UPDATE of ${length} bytes on a stream ends the connection`, connectionError(FRAME_SIZE_ERROR), [
    get(1, '/hold'),
    frame(WINDOW_UPDATE, 0, 1, Buffer.alloc(length)),
  ])
}
check('6.9.1', 'a window of the connection may have 2^31 - 1 bytes', accepted(1), [
  frame(WINDOW_UPDATE, 0, 0, u32(MAX_WINDOW - 65_535)),
  get(1),
])
check('6.9.1', 'a window of the connection beyond that ends the connection', connectionError(FLOW_CONTROL_ERROR), [
  frame(WINDOW_UPDATE, 0, 0, u32(MAX_WINDOW - 65_535)),
  frame(WINDOW_UPDATE, 0, 0, u32(1)),
])
check('6.9.1', 'a window of a stream may have 2^31 - 1 bytes', accepted(1), [
  post(1),
  frame(WINDOW_UPDATE, 0, 1, u32(MAX_WINDOW - 65_535)),
  frame(DATA, END_STREAM, 1),
])
check('6.9.1', 'a window of a stream beyond that breaks it', streamError(1, FLOW_CONTROL_ERROR), [
  get(1, '/hold'),
  frame(WINDOW_UPDATE, 0, 1, u32(MAX_WINDOW - 65_535)),
  frame(WINDOW_UPDATE, 0, 1, u32(1)),
])
check(
  '6.9.1',
  'the window of a stream is kept to, byte by byte',
  async (c) => {
    await dataIs(1, 10)(c)
    c.send(frame(WINDOW_UPDATE, 0, 1, u32(1)), frame(WINDOW_UPDATE, 0, 1, u32(4)))
    await dataIs(1, 15)(c)
  },
  [settings([INITIAL_WINDOW_SIZE, 10]), get(1, '/big')],
)
check(
  '6.9.1',
  'the window of the connection is kept to, over all streams',
  async (c) => {
    await c.raw.frame(() => dataOf(c, 1) + dataOf(c, 3) >= 65_535)
    await c.ping()
    assert.equal(dataOf(c, 1) + dataOf(c, 3), 65_535)
    c.send(frame(WINDOW_UPDATE, 0, 0, u32(2 * BIG.length - 65_535)))
    for (const id of [1, 3]) assert.deepEqual((await c.answer(id)).body, BIG)
  },
  [settings([INITIAL_WINDOW_SIZE, MAX_WINDOW]), get(1, '/big'), get(3, '/big')],
)
check('6.9.1', 'frames other than DATA need no window', accepted(3), [settings([INITIAL_WINDOW_SIZE, 0]), get(1, '/big'), get(3)])
check('6.9.1', 'padding counts, and is given back', bodyIs(1, 'x'.repeat(40_000)), async (c) => {
  // 256 bytes in the window for each that is body: twice what the connection would allow.
  c.send(post(1))
  for (let i = 0; i < 800; i++) {
    c.send(frame(DATA, PADDED, 1, Buffer.concat([bytes(199), Buffer.alloc(50, 'x'), Buffer.alloc(199)])))
    if (i % 100 === 99) await c.ping()
  }
  c.send(frame(DATA, END_STREAM, 1))
})
check('6.9.1', 'more DATA than the window of a stream breaks it', streamError(1, FLOW_CONTROL_ERROR), async (c) => {
  c.send(frame(DATA, 0, await fill(c, false), 'x'))
})
check('6.9.1', 'more DATA than the window of the connection ends the connection', connectionError(FLOW_CONTROL_ERROR), async (c) => {
  c.send(frame(DATA, 0, await fill(c, true), 'x'))
})
check('6.9.1', 'exactly as much DATA as the windows allow is taken, and empty DATA on top', accepted(), async (c) => {
  c.send(frame(DATA, 0, await fill(c, true)))
})
check(
  '6.9.2',
  'an initial window of 0 holds back bodies, and opens with SETTINGS',
  async (c) => {
    await dataIs(1, 0)(c)
    c.send(settings([INITIAL_WINDOW_SIZE, 3]))
    await dataIs(1, 3)(c)
  },
  [settings([INITIAL_WINDOW_SIZE, 0]), get(1, '/big')],
)
check(
  '6.9.2',
  'a window can become negative, and has to come back',
  async (c) => {
    await dataIs(1, 100)(c)
    c.send(settings([INITIAL_WINDOW_SIZE, 20]), frame(WINDOW_UPDATE, 0, 1, u32(80)))
    await dataIs(1, 100)(c)
    c.send(frame(WINDOW_UPDATE, 0, 1, u32(1)))
    await dataIs(1, 101)(c)
    c.send(settings([INITIAL_WINDOW_SIZE, 25]))
    await dataIs(1, 106)(c)
  },
  [settings([INITIAL_WINDOW_SIZE, 100]), get(1, '/big')],
)
check('6.9.2', 'SETTINGS that make the window of a stream too large end the connection', connectionError(FLOW_CONTROL_ERROR), [
  get(1, '/hold'),
  frame(WINDOW_UPDATE, 0, 1, u32(MAX_WINDOW - 65_535)),
  settings([INITIAL_WINDOW_SIZE, 65_536]),
])
check(
  '6.9.2',
  'SETTINGS do not change the window of the connection',
  async (c) => {
    await c.raw.frame(() => dataOf(c, 1) >= 65_535)
    await c.ping()
    assert.equal(dataOf(c, 1), 65_535)
  },
  [settings([INITIAL_WINDOW_SIZE, MAX_WINDOW]), get(1, '/big')],
)

function dataOf(c: Connection, id: number): number {
  return c.frames.reduce((sum, one) => sum + (one.type === DATA && one.id === id ? one.payload.length : 0), 0)
}

/** So much has come of a body, and no more comes. */
function dataIs(id: number, count: number) {
  return async (c: Connection) => {
    await c.raw.frame((one) => one.type === HEADERS && one.id === id && dataOf(c, id) >= count)
    await c.ping()
    assert.equal(dataOf(c, id), count)
  }
}

/** Uploads to a service that takes nothing until a window is used up: of stream 1, or, over several streams, of the connection. */
async function fill(c: Connection, isConnection: boolean): Promise<number> {
  let sent = 0
  const granted = (of: number) =>
    c.frames.reduce((sum, one) => sum + (one.type === WINDOW_UPDATE && one.id === of ? one.payload.readUInt32BE() : 0), 0)
  for (let id = 1; id <= (isConnection ? 11 : 1); id += 2) {
    c.send(post(id, '/silent'))
    let sentHere = 0
    for (let i = 0; i < 100; i++) {
      await c.ping()
      const connectionLeft = 65_535 + granted(0) - sent
      const count = Math.min(STREAM_WINDOW + granted(id) - sentHere, connectionLeft, 16_384)
      if (connectionLeft === 0 && isConnection) return id
      if (count === 0) break
      c.send(frame(DATA, 0, id, Buffer.alloc(count)))
      sent += count
      sentHere += count
    }
  }
  assert.equal(isConnection, false, 'the window of the connection is used up')
  return 1
}

// ---- 6.10: CONTINUATION ----

const whole = block('GET', '/')
const part = (id: number, from: number, to: number, flags = 0) => frame(CONTINUATION, flags, id, whole.subarray(from, to))
check('6.10', 'a field block may come in many frames, empty ones among them', accepted(1), [
  frame(HEADERS, END_STREAM, 1),
  part(1, 0, 5),
  part(1, 0, 0),
  part(1, 5, 20),
  part(1, 20, 21),
  part(1, 21, whole.length),
  part(1, 0, 0, END_HEADERS),
])
check('6.10', 'END_STREAM of HEADERS counts when the block is complete', bodyIs(1, 'later'), [
  frame(HEADERS, 0, 1, block('POST').subarray(0, 8)),
  frame(CONTINUATION, END_HEADERS | END_STREAM, 1, block('POST').subarray(8)),
  frame(DATA, END_STREAM, 1, 'later'),
])
check(
  '6.10',
  'trailers may come in CONTINUATION',
  async (c) => assert.deepEqual((await c.answer(1)).trailers, { 'x-after': '{"x-sum":"5"}' }),
  [
    post(1, '/trailers'),
    frame(DATA, 0, 1, 'x'),
    frame(HEADERS, END_STREAM, 1, field('x-sum', '5').subarray(0, 4)),
    frame(CONTINUATION, END_HEADERS, 1, field('x-sum', '5').subarray(4)),
  ],
)
check('6.10', 'CONTINUATION on stream 0 ends the connection', connectionError(PROTOCOL_ERROR), [frame(CONTINUATION, END_HEADERS, 0, whole)])
check('6.10', 'CONTINUATION on stream 0 within a field block ends the connection', connectionError(PROTOCOL_ERROR), [
  frame(HEADERS, END_STREAM, 1, whole.subarray(0, 8)),
  frame(CONTINUATION, END_HEADERS, 0, whole.subarray(8)),
])
check('6.10', 'CONTINUATION behind a complete field block ends the connection', connectionError(PROTOCOL_ERROR), [
  post(1),
  part(1, 0, 5, END_HEADERS),
])
check('6.10', 'CONTINUATION behind CONTINUATION that was the last ends the connection', connectionError(PROTOCOL_ERROR), [
  frame(HEADERS, 0, 1, whole.subarray(0, 8)),
  part(1, 8, whole.length, END_HEADERS),
  part(1, 0, 0, END_HEADERS),
])
check('6.10', 'CONTINUATION behind DATA ends the connection', connectionError(PROTOCOL_ERROR), [
  post(1),
  frame(DATA, 0, 1, 'x'),
  part(1, 0, 5, END_HEADERS),
])
