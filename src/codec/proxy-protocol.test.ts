import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { crc32c } from './crc32c.ts'
import {
  buildLocalProxyHeader,
  buildProxyHeader,
  MAX_PROXY_HEADER_BYTES,
  type ProxyHeader,
  type ProxyHeaderResult,
  parseProxyHeader,
} from './proxy-protocol.ts'

const SIGNATURE = '0d0a0d0a000d0a515549540a'

/** Every start of the header is incomplete, and the whole of it says the same with and without bytes behind it. */
function parse(header: Buffer): ProxyHeaderResult {
  const result = parseProxyHeader(header, header.length)
  if (typeof result === 'string') return result
  for (let length = 0; length < result.length; length++) {
    assert.equal(parseProxyHeader(header.subarray(0, length), length), 'incomplete', `after ${length} bytes`)
    // What lies behind `length` in a larger buffer has not come yet.
    assert.equal(parseProxyHeader(header, length), 'incomplete', `after ${length} bytes of a larger buffer`)
  }
  const longer = Buffer.concat([header, Buffer.from('PROXY GET / HTTP/1.1\r\n\r\n')])
  assert.deepEqual(parseProxyHeader(longer, longer.length), result)
  return result
}

function v1(line: string): ProxyHeaderResult {
  return parse(Buffer.from(line, 'latin1'))
}

function v2(hex: string): ProxyHeaderResult {
  return parse(Buffer.from(SIGNATURE + hex.replaceAll(' ', ''), 'hex'))
}

function assertHeader(result: ProxyHeaderResult): asserts result is ProxyHeader {
  assert.equal(typeof result, 'object', `found ${JSON.stringify(result)}`)
}

describe('PROXY protocol version 1', () => {
  it('reads TCP4, TCP6 and UNKNOWN', () => {
    assert.deepEqual(v1('PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n'), {
      length: 45,
      source: { address: '192.0.2.7', port: 56324 },
      destination: { address: '198.51.100.1', port: 443 },
    })
    const six = v1('PROXY TCP6 2001:DB8:0:0::7 ::1 1 65535\r\n')
    assertHeader(six)
    assert.deepEqual(six.source, { address: '2001:db8::7', port: 1 })
    assert.deepEqual(six.destination, { address: '::1', port: 65535 })
    for (const line of ['PROXY UNKNOWN\r\n', 'PROXY UNKNOWN ff:: ff:: 1 2\r\n', `PROXY UNKNOWN ${'x'.repeat(90)}\r\n`]) {
      const result = v1(line)
      assertHeader(result)
      assert.deepEqual(result, { length: line.length, source: null, destination: null })
    }
  })

  it('refuses everything else', () => {
    const wrong = [
      'GET / HTTP/1.1\r\n\r\n',
      'PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n',
      'PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 1\r\n',
      'PROXY TCP4 192.0.2.7 198.51.100.1  443\r\n',
      'PROXY  TCP4 192.0.2.7 198.51.100.1 1 443\r\n',
      'PROXY TCP4 192.0.2.256 198.51.100.1 1 443\r\n',
      'PROXY TCP4 ::1 ::1 1 443\r\n',
      'PROXY TCP6 192.0.2.7 192.0.2.8 1 443\r\n',
      'PROXY TCP6 fe80::1%eth0 ::1 1 443\r\n',
      'PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n',
      'PROXY TCP4 192.0.2.7 198.51.100.1 01 443\r\n',
      'PROXY TCP4 192.0.2.7 198.51.100.1 -1 443\r\n',
      'PROXY TCP4 192.0.2.7 198.51.100.1 1 443\n',
      'PROXY TCP4 192.0.2.7 198.51.100.1 1 443\rX',
      'PROXY TCP4 192.0.2.7\0 198.51.100.1 1 443\r\n',
      'PROXY UDP4 192.0.2.7 198.51.100.1 1 443\r\n',
      'PROXY\r\n',
      'proxy TCP4 192.0.2.7 198.51.100.1 1 443\r\n',
      'PROXY \r\n',
    ]
    for (const line of wrong) assert.equal(v1(line), 'invalid', JSON.stringify(line))
  })

  it('is at most 107 bytes', () => {
    assert.equal(v1(`PROXY UNKNOWN ${'x'.repeat(91)}\r\n`).valueOf() === 'invalid', false)
    assert.equal(v1(`PROXY UNKNOWN ${'x'.repeat(92)}\r\n`), 'invalid')
    const endless = Buffer.from(`PROXY ${'x'.repeat(200)}`)
    assert.equal(parseProxyHeader(endless, 106), 'incomplete')
    assert.equal(parseProxyHeader(endless, 107), 'invalid')
  })
})

