/** RFC 7541 through a real connection: indexes, integers, strings, the dynamic table and its size. */
import assert from 'node:assert/strict'
import { after } from 'node:test'
import { block, CONTINUATION, field, frame, HEADERS, post, RST_STREAM } from '../e2e/http2/kit.ts'
import {
  accepted,
  bytes,
  COMPRESSION_ERROR,
  type Connection,
  connectionError,
  END_HEADERS,
  END_STREAM,
  type Outcome,
  PROTOCOL_ERROR,
  startSuite,
  streamError,
} from './kit.ts'

const { check } = await startSuite({ after })
const refused = connectionError(COMPRESSION_ERROR)

/** A GET of /fields whose head goes on with these bytes. */
function ask(id: number, ...rest: (number | string)[]): Buffer {
  return frame(HEADERS, END_STREAM | END_HEADERS, id, Buffer.concat([block('GET', '/fields'), bytes(...rest)]))
}

/** The same, with these bytes before it. */
function askAfter(id: number, ...first: (number | string)[]): Buffer {
  return frame(HEADERS, END_STREAM | END_HEADERS, id, Buffer.concat([bytes(...first), block('GET', '/fields')]))
}

/** The fields that arrived with the request on stream `id`. */
function arrives(id: number, expected: Record<string, string>): Outcome {
  return async (c) => {
    const got = JSON.parse((await c.answer(id)).body.toString()) as Record<string, string>
    for (const [name, value] of Object.entries(expected)) assert.equal(got[name], value, name)
  }
}

const hex = (text: string) => Buffer.from(text, 'latin1').toString('hex')
/** An integer behind a prefix of `bits`, with `pattern` before it (section 5.1). */
function integer(pattern: number, bits: number, value: number): string {
  const most = 2 ** bits - 1
  if (value < most) return Buffer.from([pattern | value]).toString('hex')
  const all = [pattern | most]
  let left = value - most
  for (; left >= 128; left = Math.floor(left / 128)) all.push((left % 128) | 128)
  return Buffer.from([...all, left]).toString('hex')
}
const string = (text: string) => integer(0, 7, text.length) + hex(text)
/** A literal that goes to the table. */
const insert = (name: string, value: string) => `40${string(name)}${string(value)}`
/** The newest entry is 62. */
const dynamic = (index: number) => integer(0x80, 7, 61 + index)

// ---- 2.3.3 and 6.1: indexes ----

check('RFC 7541 6.1', 'index 0 is an error', refused, [ask(1, 0x80)])
check('RFC 7541 2.3.3', 'an index beyond an empty table is an error', refused, [ask(1, dynamic(1))])
check('RFC 7541 2.3.3', 'an index far beyond is an error', refused, [ask(1, integer(0x80, 7, 100_000))])
check('RFC 7541 2.3.3', 'an index one beyond what was inserted is an error', refused, [ask(1, insert('x-a', '1'), dynamic(2))])
check('RFC 7541 2.3.3', 'the name of an index beyond the table is an error', refused, [ask(1, integer(0x40, 6, 62), string('v'))])
check('RFC 7541 2.3.3', 'the name of an index beyond the table is an error without insertion too', refused, [
  ask(1, integer(0, 4, 62), string('v')),
])
check('RFC 7541 2.3.3', 'the name of an index beyond the table is an error in a field that is never indexed', refused, [
  ask(1, integer(0x10, 4, 62), string('v')),
])
check('RFC 7541 6.1', 'every entry of the static table can be used', arrives(1, { 'accept-encoding': 'gzip, deflate' }), [
  // :method GET, :path /, :scheme http, and 16; the authority is a name of the table.
  frame(
    HEADERS,
    END_STREAM | END_HEADERS,
    1,
    bytes('82', '86', integer(0x40, 6, 4), string('/fields'), '41', string('a.test'), integer(0x80, 7, 16)),
  ),
])
for (const [name, pattern, bits] of [
  ['that goes to the table', 0x40, 6],
  ['that does not', 0, 4],
  ['that never does', 0x10, 4],
] as const) {
  check('RFC 7541 6.2', `a literal ${name}, with its name and with an index`, arrives(1, { 'x-lit': 'v', 'user-agent': 'u' }), [
    ask(1, pattern, string('x-lit'), string('v'), integer(pattern, bits, 58), string('u')),
  ])
}
check('RFC 7541 6.2', 'only a literal that says so goes to the table', refused, [
  ask(1, '00', string('x-a'), string('1'), '10', string('x-b'), string('1'), dynamic(1)),
])

// ---- 2.3.2 and 4.4: the dynamic table ----

