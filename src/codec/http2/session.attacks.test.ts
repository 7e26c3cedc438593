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
  PREFACE,
  PRIORITY,
  PUSH_PROMISE,
  RST_STREAM,
  SETTINGS,
  SETTINGS_ENABLE_CONNECT_PROTOCOL,
  SETTINGS_ENABLE_PUSH,
  SETTINGS_INITIAL_WINDOW_SIZE,
  SETTINGS_MAX_FRAME_SIZE,
  WINDOW_UPDATE,
} from './frame.ts'
import { data, frame, HELLO, headers, openHeaders, reset, settings, TestSession, u32, windowUpdate } from './session.contract.ts'

/** What ends the connection, with the code of RFC 9113. Stream 1 has ended, 3 is open, 5 is half closed, 7 was reset by the client. */
const CONNECTION_ERRORS: [string, Buffer, string][] = [
  ['DATA on no stream', data(0, 'x'), 'PROTOCOL_ERROR'],
  ['DATA on an idle stream', data(99, 'x'), 'PROTOCOL_ERROR'],
  ['DATA on a stream of the server', data(2, 'x'), 'PROTOCOL_ERROR'],
  ['DATA with more padding than payload', frame(DATA, FLAG_PADDED, 3, '\x05abcd'), 'PROTOCOL_ERROR'],
  ['padded DATA without a payload', frame(DATA, FLAG_PADDED, 3), 'FRAME_SIZE_ERROR'],
  ['a frame that is too long', frame(DATA, 0, 3, Buffer.alloc(16_385)), 'FRAME_SIZE_ERROR'],
  ['HEADERS on no stream', headers(0), 'PROTOCOL_ERROR'],
  ['HEADERS on a stream of the server', headers(2), 'PROTOCOL_ERROR'],
  ['HEADERS with more padding than payload', frame(HEADERS, FLAG_PADDED | FLAG_END_HEADERS, 9, '\x05abc'), 'PROTOCOL_ERROR'],
  ['HEADERS too short for a priority', frame(HEADERS, FLAG_PRIORITY | FLAG_END_HEADERS, 9, 'abc'), 'FRAME_SIZE_ERROR'],
  ['padded HEADERS without a payload', frame(HEADERS, FLAG_PADDED | FLAG_END_HEADERS, 9), 'FRAME_SIZE_ERROR'],
  ['HEADERS on an ended stream', headers(1), 'STREAM_CLOSED'],
  ['HEADERS on a stream below the newest', Buffer.concat([headers(21), headers(11)]), 'PROTOCOL_ERROR'],
  ['HEADERS on a stream that was left out', Buffer.concat([headers(1025), headers(513)]), 'PROTOCOL_ERROR'],
  ['a block interrupted by PING', Buffer.concat([headers(9, 'x', 0), frame(PING, 0, 0, '12345678')]), 'PROTOCOL_ERROR'],
  ['a block interrupted by an unknown frame', Buffer.concat([headers(9, 'x', 0), frame(99, 0, 0)]), 'PROTOCOL_ERROR'],
  ['a block interrupted by DATA', Buffer.concat([headers(9, 'x', 0), data(3, 'x')]), 'PROTOCOL_ERROR'],
  ['a block continued on another stream', Buffer.concat([headers(9, 'x', 0), frame(CONTINUATION, 4, 3)]), 'PROTOCOL_ERROR'],
  ['CONTINUATION of nothing', frame(CONTINUATION, FLAG_END_HEADERS, 3, 'x'), 'PROTOCOL_ERROR'],
  ['CONTINUATION after the end of a block', Buffer.concat([headers(9), frame(CONTINUATION, 4, 9)]), 'PROTOCOL_ERROR'],
  ['PRIORITY on no stream', frame(PRIORITY, 0, 0, u32(0, 0).subarray(0, 5)), 'PROTOCOL_ERROR'],
  ['RST_STREAM on no stream', reset(0), 'PROTOCOL_ERROR'],
  ['RST_STREAM on an idle stream', reset(99), 'PROTOCOL_ERROR'],
  ['RST_STREAM of a wrong length', frame(RST_STREAM, 0, 3, 'abc'), 'FRAME_SIZE_ERROR'],
  ['SETTINGS on a stream', frame(SETTINGS, 0, 3), 'PROTOCOL_ERROR'],
  ['SETTINGS of a wrong length', frame(SETTINGS, 0, 0, 'abcde'), 'FRAME_SIZE_ERROR'],
  ['an acknowledgement with a payload', frame(SETTINGS, FLAG_ACK, 0, 'abcdef'), 'FRAME_SIZE_ERROR'],
  ['ENABLE_PUSH of 2', settings([SETTINGS_ENABLE_PUSH, 2]), 'PROTOCOL_ERROR'],
  ['a window beyond its largest', settings([SETTINGS_INITIAL_WINDOW_SIZE, 2 ** 31]), 'FLOW_CONTROL_ERROR'],
  ['frames shorter than the least', settings([SETTINGS_MAX_FRAME_SIZE, 16_383]), 'PROTOCOL_ERROR'],
  ['frames longer than can be', settings([SETTINGS_MAX_FRAME_SIZE, 2 ** 24]), 'PROTOCOL_ERROR'],
  ['ENABLE_CONNECT_PROTOCOL of 2', settings([SETTINGS_ENABLE_CONNECT_PROTOCOL, 2]), 'PROTOCOL_ERROR'],
  ['a new window that overflows a stream', Buffer.concat([windowUpdate(3, 1000), settings([4, 2 ** 31 - 1])]), 'FLOW_CONTROL_ERROR'],
  ['PUSH_PROMISE of a client', frame(PUSH_PROMISE, 4, 3, u32(2)), 'PROTOCOL_ERROR'],
  ['PING on a stream', frame(PING, 0, 3, '12345678'), 'PROTOCOL_ERROR'],
  ['PING of a wrong length', frame(PING, 0, 0, '1234567'), 'FRAME_SIZE_ERROR'],
  ['GOAWAY on a stream', frame(GOAWAY, 0, 3, u32(0, 0)), 'PROTOCOL_ERROR'],
  ['GOAWAY of a wrong length', frame(GOAWAY, 0, 0, u32(0)), 'FRAME_SIZE_ERROR'],
  ['WINDOW_UPDATE of a wrong length', frame(WINDOW_UPDATE, 0, 0, 'abc'), 'FRAME_SIZE_ERROR'],
  ['WINDOW_UPDATE by nothing', windowUpdate(0, 0), 'PROTOCOL_ERROR'],
  ['WINDOW_UPDATE on an idle stream', windowUpdate(99, 1), 'PROTOCOL_ERROR'],
  ['a window of the connection that overflows', windowUpdate(0, 2 ** 31 - 1), 'FLOW_CONTROL_ERROR'],
]

