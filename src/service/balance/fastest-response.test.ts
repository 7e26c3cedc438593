import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../../base/clock.ts'
import { createFastestResponsePicker } from './fastest-response.ts'
import { createEndpoints, describePicker, EJECTION, pickEndpoint, report, START_MS, TestContext } from './picker.contract.ts'

const MEAN = { kind: 'mean', decayMs: 10_000 } as const

describePicker('fastest-response', createFastestResponsePicker, { spread: 'weight' })

function setUp(count: number) {
  const fixture = createEndpoints(new Array(count).fill(1), EJECTION, MEAN)
  const picker = createFastestResponsePicker(fixture.endpoints, { random: createSeededRandom(1), changes: fixture.changes })
  return { ...fixture, picker, context: new TestContext() }
}

describe('fastest-response', () => {
  it('goes to the endpoint that answers fastest, times what it has to do', () => {
    const { picker, context, endpoints } = setUp(3)
    for (const [i, ms] of [50, 10, 30].entries()) report(endpoints[i], 'success', START_MS, ms)
    assert.equal(pickEndpoint(picker, context), endpoints[1])
    for (let i = 0; i < 2; i++) endpoints[1]?.state.begin()
    endpoints[1]?.state.begin()
    assert.equal(pickEndpoint(picker, context), endpoints[2], 'four times 10 are more than 30')
  })

  it('asks one that has not answered yet with one request, not with all', () => {
    const { picker, context, endpoints } = setUp(2)
    report(endpoints[0], 'success', START_MS, 10)
    assert.equal(pickEndpoint(picker, context), endpoints[1])
    endpoints[1]?.state.begin()
    for (let i = 0; i < 100; i++) {
      assert.equal(pickEndpoint(picker, context), endpoints[0])
      endpoints[0]?.state.begin()
    }
  })

  it('asks a slow one again after a while, and believes the answer', () => {
    const { picker, context, endpoints } = setUp(2)
    report(endpoints[0], 'success', START_MS, 10)
    report(endpoints[1], 'success', START_MS, 1000)
    let slow = 0
    let isFast = false
    for (let i = 0; i < 100_000 && !isFast; i++) {
      context.nowMs += 20
      const endpoint = pickEndpoint(picker, context)
      report(endpoint, 'success', context.nowMs, 10)
      if (endpoint !== endpoints[1]) continue
      slow++
      isFast = endpoint.state.latencyMs(context.nowMs) < 20
    }
    assert(isFast && slow > 0, `asked ${slow} times`)
  })
})
