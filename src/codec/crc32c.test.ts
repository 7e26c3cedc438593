import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32c } from './crc32c.ts'

// RFC 3720 appendix B.4 and the check value of the catalogue of checksums.
const VECTORS: [Uint8Array, number][] = [
  [Buffer.from('123456789'), 0xe3069283],
  [new Uint8Array(32), 0x8a9136aa],
  [new Uint8Array(32).fill(0xff), 0x62a8ab43],
  [Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  [Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
  [new Uint8Array(0), 0],
]

test('the published vectors come out', () => {
  for (const [bytes, expected] of VECTORS) assert.equal(crc32c(bytes), expected)
})

test('a part is summed alone', () => {
  assert.equal(crc32c(Buffer.from('xx123456789yy'), 2, 11), 0xe3069283)
})
