import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../../base/clock.ts'
import type { Endpoint } from '../endpoint.ts'
import type { ChangeCount, Picker } from '../picker.ts'
import { createEndpoints, describePicker, EJECTION, KeyedContext, pickEndpoint, putAside, report, TestContext } from './picker.contract.ts'
import { createRendezvousPicker } from './rendezvous.ts'

describePicker('rendezvous', createRendezvousPicker, { spread: 'weight', createContext: () => new KeyedContext() })
describePicker('rendezvous without keys', createRendezvousPicker, { spread: 'weight' })

const KEYS = 20_000

function create(endpoints: readonly Endpoint[], changes: ChangeCount): Picker {
  return createRendezvousPicker(endpoints, { random: createSeededRandom(1), changes })
}

function owners(picker: Picker, tried: Endpoint[] | null = null): number[] {
  const context = new TestContext()
  context.tried = tried
  return Array.from({ length: KEYS }, (_, i) => {
    context.hashKey = `user-${i}`
    return pickEndpoint(picker, context).port
  })
}

describe('rendezvous', () => {
  it('moves only the keys of an endpoint that is removed, whatever the order of the others', () => {
    const { endpoints, changes } = createEndpoints([1, 2, 3, 1])
    const before = owners(create(endpoints, changes))
    const after = owners(create(endpoints.filter((endpoint) => endpoint.port !== 2005).reverse(), changes))
    for (const [i, port] of before.entries()) assert(port === 2005 ? after[i] !== 2005 : after[i] === port)
  })

  it('moves only the new weight when a weight is raised', () => {
    const { endpoints, changes } = createEndpoints([2, 2, 2])
    const before = owners(create(endpoints, changes))
    const raised = endpoints.map((endpoint) => (endpoint.port === 2004 ? { ...endpoint, weight: 4 } : endpoint))
    const after = owners(create(raised, changes))
    for (const [i, port] of before.entries()) assert(after[i] === port || after[i] === 2004)
    assert(Math.abs(after.filter((port) => port === 2004).length / KEYS - 0.5) < 0.02)
  })

  it('forgets its winners when an endpoint is put aside, and when it is back', () => {
    const { endpoints, changes } = createEndpoints([1, 1, 1])
    const picker = create(endpoints, changes)
    const before = owners(picker)
    const expected = owners(picker, [endpoints[0]!])
    const context = new TestContext()
    putAside(endpoints[0], context.nowMs)
    assert.deepEqual(owners(picker), expected)
    context.nowMs += EJECTION.failTimeoutMs
    assert.equal(pickEndpoint(picker, context), endpoints[0], 'its trial')
    report(endpoints[0], 'success', context.nowMs)
    assert.deepEqual(owners(picker), before)
  })
})
