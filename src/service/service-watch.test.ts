import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { createSeededRandom, ManualClock } from '../base/clock.ts'
import { repeat } from '../base/shared-race.contract.ts'
import { ADAPTIVE_THROTTLE_DEFAULTS } from '../breaker/adaptive-throttle.ts'
import { CIRCUIT_BREAKER_DEFAULTS } from '../breaker/circuit-breaker.ts'
import { EJECTION_DEFAULTS, maxEjectable } from '../breaker/ejection.ts'
import type { BreakerConfig, GatewayConfig, OutlierConfig, ServiceConfig } from '../config/types.ts'
import type { Log, LogFields } from '../observe/log.ts'
import { MetricsStore } from '../observe/metrics-store.ts'
import { formatPrometheus } from '../observe/prometheus.ts'
import { NOT_ASIDE } from './endpoint.ts'
import { EndpointStateStore } from './endpoint-state-store.ts'
import { EndpointStates } from './endpoint-states.ts'
import { Governance, GovernanceStore } from './governance.ts'
import { ServiceWatch } from './service-watch.ts'

const random = createSeededRandom(3)
const FAILING = { maxFails: 3, failTimeoutMs: 10_000 }
const OUTLIERS: OutlierConfig = { ...EJECTION_DEFAULTS, latencyFactor: 3, intervalMs: 10_000, maxEjectedRatio: 0.5 }
const CIRCUIT: BreakerConfig = { ...CIRCUIT_BREAKER_DEFAULTS, kind: 'circuit', per: 'service', roundsToPercent: false }

function service(count: number, change: Partial<ServiceConfig> = {}): ServiceConfig {
  return {
    name: 'users',
    endpoints: Array.from({ length: count }, (_, i) => ({ address: `e${i}:1`, host: 'e', port: 1, weight: 1, tags: {} })),
    balance: { algorithm: 'round-robin' },
    timeouts: { requestMs: 15_000 },
    ejection: { ...FAILING, outliers: OUTLIERS },
    breaker: null,
    retry: null,
    ...change,
  } as ServiceConfig
}

