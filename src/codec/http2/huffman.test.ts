import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ByteWriter } from '../byte-writer.ts'
import { huffmanDecode, huffmanEncode, huffmanLength, huffmanRoom } from './huffman.ts'

function encode(text: string): Buffer {
  const writer = new ByteWriter(1)
  huffmanEncode(text, 0, text.length, huffmanLength(text, 0, text.length), writer)
  return Buffer.from(writer.bytes.subarray(0, writer.at))
}

/** null: refused. */
function decode(coded: Buffer | string): string | null {
  const bytes = typeof coded === 'string' ? Buffer.from(coded, 'hex') : coded
  const out = Buffer.alloc(huffmanRoom(bytes.length) + 3)
  const end = huffmanDecode(bytes, 0, bytes.length, out, 3)
  return end < 0 ? null : out.toString('latin1', 3, end)
}

/** A stated sequence of numbers in [0, below). */
function sequence(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

describe('the Huffman code', () => {
  it('codes the strings of RFC 7541 appendix C as it says, and reads them back', () => {
    const examples: [string, string][] = [
      ['www.example.com', 'f1e3c2e5f23a6ba0ab90f4ff'],
      ['no-cache', 'a8eb10649cbf'],
      ['custom-key', '25a849e95ba97d7f'],
      ['custom-value', '25a849e95bb8e8b4bf'],
      ['302', '6402'],
      ['private', 'aec3771a4b'],
      ['Mon, 21 Oct 2013 20:13:21 GMT', 'd07abe941054d444a8200595040b8166e082a62d1bff'],
      ['https://www.example.com', '9d29ad171863c78f0b97c8e9ae82ae43d3'],
      ['307', '640eff'],
      ['gzip', '9bd9ab'],
    ]
    for (const [text, hex] of examples) {
      assert.equal(encode(text).toString('hex'), hex, text)
      assert.equal(decode(hex), text)
    }
  })

  it('is a complete code: every byte alone and after every other is read back', () => {
    for (let a = 0; a < 256; a++) {
      const one = String.fromCharCode(a)
      assert.equal(decode(encode(one)), one)
      for (let b = 0; b < 256; b++) {
        const two = one + String.fromCharCode(b)
        assert.equal(decode(encode(two)), two)
      }
    }
    assert.equal(decode(''), '')
  })

  it('reads back random strings, common characters and any bytes', () => {
    const next = sequence(7)
    for (let round = 0; round < 2000; round++) {
      const any = next(2) === 0
      const text = Array.from({ length: next(80) }, () => String.fromCharCode(any ? next(256) : 32 + next(95))).join('')
      const coded = encode(text)
      assert.equal(coded.length, huffmanLength(text, 0, text.length))
      assert.equal(decode(coded), text)
    }
  })

  it('codes a part of a text', () => {
    const writer = new ByteWriter()
    huffmanEncode('xxno-cachexx', 2, 10, huffmanLength('xxno-cachexx', 2, 10), writer)
    assert.equal(Buffer.from(writer.bytes.subarray(0, writer.at)).toString('hex'), 'a8eb10649cbf')
  })

  it('refuses a padding of eight bits or more', () => {
    assert.equal(decode('1c64ff'), null, 'o, 0, and eleven ones')
    assert.equal(decode('ff'), null)
    assert.equal(decode('a8eb10649cbfff'), null)
  })

  it('refuses a padding that is not all ones', () => {
    assert.equal(decode('1f'), 'a')
    assert.equal(decode('1e'), null)
    assert.equal(decode('18'), null)
    assert.equal(decode('640efe'), null)
  })

  it('refuses an end-of-string symbol', () => {
    assert.equal(decode('ffffffff'), null)
    assert.equal(decode('1fffffffff'), null)
    assert.equal(decode('fffffffc'), null)
    assert.equal(decode('fffffffcff'), null)
  })
})
