import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../base/clock.ts'
import {
  BYTES_SCALE,
  bucketCount,
  bucketUpperEdge,
  histogramSlotCount,
  LogLinearHistogram,
  mergeHistogram,
  SECONDS_SCALE,
} from './histogram.ts'

function create(scale = SECONDS_SCALE): { slots: Float64Array; histogram: LogLinearHistogram } {
  const slots = new Float64Array(histogramSlotCount(scale))
  return { slots, histogram: new LogLinearHistogram(slots, 0, scale) }
}

/** The definition, spelled out: the first bucket whose upper edge is not below the value. */
function expectedBucket(value: number): number {
  let bucket = 0
  while (bucketUpperEdge(SECONDS_SCALE, bucket) < value) bucket++
  return bucket
}

function bucketOf(value: number): number {
  const { histogram } = create()
  histogram.record(value)
  for (let i = 0; i < bucketCount(SECONDS_SCALE); i++) if (histogram.bucket(i) === 1) return i
  throw new Error('recorded nowhere')
}

function nextDouble(value: number, step: 1n | -1n): number {
  const view = new DataView(new ArrayBuffer(8))
  view.setFloat64(0, value)
  view.setBigUint64(0, view.getBigUint64(0) + step)
  return view.getFloat64(0)
}

describe('histogram', () => {
  it('covers 61 microseconds to 128 seconds in four parts per power of two', () => {
    assert.equal(bucketCount(SECONDS_SCALE), 21 * 4 + 2)
    assert.equal(bucketUpperEdge(SECONDS_SCALE, 0), 2 ** -14)
    assert.equal(bucketUpperEdge(SECONDS_SCALE, 1), 2 ** -14 * 1.25)
    assert.equal(bucketUpperEdge(SECONDS_SCALE, 4), 2 ** -13)
    assert.equal(bucketUpperEdge(SECONDS_SCALE, 84), 128)
    assert.equal(bucketUpperEdge(SECONDS_SCALE, 85), Number.POSITIVE_INFINITY)
  })

  it('puts an edge, and the doubles right beside it, where the definition says', () => {
    for (let bucket = 0; bucket < bucketCount(SECONDS_SCALE) - 1; bucket++) {
      const edge = bucketUpperEdge(SECONDS_SCALE, bucket)
      assert.equal(bucketOf(edge), bucket, `edge ${edge}`)
      assert.equal(bucketOf(nextDouble(edge, 1n)), bucket + 1, `above ${edge}`)
      assert.equal(bucketOf(nextDouble(edge, -1n)), bucket, `below ${edge}`)
    }
  })

  it('puts any value where the definition says', () => {
    const random = createSeededRandom(7)
    for (let i = 0; i < 20_000; i++) {
      const value = 2 ** (random() * 30 - 20)
      assert.equal(bucketOf(value), expectedBucket(value), String(value))
    }
  })

  it('counts zero, negative and undefined values as zero and keeps the sum finite', () => {
    const { histogram } = create()
    for (const value of [0, -1, Number.NaN, Number.NEGATIVE_INFINITY, Number.MIN_VALUE]) histogram.record(value)
    assert.equal(histogram.bucket(0), 5)
    histogram.record(Number.POSITIVE_INFINITY)
    assert.equal(histogram.bucket(bucketCount(SECONDS_SCALE) - 1), 1)
    assert.equal(histogram.count(), 6)
    assert.equal(histogram.sum(), Number.MIN_VALUE)
  })

  it('writes only its own slice', () => {
    const size = histogramSlotCount(BYTES_SCALE)
    const slots = new Float64Array(size + 2)
    const histogram = new LogLinearHistogram(slots, 1, BYTES_SCALE)
    for (const value of [-1, 0, 64, 65, 1024, 2 ** 30, 2 ** 40, Number.MAX_VALUE, Number.POSITIVE_INFINITY]) histogram.record(value)
    assert.equal(slots[0], 0)
    assert.equal(slots[size + 1], 0)
    assert.equal(histogram.count(), 9)
  })

  it('estimates quantiles within a quarter of the true value', () => {
    const random = createSeededRandom(11)
    const { histogram } = create()
    const values: number[] = []
    for (let i = 0; i < 10_000; i++) {
      const value = 0.001 * (1 + 100 * random() ** 4)
      values.push(value)
      histogram.record(value)
    }
    values.sort((a, b) => a - b)
    for (const q of [0.01, 0.5, 0.9, 0.95, 0.99, 0.999]) {
      const exact = values[Math.floor(q * values.length)]!
      const estimate = histogram.quantile(q)
      assert.ok(Math.abs(estimate - exact) / exact < 0.25, `q ${q}: ${estimate} for ${exact}`)
    }
  })

  it('has no quantile while empty and never answers beyond its scale', () => {
    const { histogram } = create()
    assert.ok(Number.isNaN(histogram.quantile(0.5)))
    histogram.record(1000)
    assert.equal(histogram.quantile(0.5), 128)
    histogram.record(0)
    assert.equal(histogram.quantile(0), 0)
  })

  it('merges into the histogram that would have recorded everything', () => {
    const [a, b, both] = [create(), create(), create()]
    for (const value of [0.001, 0.5, 3]) {
      a.histogram.record(value)
      both.histogram.record(value)
    }
    for (const value of [0.002, 0.5, 300]) {
      b.histogram.record(value)
      both.histogram.record(value)
    }
    mergeHistogram(a.slots, 0, b.slots, 0, SECONDS_SCALE)
    assert.deepEqual(a.slots, both.slots)
  })
})