describe('PROXY protocol version 2', () => {
  it('reads addresses of both families', () => {
    assert.deepEqual(v2('21 11 000c c0000207 c6336401 dc04 01bb'), {
      length: 28,
      source: { address: '192.0.2.7', port: 56324 },
      destination: { address: '198.51.100.1', port: 443 },
    })
    const six = v2('21 21 0024 20010db8000000000000000000000007 00000000000000000000000000000001 0001 ffff')
    assertHeader(six)
    assert.deepEqual(six.source, { address: '2001:db8::7', port: 1 })
    assert.deepEqual(six.destination, { address: '::1', port: 65535 })
    const mapped = v2('21 21 0024 00000000000000000000ffffc0000207 00000000000000000000000000000001 0001 ffff')
    assertHeader(mapped)
    assert.equal(mapped.source?.address, '192.0.2.7')
  })

  it('says nothing of the client for LOCAL, UNSPEC and UNIX', () => {
    for (const [hex, length] of [
      ['20 00 0000', 16],
      ['20 11 000c c0000207 c6336401 dc04 01bb', 28],
      ['20 ff 0003 010203', 19],
      ['21 00 0000', 16],
      ['21 00 0005 0102030405', 21],
      [`21 31 00d8 ${'2f'.repeat(216)}`, 232],
    ] as const) {
      assert.deepEqual(v2(hex), { length, source: null, destination: null }, hex)
    }
  })

  it('steps over extensions', () => {
    const result = v2('21 11 0018 c0000207 c6336401 dc04 01bb 04 0003 000000 01 0003 683278')
    assertHeader(result)
    assert.equal(result.length, 40)
    assert.equal(result.source?.address, '192.0.2.7')
    for (const hex of ['21 11 000d c0000207 c6336401 dc04 01bb 04', '21 11 0010 c0000207 c6336401 dc04 01bb 04 0002 00']) {
      assert.equal(v2(hex), 'invalid', hex)
    }
  })

  it('checks a checksum that is there', () => {
    const header = Buffer.from(`${SIGNATURE}21110013c0000207c6336401dc0401bb03000400000000`, 'hex')
    header.writeUInt32BE(crc32c(header), header.length - 4)
    assertHeader(parse(header))
    for (let i = 16; i < header.length; i++) {
      const broken = Buffer.from(header)
      broken[i]! ^= 1
      // The type of the extension itself may become another one, which is not looked at.
      if (i === 28) continue
      assert.equal(parseProxyHeader(broken, broken.length), 'invalid', `byte ${i}`)
    }
    assert.equal(v2('21 11 0012 c0000207 c6336401 dc04 01bb 03 0003 000000'), 'invalid')
  })

  it('refuses other versions, commands, families, and addresses that are cut off', () => {
    for (const hex of [
      '11 11 000c c0000207 c6336401 dc04 01bb',
      '22 11 000c c0000207 c6336401 dc04 01bb',
      '21 41 000c c0000207 c6336401 dc04 01bb',
      '21 13 000c c0000207 c6336401 dc04 01bb',
      '21 11 000b c0000207 c6336401 dc04 01',
      '21 21 0023 00',
    ]) {
      const bytes = Buffer.concat([Buffer.from(SIGNATURE + hex.replaceAll(' ', ''), 'hex'), Buffer.alloc(64)])
      assert.equal(parseProxyHeader(bytes, bytes.length), 'invalid', hex)
    }
    const wrongSignature = Buffer.from(`${SIGNATURE.slice(0, -2)}0b2111000cc0000207c6336401dc0401bb`, 'hex')
    assert.equal(parseProxyHeader(wrongSignature, wrongSignature.length), 'invalid')
    assert.equal(parseProxyHeader(wrongSignature, 12), 'invalid', 'a wrong byte is noticed when it comes')
  })

  it('is bounded', () => {
    const bytes = Buffer.alloc(70_000)
    Buffer.from(`${SIGNATURE}2111`, 'hex').copy(bytes)
    bytes.writeUInt16BE(MAX_PROXY_HEADER_BYTES - 16 + 1, 14)
    assert.equal(parseProxyHeader(bytes, 16), 'invalid')
    bytes.writeUInt16BE(MAX_PROXY_HEADER_BYTES - 16, 14)
    assert.equal(parseProxyHeader(bytes, 16), 'incomplete')
  })

  it('never throws on bytes that were changed', () => {
    const header = buildProxyHeader('v2', { address: '2001:db8::1', port: 1 }, { address: '::1', port: 2 })
    for (let i = 0; i < header.length; i++) {
      for (const value of [0, 1, 0x20, 0x21, 0x7f, 0xff]) {
        const changed = Buffer.from(header)
        changed[i] = value
        for (let length = 0; length <= changed.length; length++) parseProxyHeader(changed.subarray(0, length), length)
      }
    }
  })
})

describe('building', () => {
  it('gives the bytes of the specification', () => {
    const from = { address: '192.0.2.7', port: 56324 }
    const to = { address: '198.51.100.1', port: 443 }
    assert.equal(buildProxyHeader('v1', from, to).toString(), 'PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n')
    assert.equal(buildProxyHeader('v2', from, to).toString('hex'), `${SIGNATURE}2111000cc0000207c6336401dc0401bb`)
    assert.equal(buildLocalProxyHeader('v2').toString('hex'), `${SIGNATURE}20000000`)
    assert.equal(buildLocalProxyHeader('v1').toString(), 'PROXY UNKNOWN\r\n')
  })

  it('is read back as it was, both versions and families, also mixed', () => {
    const addresses = ['192.0.2.7', '::1', '2001:db8::7', '::ffff:198.51.100.1', '255.255.255.255', 'fe80::1%eth0']
    for (const version of ['v1', 'v2'] as const) {
      for (const address of addresses) {
        for (const other of addresses) {
          const header = parse(buildProxyHeader(version, { address, port: 1234 }, { address: other, port: 65535 }))
          assertHeader(header)
          const plain = (text: string) => text.replace('::ffff:', '').replace(/%.*/, '')
          assert.deepEqual(header.source, { address: plain(address), port: 1234 })
          assert.deepEqual(header.destination, { address: plain(other), port: 65535 })
        }
      }
    }
  })

  it('says UNKNOWN where there is no address', () => {
    assert.equal(buildProxyHeader('v1', { address: '', port: 0 }, { address: '::1', port: 1 }).toString(), 'PROXY UNKNOWN\r\n')
    assert.equal(buildProxyHeader('v2', { address: 'x', port: 0 }, { address: '::1', port: 1 }).toString('hex'), `${SIGNATURE}21000000`)
  })
})
