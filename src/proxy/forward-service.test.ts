import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../base/clock.ts'
import type { ServiceConfig } from '../config/types.ts'
import type { ServiceMetrics } from '../observe/service-metrics.ts'
import type { Endpoint } from '../service/endpoint.ts'
import type { PoolSet } from '../upstream/pool-set.ts'
import { ForwardService } from './forward-service.ts'

function createService(maxDestinations: number): { service: ForwardService; clock: ManualClock; kept: string[][] } {
  const clock = new ManualClock(1000)
  const kept: string[][] = []
  const pools = { keepOnly: (addresses: ReadonlySet<string>) => kept.push([...addresses]) } as unknown as PoolSet
  const config = { name: 'forward:x', pool: { idleTimeoutMs: 30_000 } } as ServiceConfig
  return { service: new ForwardService({ config, clock, metrics: {} as ServiceMetrics, pools, maxDestinations }), clock, kept }
}

function endpointOf(service: ForwardService, hashKey: string): Endpoint {
  const pick = service.pick({ hashKey, tried: null, nowMs: 0 })
  assert.ok(pick.kind === 'endpoint')
  return pick.endpoint
}

test('a request goes to exactly the address that was decided on', () => {
  const { service } = createService(10)
  assert.equal(service.use(['1.2.3.4'], 80), '1.2.3.4:80')
  assert.equal(service.use(['2a00::1'], 443), '[2a00::1]:443')
  const { host, port, address } = endpointOf(service, '[2a00::1]:443')
  assert.deepEqual({ host, port, address }, { host: '2a00::1', port: 443, address: '[2a00::1]:443' })
  assert.deepEqual(service.pick({ hashKey: '1.2.3.4:81', tried: null, nowMs: 0 }), { kind: 'none', reason: 'empty' })
})

test('of several addresses, one that failed lately is not the first choice', () => {
  const { service, clock } = createService(10)
  const choose = () => service.use(['1.1.1.1', '2.2.2.2'], 80)
  assert.equal(choose(), '1.1.1.1:80')
  const { state } = endpointOf(service, '1.1.1.1:80')
  state.begin()
  state.end('failure', clock.now())
  assert.equal(choose(), '2.2.2.2:80')
  const other = endpointOf(service, '2.2.2.2:80').state
  other.begin()
  other.end('failure', clock.now())
  assert.equal(choose(), '1.1.1.1:80')
  clock.advance(30_000)
  assert.equal(choose(), '1.1.1.1:80')
})

test('a full table gives up the address that was not used for longest and has no requests', () => {
  const { service, kept } = createService(2)
  const busy = endpointOf(service, service.use(['1.1.1.1'], 80)).state
  busy.begin()
  service.use(['2.2.2.2'], 80)
  service.use(['3.3.3.3'], 80)
  assert.deepEqual(
    service.endpoints.map(({ host }) => host),
    ['1.1.1.1', '3.3.3.3'],
  )
  endpointOf(service, '3.3.3.3:80').state.begin()
  // All are in use: the oldest goes, and its requests end on the connections they have.
  service.use(['4.4.4.4'], 80)
  assert.deepEqual(
    service.endpoints.map(({ host }) => host),
    ['3.3.3.3', '4.4.4.4'],
  )
  assert.deepEqual(kept.at(-1), ['3.3.3.3:80'])
})

test('addresses nobody uses are forgotten after the time their connections are kept', () => {
  const { service, clock, kept } = createService(10)
  const busy = endpointOf(service, service.use(['1.1.1.1'], 80)).state
  busy.begin()
  service.use(['2.2.2.2'], 80)
  clock.advance(20_000)
  service.use(['3.3.3.3'], 80)
  service.sweep()
  assert.equal(kept.length, 0)
  clock.advance(15_000)
  service.sweep()
  assert.deepEqual(
    service.endpoints.map(({ host }) => host),
    ['1.1.1.1', '3.3.3.3'],
  )
  assert.deepEqual(kept, [['1.1.1.1:80', '3.3.3.3:80']])
})
