import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { HealthConfig, ServiceConfig } from '../../config/types.ts'
import type { Log, LogFields } from '../../observe/log.ts'
import { MetricsStore } from '../../observe/metrics-store.ts'
import { formatPrometheus } from '../../observe/prometheus.ts'
import { createRoundRobinPicker } from '../balance/round-robin.ts'
import { createEndpoint, NOT_ASIDE } from '../endpoint.ts'
import { EndpointStateStore } from '../endpoint-state-store.ts'
import { EndpointStates } from '../endpoint-states.ts'
import { HealthChecks } from './health-checks.ts'
import { HEALTH, VirtualNetwork } from './virtual-network.contract.ts'

const EJECTION = { maxFails: 3, failTimeoutMs: 100_000 }

function service(name: string, addresses: string[], health: Partial<HealthConfig> | null = {}): ServiceConfig {
  return {
    name,
    endpoints: addresses.map((address) => ({ address, host: 'a', port: 1, weight: 1, tags: {} })),
    protocol: 'http1',
    tls: null,
    hostHeader: 'preserve',
    balance: { algorithm: 'round-robin' },
    pool: { idleTimeoutMs: 90_000, connectTimeoutMs: 1000, maxConnections: 1024, maxPending: 1024, pendingTimeoutMs: 1000 },
    timeouts: { requestMs: 15_000, perTryMs: null, idleMs: 60_000 },
    health: health === null ? null : { ...HEALTH, ...health },
    ejection: EJECTION,
  } as ServiceConfig
}

function setUp(...services: ServiceConfig[]) {
  const network = new VirtualNetwork()
  const { clock, random, wheel, startProbe } = network
  const lines: string[] = []
  const write = (level: string) => (message: string, fields?: LogFields) => {
    lines.push(`${level}: ${message} ${JSON.stringify(fields)}`)
  }
  const log: Log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
  const states = new EndpointStateStore({ workers: 2 })
  const metrics = new MetricsStore()
  const checks = new HealthChecks({ clock, random, wheel, startProbe, states, metrics, log })
  let views = new EndpointStates({ segments: [], slots: {} }, 0)
  let lease = states.retain([], clock.now())
  /** As a reload does it; `between` is when the workers already have the new configuration. */
  const apply = (list: ServiceConfig[], between: () => void = () => {}) => {
    const before = lease
    lease = states.retain(list, clock.now())
    const byName = Object.fromEntries(list.map((one) => [one.name, one]))
    checks.expect(byName)
    views = new EndpointStates(lease.layout, 0)
    between()
    checks.update(byName)
    before.release(clock.now())
  }
  apply(services)
  const state = (address: string, name = 'users') => views.state(name, address, 1, EJECTION)
  return { network, clock, lines, states, metrics, checks, apply, state, views: () => views }
}

function gauges(metrics: MetricsStore): string[] {
  return formatPrometheus(metrics.snapshot())
    .split('\n')
    .filter((line) => line.startsWith('sluice_endpoint_health{'))
    .map((line) => line.slice('sluice_endpoint_health'.length))
}

