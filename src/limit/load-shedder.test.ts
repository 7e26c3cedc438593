import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { LoadShedder } from './load-shedder.ts'
import { PRIORITIES } from './priority.ts'

const T = 1_700_000_000_000

function shares(shedder: LoadShedder): number[] {
  return PRIORITIES.map((_, level) => Math.round(shedder.refusedShare(level) * 100) / 100)
}

/** The same delay for so long that smoothing no longer matters. */
function settle(shedder: LoadShedder, delayMs: number, memoryRatio = 0): number[] {
  for (let i = 0; i < 100; i++) shedder.report(delayMs, memoryRatio, T + i * 100)
  return shares(shedder)
}

function create(config: { loopDelayMs?: number; memoryRatio?: number }, random = () => 0.5): LoadShedder {
  return new LoadShedder({ loopDelayMs: config.loopDelayMs ?? null, memoryRatio: config.memoryRatio ?? null }, random)
}

describe('load shedding', () => {
  it('refuses nothing before anything was reported, nor while the worker is well', () => {
    const shedder = create({ loopDelayMs: 200, memoryRatio: 0.9 })
    assert.deepEqual(shares(shedder), [0, 0, 0, 0])
    assert.equal(shedder.refuses(3), false)
    assert.deepEqual(settle(shedder, 90, 0.8), [0, 0, 0, 0])
  })

  it('refuses background first and core last, each from none to all', () => {
    const at = (delayMs: number) => settle(create({ loopDelayMs: 200 }), delayMs)
    assert.deepEqual(at(125), [0, 0, 0, 0.25])
    assert.deepEqual(at(200), [0, 0, 0.33, 1])
    assert.deepEqual(at(300), [0, 0.5, 1, 1])
    assert.deepEqual(at(400), [0, 1, 1, 1])
    assert.deepEqual(at(600), [0.5, 1, 1, 1])
    assert.deepEqual(at(800), [1, 1, 1, 1])
  })

  it('does the same by memory', () => {
    const at = (ratio: number) => settle(create({ memoryRatio: 0.9 }), 0, ratio)
    assert.deepEqual(at(0.85), [0, 0, 0, 0])
    assert.deepEqual(at(0.875), [0, 0, 0, 0.5])
    assert.deepEqual(at(0.9), [0, 0, 0.5, 1])
    assert.deepEqual(at(0.95), [0, 1, 1, 1])
    assert.deepEqual(at(1), [1, 1, 1, 1])
  })

  it('does not mind a single long pause, whether it is the first report or a later one', () => {
    const first = create({ loopDelayMs: 200 })
    first.report(190, 0, T)
    assert.deepEqual(shares(first), [0, 0, 0, 0])
    const later = create({ loopDelayMs: 200 })
    later.report(0, 0, T)
    later.report(400, 0, T + 100)
    assert.deepEqual(shares(later), [0, 0, 0, 0])
  })

  it('forgets within seconds', () => {
    const shedder = create({ loopDelayMs: 200 })
    assert.deepEqual(settle(shedder, 800), [1, 1, 1, 1])
    for (let i = 1; i <= 20; i++) shedder.report(0, 0, T + 9900 + i * 100)
    assert.deepEqual(shares(shedder), [0, 0, 0, 0])
  })

  it('refuses that share of the requests', () => {
    let point = 0
    const shedder = create({ loopDelayMs: 200 }, () => point)
    settle(shedder, 300)
    let refused = 0
    for (let i = 0; i < 100; i++) {
      point = i / 100
      if (shedder.refuses(1)) refused++
    }
    assert(refused >= 49 && refused <= 51, `${refused}`)
    assert.equal(shedder.refuses(0), false)
    assert.equal(shedder.refuses(3), true)
  })
})
