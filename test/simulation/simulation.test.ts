import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { loadConfig } from '../../src/config/load.ts'
import { barChart, lineChart } from './chart.ts'
import { closedLoop, openLoop } from './clients.ts'
import { ModelEndpoint } from './model-endpoint.ts'
import { ModelGateway } from './model-gateway.ts'
import { BREAKER, DEFAULTS } from './policies.ts'
import { Samples, TimeCounts } from './samples.ts'
import { Simulation } from './simulation.ts'
import type { Answer } from './upstream.ts'

const CALL = { attempt: 1, key: null, priority: 1 }

function fixed(ms: number) {
  return () => ms
}

describe('the simulation', () => {
  it('runs events in the order of their times, those of one time in the order they were planned, and none after its end', () => {
    const simulation = new Simulation(1)
    const seen: string[] = []
    for (const [name, delayMs] of Object.entries({ c: 20, a: 10, b: 10, d: 30, late: 31 })) simulation.after(delayMs, () => seen.push(name))
    simulation.cancel(simulation.after(15, () => seen.push('cancelled')))
    simulation.run(30)
    assert.deepEqual(seen, ['a', 'b', 'c', 'd'])
    assert.equal(simulation.elapsedMs, 30)
  })

  it('keeps the order of many random times', () => {
    const simulation = new Simulation(2)
    const random = simulation.createRandom()
    let lastMs = 0
    let count = 0
    const next = () => {
      assert(simulation.elapsedMs >= lastMs)
      lastMs = simulation.elapsedMs
      if (++count < 5000) for (let n = 0; n < 2; n++) simulation.after(random() * 100, next)
    }
    simulation.after(0, next)
    simulation.run(10_000)
    assert(count >= 5000)
  })

  it('gives the same for the same seed, and something else for another', () => {
    const run = (seed: number) => {
      const simulation = new Simulation(seed)
      const endpoint = new ModelEndpoint(simulation, { servers: 2, serviceTime: (random) => 10 * random() })
      const samples = new Samples()
      openLoop(simulation, [endpoint], { ratePerSecond: 300, untilMs: 5_000, onResult: ({ latencyMs }) => samples.add(latencyMs) })
      simulation.run(6_000)
      return [samples.count, samples.mean, samples.quantile(0.99)]
    }
    assert.deepEqual(run(1), run(1))
    assert.notDeepEqual(run(1), run(2))
  })
})

describe('the model of an endpoint', () => {
  it('works on as many requests at once as it has servers, the others wait in order', () => {
    const simulation = new Simulation(1)
    const endpoint = new ModelEndpoint(simulation, { servers: 2, serviceTime: fixed(10) })
    const ends: number[] = []
    for (let n = 0; n < 5; n++) endpoint.send(CALL, () => ends.push(simulation.elapsedMs))
    simulation.run(100)
    assert.deepEqual(ends, [10, 10, 20, 20, 30])
  })

  it('resets all it had when it dies, refuses afterwards, and works again when it is back', () => {
    const simulation = new Simulation(1)
    const endpoint = new ModelEndpoint(simulation, { servers: 1, serviceTime: fixed(10) })
    const answers: (string | number)[] = []
    const send = () => endpoint.send(CALL, ({ failure, status }: Answer) => answers.push(failure ?? status))
    for (let n = 0; n < 2; n++) send()
    simulation.at(5, () => endpoint.crash())
    simulation.at(20, send)
    simulation.at(30, () => endpoint.restart())
    simulation.at(40, send)
    simulation.run(100)
    assert.deepEqual(answers, ['reset', 'reset', 'connect-failure', 200])
  })

  it('keeps what comes while it is frozen, and says nothing to those that have gone', () => {
    const simulation = new Simulation(1)
    const endpoint = new ModelEndpoint(simulation, { servers: 1, serviceTime: fixed(10) })
    const ends: number[] = []
    endpoint.mode = 'hanging'
    endpoint.send(CALL, () => ends.push(1)).cancel()
    endpoint.send(CALL, () => ends.push(2))
    simulation.at(50, () => endpoint.restart())
    simulation.run(60)
    assert.deepEqual(ends, [], 'it works for the one that has gone')
    simulation.run(100)
    assert.deepEqual(ends, [2])
  })

  it('answers as a queue of the textbooks does: M/M/1 at two thirds takes three times as long', () => {
    const simulation = new Simulation(3)
    const endpoint = new ModelEndpoint(simulation, { servers: 1, serviceTime: (random) => -10 * Math.log(1 - random()) })
    const samples = new Samples()
    openLoop(simulation, [endpoint], { ratePerSecond: 66.67, untilMs: 3_000_000, onResult: ({ latencyMs }) => samples.add(latencyMs) })
    simulation.run(3_100_000)
    assert(Math.abs(samples.mean - 30) < 1.5, `${samples.mean}`)
  })
})

