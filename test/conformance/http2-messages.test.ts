/** RFC 9113 section 8: what makes a message malformed, which breaks its stream and never reaches the service, and what does not. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { DATA, field, frame, get, HEADERS, post, RST_STREAM } from '../e2e/http2/kit.ts'
import {
  accepted,
  type Connection,
  END_HEADERS,
  END_STREAM,
  NO_ERROR,
  type Outcome,
  PADDED,
  PROTOCOL_ERROR,
  STREAM_CLOSED,
  startSuite,
  streamError,
} from './kit.ts'

const { check, paths } = await startSuite({ after })
type Fields = [string, string][]

const METHOD: Fields = [[':method', 'GET']]
const SCHEME: Fields = [[':scheme', 'http']]
const PATH: Fields = [[':path', '/malformed']]
const AUTHORITY: Fields = [[':authority', 'example.com']]
const REQUEST = [...METHOD, ...SCHEME, ...PATH, ...AUTHORITY]
const malformed = streamError(1, PROTOCOL_ERROR)

/** A whole request with these fields and nothing else. */
function only(fields: Fields, flags = END_STREAM): Buffer[] {
  return [frame(HEADERS, END_HEADERS | flags, 1, Buffer.concat(fields.map(([name, value]) => field(name, value))))]
}

const without = (name: string) => only(REQUEST.filter(([one]) => one !== name))
const withValue = (name: string, value: string) => only(REQUEST.map(([one, old]) => [one, one === name ? value : old]))
const plus = (...fields: Fields) => only([...REQUEST, ...fields])

/** The answer tells these fields of the request as it arrived. */
function arrives(expected: Record<string, string | undefined>): Outcome {
  return async (c) => {
    const got = JSON.parse((await c.answer(1)).body.toString()) as Record<string, string>
    for (const [name, value] of Object.entries(expected)) assert.equal(got[name], value, name)
  }
}

// ---- 8.1: the frames of a message ----

check('8.1', 'trailers end a request', accepted(1), [post(1), frame(DATA, 0, 1, 'x'), frame(HEADERS, 5, 1, field('x-sum', '1'))])
check('8.1', 'trailers may follow the head at once', accepted(1), [post(1), frame(HEADERS, 5, 1, field('x-sum', '1'))])
check('8.1', 'trailers may be empty', accepted(1), [post(1), frame(HEADERS, 5, 1)])
check('8.1', 'a second head that does not end the stream breaks it', malformed, [
  post(1),
  frame(DATA, 0, 1, 'x'),
  frame(HEADERS, 4, 1, field('x-sum', '1')),
])
check('8.1', 'DATA behind trailers are STREAM_CLOSED', streamError(1, STREAM_CLOSED), [
  post(1, '/hold'),
  frame(HEADERS, 5, 1, field('x', '1')),
  frame(DATA, 1, 1, 'x'),
])
check('8.1', 'trailers behind trailers are STREAM_CLOSED', streamError(1, STREAM_CLOSED), [
  post(1, '/hold'),
  frame(HEADERS, 5, 1, field('x', '1')),
  frame(HEADERS, 5, 1, field('x', '1')),
])
for (const [name, value] of REQUEST) {
  check('8.1', `${name} in trailers breaks the stream`, malformed, [post(1), frame(HEADERS, 5, 1, field(name, value))])
}
check('8.1', ':status in trailers breaks the stream', malformed, [post(1), frame(HEADERS, 5, 1, field(':status', '200'))])
check(
  '8.1',
  'an answer that needs no more of the request ends the upload with NO_ERROR',
  async (c) => {
    const reset = await c.raw.frame(({ type, id }) => type === RST_STREAM && id === 1)
    assert.equal(reset?.payload.readUInt32BE(), NO_ERROR)
    assert.equal((await c.answer(1)).status, 413)
    c.send(frame(DATA, 0, 1, 'on its way'), frame(DATA, END_STREAM, 1, 'still'), get(3))
    assert.equal((await c.answer(3)).status, 200)
  },
  [post(1, '/', ['content-length', '99999999999'])],
)

// ---- 8.1.1: the length of a body ----