describe('active checks', () => {
  it('take an endpoint that fails out of use on every worker, and back, and say so once each time', () => {
    const { network, lines, state } = setUp(service('users', ['a:1', 'b:1']))
    network.pass(10_000)
    assert.deepEqual(
      lines.filter((line) => !line.startsWith('debug')),
      [],
    )
    network.behaviours.set('a:1', 'refused')
    network.pass(60_000)
    assert(!state('a:1').isAvailable(network.clock.now()))
    assert(state('b:1').isAvailable(network.clock.now()))
    network.behaviours.set('a:1', 'ok')
    network.pass(60_000)
    assert.equal(state('a:1').asideMs(network.clock.now()), NOT_ASIDE)
    assert.deepEqual(
      lines.filter((line) => !line.startsWith('debug')),
      [
        'warn: an endpoint is unhealthy {"service":"users","endpoint":"a:1","failedChecks":2,"reason":"connection refused"}',
        'info: an endpoint is healthy again {"service":"users","endpoint":"a:1"}',
      ],
    )
  })

  it('leave an endpoint in use until they know, unless it is to start as unhealthy', () => {
    const { clock, state, network } = setUp(service('users', ['a:1']), service('orders', ['b:1'], { startUnhealthy: true }))
    assert(state('a:1').isAvailable(clock.now()))
    assert(!state('b:1', 'orders').isAvailable(clock.now()))
    network.pass(600)
    assert(state('b:1', 'orders').isAvailable(clock.now()))
  })

  it('end that an endpoint is put aside when it passes, but not by a check that was sent before', () => {
    const { network, state } = setUp(service('users', ['a:1', 'b:1']))
    network.pass(10_000)
    const one = state('a:1')
    const before = network.startsOf('a:1').length
    for (let i = 0; i < 1000 && network.startsOf('a:1').length === before; i++) network.pass(10)
    for (let i = 0; i < 3; i++) {
      one.begin()
      one.end('failure', network.clock.now() + 1)
    }
    network.pass(network.latencyMs + 10)
    assert(!one.isAvailable(network.clock.now()), 'that check had begun before')
    network.pass(5600)
    assert.equal(one.asideMs(network.clock.now()), NOT_ASIDE)
  })

  it('do not end that an endpoint is put aside while it is still unhealthy', () => {
    const { network, state, states } = setUp(service('users', ['a:1', 'b:1'], { healthyAfter: 3 }))
    network.behaviours.set('a:1', 'refused')
    network.pass(20_000)
    const one = state('a:1')
    for (let i = 0; i < 3; i++) {
      one.begin()
      one.end('failure', network.clock.now())
    }
    network.behaviours.set('a:1', 'ok')
    network.pass(1500)
    assert(!one.isAvailable(network.clock.now()))
    assert.equal(states.statistics().find((row) => row.address === 'a:1')?.isAside, true)
    network.pass(3000)
    assert.equal(one.asideMs(network.clock.now()), NOT_ASIDE)
  })

  it('steer a picker at once, which uses all endpoints again when every one is unhealthy', () => {
    const { network, lines, clock, state, views } = setUp(service('users', ['a:1', 'b:1', 'c:1']))
    const endpoints = ['a:1', 'b:1', 'c:1'].map((address) =>
      createEndpoint({ address, host: 'a', port: 1, weight: 1, tags: {} } as Parameters<typeof createEndpoint>[0], state(address)),
    )
    const picker = createRoundRobinPicker(endpoints, { random: network.random, changes: views().changes('users') })
    const picked = () => {
      const seen = new Set<string>()
      for (let i = 0; i < 12; i++) {
        const pick = picker.pick({ tried: null, nowMs: clock.now() })
        assert(pick.kind === 'endpoint')
        seen.add(pick.endpoint.address)
      }
      return [...seen].sort()
    }
    network.pass(10_000)
    assert.deepEqual(picked(), ['a:1', 'b:1', 'c:1'])
    network.behaviours.set('b:1', 'refused')
    network.pass(20_000)
    assert.deepEqual(picked(), ['a:1', 'c:1'])
    network.behaviours.set('a:1', 'silent')
    network.behaviours.set('c:1', 'refused')
    network.pass(20_000)
    assert.deepEqual(picked(), ['a:1', 'b:1', 'c:1'])
    const all = 'error: every endpoint of the service is unhealthy; requests go to all of them {"service":"users","endpoints":3}'
    assert.equal(lines.filter((line) => line === all).length, 1)
    network.behaviours.set('c:1', 'ok')
    network.pass(1200)
    assert.deepEqual(picked(), ['c:1'])
    assert.equal(lines.at(-1), 'info: the service has a healthy endpoint again {"service":"users"}')
  })

  it('say once a minute, not for each endpoint, that they cannot be made', () => {
    const addresses = Array.from({ length: 50 }, (_, i) => `a:${i + 1}`)
    const { network, lines, checks } = setUp(service('users', addresses))
    network.pass(10_000)
    for (const address of addresses) network.behaviours.set(address, 'local')
    network.pass(90_000)
    assert.equal(lines.filter((line) => line.startsWith('error: health checks cannot be made')).length, 2)
    assert.equal(checks.describe('users', 'a:1')?.state, 'healthy')
  })
})

