import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../base/clock.ts'
import { createSharedArea } from '../base/shared-area.ts'
import { repeat } from '../base/shared-race.contract.ts'
import { HEDGE_DEFAULTS, Hedge, type HedgeConfig, hedgeWords, NO_HEDGE } from './hedge.ts'

const T = 1_700_000_000_000

function setUp(config: Partial<HedgeConfig> = {}) {
  const area = createSharedArea(hedgeWords(2), 2, 0)
  const complete = { ...HEDGE_DEFAULTS, ...config }
  return [new Hedge(area, complete), new Hedge({ ...area, worker: 1 }, complete)] as const
}

describe('hedging', () => {
  it('waits for the fixed time when there is one', () => {
    const [one] = setUp({ after: { delayMs: 30 } })
    assert.equal(one.delayMs(T), 30)
    one.record(1000, T)
    assert.equal(one.delayMs(T + 60_000), 30)
  })

  it('waits for the percentile of all workers, once there are enough samples', () => {
    const [one, two] = setUp()
    for (let i = 0; i < 50; i++) one.record(10, T)
    assert.equal(one.delayMs(T), NO_HEDGE)
    for (let i = 0; i < 45; i++) two.record(10, T)
    for (let i = 0; i < 5; i++) two.record(500, T)
    assert(Math.abs(two.delayMs(T) - 10) <= 1.25)
    for (let i = 0; i < 10; i++) two.record(500, T)
    // Not asked anew for three seconds.
    assert(two.delayMs(T + 2999) < 20)
    assert(two.delayMs(T + 3000) > 400)
    assert.equal(two.delayMs(T + 60_000), NO_HEDGE)
  })

  it('keeps the delay within its bounds', () => {
    const [fast] = setUp()
    for (let i = 0; i < 100; i++) fast.record(0.1, T)
    assert.equal(fast.delayMs(T), 1)
    const [slow] = setUp()
    for (let i = 0; i < 100; i++) slow.record(60_000, T)
    assert.equal(slow.delayMs(T), 2000)
  })

  it('sends at most the share of the requests as backups, over all workers', () => {
    const [one, two] = setUp()
    const random = createSeededRandom(12)
    let requests = 0
    let backups = 0
    for (let i = 0; i < repeat(100_000); i++) {
      const now = T + i / 2
      const hedge = random() < 0.5 ? one : two
      hedge.begin(now)
      requests++
      if (random() < 0.5 || !hedge.trySpend(now)) continue
      backups++
      const seen = hedge.statistics(now)
      assert(seen.backups <= 0.05 * seen.requests)
    }
    assert(backups <= 0.05 * requests)
    assert(backups > 0.045 * requests, `${backups} of ${requests}`)
  })

  it('allows none while there are too few requests for one', () => {
    const [one] = setUp()
    for (let i = 0; i < 19; i++) one.begin(T)
    assert(!one.trySpend(T))
    one.begin(T)
    assert(one.trySpend(T))
    assert(!one.trySpend(T))
  })
})
