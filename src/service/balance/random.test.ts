import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createEndpoints, describePicker, pickEndpoint, TestContext } from './picker.contract.ts'
import { createRandomPicker } from './random.ts'

describePicker('random', createRandomPicker, { spread: 'equal' })

describe('random', () => {
  it('chooses by the number it draws, first to last', () => {
    const { endpoints, changes } = createEndpoints([1, 1, 1, 1])
    let drawn = 0
    const picker = createRandomPicker(endpoints, { random: () => drawn, changes })
    const context = new TestContext()
    for (const [number, index] of [
      [0, 0],
      [0.2499, 0],
      [0.25, 1],
      [0.74, 2],
      [0.99999999, 3],
    ] as const) {
      drawn = number
      assert.equal(pickEndpoint(picker, context), endpoints[index])
    }
  })
})
