import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  CONTINUATION,
  DATA,
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FLAG_PADDED,
  FLAG_PRIORITY,
  GOAWAY,
  HEADERS,
  PING,
  SETTINGS,
  SETTINGS_INITIAL_WINDOW_SIZE,
  SETTINGS_MAX_CONCURRENT_STREAMS,
  SETTINGS_MAX_FRAME_SIZE,
} from './frame.ts'
import {
  data,
  describeFrames,
  frame,
  HELLO,
  headers,
  openHeaders,
  reset,
  settings,
  TestSession,
  u32,
  windowUpdate,
} from './session.contract.ts'

/** A bit of everything a client may send. */
const TRAFFIC = Buffer.concat([
  HELLO,
  frame(SETTINGS, FLAG_ACK, 0),
  headers(1, 'first'),
  openHeaders(3, 'upload'),
  data(3, 'abc'),
  frame(DATA, FLAG_PADDED, 3, '\x05defgh\0\0\0\0\0'),
  frame(0x42, 0xff, 3, 'nobody knows this one'),
  data(3, '', true),
  frame(
    HEADERS,
    FLAG_PADDED | FLAG_PRIORITY | FLAG_END_STREAM,
    5,
    Buffer.concat([Buffer.from([3]), u32(0), Buffer.from('\x10split\0\0\0', 'latin1')]),
  ),
  frame(CONTINUATION, 0, 5, ' over'),
  frame(CONTINUATION, FLAG_END_HEADERS, 5, ' three'),
  frame(PING, 0, 0, '12345678'),
  openHeaders(7, 'with trailers'),
  data(7, 'x'),
  headers(7, 'the trailers'),
  openHeaders(9, 'given up'),
  reset(9),
  windowUpdate(0, 1000),
  windowUpdate(1, 1000),
])

const TOLD = [
  'settings',
  'acknowledged',
  'headers 1 first end',
  'headers 3 upload',
  'body 3 abcdefgh',
  'end 3',
  'headers 5 split over three end',
  'headers 7 with trailers',
  'body 7 x',
  'trailers 7 the trailers',
  'headers 9 given up',
  'reset 9 CANCEL',
  'closed 9',
]

test('a client is understood wherever its bytes are split', () => {
  for (let at = 0; at <= TRAFFIC.length; at++) {
    const server = new TestSession()
    server.receive(TRAFFIC.subarray(0, at), TRAFFIC.subarray(at))
    assert.deepEqual(server.events, TOLD, `split at ${at}`)
    assert.deepEqual(server.output(), ['SETTINGS', 'SETTINGS ACK', 'PING ACK'])
  }
})

test('a client is understood when its bytes come one by one', () => {
  const server = new TestSession()
  for (let i = 0; i < TRAFFIC.length; i++) server.receive(TRAFFIC.subarray(i, i + 1))
  assert.deepEqual(server.events, TOLD)
})

test('a response leaves in one piece, and its last frame says that it is the last', () => {
  const server = TestSession.server()
  server.receive(headers(1), headers(3), headers(5))
  server.sendHead(server.stream(1), 'no body')
  server.session.sendEnd(server.stream(1), '')
  server.sendHead(server.stream(3), 'body')
  assert.equal(server.session.sendData(server.stream(3), Buffer.from('hello'), 0, 5, false), true)
  server.session.sendEnd(server.stream(3), '')
  server.sendHead(server.stream(5), 'trailers')
  server.session.sendData(server.stream(5), Buffer.from('hello'), 0, 5, false)
  server.session.sendEnd(server.stream(5), 'the trailers')
  assert.deepEqual(server.output(), [
    'HEADERS 1 END_STREAM "no body"',
    'HEADERS 3 "body"',
    'DATA 3 END_STREAM "hello"',
    'HEADERS 5 "trailers"',
    'DATA 5 "hello"',
    'HEADERS 5 END_STREAM "the trailers"',
  ])
  assert.equal(server.session.openStreams, 0)
})

test('the end of a response whose last frame has left is a frame of its own', () => {
  const server = TestSession.server()
  server.receive(headers(1))
  server.sendHead(server.stream(1), 'head')
  assert.deepEqual(server.output(), ['HEADERS 1 "head"'])
  server.session.sendEnd(server.stream(1), '')
  assert.deepEqual(server.output(), ['DATA 1 END_STREAM ""'])
})

test('the end of one response does not end another that stands where its last frame stood', () => {
  const server = TestSession.server()
  server.receive(headers(1), headers(3))
  server.sendHead(server.stream(1), 'head')
  server.output()
  server.sendHead(server.stream(3), 'head')
  server.session.sendEnd(server.stream(1), '')
  assert.deepEqual(server.output(), ['HEADERS 3 "head"', 'DATA 1 END_STREAM ""'])
})