/** What breaks one stream only. */
const STREAM_ERRORS: [string, Buffer, string][] = [
  ['DATA on a half-closed stream', data(5, 'x'), 'RST_STREAM 5 STREAM_CLOSED'],
  ['HEADERS on a half-closed stream', headers(5, 'late'), 'RST_STREAM 5 STREAM_CLOSED'],
  ['DATA on an ended stream', data(1, 'x'), 'RST_STREAM 1 STREAM_CLOSED'],
  ['DATA on a stream the client has reset', data(7, 'x'), 'RST_STREAM 7 STREAM_CLOSED'],
  ['trailers that do not end the stream', openHeaders(3, 'late'), 'RST_STREAM 3 PROTOCOL_ERROR'],
  ['WINDOW_UPDATE by nothing', windowUpdate(3, 0), 'RST_STREAM 3 PROTOCOL_ERROR'],
  ['a window that overflows', windowUpdate(3, 2 ** 31 - 1), 'RST_STREAM 3 FLOW_CONTROL_ERROR'],
  ['PRIORITY of a wrong length', frame(PRIORITY, 0, 3, 'abcd'), 'RST_STREAM 3 FRAME_SIZE_ERROR'],
  ['a stream that depends on itself', frame(PRIORITY, 0, 3, u32(3, 0).subarray(0, 5)), 'RST_STREAM 3 PROTOCOL_ERROR'],
  [
    'a new stream that depends on itself',
    frame(HEADERS, FLAG_PRIORITY | FLAG_END_HEADERS, 9, Buffer.concat([u32(9), Buffer.from('\x10late')])),
    'RST_STREAM 9 PROTOCOL_ERROR',
  ],
]

