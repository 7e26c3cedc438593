import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { WireBuffer } from '../../base/wire.ts'
import { ByteWriter } from '../byte-writer.ts'
import { RequestHead, ResponseHead } from '../http1/head.ts'
import { HpackDecoder } from './hpack-decoder.ts'
import { HpackEncoder } from './hpack-encoder.ts'
import { type HpackField, lineOf } from './hpack-field.ts'
import { HpackTable } from './hpack-table.ts'
import { BLOCK_OK, readRequestBlock, readResponseBlock } from './message.ts'

const LIMITS = { headBytes: 10_000, headers: 100, uriBytes: 1000 }

function bytesOf(hex: string): WireBuffer {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex') as WireBuffer
}

/** "name: value" of a field that may be any. */
function textOf(field: HpackField): string {
  return field.name.kind < 6 ? `${field.name.text}: ${field.value}` : lineOf(field).slice(0, -2)
}

/** null: the block cannot be decoded. */
function decode(decoder: HpackDecoder, hex: string): string[] | null {
  const bytes = bytesOf(hex)
  const lines: string[] = []
  decoder.begin(bytes, 0, bytes.length)
  for (let field = decoder.next(); field !== null; field = decoder.next()) lines.push(textOf(field))
  return decoder.hasFailed ? null : lines
}

/** `isOneText`: as fields stand in the text of a message, name and value in one. */
function encode(encoder: HpackEncoder, fields: [string, string][], isOneText = false): string {
  const writer = new ByteWriter(1)
  encoder.begin(writer)
  for (const [name, value] of fields) {
    if (!isOneText) encoder.text(name, value, writer)
    else {
      const line = `> ${name}: ${value}\r\n`
      const valueStart = 4 + name.length
      encoder.field(line, 2, 2 + name.length, line, valueStart, valueStart + value.length, writer)
    }
  }
  return Buffer.from(writer.bytes.subarray(0, writer.at)).toString('hex')
}

