import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import fc from 'fast-check'
import { createSharedArea, type SharedArea } from './shared-area.ts'
import { meet, type Racer, race, repeat } from './shared-race.contract.ts'
import { SharedWindow, sharedWindowWords } from './shared-window.ts'

const SHAPE = { counters: 2 }
const T = 1_700_000_000_000
const THREADS = 2
const ADDS = 200_000

function setUp(workers = 2, windowMs = 1000, shape: { counters: number; buckets?: number } = SHAPE) {
  const first = createSharedArea(sharedWindowWords(shape, workers), workers, 0)
  const areas: SharedArea[] = Array.from({ length: workers }, (_, worker) => ({ ...first, worker }))
  return areas.map((area) => new SharedWindow(area, 0, shape, windowMs))
}

function sums(window: SharedWindow, nowMs: number, era = 0): number[] {
  return [...window.sum(nowMs, era)]
}

function defineTests(): void {
  describe('a shared window', () => {
    it('adds up the counts of all workers', () => {
      const [one, two] = setUp() as [SharedWindow, SharedWindow]
      one.add(0, 1, T)
      two.add(0, 2, T)
      two.add(1, 5, T + 50)
      assert.deepEqual(sums(one, T + 50), [3, 5])
      assert.deepEqual(sums(two, T + 50), [3, 5])
    })

    it('forgets each piece when the window has passed over it', () => {
      const [one] = setUp() as [SharedWindow]
      one.add(0, 1, T)
      one.add(0, 1, T + 500)
      assert.deepEqual(sums(one, T + 999), [2, 0])
      assert.deepEqual(sums(one, T + 1000), [1, 0])
      assert.deepEqual(sums(one, T + 1500), [0, 0])
    })

    it('drops counts that come a window late, and counts those that are a little late', () => {
      const [one] = setUp() as [SharedWindow]
      one.add(0, 1, T + 1000)
      one.add(0, 1, T + 900)
      one.add(0, 1, T)
      assert.deepEqual(sums(one, T + 1000), [2, 0])
    })

    it('counts what another thread recorded with a clock that was read later', () => {
      const [one, two] = setUp() as [SharedWindow, SharedWindow]
      two.add(0, 1, T + 100)
      assert.deepEqual(sums(one, T + 99), [1, 0])
    })

    it('begins anew with each era, for all workers', () => {
      const [one, two] = setUp() as [SharedWindow, SharedWindow]
      one.add(0, 1, T, 1)
      two.add(0, 1, T, 1)
      one.add(0, 1, T, 2)
      assert.deepEqual(sums(one, T, 2), [1, 0])
      assert.deepEqual(sums(one, T, 1), [1, 0])
      two.add(0, 1, T, 2)
      assert.deepEqual(sums(one, T, 2), [2, 0])
    })

    it('gives the last complete piece alone', () => {
      const [one, two] = setUp(2, 300, { counters: 1, buckets: 3 }) as [SharedWindow, SharedWindow]
      one.add(0, 1, T + 50)
      two.add(0, 1, T + 60)
      one.add(0, 1, T + 150)
      assert.deepEqual([...one.sumPrevious(T + 150)], [2])
      assert.deepEqual([...one.sumPrevious(T + 200)], [1])
      assert.deepEqual([...one.sumPrevious(T + 300)], [0])
    })

    it('agrees with a list of everything that was counted', () => {
      const event = fc.record({ worker: fc.nat(1), counter: fc.nat(1), waitMs: fc.constantFrom(0, 1, 30, 99, 100, 450, 1000, 5000) })
      const property = fc.property(fc.array(event, { minLength: 50, maxLength: 100 }), (events) => {
        const windows = setUp()
        const log: { counter: number; piece: number }[] = []
        let now = T
        for (const { worker, counter, waitMs } of events) {
          now += waitMs
          windows[worker]?.add(counter, 1, now)
          log.push({ counter, piece: Math.floor(now / 100) })
          const recent = log.filter(({ piece }) => Math.floor(now / 100) - piece < 10)
          const expected = [0, 1].map((kind) => recent.filter((entry) => entry.counter === kind).length)
          assert.deepEqual(sums(windows[1 - worker] as SharedWindow, now), expected)
        }
      })
      fc.assert(property, { numRuns: repeat(1500), seed: 1 })
    })

    it('loses no count of two threads', async () => {
      const area = createSharedArea(sharedWindowWords(SHAPE, THREADS), THREADS)
      await race(import.meta.url, area.words.buffer, THREADS)
      const window = new SharedWindow(area, 0, SHAPE, 1000)
      assert.deepEqual(sums(window, T), [THREADS * ADDS, THREADS * ADDS * 2])
    })
  })
}

function run(racer: Racer<SharedArrayBuffer>): void {
  const window = new SharedWindow(createSharedArea(0, THREADS, racer.worker, racer.data), 0, SHAPE, 1000)
  meet(racer)
  for (let i = 0; i < ADDS; i++) {
    window.add(0, 1, T)
    window.add(1, 2, T)
    // Reading in between must not disturb.
    if (i % 100 === 0) window.sum(T)
  }
}

if (isMainThread) defineTests()
else {
  run(workerData as Racer<SharedArrayBuffer>)
  parentPort?.postMessage(null)
}