function busyServer(): TestSession {
  const server = TestSession.server()
  server.receive(headers(1), openHeaders(3), headers(5), openHeaders(7), reset(7))
  server.sendHead(server.stream(1), 'ok', true)
  server.output()
  server.told()
  return server
}

for (const [what, bytes, code] of CONNECTION_ERRORS) {
  test(`${what} ends the connection with ${code}`, () => {
    const server = busyServer()
    server.receive(bytes)
    assert.equal(server.told().at(-1), `failed ${code}`)
    assert.match(server.output().at(-1) as string, new RegExp(`^GOAWAY \\d+ ${code}$`))
    assert.equal(server.session.isClosed, true)
  })
}

for (const [what, bytes, expected] of STREAM_ERRORS) {
  test(`${what} breaks that stream only`, () => {
    const server = busyServer()
    server.receive(bytes)
    assert.deepEqual(server.output(), [expected])
    assert.equal(server.session.isClosed, false)
    const told = server.told()
    // The compression must stay in step.
    if (bytes.includes('late')) assert.ok(told.includes('ignored late'), told.join())
    server.receive(headers(31))
    assert.deepEqual(server.told(), ['headers 31 head end'])
  })
}

test('what is allowed at odd times is taken', () => {
  const server = busyServer()
  const priority = u32(0, 0).subarray(0, 5)
  server.receive(
    frame(PRIORITY, 0, 99, priority),
    frame(PRIORITY, 0, 1, priority),
    windowUpdate(1, 5),
    windowUpdate(7, 5),
    reset(1),
    frame(99, 0xff, 3, 'x'),
    frame(SETTINGS, FLAG_ACK, 0),
    frame(GOAWAY, 0, 0, Buffer.concat([u32(0, 0), Buffer.from('bye')])),
    headers(9),
  )
  assert.deepEqual(server.told(), ['acknowledged', 'goaway 0 NO_ERROR', 'headers 9 head end'])
  assert.deepEqual(server.output(), [])
})

test('a connection that begins with anything but the preface and SETTINGS ends', () => {
  for (const [bytes, code] of [
    [Buffer.from('GET / HTTP/1.1\r\n\r\n'), 'PROTOCOL_ERROR'],
    [Buffer.concat([Buffer.from(PREFACE), frame(PING, 0, 0, '12345678')]), 'PROTOCOL_ERROR'],
    [Buffer.concat([Buffer.from(PREFACE), headers(1)]), 'PROTOCOL_ERROR'],
    [Buffer.concat([Buffer.from(PREFACE), frame(SETTINGS, FLAG_ACK, 0)]), 'PROTOCOL_ERROR'],
    [Buffer.concat([Buffer.from(PREFACE), frame(77, 0, 0)]), 'PROTOCOL_ERROR'],
  ] as const) {
    const server = new TestSession()
    server.receive(bytes)
    assert.deepEqual(server.told(), [`failed ${code}`])
  }
})

// ---- floods ----

/** How many times `bytesOf(i)` can be sent before the connection ends with ENHANCE_YOUR_CALM and this attack. */
function countUntilCalm(server: TestSession, attack: string, bytesOf: (i: number) => Buffer, limit = 20_000): number {
  for (let i = 0; i < limit; i++) {
    server.receive(bytesOf(i))
    server.output()
    if (!server.session.isClosed) continue
    assert.deepEqual(server.told().slice(-2), [`attack ${attack}`, 'failed ENHANCE_YOUR_CALM'])
    return i
  }
  return limit
}

const CONTROL_FLOODS: [string, (i: number) => Buffer][] = [
  ['PING', () => frame(PING, 0, 0, '12345678')],
  ['answers to PING', () => frame(PING, FLAG_ACK, 0, '12345678')],
  ['SETTINGS', () => settings()],
  ['acknowledgements', () => frame(SETTINGS, FLAG_ACK, 0)],
  ['PRIORITY', () => frame(PRIORITY, 0, 3, u32(0, 0).subarray(0, 5))],
  ['PRIORITY on idle streams', (i) => frame(PRIORITY, 0, 1001 + 2 * i, u32(0, 0).subarray(0, 5))],
  ['WINDOW_UPDATE', () => windowUpdate(0, 1)],
  ['WINDOW_UPDATE of a stream', () => windowUpdate(3, 1)],
  ['WINDOW_UPDATE of an ended stream', () => windowUpdate(1, 1)],
  ['RST_STREAM of an ended stream', () => reset(1)],
  ['empty DATA', () => data(3, '')],
  ['DATA on an ended stream', () => data(1, 'x')],
  ['unknown frames', () => frame(0x42, 0, 0, 'x')],
  ['GOAWAY', () => frame(GOAWAY, 0, 0, u32(0, 0))],
]

