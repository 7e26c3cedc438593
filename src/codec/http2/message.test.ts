import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../../base/clock.ts'
import type { WireBuffer } from '../../base/wire.ts'
import { ByteWriter } from '../byte-writer.ts'
import { HeaderBlock } from '../header-block.ts'
import { HEADER_DATE, HEADER_NONE, HEADER_X_REQUEST_ID } from '../header-id.ts'
import { encodeFields } from '../http1/encode.ts'
import { parseResponseHead, RequestHead, ResponseHead } from '../http1/head.ts'
import { HpackDecoder } from './hpack-decoder.ts'
import { HpackEncoder } from './hpack-encoder.ts'
import {
  BLOCK_COMPRESSION,
  BLOCK_MALFORMED,
  BLOCK_OK,
  BLOCK_TOO_LARGE,
  BLOCK_URI_TOO_LONG,
  encodeRequestBlock,
  encodeResponseBlock,
  encodeTrailerBlock,
  readIgnoredBlock,
  readRequestBlock,
  readResponseBlock,
  readTrailerBlock,
  Trailers,
} from './message.ts'

const LIMITS = { headBytes: 10_000, headers: 20, uriBytes: 200 }

type Line = string | [name: string, value: string]

function pairOf(line: Line): [string, string] {
  if (typeof line !== 'string') return line
  const colon = line.indexOf(':', 1)
  return [line.slice(0, colon), line.slice(colon + 1).trimStart()]
}

/** A block without any table: literals only. */
function literals(lines: readonly Line[], pattern = 0): WireBuffer {
  const writer = new ByteWriter()
  for (const line of lines) {
    writer.u8(pattern)
    for (const text of pairOf(line)) {
      if (text.length < 127) writer.u8(text.length)
      else {
        writer.u8(127)
        let rest = text.length - 127
        for (; rest >= 128; rest >>>= 7) writer.u8((rest & 127) | 128)
        writer.u8(rest)
      }
      writer.latin1(text)
    }
  }
  return Buffer.from(writer.bytes.subarray(0, writer.at)) as WireBuffer
}

const BASE = [':method: GET', ':scheme: https', ':authority: example.com', ':path: /']

function request(lines: readonly Line[]): { result: number; head: RequestHead } {
  const head = new RequestHead()
  const bytes = literals(lines)
  return { result: readRequestBlock(new HpackDecoder(), bytes, 0, bytes.length, head, LIMITS), head }
}

function response(lines: readonly Line[]): { result: number; head: ResponseHead } {
  const head = new ResponseHead()
  const bytes = literals(lines)
  return { result: readResponseBlock(new HpackDecoder(), bytes, 0, bytes.length, head, LIMITS), head }
}

function trailers(lines: readonly Line[]): { result: number; lines: string } {
  const found = new Trailers()
  const bytes = literals(lines)
  const result = readTrailerBlock(new HpackDecoder(), bytes, 0, bytes.length, LIMITS, found)
  return { result, lines: found.lines }
}

function isMalformed(lines: readonly Line[]): void {
  assert.equal(request(lines).result, BLOCK_MALFORMED, JSON.stringify(lines))
}

function isFine(lines: readonly Line[]): RequestHead {
  const { result, head } = request(lines)
  assert.equal(result, BLOCK_OK, JSON.stringify(lines))
  return head
}

