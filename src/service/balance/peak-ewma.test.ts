import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../../base/clock.ts'
import { createPeakEwmaPicker } from './peak-ewma.ts'
import { countPicks, createEndpoints, describePicker, EJECTION, pickEndpoint, report, START_MS, TestContext } from './picker.contract.ts'
import { createRoundRobinPicker } from './round-robin.ts'

const PEAK = { kind: 'peak', decayMs: 10_000 } as const

describePicker('peak-ewma', createPeakEwmaPicker, { spread: 'weight' })

function setUp(count: number) {
  const fixture = createEndpoints(new Array(count).fill(1), EJECTION, PEAK)
  const picker = createPeakEwmaPicker(fixture.endpoints, { random: createSeededRandom(1), changes: fixture.changes })
  return { ...fixture, picker, context: new TestContext() }
}

describe('peak-ewma', () => {
  it('never chooses the more expensive of two: latency times (in flight + 1)', () => {
    const { picker, context, endpoints } = setUp(2)
    report(endpoints[0], 'success', START_MS, 10)
    report(endpoints[1], 'success', START_MS, 25)
    assert.equal(countPicks(picker, context, 100).get('127.0.0.1:2003'), 100)
    endpoints[0]?.state.begin()
    assert.equal(countPicks(picker, context, 100).get('127.0.0.1:2003'), 100, '20 to 25')
    endpoints[0]?.state.begin()
    assert.equal(countPicks(picker, context, 100).get('127.0.0.1:2004'), 100, '30 to 25')
  })

  it('leaves an endpoint with the first slow answer', () => {
    const { picker, context, endpoints } = setUp(2)
    for (let i = 0; i < 1000; i++) for (const endpoint of endpoints) report(endpoint, 'success', START_MS + i, 10)
    context.nowMs += 1000
    report(endpoints[0], 'success', context.nowMs, 100)
    assert.equal(countPicks(picker, context, 100).get('127.0.0.1:2004'), 100)
  })

  it('asks one that has not answered yet with one request, not with all', () => {
    const { picker, context, endpoints } = setUp(2)
    report(endpoints[0], 'success', START_MS, 10)
    assert.equal(pickEndpoint(picker, context), endpoints[1])
    endpoints[1]?.state.begin()
    assert.equal(countPicks(picker, context, 100).get('127.0.0.1:2003'), 100)
  })

  it('keeps the latency of 99 of 100 requests near that of healthy endpoints while one of ten is ten times slower', () => {
    const healthyMs = 10
    const slowed = (useEwma: boolean): number => {
      const { picker, context, endpoints, changes } = setUp(10)
      const chosen = useEwma ? picker : createRoundRobinPicker(endpoints, { random: createSeededRandom(1), changes })
      const running: { endMs: number; end(): void }[] = []
      const latencies: number[] = []
      for (let i = 0; i < 20_000; i++) {
        context.nowMs += 1
        for (let k = running.length - 1; k >= 0; k--) if (running[k]!.endMs <= context.nowMs) running.splice(k, 1)[0]!.end()
        const endpoint = pickEndpoint(chosen, context)
        endpoint.state.begin()
        const latencyMs = endpoint === endpoints[0] ? 10 * healthyMs : healthyMs
        latencies.push(latencyMs)
        const endMs = context.nowMs + latencyMs
        running.push({ endMs, end: () => endpoint.state.end('success', endMs, latencyMs) })
      }
      return latencies.sort((a, b) => a - b)[Math.floor(latencies.length * 0.99)]!
    }
    assert(slowed(true) < 1.5 * healthyMs)
    assert(slowed(false) > 1.5 * healthyMs, 'with turn-taking; if this fails, the comparison says nothing')
  })
})
