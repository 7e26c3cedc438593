import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import fc from 'fast-check'
import { FrameError, type FrameErrorCode } from './errors.ts'
import { decodeFrames, delimited, type Framing, fixedLength, lengthPrefixed } from './framing.ts'

const unpack = lengthPrefixed({ magic: '12345678' })

/** What a decoder makes of these pieces, and how the stream ended. */
function decode(framing: Framing, pieces: readonly Uint8Array[]): { bodies: string[]; error: FrameErrorCode | null } {
  const decoder = framing.createDecoder()
  const bodies: string[] = []
  try {
    for (const piece of pieces) {
      decoder.push(piece)
      for (let body = decoder.next(); body !== null; body = decoder.next()) bodies.push(body.toString('latin1'))
    }
    decoder.end()
    return { bodies, error: null }
  } catch (error) {
    assert.ok(error instanceof FrameError, String(error))
    return { bodies, error: error.code }
  }
}

/** The same bytes in every way to cut them in two, byte by byte, and in one piece. */
function everyWay(bytes: Buffer): Buffer[][] {
  const ways = [[bytes], Array.from(bytes, (byte) => Buffer.from([byte]))]
  for (let at = 1; at < bytes.length; at++) ways.push([bytes.subarray(0, at), bytes.subarray(at)])
  return ways
}

const VECTORS: { name: string; framing: Framing; hex: string; bodies: string[]; error: FrameErrorCode | null }[] = [
  {
    name: 'a frame with magic and length',
    framing: unpack,
    hex: '31323334353637380000001068656c6c6f20776f726c642030212121',
    bodies: ['hello world 0!!!'],
    error: null,
  },
  { name: 'an empty body', framing: unpack, hex: '313233343536373800000000', bodies: [''], error: null },
  {
    name: 'two frames in one buffer',
    framing: unpack,
    hex: '313233343536373800000001613132333435363738000000026263',
    bodies: ['a', 'bc'],
    error: null,
  },
  { name: 'another magic', framing: unpack, hex: '313233343536373900000000', bodies: [], error: 'bad-magic' },
  { name: 'another magic behind a frame', framing: unpack, hex: '3132333435363738000000016139', bodies: ['a'], error: 'bad-magic' },
  { name: 'an end inside the magic', framing: unpack, hex: '313233', bodies: [], error: 'truncated' },
  { name: 'an end inside the length', framing: unpack, hex: '31323334353637380000', bodies: [], error: 'truncated' },
  { name: 'an end inside the body', framing: unpack, hex: '3132333435363738000000026a', bodies: [], error: 'truncated' },
  { name: 'a length of 4 GiB', framing: unpack, hex: '3132333435363738ffffffff', bodies: [], error: 'too-large' },
  { name: 'a length of 2 GiB', framing: unpack, hex: '313233343536373880000000', bodies: [], error: 'too-large' },
  {
    name: 'a body as long as allowed, and one longer',
    framing: lengthPrefixed({ lengthBytes: 1, maxFrameBytes: 2 }),
    hex: '0261620361',
    bodies: ['ab'],
    error: 'too-large',
  },
  {
    name: 'a little-endian length',
    framing: lengthPrefixed({ lengthBytes: 2, byteOrder: 'little' }),
    hex: '010061',
    bodies: ['a'],
    error: null,
  },
  { name: 'fixed lengths', framing: fixedLength({ frameBytes: 3 }), hex: '616263646566', bodies: ['abc', 'def'], error: null },
  { name: 'an end inside a fixed length', framing: fixedLength({ frameBytes: 3 }), hex: '61626364', bodies: ['abc'], error: 'truncated' },
  { name: 'lines', framing: delimited(), hex: '610a0a62630a', bodies: ['a', '', 'bc'], error: null },
  { name: 'an end inside a line', framing: delimited(), hex: '610a62', bodies: ['a'], error: 'truncated' },
  { name: 'a delimiter of two bytes', framing: delimited({ delimiter: '\r\n' }), hex: '610d620d0a0d0a', bodies: ['a\rb', ''], error: null },
  {
    name: 'a line as long as allowed, and one longer',
    framing: delimited({ delimiter: '\r\n', maxFrameBytes: 2 }),
    hex: '61620d0a6162630d0a',
    bodies: ['ab'],
    error: 'too-large',
  },
]

for (const { name, framing, hex, bodies, error } of VECTORS) {
  test(`${name}: the same however the network has cut it`, () => {
    for (const pieces of everyWay(Buffer.from(hex, 'hex'))) assert.deepEqual(decode(framing, pieces), { bodies, error })
  })
}

test('encoding gives the bytes that the other programs of this framing give', () => {
  assert.equal(unpack.encode('hello world 0!!!').toString('hex'), '31323334353637380000001068656c6c6f20776f726c642030212121')
  assert.equal(unpack.encode('').toString('hex'), '313233343536373800000000')
  assert.equal(unpack.encode('中').toString('hex'), '313233343536373800000003e4b8ad')
  assert.equal(fixedLength({ frameBytes: 4, padding: 0x20 }).encode('ab').toString(), 'ab  ')
  assert.equal(delimited({ delimiter: '||' }).encode('a|b').toString(), 'a|b||')
})