describe('readRequestBlock', () => {
  it('fills the head as if the request had come over HTTP/1', () => {
    const head = isFine([...BASE.slice(0, 3), ':path: /a?b=c', 'accept: */*', 'content-length: 12', 'x_y: 1', 'te: trailers'])
    assert.equal(head.headers.text, 'host: example.com\r\naccept: */*\r\ncontent-length: 12\r\nx_y: 1\r\nte: trailers\r\n')
    assert.equal(encodeFields(head.headers), head.headers.text)
    assert.equal(head.headers.get('host'), 'example.com')
    assert.equal(head.headers.getById(1), 'example.com')
    assert.deepEqual(head.headers.toPairs(), [
      ['host', 'example.com'],
      ['accept', '*/*'],
      ['content-length', '12'],
      ['x_y', '1'],
      ['te', 'trailers'],
    ])
    const { method, target, scheme, protocol, major, minor, contentLength, chunked, hosts, hasUnderscore } = head
    assert.deepEqual(
      { method, target, scheme, protocol, major, minor, contentLength, chunked, hosts, hasUnderscore },
      {
        method: 'GET',
        target: '/a?b=c',
        scheme: 'https',
        protocol: '',
        major: 2,
        minor: 1,
        contentLength: 12,
        chunked: false,
        hosts: 1,
        hasUnderscore: true,
      },
    )
  })

  it('leaves nothing of the request before in the head', () => {
    const head = new RequestHead()
    const decoder = new HpackDecoder()
    const first = literals([':method: CONNECT', ':protocol: websocket', ...BASE.slice(1), 'content-length: 3', 'cookie: a=b'])
    const second = literals(BASE)
    assert.equal(readRequestBlock(decoder, first, 0, first.length, head, LIMITS), BLOCK_OK)
    assert.equal(head.protocol, 'websocket')
    assert.equal(readRequestBlock(decoder, second, 0, second.length, head, LIMITS), BLOCK_OK)
    assert.deepEqual([head.protocol, head.contentLength, head.headers.text], ['', -1, 'host: example.com\r\n'])
    assert.equal(head.headers.getById(22), undefined)
  })

  it('pseudo fields: each once, known, complete, and before the others', () => {
    for (let i = 0; i < BASE.length; i++) {
      isMalformed([...BASE, BASE[i] as string])
      if (i !== 2) isMalformed(BASE.filter((_, k) => k !== i))
      isMalformed([...BASE.filter((_, k) => k !== i), 'accept: */*', BASE[i] as string])
    }
    isMalformed(BASE.slice(0, 2).concat(':path: /'))
    for (const line of [':status: 200', ':host: a', ': a', ':Method: GET', ':protocol: websocket']) isMalformed([...BASE, line])
    for (let i = 0; i < BASE.length; i++) isMalformed(BASE.map((line, k) => (k === i ? `${line.slice(0, line.indexOf(':', 1))}: ` : line)))
    isFine([...BASE].reverse())
  })

  it('field names: lower-case tokens', () => {
    for (const name of ['X-A', 'x-A', 'a b', 'a:b', 'a\r\n', 'a\0', 'a\x7f', 'é', '', 'a(', 'a\tb']) isMalformed([...BASE, [name, '1']])
    for (const name of ['x', "!#$%&'*+-.^_`|~", '0']) isFine([...BASE, [name, '1']])
  })

  it('field values: no control characters, no blanks around', () => {
    for (const value of ['a\r\nb', 'a\n', 'a\r', '\0', ' a', 'a ', '\ta', 'a\t', ' ', 'a\x7f', '\x1b']) {
      isMalformed([...BASE, ['x', value]])
      isMalformed([...BASE, ['cookie', value]])
    }
    for (const value of ['', 'a b', 'a\tb', 'é', '\xa0']) isFine([...BASE, ['x', value]])
  })

  it('no fields of an HTTP/1 connection', () => {
    for (const name of ['connection', 'proxy-connection', 'keep-alive', 'transfer-encoding', 'upgrade']) isMalformed([...BASE, [name, 'x']])
    for (const value of ['gzip', 'trailers, gzip', '', 'trailers;q=1']) isMalformed([...BASE, ['te', value]])
    isFine([...BASE, 'te: trailers'])
  })

  it(':path: what HTTP/1 allows as a target, in origin or asterisk form', () => {
    const withPath = (path: string, method = 'GET'): Line[] => [`:method: ${method}`, ...BASE.slice(1, 3), [':path', path]]
    for (const path of ['a', 'http://a/', '/a b', '/a\r\nx', '/#a', '/\x7f', '/é', '/\0', '/"', '*', '?', ' /']) isMalformed(withPath(path))
    for (const path of ['/', '/a?b#'.slice(0, 4), '//', '/%20', '/{}|^`']) assert.equal(isFine(withPath(path)).target, path)
    assert.equal(isFine(withPath('*', 'OPTIONS')).target, '*')
  })

  it(':authority: a host, and the same as Host', () => {
    const withHost = (authority: string, ...more: Line[]): Line[] => [...BASE.slice(0, 2), [':authority', authority], ':path: /', ...more]
    for (const authority of ['a@b', 'a/b', 'a b', ':80', 'a:99999', 'a:b', '[::1', 'a,b\r', 'a#']) isMalformed(withHost(authority))
    for (const authority of ['a', 'a:80', '[::1]:8080', 'A.b-c']) isFine(withHost(authority))
    isMalformed(withHost('a', 'host: b'))
    isMalformed(withHost('a', 'host: a:80'))
    isMalformed(withHost('a', 'host: a', 'host: a'))
    isMalformed(withHost('a', 'host: '))
    const both = isFine(withHost('Example.com', 'host: example.COM'))
    assert.equal(both.hosts, 1)
    const without = BASE.filter((line) => !line.startsWith(':authority'))
    const only = isFine([...without, 'accept: a', 'host: b:1'])
    assert.equal(only.headers.getById(1), 'b:1')
    isMalformed([...without, 'host: '])
    isMalformed([...without, 'host: b', 'host: b'])
    isMalformed(without)
  })

  it('Host beside an equal :authority makes no second line', () => {
    const head = isFine([...BASE, 'host: example.com', 'a: b'])
    assert.deepEqual(head.headers.getAll('host'), ['example.com'])
    assert.equal(head.headers.text, 'host: example.com\r\na: b\r\n')
  })

  it('Content-Length: one, of digits', () => {
    for (const value of ['', 'a', '-1', '+1', '1,1', '1 ', '0x1', '1234567890123456']) isMalformed([...BASE, ['content-length', value]])
    isMalformed([...BASE, 'content-length: 1', 'content-length: 1'])
    assert.equal(isFine([...BASE, 'content-length: 0']).contentLength, 0)
    assert.equal(isFine([...BASE, 'content-length: 123456789012345']).contentLength, 123456789012345)
  })

  it('joins the pieces of Cookie behind the other fields', () => {
    const head = isFine([...BASE, 'cookie: a=b', 'x: y', 'cookie: c=d', 'cookie: e=f'])
    assert.equal(head.headers.text, 'host: example.com\r\nx: y\r\ncookie: a=b; c=d; e=f\r\n')
    assert.equal(head.headers.getById(22), 'a=b; c=d; e=f')
    assert.equal(isFine([...BASE, 'cookie: a=b', 'x: y']).headers.getById(22), 'a=b')
    assert.equal(isFine([...BASE, ['cookie', '']]).headers.getById(22), '')
  })

  it('CONNECT carries the authority alone', () => {
    const head = isFine([':method: CONNECT', ':authority: a:443'])
    assert.deepEqual([head.method, head.target, head.headers.get('host')], ['CONNECT', 'a:443', 'a:443'])
    isMalformed([':method: CONNECT', ':authority: a'])
    isMalformed([':method: CONNECT'])
    isMalformed([':method: CONNECT', ':authority: a:443', ':path: /'])
    isMalformed([':method: CONNECT', ':authority: a:443', ':scheme: https'])
    isMalformed([':method: CONNECT', 'host: a:443'])
  })

  it('an extended CONNECT has everything and a protocol', () => {
    const lines = [':method: CONNECT', ':protocol: websocket', ':scheme: https', ':path: /chat', ':authority: a']
    const head = isFine(lines)
    assert.deepEqual([head.method, head.target, head.protocol, head.scheme], ['CONNECT', '/chat', 'websocket', 'https'])
    for (const without of [':scheme', ':path', ':authority']) isMalformed(lines.filter((line) => !line.startsWith(without)))
    isMalformed([':method: GET', ...lines.slice(1)])
  })

  it('limits the target, the fields and the bytes', () => {
    const path = `/${'a'.repeat(LIMITS.uriBytes)}`
    assert.equal(request([...BASE.slice(0, 3), [':path', path]]).result, BLOCK_URI_TOO_LONG)
    isFine([...BASE.slice(0, 3), [':path', path.slice(1).replace('a', '/')]])
    const fields = Array.from({ length: LIMITS.headers }, (_, i) => `x-${i}: 1`)
    isFine([...BASE, ...fields])
    assert.equal(request([...BASE, ...fields, 'y: 1']).result, BLOCK_TOO_LARGE)
    isFine([...BASE, ...fields.slice(1), ...Array.from({ length: 50 }, (_, i) => `cookie: c${i}=1`)])
    assert.equal(request([...BASE, ['x', 'v'.repeat(LIMITS.headBytes)]]).result, BLOCK_TOO_LARGE)
    assert.equal(request([...BASE, ...Array.from({ length: 400 }, () => 'cookie: ')]).result, BLOCK_TOO_LARGE)
  })

  it('the table stays in step behind a refused block', () => {
    const decoder = new HpackDecoder()
    const head = new RequestHead()
    const refused: [Line[], number][] = [
      [[':method: get me'], BLOCK_MALFORMED],
      [[...BASE, ['x', 'v'.repeat(LIMITS.headBytes)]], BLOCK_TOO_LARGE],
    ]
    for (const [lines, expected] of refused) {
      const bytes = Buffer.concat([literals(lines), literals(['x-kept: 1'], 0x40)]) as WireBuffer
      assert.equal(readRequestBlock(decoder, bytes, 0, bytes.length, head, LIMITS), expected)
      const again = Buffer.concat([literals(BASE), Buffer.from([0xbe])]) as WireBuffer
      assert.equal(readRequestBlock(decoder, again, 0, again.length, head, LIMITS), BLOCK_OK)
      assert.equal(head.headers.get('x-kept'), '1')
    }
    const ignored = literals(['x-kept: 2'], 0x40)
    assert.equal(readIgnoredBlock(decoder, ignored, 0, ignored.length), BLOCK_OK)
    const again = Buffer.concat([literals(BASE), Buffer.from([0xbe])]) as WireBuffer
    assert.equal(readRequestBlock(decoder, again, 0, again.length, head, LIMITS), BLOCK_OK)
    assert.equal(head.headers.get('x-kept'), '2')
    const bad = Buffer.from([0x80]) as WireBuffer
    assert.equal(readIgnoredBlock(decoder, bad, 0, 1), BLOCK_COMPRESSION)
  })

  it('reads an entry of the table that was inserted while the rest was refused', () => {
    const decoder = new HpackDecoder()
    const head = new RequestHead()
    const bytes = Buffer.concat([literals(['bad name: 1']), literals(['x-kept: abc', ':authority: q', 'cookie: a=b'], 0x40)]) as WireBuffer
    assert.equal(readRequestBlock(decoder, bytes, 0, bytes.length, head, LIMITS), BLOCK_MALFORMED)
    const good = Buffer.concat([literals(BASE.filter((line) => !line.startsWith(':a'))), Buffer.from([0xbf, 0xc0, 0xbe])]) as WireBuffer
    assert.equal(readRequestBlock(decoder, good, 0, good.length, head, LIMITS), BLOCK_OK)
    assert.equal(head.headers.text, 'host: q\r\nx-kept: abc\r\ncookie: a=b\r\n')
  })

  it('a block that cannot be decoded ends the connection', () => {
    const head = new RequestHead()
    const bytes = Buffer.concat([literals(BASE), Buffer.from([0xff])]) as WireBuffer
    assert.equal(readRequestBlock(new HpackDecoder(), bytes, 0, bytes.length, head, LIMITS), BLOCK_COMPRESSION)
    const malformedToo = Buffer.concat([literals(['A: b']), Buffer.from([0xff])]) as WireBuffer
    assert.equal(readRequestBlock(new HpackDecoder(), malformedToo, 0, malformedToo.length, head, LIMITS), BLOCK_COMPRESSION)
  })
})