test('a response that is complete before its request takes the rest of it away', () => {
  const server = TestSession.server()
  server.receive(openHeaders(1))
  server.sendHead(server.stream(1), 'no')
  server.session.sendEnd(server.stream(1), '')
  assert.deepEqual(server.output(), ['HEADERS 1 END_STREAM "no"', 'RST_STREAM 1 NO_ERROR'])
  // What was on its way is dropped, and the compression stays in step.
  server.told()
  server.receive(data(1, 'late'), headers(1, 'late trailers'))
  assert.deepEqual(server.told(), ['ignored late trailers'])
  assert.deepEqual(server.output(), [])
})

test('a head longer than a frame goes on in CONTINUATION frames', () => {
  const server = TestSession.server()
  server.receive(headers(1), headers(3))
  server.sendHead(server.stream(1), 'a'.repeat(40_000))
  server.session.sendEnd(server.stream(1), '')
  server.sendHead(server.stream(3), 'next')
  const bytes = server.bytes()
  assert.deepEqual(describeFrames(bytes), [
    'HEADERS 1 END_STREAM open 16384',
    'CONTINUATION 1 open 16384',
    'CONTINUATION 1 7232',
    'HEADERS 3 "next"',
  ])
  assert.equal(bytes.toString('latin1').replace(/[^a]/g, '').length, 40_000)
})

test('body that no window takes waits, and goes on when there is room', () => {
  const server = TestSession.server()
  server.receive(settings([SETTINGS_INITIAL_WINDOW_SIZE, 10]), headers(1))
  server.output()
  server.told()
  const stream = server.stream(1)
  server.sendHead(stream, 'head')
  const bytes = Buffer.from('0123456789abcdefghij')
  assert.equal(server.session.sendData(stream, bytes, 0, 20, false), false)
  bytes.fill('!')
  assert.equal(stream.pendingBytes, 10)
  assert.deepEqual(server.output(), ['HEADERS 1 "head"', 'DATA 1 "0123456789"'])
  server.session.sendEnd(stream, 'trailers')
  server.receive(windowUpdate(1, 4))
  assert.deepEqual(server.output(), ['DATA 1 "abcd"'])
  server.receive(settings([SETTINGS_INITIAL_WINDOW_SIZE, 100]))
  assert.deepEqual(server.output(), ['SETTINGS ACK', 'DATA 1 "efghij"', 'HEADERS 1 END_STREAM "trailers"'])
  assert.deepEqual(server.told(), ['settings', 'closed 1'])
})

test('who waits for a window is told when all has gone', () => {
  const server = TestSession.server()
  server.receive(settings([SETTINGS_INITIAL_WINDOW_SIZE, 3]), headers(1))
  server.told()
  const stream = server.stream(1)
  server.sendHead(stream, 'head')
  const kept = Buffer.from('abcdef')
  assert.equal(server.session.sendData(stream, kept, 0, 6, true), false)
  assert.equal(server.session.sendData(stream, kept, 0, 1, true), false)
  server.output()
  // Stable bytes are not copied.
  kept.write('DEF', 3)
  server.receive(windowUpdate(1, 3))
  assert.deepEqual(server.told(), [])
  server.receive(windowUpdate(1, 1))
  assert.deepEqual(server.told(), ['drain 1'])
  assert.deepEqual(server.output(), ['DATA 1 "DEF"', 'DATA 1 "a"'])
  assert.equal(server.session.sendData(stream, kept, 0, 0, true), true)
})

test('what is given while something waits goes behind it, also from within a callback', () => {
  const server = TestSession.server()
  server.receive(headers(1), headers(3))
  server.session.setBlocked(true)
  const [first, second] = [server.stream(1), server.stream(3)]
  for (const stream of [first, second]) {
    server.sendHead(stream, 'head')
    server.session.sendData(stream, Buffer.from('before '), 0, 7, false)
  }
  server.onStreamDrain = (stream) => {
    if (stream === first) server.session.sendData(second, Buffer.from('after'), 0, 5, false)
  }
  server.session.setBlocked(false)
  assert.deepEqual(server.output().slice(2), ['DATA 1 "before "', 'DATA 3 "before "', 'DATA 3 "after"'])
})

test('streams that wait for the connection take turns', () => {
  const server = TestSession.server()
  server.receive(settings([SETTINGS_INITIAL_WINDOW_SIZE, 1_000_000]), headers(1), headers(3))
  const big = Buffer.alloc(100_000, 'x')
  for (const id of [1, 3]) {
    server.sendHead(server.stream(id), 'head')
    assert.equal(server.session.sendData(server.stream(id), big, 0, big.length, false), false)
  }
  const taken = server.bytes()
  assert.equal(taken.length - 65_535 < 300, true, 'no more than the window of the connection')
  server.receive(windowUpdate(0, 60_000))
  assert.deepEqual(server.output(), ['DATA 1 16384', 'DATA 3 16384', 'DATA 1 16384', 'DATA 3 10848'])
})