function setUp(config: ServiceConfig) {
  const clock = new ManualClock(1_700_000_000_000)
  const lines: string[] = []
  const write = (level: string) => (message: string, fields?: LogFields) =>
    void lines.push(`${level}: ${message} ${JSON.stringify(fields)}`)
  const log: Log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
  const store = new EndpointStateStore({ workers: 2 })
  const governances = new GovernanceStore(2, random)
  const metrics = new MetricsStore()
  const watch = new ServiceWatch({ clock, states: store, metrics, log })
  let states = new EndpointStates({ segments: [], slots: {} }, 1)
  let governance: Governance
  const apply = (next: ServiceConfig) => {
    states = new EndpointStates(store.retain([next], clock.now()).layout, 1)
    const { layout } = governances.retain({ services: { users: next }, routes: {} } as unknown as GatewayConfig, clock.now())
    governance = new Governance(layout, 1, random)
    watch.update({ users: next }, new Governance(layout, 0, random))
  }
  apply(config)
  const state = (endpoint: number) => states.state('users', `e${endpoint}:1`, 1, { ...FAILING, outliers: {} })
  /** So many requests to an endpoint. */
  const send = (endpoint: number, count: number, { errors = 0, failures = 0, latencyMs = 10 } = {}) => {
    for (let i = 0; i < count; i++) {
      state(endpoint).begin()
      state(endpoint).end(i < failures ? 'failure' : 'success', clock.now(), latencyMs, i < failures + errors)
    }
  }
  const pass = (ms: number) => {
    for (let left = ms; left > 0; left -= 250) {
      clock.advance(Math.min(left, 250))
      watch.tick()
    }
  }
  const series = (name: string) =>
    formatPrometheus(metrics.snapshot())
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`))
      .map((line) => line.slice(name.length))
  const isOut = (endpoint: number) => state(endpoint).asideMs(clock.now()) !== NOT_ASIDE
  const breaker = (address: string | null, of: BreakerConfig) => governance.breaker('users', address, of, 15_000)
  return { clock, lines, watch, apply, state, send, pass, series, isOut, breaker }
}

describe('outliers of a service', () => {
  it('by errors are ejected at the next sweep, said once, and used again after their time, with slow start', () => {
    const { clock, lines, watch, state, send, pass, series, isOut } = setUp(
      service(4, { balance: { algorithm: 'round-robin', slowStartMs: 10_000 } }),
    )
    pass(1000)
    for (const endpoint of [0, 1, 3]) send(endpoint, 200, { errors: 2 })
    send(2, 200, { errors: 100 })
    pass(8750)
    assert(!isOut(2))
    pass(250)
    assert(isOut(2))
    const why = '50% errors, the others 1%'
    assert.deepEqual(lines, [
      `warn: an endpoint is ejected {"service":"users","endpoint":"e2:1","reason":"error-rate","why":"${why}","forMs":30000}`,
    ])
    assert.deepEqual(watch.endpoint('users', 'e2:1').aside, { reason: 'error-rate', why, isOnTrial: false, leftMs: 30_000 })
    assert.deepEqual(series('sluice_endpoint_ejections_total'), ['{reason="error-rate",service="users"} 1'])
    assert(series('sluice_endpoint_ejected').includes('{endpoint="e2:1",service="users"} 1'))
    pass(30_000)
    assert.equal(watch.endpoint('users', 'e2:1').aside?.isOnTrial, true)
    assert(state(2).admit(clock.now()))
    send(2, 1)
    pass(250)
    assert(!isOut(2))
    assert.equal(lines[1], 'info: an endpoint is in use again {"service":"users","endpoint":"e2:1"}')
    assert.equal(watch.endpoint('users', 'e2:1').aside, null)
    assert(series('sluice_endpoint_ejected').includes('{endpoint="e2:1",service="users"} 0'))
    pass(4750)
    assert.equal(watch.endpoint('users', 'e2:1').slowStartPercent, 55)
    assert.equal(lines.length, 2)
  })

  it('are ejected for longer each time in a row', () => {
    const { clock, lines, state, send, pass } = setUp(service(3))
    for (let round = 0; round < 3; round++) {
      for (const endpoint of [0, 1]) send(endpoint, 200)
      send(2, 200, { errors: 200 })
      pass(10_000)
      const { leftMs } = { leftMs: state(2).asideMs(clock.now()) }
      pass(Math.ceil(leftMs / 10_000) * 10_000)
      assert(state(2).admit(clock.now()))
      send(2, 1)
    }
    const times = lines.filter((line) => line.includes('is ejected')).map((line) => /"forMs":(\d+)/.exec(line)?.[1])
    assert.deepEqual(times, ['30000', '60000', '90000'])
  })

  it('by latency are ejected too', () => {
    const { lines, send, pass, isOut } = setUp(service(3))
    send(0, 150, { latencyMs: 20 })
    send(1, 150, { latencyMs: 30 })
    send(2, 150, { latencyMs: 100 })
    pass(10_000)
    assert(isOut(2) && !isOut(0) && !isOut(1))
    assert.match(lines[0]!, /"reason":"latency","why":"100 ms to answer on average, the others 20 ms"/)
  })

  it('are none with 404s, with too few requests, while all fail, or without the rules', () => {
    const well = setUp(service(3))
    // What a 404 is to the state of an endpoint: a success.
    well.send(0, 500)
    well.send(1, 500)
    well.send(2, 99, { errors: 99 })
    well.pass(20_000)
    const all = setUp(service(3))
    for (const endpoint of [0, 1, 2]) all.send(endpoint, 500, { errors: 400 })
    all.pass(20_000)
    const off = setUp(service(3, { ejection: { ...FAILING, outliers: null } }))
    for (const endpoint of [0, 1, 2]) off.send(endpoint, 500, { errors: endpoint === 2 ? 500 : 0 })
    off.pass(20_000)
    for (const { isOut, lines } of [well, all, off]) {
      assert.deepEqual([0, 1, 2].filter(isOut), [])
      assert.deepEqual(lines, [])
    }
  })

  it('that are too many stay, which is said once a minute', () => {
    const { lines, send, pass, isOut } = setUp(service(4, { ejection: { ...FAILING, outliers: { ...OUTLIERS, maxEjectedRatio: 0.25 } } }))
    for (let round = 0; round < 3; round++) {
      for (const endpoint of [0, 1]) send(endpoint, 200)
      for (const endpoint of [2, 3]) if (!isOut(endpoint)) send(endpoint, 200, { errors: 150 + endpoint })
      pass(10_000)
    }
    assert.deepEqual([0, 1, 2, 3].filter(isOut), [3])
    assert.equal(lines.filter((line) => line.includes('because too many are out of use')).length, 1)
  })

  it('are compared by what they did since the last sweep, and a reload changes nothing about that', () => {
    const { send, pass, isOut, apply } = setUp(service(3))
    for (const endpoint of [0, 1, 2]) send(endpoint, 500)
    pass(10_000)
    for (const endpoint of [0, 1]) send(endpoint, 100)
    send(2, 100, { errors: 60 })
    pass(5000)
    apply(service(3, { retry: null, hostHeader: 'endpoint' }))
    pass(5000)
    assert(isOut(2))
  })

  it('never leave a service with none, nor more than the share, whatever happens', () => {
    const step = fc.record({
      endpoint: fc.nat(5),
      errors: fc.constantFrom(0, 0, 120),
      latencyMs: fc.constantFrom(1, 10, 500),
      waitMs: fc.constantFrom(0, 1000, 10_000, 40_000),
    })
    const property = fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.constantFrom(0, 0.3, 0.5, 1),
      fc.array(step, { maxLength: 60 }),
      (n, ratio, steps) => {
        const { clock, state, send, pass, isOut } = setUp(
          service(n, { ejection: { maxFails: 0, failTimeoutMs: 10_000, outliers: { ...OUTLIERS, maxEjectedRatio: ratio } } }),
        )
        for (const { endpoint, errors, latencyMs, waitMs } of steps) {
          const index = endpoint % n
          if (!isOut(index) || state(index).admit(clock.now())) send(index, 120, { errors, latencyMs })
          if (waitMs > 0) pass(waitMs)
          const out = Array.from({ length: n }, (_, i) => i).filter(isOut).length
          assert(out <= maxEjectable(n, ratio) && out < n, `${out} of ${n}`)
        }
      },
    )
    fc.assert(property, { numRuns: repeat(60), seed: 5 })
  })
})

describe('endpoints that workers put aside', () => {
  it('are counted and told, and why they are out of use', () => {
    const { lines, watch, send, pass, series } = setUp(service(2, { ejection: { ...FAILING, outliers: null } }))
    send(0, 3, { failures: 3 })
    pass(250)
    assert.deepEqual(lines, ['warn: an endpoint is put aside {"service":"users","endpoint":"e0:1","reason":"failures","failures":3}'])
    assert.deepEqual(series('sluice_endpoint_ejections_total'), ['{reason="failures",service="users"} 1'])
    assert.deepEqual(watch.endpoint('users', 'e0:1').aside, {
      reason: 'failures',
      why: '3 failures in a row',
      isOnTrial: false,
      leftMs: 9750,
    })
    pass(20_000)
    assert.equal(lines.length, 1)
  })

  it('do not flood the log when they are many', () => {
    const { lines, send, pass } = setUp(service(200, { ejection: { ...FAILING, outliers: null } }))
    for (let endpoint = 0; endpoint < 200; endpoint++) send(endpoint, 3, { failures: 3 })
    pass(2000)
    assert.equal(lines.length, 21)
    assert.equal(lines[20], 'warn: more endpoints and breakers changed than are named here {"left":180}')
  })
})

describe('breakers', () => {
  it('are told when they open, open again and close, with numbers', () => {
    const { clock, lines, watch, pass, series, breaker } = setUp(service(1, { breaker: CIRCUIT }))
    const circuit = breaker(null, CIRCUIT)
    const record = (outcome: 'success' | 'failure') => circuit.record(circuit.allow(clock.now()), outcome, 1, clock.now())
    for (let i = 0; i < 8; i++) record('success')
    for (let i = 0; i < 12; i++) record('failure')
    pass(250)
    assert.deepEqual(lines, [
      'warn: a breaker opened {"service":"users","requests":20,"failures":12,"slow":0,"errorPercent":60,"openForMs":4750}',
    ])
    assert.deepEqual(series('sluice_breaker_state'), ['{endpoint="",service="users"} 2'])
    const { breaker: view } = watch.service('users')
    assert.deepEqual(view, { state: 'open', requests: 20, failures: 12, slow: 0, errorPercent: 60, openings: 1, openForMs: 4750 })
    pass(4750)
    assert.deepEqual(series('sluice_breaker_state'), ['{endpoint="",service="users"} 1'])
    record('failure')
    pass(250)
    // The numbers are of what opened it, as long as that lies in the window.
    assert.match(lines[1]!, /^warn: a breaker opened again: a trial request failed .*"requests":20,"failures":12,.*"openForMs":9750}$/)
    pass(9750)
    record('success')
    pass(250)
    assert.equal(lines[2], 'info: a breaker closed {"service":"users"}')
    assert.deepEqual(series('sluice_breaker_state'), ['{endpoint="",service="users"} 0'])
    pass(60_000)
    assert.equal(lines.length, 3)
  })

  it('have a gauge and a view for each endpoint where they are per endpoint, gone with the endpoint', () => {
    const perEndpoint: BreakerConfig = { ...CIRCUIT, per: 'endpoint', minRequests: 1 }
    const { clock, lines, watch, pass, series, breaker, apply } = setUp(service(2, { breaker: perEndpoint }))
    const circuit = breaker('e1:1', perEndpoint)
    circuit.record(circuit.allow(clock.now()), 'failure', 1, clock.now())
    pass(250)
    assert.match(lines[0]!, /^warn: a breaker opened \{"service":"users","endpoint":"e1:1","requests":1/)
    assert.deepEqual(series('sluice_breaker_state'), ['{endpoint="e0:1",service="users"} 0', '{endpoint="e1:1",service="users"} 2'])
    assert.equal(watch.service('users').breaker, null)
    assert.equal(watch.endpoint('users', 'e0:1').breaker?.state, 'closed')
    assert.equal(watch.endpoint('users', 'e1:1').breaker?.state, 'open')
    apply(service(1, { breaker: perEndpoint }))
    assert.deepEqual(series('sluice_breaker_state'), ['{endpoint="e0:1",service="users"} 0'])
  })

  it('that throttle tell when they begin and end, at most every ten seconds', () => {
    const throttle: BreakerConfig = { ...ADAPTIVE_THROTTLE_DEFAULTS, kind: 'adaptive-throttle', per: 'service' }
    const { clock, lines, pass, breaker } = setUp(service(1, { breaker: throttle }))
    const view = breaker(null, throttle)
    for (let i = 0; i < 200; i++) view.record(view.allow(clock.now()) || 1, 'failure', 1, clock.now())
    pass(250)
    assert.match(lines[0]!, /^warn: a breaker turns requests away \{"service":"users","requests":\d+/)
    pass(5000)
    assert.equal(lines.length, 1)
    pass(5000)
    assert.deepEqual(lines.slice(1), ['info: a breaker lets all requests pass again {"service":"users"}'])
  })
})
