import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSharedArea, SharedAreaStore, SharedAreas } from './shared-area.ts'

describe('shared areas', () => {
  it('are found by name from every worker, on the same memory', () => {
    const store = new SharedAreaStore({ wordsPerArea: 5, workers: 2, areasPerSegment: 2 })
    const { layout } = store.retain(['a', 'b', 'c', 'a'], 0)
    assert.equal(layout.segments.length, 2)
    const copy = structuredClone(layout)
    const one = new SharedAreas(copy, 0).area('c')
    const two = new SharedAreas(copy, 1).area('c')
    one.words[one.at + 4] = 7
    assert.equal(two.words[two.at + 4], 7)
    assert.deepEqual([one.worker, two.worker, two.workers], [0, 1, 2])
    assert.equal(one.at % 16, 0)
  })

  it('do not overlap', () => {
    const store = new SharedAreaStore({ wordsPerArea: 17, workers: 1, areasPerSegment: 3 })
    const names = Array.from({ length: 10 }, (_, i) => `area ${i}`)
    const areas = new SharedAreas(store.retain(names, 0).layout, 0)
    names.forEach((name, i) => {
      const { words, at } = areas.area(name)
      words.fill(i, at, at + 17)
    })
    names.forEach((name, i) => {
      const { words, at } = areas.area(name)
      assert(words.subarray(at, at + 17).every((word) => word === i))
    })
  })

  it('keep their content while a lease names them, and for the grace time after', () => {
    const store = new SharedAreaStore({ wordsPerArea: 1, workers: 1, graceMs: 1000 })
    const first = store.retain(['a'], 0)
    const area = new SharedAreas(first.layout, 0).area('a')
    area.words[area.at] = 42
    const second = store.retain(['a', 'b'], 10)
    first.release(20)
    first.release(20)
    second.release(30)
    const again = new SharedAreas(store.retain(['a'], 500).layout, 0).area('a')
    assert.equal(again.words[again.at], 42)
  })

  it('are cleared and given to another name when the grace time has passed', () => {
    const store = new SharedAreaStore({ wordsPerArea: 1, workers: 1, graceMs: 1000, areasPerSegment: 1 })
    const lease = store.retain(['a'], 0)
    const area = new SharedAreas(lease.layout, 0).area('a')
    area.words[area.at] = 42
    lease.release(0)
    const { layout } = store.retain(['b'], 1000)
    assert.equal(layout.segments.length, 1)
    const other = new SharedAreas(layout, 0).area('b')
    assert.equal(other.words[other.at], 0)
    assert.deepEqual(store.all().names, ['b'])
  })

  it('of an unknown name, and of a worker too many, are errors', () => {
    const { layout } = new SharedAreaStore({ wordsPerArea: 1, workers: 1 }).retain(['a'], 0)
    assert.throws(() => new SharedAreas(layout, 0).area('toString'), /no shared area "toString"/)
    assert.throws(() => new SharedAreas(layout, 1), RangeError)
  })

  it('can be had alone, with a view for each thread', () => {
    const one = createSharedArea(3, 2, 0)
    const two = createSharedArea(3, 2, 1, one.words.buffer as SharedArrayBuffer)
    one.words[0] = 5
    assert.equal(two.words[0], 5)
  })
})
