import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSeededRandom } from '../../base/clock.ts'
import { StreamTable } from './stream-table.ts'

type Stream = { readonly id: number }

test('holds what a Map holds, through any order of coming and going', () => {
  const random = createSeededRandom(7)
  for (let round = 0; round < 200; round++) {
    const table = new StreamTable<Stream>()
    const map = new Map<number, Stream>()
    let next = 1
    for (let step = 0; step < 300; step++) {
      if (random() < 0.55) {
        // Leaps included, which make ids fall on places that are taken.
        next += random() < 0.2 ? 32 * Math.ceil(random() * 4) : 2
        const stream = { id: next }
        table.add(stream)
        map.set(next, stream)
      } else if (map.size > 0) {
        const id = [...map.keys()][Math.floor(random() * map.size)] as number
        table.delete(id)
        map.delete(id)
      }
      assert.equal(table.size, map.size)
      const probe = 1 + 2 * Math.floor((random() * next) / 2)
      assert.equal(table.get(probe), map.get(probe))
    }
    assert.deepEqual(table.values(), [...map.values()])
  }
})

test('a stream that stays does not slow down a million that pass', () => {
  const table = new StreamTable<Stream>()
  table.add({ id: 1 })
  for (let id = 3; id < 2_000_000; id += 2) {
    table.add({ id })
    table.delete(id)
  }
  assert.equal(table.size, 1)
  assert.deepEqual(table.get(1), { id: 1 })
})

test('an id that is not there is neither found nor deleted', () => {
  const table = new StreamTable<Stream>()
  assert.equal(table.get(5), undefined)
  table.delete(5)
  table.add({ id: 37 })
  table.delete(5)
  assert.equal(table.size, 1)
})