describe('a block made to be large', () => {
  const large = literals([...BASE, ['x-bomb', 'v'.repeat(4000)]], 0x40)
  const limits = { headBytes: 61_440, headers: 100_000, uriBytes: 8192 }

  function read(block: Buffer): { result: number; head: RequestHead; decoder: HpackDecoder } {
    const decoder = new HpackDecoder()
    const head = new RequestHead()
    assert.equal(readRequestBlock(decoder, large, 0, large.length, head, limits), BLOCK_OK)
    return { result: readRequestBlock(decoder, block as WireBuffer, 0, block.length, head, limits), head, decoder }
  }

  it('of indices to one long entry ends with the limit, not with its sum', () => {
    const { result, head } = read(Buffer.concat([literals(BASE), Buffer.alloc(1_000_000, 0xbe)]))
    assert.equal(result, BLOCK_TOO_LARGE)
    assert.ok(head.headers.text.length < limits.headBytes)
    assert.ok(head.headers.used < 6 * 20)
  })

  it('of new entries under one long name copies that name no more than the limit allows', () => {
    const decoder = new HpackDecoder()
    const head = new RequestHead()
    const name = literals([...BASE, [`x${'n'.repeat(2000)}`, '']], 0x40)
    assert.equal(readRequestBlock(decoder, name, 0, name.length, head, limits), BLOCK_OK)
    const block = Buffer.concat([literals(BASE), Buffer.from('7e00'.repeat(500_000), 'hex')]) as WireBuffer
    const from = process.cpuUsage()
    assert.equal(readRequestBlock(decoder, block, 0, block.length, head, limits), BLOCK_TOO_LARGE)
    const { user } = process.cpuUsage(from)
    // Copied for each field, two gigabytes of names take seconds.
    assert.ok(user < 1_000_000, `${user} microseconds of CPU time`)
    assert.ok(head.headers.text.length < limits.headBytes)
    assert.ok(decoder.tableBytes <= 4096)
  })

  it('of coded literals that nobody wants any more is passed over', () => {
    const coded = Buffer.concat([Buffer.from([0x00, 0x81, 0x1f, 0xff, 0x80, 0x01]), Buffer.alloc(255)])
    const { result, decoder } = read(Buffer.concat([literals(BASE), ...Array.from({ length: 4000 }, () => coded)]))
    assert.equal(result, BLOCK_TOO_LARGE)
    assert.ok(decoder.tableBytes <= 4096)
  })
})

