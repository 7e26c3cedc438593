import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../../base/clock.ts'
import type { Endpoint } from '../endpoint.ts'
import type { ChangeCount } from '../picker.ts'
import { createMaglevPicker } from './maglev.ts'
import { countPicks, createEndpoints, describePicker, KeyedContext, pickEndpoint, putAside, TestContext } from './picker.contract.ts'

describePicker('maglev', createMaglevPicker, { spread: 'weight', createContext: () => new KeyedContext() })
describePicker('maglev without keys', createMaglevPicker, { spread: 'weight' })

const KEYS = 20_000

function owners(endpoints: readonly Endpoint[], changes: ChangeCount): number[] {
  const picker = createMaglevPicker(endpoints, { random: createSeededRandom(1), changes })
  const context = new TestContext()
  return Array.from({ length: KEYS }, (_, i) => {
    context.hashKey = `user-${i}`
    return pickEndpoint(picker, context).port
  })
}

describe('maglev', () => {
  it('sends a key always to the same endpoint, whatever the order of the endpoints', () => {
    const { endpoints, changes } = createEndpoints([1, 2, 3, 1])
    assert.deepEqual(owners([...endpoints].reverse(), changes), owners(endpoints, changes))
  })

  it('moves few keys of other endpoints when one is removed', () => {
    const { endpoints, changes } = createEndpoints(new Array(10).fill(1))
    const before = owners(endpoints, changes)
    const after = owners(endpoints.slice(0, 9), changes)
    const moved = before.filter((port, i) => port !== 2012 && after[i] !== port).length
    assert(moved < 0.1 * KEYS, `${moved} of ${KEYS}`)
  })

  it('moves nobody else while an endpoint is put aside, and spreads its keys', () => {
    const { endpoints, changes } = createEndpoints([1, 1, 1, 1])
    const before = owners(endpoints, changes)
    putAside(endpoints[3], new TestContext().nowMs)
    const after = owners(endpoints, changes)
    const heirs = new Map<number, number>()
    for (const [i, port] of before.entries()) {
      if (port !== 2006) assert.equal(after[i], port)
      else heirs.set(after[i]!, (heirs.get(after[i]!) ?? 0) + 1)
    }
    assert.equal(heirs.size, 3)
    for (const count of heirs.values()) assert(Math.abs(count - KEYS / 12) < KEYS / 100)
  })

  it('keeps every share within 3% of its weight with 100 endpoints', () => {
    const { endpoints, changes } = createEndpoints(new Array(100).fill(1))
    const picker = createMaglevPicker(endpoints, { random: createSeededRandom(1), changes })
    const counts = countPicks(picker, new KeyedContext(), 300_000)
    for (const count of counts.values()) assert(Math.abs(count - 3000) < 90 + 3 * Math.sqrt(3000), `${count}`)
  })

  it('answers when the only one in use is too light for a place in the table', () => {
    const { endpoints, changes } = createEndpoints([10_000, 10_000, 1])
    const context = new KeyedContext()
    putAside(endpoints[0], context.nowMs)
    putAside(endpoints[1], context.nowMs)
    const picker = createMaglevPicker(endpoints, { random: createSeededRandom(1), changes })
    for (let i = 0; i < 10; i++) assert.equal(pickEndpoint(picker, context), endpoints[2])
  })
})