test('while the socket is full, bodies wait and other frames do not', () => {
  const server = TestSession.server()
  server.receive(headers(1))
  server.session.setBlocked(true)
  const stream = server.stream(1)
  server.sendHead(stream, 'head')
  assert.equal(server.session.sendData(stream, Buffer.from('body'), 0, 4, false), false)
  server.session.sendEnd(stream, '')
  server.receive(frame(PING, 0, 0, 'pingping'))
  assert.deepEqual(server.output(), ['HEADERS 1 "head"', 'PING ACK'])
  server.session.setBlocked(false)
  assert.deepEqual(server.output(), ['DATA 1 END_STREAM "body"'])
})

test('the windows are given back when the body was consumed, in large steps', () => {
  const server = TestSession.server({ streamWindowBytes: 1000, connectionWindowBytes: 100_000 })
  server.consumes = false
  server.receive(openHeaders(1))
  server.receive(data(1, 'x'.repeat(900)))
  assert.deepEqual(server.output(), [])
  const stream = server.stream(1)
  server.session.consumed(stream, 400)
  assert.deepEqual(server.output(), [])
  server.session.consumed(stream, 100)
  assert.deepEqual(server.output(), ['WINDOW_UPDATE 1 +500'])
  // 100 of the first window are left, and the 500.
  server.receive(data(1, 'x'.repeat(600)))
  assert.deepEqual(server.output(), [])
  server.receive(data(1, 'x'))
  assert.deepEqual(server.output(), ['RST_STREAM 1 FLOW_CONTROL_ERROR'])
})

test('a body that is complete needs no window any more', () => {
  const server = TestSession.server({ streamWindowBytes: 1000, connectionWindowBytes: 100_000 })
  server.consumes = false
  server.receive(openHeaders(1), data(1, 'x'.repeat(900), true))
  server.session.consumed(server.stream(1), 900)
  assert.deepEqual(server.output(), [])
})

test('padding is given back too, and so is what a closed stream has not consumed', () => {
  const server = TestSession.server({ connectionWindowBytes: 65_535 })
  server.consumes = false
  server.receive(openHeaders(1), frame(DATA, FLAG_PADDED, 1, Buffer.concat([Buffer.from([200]), Buffer.alloc(300)])))
  const stream = server.stream(1)
  assert.equal(stream.unconsumed, 100)
  server.receive(data(1, Buffer.alloc(16_000)), data(1, Buffer.alloc(16_000)), data(1, Buffer.alloc(16_000)))
  assert.deepEqual(server.output(), [])
  server.receive(reset(1))
  assert.deepEqual(server.output(), ['WINDOW_UPDATE 0 +48301'])
})

test('what is discarded frees the connection but not the stream', () => {
  const server = TestSession.server({ streamWindowBytes: 40_000, connectionWindowBytes: 65_535 })
  server.consumes = false
  server.receive(openHeaders(1), data(1, Buffer.alloc(16_000)), data(1, Buffer.alloc(16_000)), data(1, Buffer.alloc(8000)))
  server.session.discarded(server.stream(1), 40_000)
  assert.deepEqual(server.output(), ['WINDOW_UPDATE 0 +40000'])
})

test('a body of another length than the head says breaks its stream', () => {
  for (const [sent, ends] of [
    ['abcd', false],
    ['ab', true],
  ] as const) {
    const server = TestSession.server()
    server.receive(openHeaders(1))
    server.stream(1).expectedBytes = 3
    server.receive(data(1, sent, ends))
    assert.deepEqual(server.output(), ['RST_STREAM 1 PROTOCOL_ERROR'])
    assert.ok(server.told().includes('broken 1 PROTOCOL_ERROR'))
  }
  const server = TestSession.server()
  server.receive(openHeaders(1))
  server.stream(1).expectedBytes = 3
  server.receive(data(1, 'ab'), headers(1, 'trailers'))
  assert.deepEqual(server.output(), ['RST_STREAM 1 PROTOCOL_ERROR'])
})

test('streams beyond the limit are refused, and their heads decoded all the same', () => {
  const server = TestSession.server({ maxConcurrentStreams: 2 })
  server.receive(headers(1), headers(3), headers(5, 'too many'), data(5, 'late'))
  assert.deepEqual(server.told(), ['headers 1 head end', 'headers 3 head end', 'ignored too many'])
  assert.deepEqual(server.output(), ['RST_STREAM 5 REFUSED_STREAM'])
  server.sendHead(server.stream(1), 'ok', true)
  server.receive(headers(7))
  assert.deepEqual(server.told(), ['closed 1', 'headers 7 head end'])
})

