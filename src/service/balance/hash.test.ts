import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { crc32 as zlibCrc32 } from 'node:zlib'
import fc from 'fast-check'
import { crc32, hashAt, hashText, mix32 } from './hash.ts'

describe('hashText', () => {
  it('never changes: gateways of all versions must agree', () => {
    const known: [string, number][] = [
      ['', 0x811c9dc5],
      ['a', 0xe40c292c],
      ['foobar', 0xbf9cf968],
    ]
    // The FNV-1a values are those of the reference test vectors; the finaliser stands on its own below.
    for (const [text, fnv] of known) assert.equal(hashText(text), mix32(fnv | 0), text)
    assert.equal(mix32(1) >>> 0, 0x514e28b7)
    assert.equal(mix32(0xffffffff | 0) >>> 0, 0x81f16f39)
    assert.equal(hashText('user-1'), 2005895916)
  })

  it('tells texts apart by what is above Latin-1, too', () => {
    assert.notEqual(hashText('\u0141'), hashText('A'))
    assert.notEqual(hashText('\u{1f600}'), hashText('\u{1f601}'))
  })

  it('gives as many hashes of a key as are asked for, the first of them the hash itself', () => {
    const hash = hashText('user-1')
    assert.equal(hashAt(hash, 0), hash)
    assert.equal(new Set(Array.from({ length: 1000 }, (_, n) => hashAt(hash, n))).size, 1000)
  })
})

describe('crc32', () => {
  it('is what zlib computes of the text in UTF-8', () => {
    assert.equal(crc32('123456789') >>> 0, 0xcbf43926)
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => crc32(text) >>> 0 === zlibCrc32(text)),
      { seed: 7, numRuns: 1000 },
    )
    for (const broken of ['\ud800', 'a\udc00b', '\ud800\ud800\udc00']) assert.equal(crc32(broken) >>> 0, zlibCrc32(broken))
  })
})