for (const [what, bytesOf] of CONTROL_FLOODS) {
  test(`a flood of ${what} is ended`, () => {
    const count = countUntilCalm(busyServer(), 'control_flood', bytesOf)
    assert.ok(count > 900 && count < 1200, String(count))
  })
}

test('rapid reset: a client that takes back what it asks for is ended (CVE-2023-44487)', () => {
  const server = TestSession.server()
  const count = countUntilCalm(server, 'rapid_reset', (i) => Buffer.concat([headers(1 + 2 * i), reset(1 + 2 * i)]))
  assert.ok(count >= 199 && count < 210, String(count))
})

test('a client that makes us reset its streams is ended just so (CVE-2025-8671)', () => {
  for (const spoil of [
    (id: number) => Buffer.concat([headers(id), data(id, 'x')]),
    (id: number) => Buffer.concat([openHeaders(id), windowUpdate(id, 0)]),
    (id: number) => Buffer.concat([openHeaders(id), windowUpdate(id, 2 ** 31 - 1)]),
    (id: number) => Buffer.concat([openHeaders(id), frame(PRIORITY, 0, id, 'abc')]),
    (id: number) => Buffer.concat([openHeaders(id), openHeaders(id)]),
  ]) {
    const server = TestSession.server()
    const count = countUntilCalm(server, 'rapid_reset', (i) => spoil(1 + 2 * i))
    assert.ok(count >= 199 && count < 210, String(count))
  }
})

test('a stream refused by its owner counts, and one that nobody is to blame for does not', () => {
  const server = TestSession.server()
  let refused = 0
  for (let id = 1; !server.session.isClosed && id < 2000; id += 2) {
    server.receive(headers(id))
    server.session.refuse(server.stream(id), 1)
    refused++
  }
  assert.ok(refused >= 200 && refused < 210, String(refused))
  const other = TestSession.server()
  for (let id = 1; id < 2000; id += 2) {
    other.receive(headers(id))
    other.session.reset(other.stream(id), 2)
  }
  assert.equal(other.session.isClosed, false)
})

test('a client that resets one request in two goes on for good', () => {
  const server = TestSession.server()
  for (let id = 1; id < 20_000; id += 4) {
    server.receive(headers(id), reset(id), headers(id + 2))
    server.sendHead(server.stream(id + 2), 'ok', true)
    server.output()
  }
  assert.equal(server.session.isClosed, false)
})

test('resets are forgiven with time', () => {
  const server = TestSession.server()
  for (let i = 0; i < 1000; i++) {
    server.nowMs += 25
    server.receive(headers(1 + 2 * i), reset(1 + 2 * i))
  }
  assert.equal(server.session.isClosed, false)
})

test('window updates and pings that come with real traffic are no flood', () => {
  const server = TestSession.server()
  server.receive(headers(1))
  server.sendHead(server.stream(1), 'head')
  for (let i = 0; i < 20_000; i++) {
    server.session.sendData(server.stream(1), Buffer.from('x'), 0, 1, false)
    server.receive(windowUpdate(0, 1), windowUpdate(1, 1), frame(PING, 0, 0, '12345678'))
    server.output()
  }
  assert.equal(server.session.isClosed, false)
})

test('what comes with each request is no flood', () => {
  const server = TestSession.server()
  for (let id = 1; id < 10_000; id += 2) {
    const priority = frame(PRIORITY, 0, id, u32(0, 0).subarray(0, 5))
    server.receive(priority, headers(id), priority, windowUpdate(id, 1), windowUpdate(0, 1), frame(0x42, 0, id))
    server.sendHead(server.stream(id), 'ok', true)
    server.output()
  }
  assert.equal(server.session.isClosed, false)
})