const lengths = ['content-length', '5'] as [string, string]
check('8.1.1', 'a body of the length that was told is taken, padding or not', accepted(1), [
  post(1, '/', lengths),
  frame(DATA, 0, 1, 'ab'),
  frame(DATA, PADDED | END_STREAM, 1, '\x02cde\0\0'),
])
check('8.1.1', 'a head with a length that ends the stream breaks it', malformed, plus(lengths))
check(
  '8.1.1',
  'a length of 0 needs no body',
  accepted(1),
  only([...METHOD, ...SCHEME, [':path', '/'], ...AUTHORITY, ['content-length', '0']]),
)
check('8.1.1', 'a body shorter than its length breaks the stream', malformed, [post(1, '/', lengths), frame(DATA, END_STREAM, 1, 'abcd')])
check('8.1.1', 'a body longer than its length breaks the stream', malformed, [post(1, '/', lengths), frame(DATA, END_STREAM, 1, 'abcdef')])
check('8.1.1', 'a body longer in its second frame breaks the stream', malformed, [
  post(1, '/', lengths),
  frame(DATA, 0, 1, 'abc'),
  frame(DATA, END_STREAM, 1, 'def'),
])
check('8.1.1', 'a body shorter than its length breaks the stream, trailers or not', malformed, [
  post(1, '/', lengths),
  frame(DATA, 0, 1, 'abcd'),
  frame(HEADERS, 5, 1, field('x-sum', '1')),
])
check('8.1.1', 'an empty last frame does not hide a missing byte', malformed, [
  post(1, '/', lengths),
  frame(DATA, 0, 1, 'abcd'),
  frame(DATA, END_STREAM, 1),
])
for (const value of ['', '-1', '+5', '5 ', '0x5', '5,5', '5, 6', 'five', '1'.repeat(40)]) {
  check(
    '8.1.1',
    `a content-length of ${JSON.stringify(value)} breaks the stream`,
    malformed,
    only([...REQUEST, ['content-length', value]], 0),
  )
}
check(
  '8.1.1',
  'two lengths that differ break the stream',
  malformed,
  only([...REQUEST, ['content-length', '1'], ['content-length', '2']], 0),
)

// ---- 8.2: fields ----

for (const [what, name] of [
  ['an uppercase letter', 'X-Upper'],
  ['an uppercase letter at its end', 'x-uppeR'],
  ['a space', 'x y'],
  ['a line feed', 'x\ny'],
  ['a carriage return', 'x\ry'],
  ['a NUL', 'x\0y'],
  ['a DEL', 'x\x7fy'],
  ['a byte above ASCII', 'x\xe9y'],
  ['a colon inside', 'x:y'],
  ['a colon at its end', 'x:'],
  ['a parenthesis', 'x(y)'],
  ['nothing', ''],
] as const) {
  check('8.2.1', `a name with ${what} breaks the stream`, malformed, plus([name, 'v']))
  check('8.2.1', `a name with ${what} in trailers breaks the stream`, malformed, [post(1), frame(HEADERS, 5, 1, field(name, 'v'))])
}
for (const [what, value] of [
  ['NUL', 'a\0b'],
  ['a line feed', 'a\nb'],
  ['a carriage return', 'a\rb'],
  ['both, and a field behind them', 'a\r\nx-smuggled: 1'],
  ['a space at its beginning', ' a'],
  ['a space at its end', 'a '],
  ['a tab at its beginning', '\ta'],
  ['a tab at its end', 'a\t'],
  ['only a space', ' '],
] as const) {
  check('8.2.1', `a value with ${what} breaks the stream`, malformed, plus(['x-field', value]))
}
check(
  '8.2.1',
  'a value may be empty, have spaces and tabs inside, and bytes above ASCII',
  arrives({ 'x-a': '', 'x-b': 'a \t b', 'x-c': '\xe9' }),
  [...only([...METHOD, ...SCHEME, [':path', '/fields'], ...AUTHORITY, ['x-a', ''], ['x-b', 'a \t b'], ['x-c', '\xe9']])],
)
for (const [name, value] of [
  ['connection', 'keep-alive'],
  ['connection', 'x-other'],
  ['proxy-connection', 'keep-alive'],
  ['keep-alive', 'timeout=5'],
  ['transfer-encoding', 'chunked'],
  ['upgrade', 'websocket'],
  ['te', 'gzip'],
  ['te', 'trailers, deflate'],
  ['te', ''],
] as const) {
  check('8.2.2', `${name}: ${value} breaks the stream`, malformed, plus([name, value]))
}
for (const name of ['connection', 'transfer-encoding', 'upgrade', 'keep-alive', 'proxy-connection']) {
  check('8.2.2', `${name} in trailers breaks the stream`, malformed, [post(1), frame(HEADERS, 5, 1, field(name, 'close'))])
}
check('8.2.2', 'te: trailers is taken', accepted(1), only([...METHOD, ...SCHEME, [':path', '/'], ...AUTHORITY, ['te', 'trailers']]))
check(
  '8.2.2',
  'fields of the connection of HTTP/1.1 do not reach the client, and names are in lower case',
  async (c) => {
    const { fields } = await c.answer(1)
    assert.equal(fields['x-mixed-case'], 'Yes')
    for (const name of ['connection', 'keep-alive', 'transfer-encoding', 'x-hop', 'upgrade']) assert.equal(fields[name], undefined, name)
    for (const name of Object.keys(fields)) assert.equal(name, name.toLowerCase())
  },
  [get(1, '/hop')],
)
check(
  '8.2.3',
  'cookies in pieces arrive as one',
  arrives({ cookie: 'a=1; b=2; c=3' }),
  only([
    ...METHOD,
    ...SCHEME,
    [':path', '/fields'],
    ...AUTHORITY,
    ['cookie', 'a=1'],
    ['x-between', '1'],
    ['cookie', 'b=2'],
    ['cookie', 'c=3'],
  ]),
)

// ---- 8.3: pseudo-header fields ----

