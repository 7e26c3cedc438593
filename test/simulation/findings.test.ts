// What the issue and docs/resilience.md promise, as the simulation sees it. The same is shown with real processes in test/e2e/resilience.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { RetryBudgetConfig } from '../../src/retry/budget.ts'
import { HEDGE_DEFAULTS } from '../../src/retry/hedge.ts'
import { openLoop } from './clients.ts'
import { ModelEndpoint } from './model-endpoint.ts'
import { ModelGateway } from './model-gateway.ts'
import { BREAKER, DEFAULTS, NO_BUDGET } from './policies.ts'
import { runHalfOpen } from './scenarios/half-open.ts'
import { runHedging } from './scenarios/hedging.ts'
import { runOutage } from './scenarios/outage.ts'
import { runStorm } from './scenarios/retry-storm.ts'
import { OUTLIERS, runSlowEndpoint } from './scenarios/slow-endpoint.ts'
import { atLeast } from './service-time.ts'
import { Simulation } from './simulation.ts'

/** Share of good answers where one endpoint of two refuses everything, and nothing but retries helps. */
function succeedWithOneOfTwo(ratePerSecond: number, budget: RetryBudgetConfig): number {
  const simulation = new Simulation(5)
  const endpoints = [0, 1].map(() => new ModelEndpoint(simulation, { servers: 20, serviceTime: atLeast(5, 5) }))
  endpoints[0]!.mode = 'refusing'
  const upstreams = endpoints.map((upstream) => ({ upstream }))
  const gateway = new ModelGateway(simulation, upstreams, { ejection: null, budget })
  let requests = 0
  let good = 0
  const onResult = ({ isGood }: { isGood: boolean }) => {
    requests++
    if (isGood) good++
  }
  openLoop(simulation, [gateway], { ratePerSecond, untilMs: 400_000, onResult })
  simulation.run(460_000)
  return good / requests
}

describe('in the simulation', () => {
  it('one endpoint of ten that is ten times as slow does not raise p99 by half under peak-ewma, as it does under round-robin', () => {
    const healthy = runSlowEndpoint(10, {}, 1)
    const { p99 } = runSlowEndpoint(10, { balance: { algorithm: 'peak-ewma', decayMs: 10_000 } })
    assert(p99 < 1.5 * healthy.p99, `${p99}, healthy ${healthy.p99}`)
    assert(runSlowEndpoint(10, {}).p99 > 3 * healthy.p99)
  })

  it('comparison by latency takes the slow endpoint out for most of the time', () => {
    const { share } = runSlowEndpoint(10, { outliers: OUTLIERS })
    assert(share < 0.05, `${share}`)
  })

  it('a dead bottom below three layers sees at most 1.2 attempts for each request, with default settings', () => {
    for (const mode of ['refusing', 503] as const) {
      const factor = runStorm(mode, {})
      assert(factor <= 1.205 && factor > 1, `${mode}: ${factor}`)
    }
    const hanging = runStorm('hanging', { perTryMs: 500 })
    assert(hanging <= 1.205, `${hanging}`)
  })

  it('so it does with little traffic, once three retries were in vain; and retries that help are not fewer for it', () => {
    for (const ratePerSecond of [0.2, 0.5, 1, 2, 5]) {
      const factor = runStorm('refusing', {}, ratePerSecond, 1, 400_000)
      assert(factor <= 1.25, `${ratePerSecond} requests per second: ${factor}`)
    }
    for (const ratePerSecond of [0.2, 0.5, 1]) {
      const always = { ...DEFAULTS.budget, maxInVain: Number.POSITIVE_INFINITY }
      assert.equal(succeedWithOneOfTwo(ratePerSecond, DEFAULTS.budget), succeedWithOneOfTwo(ratePerSecond, always))
    }
  })

  it('without marks and budget it would see 27 for each', () => {
    const eager = { ...DEFAULTS.retry!, attempts: 3, on: ['connect-failure', '5xx'] }
    assert(runStorm('refusing', { retry: eager, sendsMarks: false, budget: NO_BUDGET }) > 26.9)
  })

  it('hedging after p95 lowers p99, and its load stays within the budget of 5%', () => {
    const without = runHedging({}, 0, 10)
    const withHedge = runHedging({ hedge: HEDGE_DEFAULTS }, 0, 10)
    assert(withHedge.p99 < 0.7 * without.p99, `${withHedge.p99}, without ${without.p99}`)
    assert(withHedge.extra <= 0.05, `${withHedge.extra}`)
  })

  it('a breaker over four workers lets nothing through while open, and then no more than its probes', () => {
    for (const probes of [1, 3, 10]) {
      const result = runHalfOpen({ ...BREAKER, probes })
      assert.equal(result.whileOpen, 0)
      assert(result.probes.length >= 3)
      for (const count of result.probes) assert(count >= 1 && count <= probes, `${count} of ${probes}`)
    }
  })

  it('a service with a backlog gets well again with the budget, and never without', () => {
    const retry = { ...DEFAULTS.retry!, attempts: 3 }
    assert.equal(runOutage({ retry, budget: NO_BUDGET, ejection: null }).recoveryS, Number.POSITIVE_INFINITY)
    assert(runOutage({ retry }).recoveryS < 30)
  })
})
