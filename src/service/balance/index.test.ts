import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../../base/clock.ts'
import type { BalanceConfig } from '../../config/types.ts'
import { BALANCERS, createPicker } from './index.ts'
import { createEndpoints, pickEndpoint, TestContext } from './picker.contract.ts'

describe('the table of balancers', () => {
  for (const algorithm of Object.keys(BALANCERS) as BalanceConfig['algorithm'][]) {
    it(`builds ${algorithm} from its configuration`, () => {
      const { endpoints, changes } = createEndpoints([1, 2])
      const picker = createPicker({ algorithm }, endpoints, { random: createSeededRandom(1), changes })
      assert(endpoints.includes(pickEndpoint(picker, new TestContext())))
    })
  }
})