for (const [name] of REQUEST) {
  if (name !== ':authority') check('8.3.1', `a request without ${name} breaks the stream`, malformed, without(name))
  check('8.3.1', `an empty ${name} breaks the stream`, malformed, withValue(name, ''))
  check('8.3.1', `${name} twice breaks the stream`, malformed, only([...REQUEST, ...REQUEST.filter(([one]) => one === name)]))
  check(
    '8.3',
    `${name} behind other fields breaks the stream`,
    malformed,
    only([...REQUEST.filter(([one]) => one !== name), ['x-field', '1'], ...REQUEST.filter(([one]) => one === name)]),
  )
}
check('8.3', 'a pseudo field that is not known breaks the stream', malformed, only([...REQUEST, [':version', '2']]))
check('8.3', ':status in a request breaks the stream', malformed, only([...REQUEST, [':status', '200']]))
check('8.3', 'a pseudo field in upper case breaks the stream', malformed, only([[':Method', 'GET'], ...SCHEME, ...PATH, ...AUTHORITY]))
check('8.3', 'pseudo fields may come in any order', accepted(1), only([...AUTHORITY, [':path', '/'], ...SCHEME, ...METHOD]))
check('8.3', 'a head without any field breaks the stream', malformed, [frame(HEADERS, 5, 1)])
check('8.3.1', 'a path that does not begin with a slash breaks the stream', malformed, withValue(':path', 'malformed'))
check('8.3.1', 'a path with a space breaks the stream', malformed, withValue(':path', '/malformed HTTP/1.1'))
check('8.3.1', 'a path with a line break breaks the stream', malformed, withValue(':path', '/malformed\r\nx: y'))
check('8.3.1', 'a method that is no token breaks the stream', malformed, withValue(':method', 'GET /malformed'))
check('8.3.1', 'a scheme that is no token breaks the stream', malformed, withValue(':scheme', 'http://malformed/'))
check('8.3.1', '* is a path for OPTIONS only', malformed, withValue(':path', '*'))
check('8.3.1', 'OPTIONS of * is taken', accepted(1), only([[':method', 'OPTIONS'], ...SCHEME, [':path', '*'], ...AUTHORITY]))
check('8.3.1', 'an authority with a user breaks the stream', malformed, withValue(':authority', 'user@example.com'))
check('8.3.1', 'an authority with a path breaks the stream', malformed, withValue(':authority', 'example.com/malformed'))
check(
  '8.3.1',
  'Host in place of :authority is taken',
  arrives({ host: 'example.org' }),
  only([...METHOD, ...SCHEME, [':path', '/fields'], ['host', 'example.org']]),
)
check(
  '8.3.1',
  'Host that says the same as :authority is taken',
  accepted(1),
  only([...METHOD, ...SCHEME, [':path', '/'], ...AUTHORITY, ['host', 'example.com']]),
)
check('8.3.1', 'Host that says something else than :authority breaks the stream', malformed, plus(['host', 'example.org']))
check('8.3.1', 'two Hosts break the stream', malformed, only([...METHOD, ...SCHEME, ...PATH, ['host', 'a.test'], ['host', 'a.test']]))
check('8.3.1', 'a request without :authority and Host breaks the stream', malformed, without(':authority'))

// ---- 8.5 and RFC 8441: CONNECT ----

const connect = (...fields: Fields) => only([[':method', 'CONNECT'], ...fields], 0)
check('8.5', 'CONNECT with a path breaks the stream', malformed, connect(...AUTHORITY, ...PATH))
check('8.5', 'CONNECT with a scheme breaks the stream', malformed, connect(...AUTHORITY, ...SCHEME))
check('8.5', 'CONNECT without an authority breaks the stream', malformed, connect())
check(
  '8.5',
  'CONNECT that nobody wants gets an answer, and no tunnel',
  async (c: Connection) => {
    const { status } = await c.answer(1)
    assert.ok(status >= 400 && status < 600, String(status))
  },
  connect([':authority', 'example.com:443']),
)
const websocket: Fields = [[':protocol', 'websocket'], ...SCHEME, ...PATH, ...AUTHORITY]
check('RFC 8441 4', ':protocol without CONNECT breaks the stream', malformed, only([...METHOD, ...websocket], 0))
check('RFC 8441 4', ':protocol twice breaks the stream', malformed, connect([':protocol', 'websocket'], ...websocket))
check('RFC 8441 4', ':protocol without a path breaks the stream', malformed, connect([':protocol', 'websocket'], ...SCHEME, ...AUTHORITY))
check('RFC 8441 4', ':protocol without a scheme breaks the stream', malformed, connect([':protocol', 'websocket'], ...PATH, ...AUTHORITY))
check('RFC 8441 4', ':protocol without an authority breaks the stream', malformed, connect([':protocol', 'websocket'], ...PATH, ...SCHEME))

test('no malformed head has reached the service', () => {
  assert.ok(paths.has('/fields'))
  assert.ok(![...paths].some((path) => path.includes('malformed')), [...paths].join(' '))
})