describe('a reload', () => {
  it('keeps what is known when the check changes', () => {
    const { network, apply, state, checks, lines } = setUp(service('users', ['a:1', 'b:1']))
    network.behaviours.set('a:1', 'refused')
    network.pass(20_000)
    const { length } = lines
    apply([service('users', ['a:1', 'b:1'], { check: { kind: 'tcp' }, intervalMs: 9000 })], () => {
      assert(!state('a:1').isAvailable(network.clock.now()))
    })
    assert(!state('a:1').isAvailable(network.clock.now()))
    assert.equal(checks.describe('users', 'b:1')?.state, 'healthy')
    assert.equal(lines.length, length)
  })

  it('that ends the checks lets every endpoint be used again', () => {
    const { network, apply, state, checks, metrics } = setUp(service('users', ['a:1', 'b:1']))
    network.behaviours.set('a:1', 'refused')
    network.pass(20_000)
    apply([service('users', ['a:1', 'b:1'], null)])
    assert(state('a:1').isAvailable(network.clock.now()))
    assert.equal(checks.describe('users', 'a:1'), null)
    assert.deepEqual(gauges(metrics), [])
    const checksBefore = network.startsOf('a:1').length
    network.pass(20_000)
    assert.equal(network.startsOf('a:1').length, checksBefore)
  })

  it('makes new endpoints wait where they are to start as unhealthy, before a worker can pick them', () => {
    const { network, apply, state } = setUp(service('users', ['a:1'], null))
    apply([service('users', ['a:1', 'b:1'], { startUnhealthy: true })], () => {
      assert(!state('b:1').isAvailable(network.clock.now()))
      assert(state('a:1').isAvailable(network.clock.now()), 'one that serves already goes on')
    })
    assert(!state('b:1').isAvailable(network.clock.now()))
    assert(state('a:1').isAvailable(network.clock.now()))
    network.pass(600)
    assert(state('b:1').isAvailable(network.clock.now()))
  })

  it('that was rolled back leaves nothing behind', () => {
    const { network, checks, states, state, apply } = setUp(service('users', ['a:1'], null))
    const wanted = service('users', ['a:1', 'b:1'], { startUnhealthy: true })
    const lease = states.retain([wanted], network.clock.now())
    checks.expect({ users: wanted })
    lease.release(network.clock.now())
    apply([service('users', ['a:1', 'b:1'], null)])
    assert(state('b:1').isAvailable(network.clock.now()))
  })

  it('does not bring an endpoint back as it was before it was removed', () => {
    const { network, apply, state } = setUp(service('users', ['a:1', 'b:1']))
    network.behaviours.set('b:1', 'refused')
    network.pass(20_000)
    apply([service('users', ['a:1'])])
    network.pass(1000)
    apply([service('users', ['a:1', 'b:1'])])
    assert(state('b:1').isAvailable(network.clock.now()))
  })
})

describe('what is to be seen', () => {
  it('is the state of each endpoint with its last check', () => {
    const { network, checks } = setUp(service('users', ['a:1']), service('orders', ['b:1'], null))
    assert.deepEqual(checks.describe('users', 'a:1'), {
      state: 'unknown',
      since: new Date(1_700_000_000_000 + 1_000_000).toISOString(),
      passedInARow: 0,
      failedInARow: 0,
      lastCheck: null,
    })
    assert.equal(checks.describe('orders', 'b:1'), null)
    network.behaviours.set('a:1', 'refused')
    network.pass(20_000)
    const health = checks.describe('users', 'a:1')
    assert.equal(health?.state, 'unhealthy')
    assert.equal(health.lastCheck?.result, 'fail')
    assert.equal(health.lastCheck.error, 'connection refused')
    assert.equal(health.lastCheck.durationMs, 20)
    const checkedMs = Date.parse(health.lastCheck.at)
    assert.equal(checkedMs, 1_700_000_000_000 + network.startsOf('a:1').at(-1)!)
  })

  it('is a gauge for each endpoint that is checked now, and counters that stay', () => {
    const { network, metrics, apply } = setUp(service('users', ['a:1', 'b:1']), service('orders', ['c:1'], null))
    assert.deepEqual(gauges(metrics), ['{endpoint="a:1",service="users"} -1', '{endpoint="b:1",service="users"} -1'])
    network.behaviours.set('b:1', 'refused')
    network.pass(20_000)
    assert.deepEqual(gauges(metrics), ['{endpoint="a:1",service="users"} 1', '{endpoint="b:1",service="users"} 0'])
    apply([service('users', ['a:1', 'd:1'])])
    assert.deepEqual(gauges(metrics), ['{endpoint="a:1",service="users"} 1', '{endpoint="d:1",service="users"} -1'])
    const text = formatPrometheus(metrics.snapshot())
    const failed = Number(/sluice_health_checks_total\{result="fail",service="users"\} (\d+)/.exec(text)?.[1])
    assert.equal(failed, network.startsOf('b:1').length)
    assert.match(text, /sluice_health_check_duration_seconds_count\{service="users"\} \d+/)
  })

  it('ends with the checks', () => {
    const { network, checks, apply } = setUp(service('users', ['a:1']))
    checks.stop()
    apply([service('users', ['a:1', 'b:1'])])
    network.pass(20_000)
    assert.equal(network.starts.size, 0)
  })
})
