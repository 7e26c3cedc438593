import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../../base/clock.ts'
import { countPicks, createEndpoints, describePicker, pickEndpoint, report, START_MS, TestContext } from './picker.contract.ts'
import { createWeightedRandomPicker } from './weighted-random.ts'

describePicker('weighted-random', createWeightedRandomPicker, { spread: 'weight' })

describe('weighted-random', () => {
  it('gives each endpoint exactly its part of the range it draws from, also the first', () => {
    const { endpoints, changes } = createEndpoints([5, 1, 4])
    let drawn = 0
    const picker = createWeightedRandomPicker(endpoints, { random: () => drawn, changes })
    const context = new TestContext()
    const counts = [0, 0, 0]
    for (let i = 0; i < 1000; i++) {
      drawn = i / 1000
      counts[endpoints.indexOf(pickEndpoint(picker, context))]! += 1
    }
    assert.deepEqual(counts, [500, 100, 400])
    drawn = 1
    assert.equal(pickEndpoint(picker, context), endpoints[2], 'a draw that rounding has put on the total')
  })

  it('gives an endpoint that fails now and then less, until successes have restored its weight', () => {
    const { endpoints, changes } = createEndpoints([9, 9])
    const picker = createWeightedRandomPicker(endpoints, { random: createSeededRandom(7), changes })
    const context = new TestContext()
    report(endpoints[0], 'failure', START_MS)
    report(endpoints[0], 'failure', START_MS)
    const share = (countPicks(picker, context, 20_000).get('127.0.0.1:2003') ?? 0) / 20_000
    assert(Math.abs(share - 3 / 12) < 0.02, `weight 3 to 9, but ${share}`)
    for (let i = 0; i < 6; i++) report(endpoints[0], 'success', START_MS)
    const restored = (countPicks(picker, context, 20_000).get('127.0.0.1:2003') ?? 0) / 20_000
    assert(Math.abs(restored - 1 / 2) < 0.02, `${restored}`)
  })
})