const REQUESTS = [
  [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'],
  [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com', 'cache-control: no-cache'],
  [':method: GET', ':scheme: https', ':path: /index.html', ':authority: www.example.com', 'custom-key: custom-value'],
]
const RESPONSES = [
  [':status: 302', 'cache-control: private', 'date: Mon, 21 Oct 2013 20:13:21 GMT', 'location: https://www.example.com'],
  [':status: 307', 'cache-control: private', 'date: Mon, 21 Oct 2013 20:13:21 GMT', 'location: https://www.example.com'],
  [
    ':status: 200',
    'cache-control: private',
    'date: Mon, 21 Oct 2013 20:13:22 GMT',
    'location: https://www.example.com',
    'content-encoding: gzip',
    'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
  ],
]
const REQUEST_TABLES = [57, 110, 164]
const RESPONSE_TABLES = [222, 222, 215]
/** Sections C.3 and C.4. */
const REQUEST_BLOCKS: [string, string[]][] = [
  [
    'plain',
    [
      '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '8286 84be 5808 6e6f 2d63 6163 6865',
      '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
    ],
  ],
  [
    'coded',
    [
      '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
      '8286 84be 5886 a8eb 1064 9cbf',
      '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
    ],
  ],
]
/** Sections C.5 and C.6; the first block also makes the table smaller, as the examples assume. */
const RESPONSE_BLOCKS: [string, string[]][] = [
  [
    'plain',
    [
      '3fe101 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768' +
        ' 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '4803 3330 37c1 c0bf',
      '88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a' +
        ' 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31',
    ],
  ],
  [
    'coded',
    [
      '3fe101 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8' +
        ' e9ae 82ae 43d3',
      '4883 640e ffc1 c0bf',
      '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960' +
        ' d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07',
    ],
  ],
]

describe('the examples of RFC 7541 appendix C', () => {
  it('C.2: each representation', () => {
    const decoder = new HpackDecoder()
    assert.deepEqual(decode(decoder, '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572'), ['custom-key: custom-header'])
    assert.equal(decoder.tableBytes, 55)
    assert.deepEqual(decode(decoder, '040c 2f73 616d 706c 652f 7061 7468'), [':path: /sample/path'])
    assert.deepEqual(decode(decoder, '1008 7061 7373 776f 7264 0673 6563 7265 74'), ['password: secret'])
    assert.deepEqual(decode(decoder, '82'), [':method: GET'])
    assert.equal(decoder.tableBytes, 55)
  })

  for (const [kind, blocks] of REQUEST_BLOCKS) {
    it(`C.3, C.4: requests, strings ${kind}, field by field and as heads`, () => {
      const decoder = new HpackDecoder()
      const whole = new HpackDecoder()
      const head = new RequestHead()
      for (const [i, hex] of blocks.entries()) {
        assert.deepEqual(decode(decoder, hex), REQUESTS[i])
        assert.equal(decoder.tableBytes, REQUEST_TABLES[i])
        const bytes = bytesOf(hex)
        assert.equal(readRequestBlock(whole, bytes, 0, bytes.length, head, LIMITS), BLOCK_OK)
        const fields = (REQUESTS[i] as string[]).slice(4).map((line) => `${line}\r\n`)
        assert.equal(head.headers.text, `host: www.example.com\r\n${fields.join('')}`)
        assert.deepEqual(
          [head.method, head.target, head.scheme, head.major, head.minor],
          ['GET', i === 2 ? '/index.html' : '/', i === 2 ? 'https' : 'http', 2, 1],
        )
      }
    })
  }

  for (const [kind, blocks] of RESPONSE_BLOCKS) {
    it(`C.5, C.6: responses with eviction, strings ${kind}, field by field and as heads`, () => {
      const decoder = new HpackDecoder(256)
      const whole = new HpackDecoder(256)
      const head = new ResponseHead()
      for (const [i, hex] of blocks.entries()) {
        assert.deepEqual(decode(decoder, hex), RESPONSES[i])
        assert.equal(decoder.tableBytes, RESPONSE_TABLES[i])
        const bytes = bytesOf(hex)
        assert.equal(readResponseBlock(whole, bytes, 0, bytes.length, head, LIMITS), BLOCK_OK)
        const lines = RESPONSES[i] as string[]
        assert.equal(`:status: ${head.status}`, lines[0])
        assert.equal(
          head.headers.text,
          lines
            .slice(1)
            .map((line) => `${line}\r\n`)
            .join(''),
        )
      }
    })
  }
})

describe('HpackDecoder', () => {
  const decodesNot = (hex: string, what: string): void => assert.equal(decode(new HpackDecoder(), hex), null, what)

  it('refuses indices that are nowhere', () => {
    decodesNot('80', 'index 0')
    decodesNot('be', 'an index of an empty dynamic table')
    decodesNot('7e0161', 'as a name')
    decodesNot('ffffffffff07', 'beyond any table')
  })

  it('refuses integers that are too large, too long or cut off', () => {
    decodesNot('ffffffffffff7f', 'six bytes')
    decodesNot('ff8080808080808000', 'zeros without end')
    decodesNot('ff80808080 7f', 'the largest')
    decodesNot('ff', 'cut off at once')
    decodesNot('ff80', 'cut off later')
    decodesNot('00ff8080808001', 'a name length')
    decodesNot('3fffffffff0f', 'a table size')
  })

  it('refuses strings that end behind the block, and fields that are cut off', () => {
    for (const hex of ['00', '0001', '000161', '0001610261', '40', '4001', '4001 61', '400161 7f', '00 8161 00']) decodesNot(hex, hex)
    assert.deepEqual(decode(new HpackDecoder(), '0001610162'), ['a: b'])
  })

  it('refuses badly coded strings', () => {
    decodesNot('0001618118', 'padding of zeros')
    decodesNot('00016184ffffffff', 'end of string')
    decodesNot('0082ffff0162', 'in a name')
  })

  it('stays failed once it has failed', () => {
    const decoder = new HpackDecoder()
    assert.equal(decode(decoder, '80'), null)
    assert.equal(decode(decoder, '82'), null)
    const bytes = bytesOf('82')
    decoder.begin(bytes, 0, 1)
    assert.equal(decoder.next(), null)
  })

  it('takes size updates at the beginning of a block only, and not above the limit', () => {
    assert.deepEqual(decode(new HpackDecoder(), '20 3fe11f 82'), [':method: GET'])
    decodesNot('82 20', 'behind a field')
    decodesNot('3fe21f', '4097')
    const large = new HpackDecoder(8192)
    assert.deepEqual(decode(large, '3fe13f'), [], '8192 of 8192')
    assert.equal(decode(large, '3fe23f'), null)
  })

  it('empties the table at a size of zero', () => {
    const decoder = new HpackDecoder()
    assert.deepEqual(decode(decoder, '4001610162'), ['a: b'])
    assert.deepEqual(decode(decoder, 'be'), ['a: b'])
    assert.deepEqual(decode(decoder, '20 3fe11f'), [])
    assert.equal(decode(decoder, 'be'), null)
  })

  it('wants a size update when a smaller limit has come into force', () => {
    const before = new HpackDecoder(100)
    assert.deepEqual(decode(before, '82'), [':method: GET'], 'not acknowledged yet')
    before.settingsAcknowledged()
    assert.equal(decode(before, '82'), null)
    const told = new HpackDecoder(100)
    told.settingsAcknowledged()
    assert.deepEqual(decode(told, '3f45 82'), [':method: GET'])
    assert.deepEqual(decode(told, '82'), [':method: GET'], 'once is enough')
    const tooMuch = new HpackDecoder(100)
    tooMuch.settingsAcknowledged()
    assert.equal(decode(tooMuch, '3f46 82'), null, '101')
    const same = new HpackDecoder()
    same.settingsAcknowledged()
    assert.deepEqual(decode(same, '82'), [':method: GET'])
  })

  it('an entry larger than the table empties it', () => {
    const decoder = new HpackDecoder()
    assert.deepEqual(decode(decoder, '3f03 4001610162'), ['a: b'], 'a table of 34 bytes holds it')
    assert.equal(decoder.tableBytes, 34)
    assert.deepEqual(decode(decoder, '400161026263'), ['a: bc'])
    assert.equal(decoder.tableBytes, 0)
  })

  it('a new entry may take its name from one that it drives out', () => {
    const decoder = new HpackDecoder()
    assert.deepEqual(decode(decoder, '3f03 4001610162'), ['a: b'])
    assert.deepEqual(decode(decoder, '7e0163'), ['a: c'])
    assert.deepEqual(decode(decoder, 'be'), ['a: c'])
  })

  it('refuses a string that is cut off while skipping', () => {
    for (const hex of ['0005', '00016105', '0f0a05aabb', '0f0a', '00']) {
      const decoder = new HpackDecoder()
      const bytes = bytesOf(hex)
      decoder.begin(bytes, 0, bytes.length)
      decoder.isSkipping = true
      while (decoder.next() !== null);
      assert.equal(decoder.hasFailed, true, hex)
    }
  })

  it('keeps its table in step while skipping', () => {
    const decoder = new HpackDecoder()
    const bytes = bytesOf('4001610162 0001630164 4001650166 0f1f0161')
    decoder.begin(bytes, 0, bytes.length)
    decoder.isSkipping = true
    while (decoder.next() !== null);
    assert.equal(decoder.hasFailed, false)
    assert.deepEqual(decode(decoder, 'bebf'), ['e: f', 'a: b'])
  })
})

describe('HpackTable', () => {
  it('indexes from the newest, evicts the oldest, and grows', () => {
    const table = new HpackTable<{ sizeBytes: number; id: number }>(4096)
    for (let id = 1; id <= 500; id++) {
      table.insert({ sizeBytes: 32 + (id % 7), id })
      assert.ok(table.usedBytes <= 4096)
      for (let i = 0; i < table.count; i++) assert.equal(table.at(i)?.id, id - i)
      assert.equal(table.at(table.count), null)
    }
    assert.ok(table.count > 100)
    assert.equal(table.inserted, 500)
    table.resize(64)
    assert.equal(table.count, 1)
    table.resize(0)
    assert.equal(table.count, 0)
    assert.equal(table.usedBytes, 0)
  })
})

describe('HpackEncoder', () => {
  it('sends a field literally, then with indexing, then as an index', () => {
    const encoder = new HpackEncoder()
    const field: [string, string][] = [['X-A', 'yes']]
    const first = encode(encoder, field)
    const second = encode(encoder, field)
    assert.match(first, /^00/)
    assert.match(second, /^40/)
    assert.equal(second.slice(2), first.slice(2))
    assert.equal(encode(encoder, field), 'be')
    assert.equal(encode(encoder, [['x-a', 'yes']]), 'be', 'in any case')
    const decoder = new HpackDecoder()
    for (const hex of [first, second, 'be']) assert.deepEqual(decode(decoder, hex), ['x-a: yes'])
  })

  it('uses the static table for values in it', () => {
    assert.equal(encode(new HpackEncoder(), [['Accept-Encoding', 'gzip, deflate']]), '90')
  })

  it('keeps values that never repeat out of the table', () => {
    const encoder = new HpackEncoder()
    for (let i = 0; i < 3; i++) encode(encoder, [['server', 'sluice']])
    const { tableBytes } = encoder
    for (let i = 0; i < 5000; i++) {
      encode(encoder, [
        ['x-request-id', `id-${i}`],
        ['etag', `"${i}"`],
        ['x-other', `${i * 7}`],
      ])
    }
    assert.equal(encoder.tableBytes, tableBytes)
    assert.equal(encode(encoder, [['server', 'sluice']]), 'be')
  })

  it('never indexes secrets and says so', () => {
    for (const name of ['Authorization', 'cookie', 'Set-Cookie', 'proxy-authorization']) {
      const encoder = new HpackEncoder()
      for (let i = 0; i < 4; i++) assert.match(encode(encoder, [[name, 'a-secret-of-some-length']]), /^1/)
      assert.equal(encoder.tableBytes, 0)
    }
  })

  it('leaves out what has no place in HTTP/2', () => {
    const names = [
      'Connection',
      'Keep-Alive',
      'Proxy-Connection',
      'Transfer-Encoding',
      'Upgrade',
      'HTTP2-Settings',
      'Host',
      'Content-Length',
    ]
    assert.equal(encode(new HpackEncoder(), [...names.map((name): [string, string] => [name, '1']), ['TE', 'gzip']]), '')
    assert.deepEqual(decode(new HpackDecoder(), encode(new HpackEncoder(), [['TE', 'trailers']])), ['te: trailers'])
  })

  it('tells the smallest and the last size of its table, and needs no table at all', () => {
    const encoder = new HpackEncoder()
    const field: [string, string][] = [['x-a', 'yes']]
    for (let i = 0; i < 3; i++) encode(encoder, field)
    encoder.setPeerTableBytes(0)
    encoder.setPeerTableBytes(100)
    assert.match(encode(encoder, field), /^203f45/)
    assert.doesNotMatch(encode(encoder, field), /^2|^3f/)
    encoder.setPeerTableBytes(0)
    assert.match(encode(encoder, field), /^2000/)
    for (let i = 0; i < 3; i++) assert.match(encode(encoder, field), /^00/)
    encoder.setPeerTableBytes(1_000_000)
    assert.match(encode(encoder, field), /^3fe11f/)
    const unchanged = new HpackEncoder()
    unchanged.setPeerTableBytes(65_536)
    assert.doesNotMatch(encode(unchanged, field), /^3f/)
  })

  it('sends a string as it is when coding makes it no shorter', () => {
    assert.equal(encode(new HpackEncoder(), [['etag', '\\\\']]), '0f13025c5c')
    assert.equal(encode(new HpackEncoder(), [['etag', '']]), '0f1300')
  })

  it('stays in step with a decoder over long random traffic, whatever the table size', () => {
    let state = 99
    const next = (below: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return Math.floor((state / 2 ** 32) * below)
    }
    const encoder = new HpackEncoder()
    const decoder = new HpackDecoder()
    for (let round = 0; round < 5000; round++) {
      if (next(100) === 0) encoder.setPeerTableBytes(next(3) === 0 ? next(5000) : next(300))
      const fields = Array.from({ length: next(12) }, (): [string, string] => {
        const name = `x-${next(next(5) === 0 ? 400 : 20)}`
        return [name, next(4) === 0 ? 'v'.repeat(next(300)) : String(next(next(3) === 0 ? 100_000 : 6))]
      })
      assert.deepEqual(
        decode(decoder, encode(encoder, fields, next(8) !== 0)),
        fields.map(([name, value]) => `${name}: ${value}`),
      )
      assert.equal(decoder.tableBytes, encoder.tableBytes)
    }
  })
})