check('RFC 7541 2.3.2', 'the newest entry is the first', arrives(1, { 'x-a': '1, 1', 'x-b': '2, 2' }), [
  ask(1, insert('x-a', '1'), insert('x-b', '2'), dynamic(1), dynamic(2)),
])
check('RFC 7541 2.2', 'the table is one for all streams', arrives(3, { 'x-a': '1' }), [ask(1, insert('x-a', '1')), ask(3, dynamic(1))])
check('RFC 7541 2.2', 'trailers use the table too', arrives(3, { 'x-a': '1' }), [
  post(1),
  frame(HEADERS, END_STREAM | END_HEADERS, 1, bytes(insert('x-a', '1'))),
  ask(3, dynamic(1)),
])
check('RFC 7541 2.2', 'a head that is malformed fills the table all the same', arrives(3, { 'x-a': '1' }), [
  frame(HEADERS, END_STREAM | END_HEADERS, 1, bytes('82 82', insert('x-a', '1'))),
  ask(3, dynamic(1)),
])
check('RFC 7541 2.2', 'so does a head for a stream that the gateway has reset', arrives(3, { 'x-a': '1' }), async (c) => {
  c.send(frame(HEADERS, END_HEADERS, 1, bytes('82 82')))
  await c.raw.frame(({ type }) => type === RST_STREAM)
  c.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, bytes(insert('x-a', '1'))), ask(3, dynamic(1)))
})
check('RFC 7541 4.4', 'what no longer fits leaves the table, oldest first', arrives(1, { 'x-c': '3, 3' }), [
  ask(1, insert('x-a', 'a'.repeat(2030)), insert('x-b', 'b'.repeat(2030)), insert('x-c', '3'), dynamic(1)),
])
check('RFC 7541 4.4', 'an entry that has left is an error', refused, [
  ask(1, insert('x-a', 'a'.repeat(2030)), insert('x-b', 'b'.repeat(2030)), insert('x-c', '3'), dynamic(3)),
])
check('RFC 7541 4.4', 'an entry of exactly the size of the table stays', arrives(3, { 'x-a': 'a'.repeat(4061) }), [
  ask(1, insert('x-a', 'a'.repeat(4061))),
  ask(3, dynamic(1)),
])
check('RFC 7541 4.4', 'an entry larger than the table empties it, and is none', arrives(1, { 'x-big': 'b'.repeat(4060) }), [
  ask(1, insert('x-a', '1'), insert('x-big', 'b'.repeat(4060))),
])
check('RFC 7541 4.4', 'after it there is nothing in the table', refused, [
  ask(1, insert('x-a', '1'), insert('x-big', 'b'.repeat(4060)), dynamic(1)),
])
check(
  'RFC 7541 4.4',
  'an entry may push out the one that its name comes from',
  arrives(1, { 'x-a': `${'a'.repeat(2100)}, ${'b'.repeat(2100)}` }),
  [ask(1, insert('x-a', 'a'.repeat(2100)), integer(0x40, 6, 62), string('b'.repeat(2100)))],
)

// ---- 4.2 and 6.3: the size of the table ----

const size = (value: number) => integer(0x20, 5, value)
check('RFC 7541 6.3', 'a size up to what the gateway allows is taken', accepted(1), [askAfter(1, size(4096))])
check('RFC 7541 6.3', 'a size beyond it is an error', refused, [askAfter(1, size(4097))])
check('RFC 7541 6.3', 'a size far beyond it is an error', refused, [askAfter(1, size(2 ** 31))])
check('RFC 7541 4.2', 'a size behind a field is an error', refused, [ask(1, size(100))])
check('RFC 7541 4.2', 'a size between two fields is an error', refused, [
  frame(HEADERS, END_STREAM | END_HEADERS, 1, Buffer.concat([bytes('82', size(100)), block()])),
])
check('RFC 7541 4.2', 'two sizes at the beginning are taken', accepted(1), [askAfter(1, size(0), size(4096))])
check('RFC 7541 4.2', 'a size may come with any block', accepted(1, 3), [askAfter(1, size(100)), askAfter(3, size(200))])
check('RFC 7541 4.3', 'a smaller size pushes out what no longer fits', refused, [
  ask(1, insert('x-a', '1')),
  frame(HEADERS, 5, 3, Buffer.concat([bytes(size(0), size(4096)), block(), bytes(dynamic(1))])),
])
check('RFC 7541 4.3', 'a smaller size keeps what still fits', arrives(3, { 'x-b': '2' }), [
  ask(1, insert('x-a', '1'), insert('x-b', '2')),
  frame(HEADERS, 5, 3, Buffer.concat([bytes(size(36)), block('GET', '/fields'), bytes(dynamic(1))])),
])
check('RFC 7541 4.3', 'a table of no size takes nothing in', refused, [
  frame(HEADERS, 5, 1, Buffer.concat([bytes(size(0)), block(), bytes(insert('x-a', '1'), dynamic(1))])),
])
check('RFC 7541 4.2', 'a block may be a change of size and nothing else, if the message needs no field', accepted(1), [
  post(1),
  frame(HEADERS, END_STREAM | END_HEADERS, 1, bytes(size(10))),
])