describe('readResponseBlock', () => {
  it('fills the head', () => {
    const { result, head } = response([':status: 404', 'server: a', 'content-length: 5', 'set-cookie: a', 'set-cookie: b'])
    assert.equal(result, BLOCK_OK)
    assert.deepEqual([head.status, head.reason, head.contentLength, head.major], [404, '', 5, 2])
    assert.equal(head.headers.text, 'server: a\r\ncontent-length: 5\r\nset-cookie: a\r\nset-cookie: b\r\n')
  })

  it('wants one valid status before the fields, and nothing that is for requests', () => {
    const cases: Line[][] = [
      [],
      ['server: a'],
      ['server: a', ':status: 200'],
      [':status: 200', ':status: 200'],
      [':status: 200', ':path: /'],
      [':method: GET'],
      [':status: 200', 'te: trailers'],
      [':status: 200', 'connection: close'],
      ...['99', '099', '1000', '2x0', '101', '', '20'].map((status): Line[] => [[':status', status]]),
    ]
    for (const lines of cases) assert.equal(response(lines).result, BLOCK_MALFORMED, JSON.stringify(lines))
    for (const status of ['100', '103', '204', '599', '999']) assert.equal(response([[':status', status]]).head.status, Number(status))
  })
})

describe('readTrailerBlock', () => {
  it('gives the lines that may go on', () => {
    assert.deepEqual(trailers(['grpc-status: 0', 'content-length: 3', 'set-cookie: a', 'x-sum: 1']), {
      result: BLOCK_OK,
      lines: 'grpc-status: 0\r\nx-sum: 1\r\n',
    })
    assert.deepEqual(trailers([]), { result: BLOCK_OK, lines: '' })
  })

  it('refuses pseudo fields and what is malformed anywhere', () => {
    for (const line of [':status: 200', ':path: /', 'A: b', 'connection: close', 'te: trailers', 'transfer-encoding: chunked']) {
      assert.deepEqual(trailers(['a: b', line]), { result: BLOCK_MALFORMED, lines: '' })
    }
    assert.equal(trailers(Array.from({ length: 21 }, (_, i) => `x${i}: 1`)).result, BLOCK_TOO_LARGE)
  })
})