test('a body that the framing cannot carry is refused when it is encoded', () => {
  const refuses = (framing: Framing, body: string, code: FrameErrorCode) =>
    assert.throws(() => framing.encode(body), { name: 'FrameError', code })
  refuses(lengthPrefixed({ maxFrameBytes: 3 }), 'abcd', 'too-large')
  refuses(lengthPrefixed({ lengthBytes: 1 }), 'a'.repeat(256), 'too-large')
  refuses(fixedLength({ frameBytes: 3 }), 'ab', 'bad-body')
  refuses(fixedLength({ frameBytes: 3, padding: 0 }), 'abcd', 'bad-body')
  refuses(delimited(), 'a\nb', 'bad-body')
  // With its delimiter behind it, this body would end one byte early.
  refuses(delimited({ delimiter: '||' }), 'a|', 'bad-body')
  refuses(delimited({ maxFrameBytes: 2 }), 'abc', 'too-large')
})

test('an announced length costs no memory before its bytes are there', () => {
  const before = process.memoryUsage().arrayBuffers
  const decoders = Array.from({ length: 100 }, () => lengthPrefixed({ maxFrameBytes: 2 ** 30 }).createDecoder())
  for (const decoder of decoders) {
    decoder.push(Buffer.from('3fffffff61', 'hex'))
    assert.equal(decoder.next(), null)
  }
  assert.ok(process.memoryUsage().arrayBuffers - before < 2 ** 20)
})

test('after an error there is no next frame', () => {
  const decoder = unpack.createDecoder()
  decoder.push(Buffer.from('x'))
  for (const again of [() => decoder.next(), () => decoder.push(unpack.encode('a')), () => decoder.end()])
    assert.throws(again, { code: 'bad-magic' })
})

test("a body is the receiver's own: what comes later does not change it", () => {
  const decoder = delimited().createDecoder()
  const chunk = Buffer.from('first\nsec')
  decoder.push(chunk)
  const first = decoder.next()
  chunk.fill(0)
  decoder.push(Buffer.from('ond\n'))
  assert.equal(decoder.next()?.toString(), 'second')
  assert.equal(first?.toString(), 'first')
})

test('bodies keep their bytes while the decoder reuses its memory', () => {
  const decoder = fixedLength({ frameBytes: 97 }).createDecoder()
  const bodies: Buffer[] = []
  for (let i = 0; i < 100; i++) {
    decoder.push(Buffer.alloc(100, i))
    for (let body = decoder.next(); body !== null; body = decoder.next()) bodies.push(body)
  }
  const bytes = Buffer.concat(bodies)
  for (let at = 0; at < bytes.length; at++) assert.equal(bytes[at], Math.floor(at / 100))
})

test('any bodies, cut anywhere, come out as they went in', () => {
  const framings = [
    lengthPrefixed({ magic: '12345678' }),
    lengthPrefixed({ lengthBytes: 3, byteOrder: 'little' }),
    delimited({ delimiter: Buffer.from([0xff, 0xfe, 0xff]) }),
    fixedLength({ frameBytes: 7 }),
  ]
  fc.assert(
    fc.property(
      fc.constantFrom(...framings),
      fc.array(fc.uint8Array({ maxLength: 5000 }), { maxLength: 12 }),
      fc.array(fc.nat(10_000), { maxLength: 20 }),
      (framing, candidates, cuts) => {
        const bodies = candidates.filter((body) => canEncode(framing, body))
        const bytes = Buffer.concat(bodies.map((body) => framing.encode(body)))
        const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
        const pieces = places.slice(1).map((end, i) => bytes.subarray(places[i], end))
        const expected = bodies.map((body) => Buffer.from(body).toString('latin1'))
        assert.deepEqual(decode(framing, pieces), { bodies: expected, error: null })
      },
    ),
    { numRuns: 300 },
  )
})

function canEncode(framing: Framing, body: Uint8Array): boolean {
  try {
    framing.encode(body)
    return true
  } catch {
    return false
  }
}

test('any bytes end in bodies, an error or a wait for more, and nothing else', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), (pieces) => {
      for (const framing of [unpack, delimited({ maxFrameBytes: 50 }), lengthPrefixed({ lengthBytes: 2, maxFrameBytes: 300 })])
        decode(framing, pieces)
    }),
    { numRuns: 300 },
  )
})

test('a million bytes one at a time take no quadratic time', { timeout: 120_000 }, () => {
  for (const framing of [unpack, delimited()]) {
    const frame = framing.encode('x'.repeat(1_000_000))
    const decoder = framing.createDecoder()
    let body: Buffer | null = null
    for (const byte of frame) {
      decoder.push(Uint8Array.of(byte))
      body = decoder.next()
    }
    assert.equal(body?.length, 1_000_000)
  }
})

test('frames are read from any stream', async () => {
  const bodies: string[] = []
  for await (const body of decodeFrames(delimited(), Readable.from([Buffer.from('a\nb'), Buffer.from('c\n')]))) bodies.push(body.toString())
  assert.deepEqual(bodies, ['a', 'bc'])
  await assert.rejects(
    async () => {
      for await (const _ of decodeFrames(delimited(), Readable.from([Buffer.from('a')]))) assert.fail('there is no whole line')
    },
    { code: 'truncated' },
  )
})