test('a client that insists on more streams than it may have is ended, once it knows the limit', () => {
  const server = TestSession.server({ maxConcurrentStreams: 1 })
  server.receive(openHeaders(1))
  for (let i = 0; i < 500; i++) server.receive(headers(3 + 2 * i))
  assert.equal(server.session.isClosed, false)
  server.receive(frame(SETTINGS, FLAG_ACK, 0))
  server.told()
  const count = countUntilCalm(server, 'too_many_streams', (i) => headers(2001 + 2 * i))
  assert.ok(count >= 199 && count < 210, String(count))
})

test('a header block without end is cut off, by its bytes and by its frames', () => {
  const piece = (payload: string | Buffer) => () => frame(CONTINUATION, 0, 1, payload)
  for (const [payload, most] of [
    ['', 20],
    ['x', 20],
    [Buffer.alloc(16_000), 5],
  ] as const) {
    const server = TestSession.server()
    server.receive(headers(1, 'begin', FLAG_END_STREAM))
    const count = countUntilCalm(server, 'continuation_flood', piece(payload))
    assert.ok(count > 2 && count <= most, `${count} of ${payload.length} bytes`)
  }
})

test('frames that come in pieces take no more memory than was sent', () => {
  const beginning = headers(1, 'x'.repeat(16_000)).subarray(0, 20)
  const before = process.memoryUsage().arrayBuffers
  const sessions = Array.from({ length: 500 }, () => {
    const one = TestSession.server()
    one.receive(beginning)
    return one
  })
  assert.ok(process.memoryUsage().arrayBuffers - before < 500 * 8192)
  assert.equal(sessions.length, 500)
})

test('more DATA than the windows allow is an error, of the stream or of the connection', () => {
  const server = TestSession.server({ streamWindowBytes: 20_000, connectionWindowBytes: 65_535 })
  server.consumes = false
  server.receive(openHeaders(1), openHeaders(3), openHeaders(5), openHeaders(7))
  server.receive(data(1, Buffer.alloc(16_000)), data(1, Buffer.alloc(4001)))
  assert.deepEqual(server.output(), ['RST_STREAM 1 FLOW_CONTROL_ERROR'])
  assert.deepEqual(
    server.told().slice(-3),
    ['attack window_overflow', 'body 1 16000', 'broken 1 FLOW_CONTROL_ERROR'].concat('closed 1').slice(-3),
  )
  for (const id of [3, 5, 7]) server.receive(data(id, Buffer.alloc(16_000)), data(id, Buffer.alloc(4000)))
  assert.equal(server.told().at(-1), 'failed FLOW_CONTROL_ERROR')
})

test('a random stream of frames never breaks anything but its own connection', () => {
  let seed = 12345
  const random = (n: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0
    return (seed >>> 8) % n
  }
  for (let round = 0; round < 3000; round++) {
    const server = TestSession.server({ maxConcurrentStreams: 4 })
    for (let i = 0; i < 30 && !server.session.isClosed; i++) {
      const payload = Buffer.alloc(random(3) === 0 ? random(300) : [0, 4, 5, 8, 6][random(5)]!)
      for (let k = 0; k < payload.length; k++) payload[k] = random(3) === 0 ? random(256) : 0
      const flags = [0, 4, 5, 1, 8, 0x20, random(256)][random(7)]!
      const bytes = frame(random(11), flags, random(8), payload)
      const at = random(bytes.length + 1)
      server.receive(bytes.subarray(0, at), bytes.subarray(at))
      for (const stream of server.session.streams.values()) {
        if (random(3) !== 0) continue
        server.sendHead(stream, 'ok')
        server.session.sendData(stream, payload, 0, payload.length, false)
        if (random(2) === 0) server.session.sendEnd(stream, random(2) === 0 ? '' : 'trailers')
      }
    }
    // Every stream that was told of ends once, and what is open is known.
    const told = server.told()
    const begun = told.filter((line) => line.startsWith('headers')).length
    const closed = told.filter((line) => line.startsWith('closed')).length
    assert.equal(begun, closed + server.session.openStreams)
    server.output()
  }
})

test('HELLO alone is no attack', () => {
  const server = new TestSession()
  server.receive(HELLO)
  assert.deepEqual(server.told(), ['settings'])
})