describe('encoding', () => {
  const LIMIT = { headBytes: 20_000, headers: 100, uriBytes: 8192 }

  it('a response from HTTP/1 arrives as it was, lower case, without what is for the connection', () => {
    const head = new ResponseHead()
    const text =
      'HTTP/1.1 302 Found\r\nServer: a\r\nConnection: keep-alive\r\nLocation:/b\r\nX-Gone: 1\r\nContent-Length: 7\r\nSet-Cookie: c\r\n\r\n'
    assert.ok(parseResponseHead(text, head, LIMIT) > 0)
    head.headers.remove('x-gone')
    head.headers.add('X-Added', 'yes')
    head.headers.addFixedLines('Date: today\r\n', 1 << HEADER_DATE)
    head.headers.addLines('X-Request-Id: 5\r\n', 1 << HEADER_X_REQUEST_ID)
    const encoder = new HpackEncoder()
    const decoder = new HpackDecoder()
    const writer = new ByteWriter()
    const sizes: number[] = []
    for (let i = 0; i < 4; i++) {
      writer.reset()
      encodeResponseBlock(encoder, head, writer)
      sizes.push(writer.at)
      const read = new ResponseHead()
      assert.equal(readResponseBlock(decoder, writer.bytes, 0, writer.at, read, LIMIT), BLOCK_OK)
      assert.equal(read.status, 302)
      assert.equal(
        read.headers.text,
        'content-length: 7\r\nserver: a\r\nlocation: /b\r\nset-cookie: c\r\nx-added: yes\r\ndate: today\r\nx-request-id: 5\r\n',
      )
    }
    assert.ok((sizes[2] as number) < (sizes[0] as number) / 2)
    assert.equal(sizes[3], sizes[2])
  })

  it('lines that come again and again as a whole arrive as they were, whatever happens to the table in between', () => {
    const encoder = new HpackEncoder()
    const decoder = new HpackDecoder()
    const writer = new ByteWriter()
    const random = createSeededRandom(3)
    const groups = Array.from({ length: 100 }, (_, i) => `X-Client: 10.0.0.${i}\r\nX-Proto: http\r\nX-Port: ${8000 + (i % 3)}\r\n`)
    let shortest = Infinity
    for (let i = 0; i < 20_000; i++) {
      // Mostly the same few, so that there is something to remember; at times all of them, so that the table overflows.
      const group = groups[Math.floor(random() * (i % 1000 < 800 ? 3 : 100))] as string
      if (i % 700 === 0) encoder.setPeerTableBytes(Math.floor(random() * 4096))
      const head = new ResponseHead()
      head.status = 200
      if (random() < 0.5) head.headers.add('X-Other', String(Math.floor(random() * 20)))
      const other = encodeFields(head.headers).toLowerCase()
      head.headers.addFixedLines(group, 1 << HEADER_NONE)
      head.headers.addLines(`X-Request-Id: ${i}\r\n`, 1 << HEADER_X_REQUEST_ID)
      writer.reset()
      encodeResponseBlock(encoder, head, writer)
      const read = new ResponseHead()
      assert.equal(readResponseBlock(decoder, writer.bytes, 0, writer.at, read, LIMIT), BLOCK_OK)
      assert.equal(read.headers.text, `${other}${group.toLowerCase()}x-request-id: ${i}\r\n`)
      shortest = Math.min(shortest, writer.at - String(i).length)
    }
    // :status, three lines of the table, and the id: name and value.
    const idBytes = 1 + 1 + 9 + 1
    assert.equal(shortest, 1 + 3 + idBytes)
  })

  it('Content-Length never comes with 1xx or 204', () => {
    for (const [status, expected] of [
      [103, ''],
      [204, ''],
      [200, 'content-length: 0\r\n'],
      [304, 'content-length: 0\r\n'],
    ] as const) {
      const head = new ResponseHead()
      head.status = status
      head.contentLength = 0
      const writer = new ByteWriter()
      encodeResponseBlock(new HpackEncoder(), head, writer)
      const read = new ResponseHead()
      assert.equal(readResponseBlock(new HpackDecoder(), writer.bytes, 0, writer.at, read, LIMIT), BLOCK_OK)
      assert.equal(read.headers.text, expected)
    }
  })

  it('requests of every kind are read back', () => {
    const encoder = new HpackEncoder()
    const decoder = new HpackDecoder()
    const headers = new HeaderBlock()
    headers.add('Host', 'dropped')
    headers.add('User-Agent', 'x')
    headers.add('Authorization', 'secret')
    const cases = [
      ['GET', 'https', 'a', '/', '', -1],
      ['POST', 'http', 'a:80', '/x?y', '', 12],
      ['PURGE', 'ftp', 'a', '/x', '', 0],
      ['CONNECT', '', 'a:443', '', '', -1],
      ['CONNECT', 'https', 'a', '/chat', 'websocket', -1],
    ] as const
    for (let round = 0; round < 4; round++) {
      for (const [method, scheme, authority, path, protocol, contentLength] of cases) {
        const writer = new ByteWriter()
        encodeRequestBlock(encoder, method, scheme, authority, path, protocol, headers, contentLength, writer)
        const head = new RequestHead()
        assert.equal(readRequestBlock(decoder, writer.bytes, 0, writer.at, head, LIMIT), BLOCK_OK)
        const length = contentLength < 0 ? '' : `content-length: ${contentLength}\r\n`
        assert.equal(head.headers.text, `host: ${authority}\r\n${length}user-agent: x\r\nauthorization: secret\r\n`)
        assert.deepEqual(
          [head.method, head.scheme, head.target, head.protocol, head.contentLength],
          [method, scheme, path === '' ? authority : path, protocol, contentLength],
        )
      }
    }
  })

  it('trailers are read back', () => {
    const writer = new ByteWriter()
    encodeTrailerBlock(new HpackEncoder(), 'Grpc-Status: 0\r\ngrpc-message:  hi: you\r\nX:\r\n', writer)
    const found = new Trailers()
    assert.equal(readTrailerBlock(new HpackDecoder(), writer.bytes, 0, writer.at, LIMIT, found), BLOCK_OK)
    assert.equal(found.lines, 'grpc-status: 0\r\ngrpc-message: hi: you\r\nx: \r\n')
  })
})
