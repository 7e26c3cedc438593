import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../../base/clock.ts'
import { createEndpoints, EJECTION, putAside, report, START_MS, TestContext } from './picker.contract.ts'
import { UsableEndpoints } from './usable-endpoints.ts'

function setUp(weights: readonly number[], options: { slowStartMs?: number; panicRatio?: number }) {
  const fixture = createEndpoints(weights)
  const usable = new UsableEndpoints(fixture.endpoints, { changes: fixture.changes, ...options })
  const context = new TestContext()
  const weightsAt = (nowMs: number): number[] => {
    context.nowMs = nowMs
    usable.refresh(context)
    return [...usable.weights].map((weight) => Math.round(weight * 1e6) / 1e6)
  }
  return { ...fixture, usable, weightsAt }
}

describe('slow start', () => {
  it('raises the weight of a new endpoint from a tenth to all of it in a straight line', () => {
    const { weightsAt } = setUp([100], { slowStartMs: 20_000 })
    assert.deepEqual(weightsAt(START_MS), [10])
    assert.deepEqual(weightsAt(START_MS + 5000), [32.5])
    assert.deepEqual(weightsAt(START_MS + 10_000), [55])
    assert.deepEqual(weightsAt(START_MS + 19_999), [95.5])
    assert.deepEqual(weightsAt(START_MS + 20_000), [100])
    assert.deepEqual(weightsAt(START_MS + 1e9), [100])
  })

  it('begins anew for an endpoint that came back, and only for that one', () => {
    const { weightsAt, endpoints } = setUp([10, 10], { slowStartMs: 20_000 })
    const downMs = START_MS + 100_000
    assert.deepEqual(weightsAt(downMs), [10, 10])
    putAside(endpoints[1], downMs)
    assert.deepEqual(weightsAt(downMs), [10, 0])
    const backMs = downMs + EJECTION.failTimeoutMs
    assert(endpoints[1]?.state.admit(backMs))
    report(endpoints[1], 'success', backMs)
    for (let i = 0; i < 20; i++) report(endpoints[1], 'success', backMs)
    assert.deepEqual(weightsAt(backMs), [10, 1])
    assert.deepEqual(weightsAt(backMs + 10_000), [10, 5.5])
    assert.deepEqual(weightsAt(backMs + 20_000), [10, 10])
  })

  it('reads the states again only at the steps of the ramp', () => {
    const { weightsAt, usable } = setUp([10], { slowStartMs: 20_000 })
    weightsAt(START_MS)
    const { revision } = usable
    for (let ms = 1; ms < 1000; ms++) weightsAt(START_MS + ms)
    assert.equal(usable.revision, revision)
    weightsAt(START_MS + 1000)
    assert.equal(usable.revision, revision + 1)
  })

  it('is over at once when it is off', () => {
    const { weightsAt } = setUp([10], {})
    assert.deepEqual(weightsAt(START_MS), [10])
  })
})

describe('the panic threshold', () => {
  it('uses every endpoint as soon as less than its share is in normal use, and leaves that when enough are', () => {
    const { weightsAt, endpoints } = setUp([4, 3, 2, 1], { panicRatio: 0.5 })
    putAside(endpoints[0], START_MS)
    putAside(endpoints[1], START_MS)
    assert.deepEqual(weightsAt(START_MS), [0, 0, 2, 1])
    putAside(endpoints[2], START_MS)
    assert.deepEqual(weightsAt(START_MS), [4, 3, 2, 1])
    const nowMs = START_MS + EJECTION.failTimeoutMs
    assert(endpoints[1]?.state.admit(nowMs))
    report(endpoints[1], 'success', nowMs)
    assert.equal(weightsAt(nowMs)[2], 0)
  })

  it('does not count drained endpoints', () => {
    const { weightsAt, endpoints } = setUp([1, 1, 0, 0], { panicRatio: 0.5 })
    putAside(endpoints[0], START_MS)
    assert.deepEqual(weightsAt(START_MS), [0, 1, 0, 0])
  })

  it('is only for the case that none is in normal use when it is off', () => {
    const { weightsAt, endpoints } = setUp([1, 1, 1], {})
    putAside(endpoints[0], START_MS)
    putAside(endpoints[1], START_MS)
    assert.deepEqual(weightsAt(START_MS), [0, 0, 1])
    putAside(endpoints[2], START_MS)
    assert.deepEqual(weightsAt(START_MS), [1, 1, 1])
  })
})

describe('the weights', () => {
  it('stay between 0 and what is configured, and add up, whatever happens', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = createSeededRandom(seed)
      const configured = Array.from({ length: 1 + Math.floor(random() * 8) }, () => Math.floor(random() * 20))
      const { endpoints, usable } = setUp(configured, { slowStartMs: random() < 0.5 ? 0 : 30_000, panicRatio: random() < 0.5 ? 0 : 0.5 })
      const context = new TestContext()
      for (let i = 0; i < 5000; i++) {
        context.nowMs += Math.floor(random() * 1000)
        context.tried = random() < 0.2 ? [endpoints[0]!] : null
        const trial = usable.refresh(context)
        assert(trial === -1 || configured[trial]! > 0)
        let up = 0
        let total = 0
        for (const [index, weight] of usable.weights.entries()) {
          assert(weight >= 0 && weight <= configured[index]!, `${weight} of ${configured[index]}`)
          if (weight > 0) assert.equal(usable.up[up++], index)
          total += weight
        }
        assert.equal(usable.upCount, up)
        assert(Math.abs(usable.totalWeight - total) < 1e-9)
        assert.equal(up > 0, Math.max(...configured) > 0)
        const endpoint = endpoints[Math.floor(random() * endpoints.length)]
        report(endpoint, random() < 0.5 ? 'failure' : 'success', context.nowMs)
      }
    }
  })
})