// ---- 5.1: integers ----

check('RFC 7541 5.1', 'an integer that is too large is an error', refused, [ask(1, 'ff ffffffff 7f')])
check('RFC 7541 5.1', 'an integer that has no end is an error', refused, [ask(1, `ff${'80'.repeat(64)}01`)])
check('RFC 7541 5.1', 'an integer that would wrap around to a valid index is an error', refused, [ask(1, 'ff 83ffffff ff01')])
check('RFC 7541 5.1', 'an integer that is cut off is an error', refused, [ask(1, 'ff')])
check('RFC 7541 5.1', 'an integer that is cut off in its second byte is an error', refused, [ask(1, 'ff80')])
check('RFC 7541 5.1', 'an integer may have zeros in front', arrives(1, { ['x'.repeat(130)]: '1' }), [
  ask(1, '00', '7f 838000', hex('x'.repeat(130)), string('1')),
])
check('RFC 7541 5.1', 'a length that is too large is an error', refused, [ask(1, '00', '7f ffffffff 7f')])

// ---- 5.2: strings ----

check('RFC 7541 5.2', 'a name longer than its block is an error', refused, [ask(1, '00', '05', hex('x-a'))])
check('RFC 7541 5.2', 'a value longer than its block is an error', refused, [ask(1, '00', string('x-a'), '05', hex('v'))])
check('RFC 7541 5.2', 'a field without a value is an error', refused, [ask(1, '00', string('x-a'))])
check('RFC 7541 5.2', 'a field without a name is an error', refused, [ask(1, '00')])
check('RFC 7541 5.2', 'a coded string is read', arrives(1, { 'x-a': 'www.example.com' }), [
  ask(1, '00', string('x-a'), '8c f1e3c2e5f23a6ba0ab90f4ff'),
])
check('RFC 7541 5.2', 'a coded string may be empty', arrives(1, { 'x-a': '' }), [ask(1, '00', string('x-a'), '80')])
check('RFC 7541 5.2', 'a coded name is read, and one in upper case breaks the stream', streamError(1, PROTOCOL_ERROR), [
  ask(1, '00', '81 87', string('1')),
])
check('RFC 7541 5.2', 'padding of eight bits is an error', refused, [ask(1, '00', string('x-a'), '8d f1e3c2e5f23a6ba0ab90f4ff ff')])
check('RFC 7541 5.2', 'padding that is not all ones is an error', refused, [ask(1, '00', string('x-a'), '8c f1e3c2e5f23a6ba0ab90f4fe')])
check('RFC 7541 5.2', 'the symbol for the end of a string is an error', refused, [ask(1, '00', string('x-a'), '84 ffffffff')])
check('RFC 7541 5.2', 'the symbol for the end behind others is an error', refused, [ask(1, '00', string('x-a'), '85 1fffffffff')])
check('RFC 7541 5.2', 'a coded string that is cut off is an error', refused, [ask(1, '00', string('x-a'), '8c f1e3')])

// ---- blocks in pieces ----

check(
  'RFC 9113 4.3',
  'a block may be cut anywhere',
  async (c: Connection) => {
    for (let id = 1; id < 40; id += 2) await arrives(id, { 'x-a': 'www.example.com', 'x-b': '2' })(c)
  },
  async (c) => {
    const whole = Buffer.concat([block('GET', '/fields'), bytes('00', string('x-a'), '8c f1e3c2e5f23a6ba0ab90f4ff', insert('x-b', '2'))])
    for (let id = 1; id < 40; id += 2) {
      const at = whole.length - 1 - ((id - 1) / 2) * 2
      c.send(frame(HEADERS, END_STREAM, id, whole.subarray(0, at)), frame(CONTINUATION, END_HEADERS, id, whole.subarray(at)))
      await c.answer(id)
    }
  },
)
check('RFC 9113 4.3', 'a field that is cut off by the end of its block is not completed by the next', refused, [
  frame(HEADERS, END_STREAM | END_HEADERS, 1, Buffer.concat([block(), field('x-a', '12345').subarray(0, 7)])),
  frame(HEADERS, END_STREAM | END_HEADERS, 3, block()),
])
