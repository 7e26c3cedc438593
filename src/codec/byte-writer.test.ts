import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ByteWriter } from './byte-writer.ts'

function written(writer: ByteWriter): Buffer {
  return Buffer.from(writer.bytes.subarray(0, writer.at))
}

describe('ByteWriter', () => {
  it('writes numbers big-endian and cuts them to their width', () => {
    const writer = new ByteWriter(1)
    writer.u8(0x101)
    writer.u16(0x1_0203)
    writer.u24(0x1_04_05_06)
    writer.u32(0xfffe_fdfc)
    writer.u32(0)
    assert.deepEqual([...written(writer)], [1, 2, 3, 4, 5, 6, 255, 254, 253, 252, 0, 0, 0, 0])
  })

  it('writes short and long texts alike, every latin1 character as one byte', () => {
    for (const length of [0, 1, 23, 24, 25, 26, 255, 5000]) {
      const text = Array.from({ length }, (_, i) => String.fromCharCode(i & 255)).join('')
      const writer = new ByteWriter(8)
      writer.u8(9)
      writer.latin1(text)
      assert.equal(written(writer).toString('latin1'), `\t${text}`)
    }
  })

  it('copies the given range, short or long', () => {
    const source = Buffer.from(Array.from({ length: 300 }, (_, i) => i & 255))
    for (const [start, end] of [
      [0, 0],
      [5, 6],
      [1, 25],
      [1, 26],
      [0, 300],
    ] as const) {
      const writer = new ByteWriter(2)
      writer.u8(7)
      writer.copy(source, start, end)
      assert.deepEqual(written(writer), Buffer.concat([Buffer.from([7]), source.subarray(start, end)]))
    }
  })

  it('keeps what was written when it grows, byte by byte or by a lot', () => {
    const writer = new ByteWriter(1)
    for (let i = 0; i < 1000; i++) writer.u8(i)
    writer.reserve(100_000)
    assert.ok(writer.bytes.length >= 101_000)
    assert.deepEqual(
      [...written(writer)],
      Array.from({ length: 1000 }, (_, i) => i & 255),
    )
  })

  it('starts anew after reset, and gives back what one large message took', () => {
    const writer = new ByteWriter(16)
    writer.latin1('x'.repeat(60_000))
    const grown = writer.bytes
    writer.reset()
    assert.equal(writer.at, 0)
    assert.equal(writer.bytes, grown)
    writer.latin1('x'.repeat(70_000))
    writer.reset()
    assert.equal(writer.bytes.length, 16)
    writer.u8(1)
    assert.deepEqual([...written(writer)], [1])
  })
})