test('an orderly end: two GOAWAYs, and nothing that came before the second is lost', () => {
  const server = TestSession.server()
  server.receive(headers(1))
  server.session.shutdown()
  assert.deepEqual(server.output(), ['GOAWAY 2147483647 NO_ERROR', 'PING'])
  server.receive(headers(3), frame(PING, FLAG_ACK, 0, 'sluice  '))
  assert.equal(server.told().at(-1), 'pong')
  server.session.finishShutdown()
  assert.deepEqual(server.output(), ['GOAWAY 3 NO_ERROR'])
  server.receive(headers(5, 'too late'))
  assert.deepEqual(server.told(), ['ignored too late'])
  assert.equal(server.session.openStreams, 2)
})

// ---- the role of a client ----

test('a client opens streams, gets interim and final heads, bodies and trailers', () => {
  const client = TestSession.client()
  const stream = client.open('get')
  const upload = client.open('post', false)
  client.session.sendData(upload, Buffer.from('body'), 0, 4, false)
  client.session.sendEnd(upload, '')
  assert.deepEqual(client.output(), ['HEADERS 1 END_STREAM "get"', 'HEADERS 3 "post"', 'DATA 3 END_STREAM "body"'])
  client.receive(openHeaders(1, 'ok'), data(1, 'hello', true), headers(3, 'done'))
  assert.deepEqual(client.told(), ['headers 1 ok', 'body 1 hello', 'end 1', 'closed 1', 'headers 3 done end', 'closed 3'])
  assert.equal(stream.isClosed, true)
})

test('a client begins with the preface and refuses pushes', () => {
  const client = new TestSession({ isServer: false, connectionWindowBytes: 100_000 })
  const bytes = client.bytes()
  assert.equal(bytes.toString('latin1', 0, 24), 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  assert.deepEqual(describeFrames(bytes), ['SETTINGS', 'WINDOW_UPDATE 0 +34465'])
  assert.equal(bytes.includes(Buffer.from([0, 2, 0, 0, 0, 0])), true)
  client.receive(settings(), frame(5, FLAG_END_HEADERS, 1, 'push'))
  assert.equal(client.told().at(-1), 'failed PROTOCOL_ERROR')
})

test('a client opens no more streams than the server allows', () => {
  const client = TestSession.client({}, settings([SETTINGS_MAX_CONCURRENT_STREAMS, 2]))
  client.open()
  assert.equal(client.session.canOpen, true)
  client.open()
  assert.equal(client.session.canOpen, false)
  client.receive(headers(1, 'ok'))
  assert.equal(client.session.canOpen, true)
  assert.equal(client.session.remote.maxConcurrentStreams, 2)
})

test('a server that names no limit has none; before it has spoken there is one', () => {
  const early = new TestSession({ isServer: false })
  for (let i = 0; i < 100; i++) early.open()
  assert.equal(early.session.canOpen, false)
  early.receive(settings())
  assert.equal(early.session.canOpen, true)
})

test('GOAWAY tells a client which requests the server has not begun with', () => {
  const client = TestSession.client()
  client.open()
  client.open()
  client.open()
  client.receive(frame(GOAWAY, 0, 0, u32(3, 0)))
  assert.deepEqual(client.told(), ['reset 5 REFUSED_STREAM', 'closed 5', 'goaway 3 NO_ERROR'])
  assert.equal(client.session.canOpen, false)
  client.receive(headers(1, 'ok'), reset(3, 7))
  assert.deepEqual(client.told(), ['headers 1 ok end', 'closed 1', 'reset 3 REFUSED_STREAM', 'closed 3'])
})

test('a client does not send longer frames of headers than the server takes', () => {
  const client = TestSession.client({}, settings([SETTINGS_MAX_FRAME_SIZE, 16_384]))
  client.open('a'.repeat(17_000))
  assert.deepEqual(client.output(), ['SETTINGS ACK', 'HEADERS 1 END_STREAM open 16384', 'CONTINUATION 1 616'].slice(1))
})

test('what answers in HTTP/1 is not taken for HTTP/2', () => {
  const client = new TestSession({ isServer: false })
  client.receive(Buffer.from('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n'))
  assert.match(client.told().join(), /^failed (PROTOCOL|FRAME_SIZE)_ERROR$/)
})

test('after its end a session neither reads nor sends', () => {
  const server = TestSession.server()
  server.receive(openHeaders(1))
  server.session.fail(2, 'over')
  server.told()
  server.receive(data(1, 'x'), headers(3))
  assert.deepEqual(server.output(), ['GOAWAY 1 INTERNAL_ERROR'])
  assert.equal(server.session.sendData(server.stream(1), Buffer.from('x'), 0, 1, false), true)
  server.session.sendEnd(server.stream(1), '')
  server.session.reset(server.stream(1), 8)
  assert.deepEqual(server.output(), [])
  assert.deepEqual(server.told(), [])
})
