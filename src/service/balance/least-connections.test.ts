import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../../base/clock.ts'
import { createLeastConnectionsPicker } from './least-connections.ts'
import { createEndpoints, describePicker, pickEndpoint, TestContext } from './picker.contract.ts'

describePicker('least-connections', createLeastConnectionsPicker, { spread: 'weight' })

describe('least-connections', () => {
  it('goes to the endpoint with the fewest busy connections, not the most', () => {
    const { endpoints, changes } = createEndpoints([1, 1, 1])
    const picker = createLeastConnectionsPicker(endpoints, { random: createSeededRandom(1), changes })
    for (const [i, busy] of [3, 1, 2].entries()) for (let n = 0; n < busy; n++) endpoints[i]?.state.begin()
    const context = new TestContext()
    assert.equal(pickEndpoint(picker, context), endpoints[1])
    endpoints[1]?.state.begin()
    endpoints[1]?.state.begin()
    assert.equal(pickEndpoint(picker, context), endpoints[2])
  })
})