describe('the clients', () => {
  it('in a closed loop are never more than there are', () => {
    const simulation = new Simulation(1)
    const endpoint = new ModelEndpoint(simulation, { servers: 1, serviceTime: fixed(10) })
    let most = 0
    simulation.every(1, () => {
      most = Math.max(most, endpoint.inFlight)
    })
    closedLoop(simulation, endpoint, 5, { untilMs: 1000 })
    simulation.run(2000)
    assert.equal(most, 5)
    assert.equal(endpoint.inFlight, 0)
  })

  it('go away when they have waited long enough', () => {
    const simulation = new Simulation(1)
    const endpoint = new ModelEndpoint(simulation, { servers: 1, serviceTime: fixed(1000) })
    const latencies: number[] = []
    const onResult = (result: { latencyMs: number; isGood: boolean }) => latencies.push(result.isGood ? -1 : Math.round(result.latencyMs))
    closedLoop(simulation, endpoint, 1, { untilMs: 1, patienceMs: 100, onResult })
    simulation.run(5000)
    assert.deepEqual(latencies, [100])
  })
})

describe('the model of a gateway', () => {
  it('has the settings that a service has by default', async () => {
    const text =
      'listeners: { web: { address: ":8080" } }\nservices: { users: { endpoints: ["127.0.0.1:9001"] } }\nroutes: { all: { match: { prefix: / }, to: users } }\n'
    const result = await loadConfig({
      path: '/sluice.yaml',
      text,
      env: {},
      cpuCount: 2,
      readFile: async () => assert.fail('no file is named'),
      importModule: async () => assert.fail('a text is never imported'),
    })
    assert(result.ok)
    const { balance, ejection, retry, timeouts, breaker } = result.config.services['users']!
    assert.deepEqual(balance, DEFAULTS.balance)
    assert.equal(ejection?.maxFails, DEFAULTS.ejection?.maxFails)
    assert.equal(ejection?.failTimeoutMs, DEFAULTS.ejection?.failTimeoutMs)
    assert.equal(retry?.attempts, DEFAULTS.retry?.attempts)
    assert.deepEqual(retry?.on, DEFAULTS.retry?.on.map(String))
    assert.equal(retry?.budgetRatio, DEFAULTS.budget.windowRatio)
    assert.equal(timeouts.requestMs, DEFAULTS.requestMs)
    assert.equal(timeouts.perTryMs, DEFAULTS.perTryMs)
    assert.equal(breaker, DEFAULTS.breaker)
  })

  it('has its requests, attempts and places in order when all is over, whatever failed', () => {
    const simulation = new Simulation(9)
    const endpoints = Array.from({ length: 3 }, () => new ModelEndpoint(simulation, { servers: 2, serviceTime: (random) => 20 * random() }))
    const concurrency = { max: 20, maxQueued: 10, maxWaitMs: 50, gradient: null }
    const destinations = endpoints.map((upstream) => ({ upstream }))
    const gateway = new ModelGateway(simulation, destinations, { perTryMs: 100, requestMs: 250, breaker: BREAKER, concurrency }, 3)
    let results = 0
    openLoop(simulation, [gateway], { ratePerSecond: 400, untilMs: 20_000, patienceMs: 300, onResult: () => results++ })
    simulation.at(3_000, () => endpoints[0]!.crash())
    simulation.at(5_000, () => {
      endpoints[1]!.mode = 'hanging'
    })
    simulation.at(8_000, () => {
      endpoints[2]!.mode = 503
    })
    simulation.at(11_000, () => {
      for (const endpoint of endpoints) endpoint.restart()
    })
    simulation.run(60_000)
    assert.equal(results, gateway.requests)
    for (const { endpoints: views, budget, concurrency: limit } of gateway.workers) {
      for (const { state } of views) assert.equal(state.inFlight, 0)
      assert.deepEqual([budget.active, budget.retries, limit!.inFlight, limit!.queued], [0, 0, 0, 0])
    }
  })
})

describe('samples and charts', () => {
  it('know quantiles, and counts in time', () => {
    const samples = new Samples()
    for (let n = 100; n >= 1; n--) samples.add(n)
    assert.deepEqual([samples.quantile(0.5), samples.quantile(0.99), samples.quantile(1), samples.mean], [50, 99, 100, 50.5])
    const counts = new TimeCounts(2000, 500)
    for (const atMs of [0, 499, 500, 1999, 2000]) counts.add(atMs)
    assert.deepEqual(counts.perSecond(), [
      [0.25, 4],
      [0.75, 2],
      [1.25, 0],
      [1.75, 2],
    ])
    assert.equal(counts.meanPerSecond(0, 1), 3)
  })

  it('are well-formed text without what XML does not allow', () => {
    const series = [{ name: 'a < b & c', points: [[0, 0] as const, [10, 1234] as const] }]
    const bars = [{ name: 'x', values: [1, 1000] }]
    for (const svg of [
      lineChart({ title: 'T', x: 'seconds', y: 'per second', series, shades: [{ from: 2, to: 4, name: 'fault' }] }),
      barChart({ title: 'T', x: 'ms', labels: ['one', 'two'], series: bars, mark: { value: 10, name: 'ten' } }),
    ]) {
      assert.match(svg, /^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" viewBox="0 0 \d+ \d+"[^>]*>\n/)
      assert.equal(svg.match(/<(\w+)[^>]*[^/]>/g)?.length, svg.match(/<\/\w+>/g)?.length, 'every element that is opened is closed')
      assert(!/NaN|undefined|Infinity/.test(svg))
      assert(!svg.includes('a < b'))
    }
  })
})
