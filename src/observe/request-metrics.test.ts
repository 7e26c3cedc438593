import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MetricsStore } from './metrics-store.ts'
import {
  createMemoryReader,
  createProcessMetrics,
  EventLoopDelayMetric,
  startEventLoopDelay,
  systemProcessReader,
} from './process-metrics.ts'
import { formatPrometheus } from './prometheus.ts'
import { createGatewayErrorMetrics, createListenerMetrics, createRouteMetrics } from './request-metrics.ts'
import { ServiceMetrics } from './service-metrics.ts'

function lines(store: MetricsStore): string[] {
  return formatPrometheus(store.snapshot())
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#') && !line.includes('_bucket'))
}

describe('route metrics', () => {
  it('count status, duration and bytes under route and listener', () => {
    const store = new MetricsStore()
    const metrics = createRouteMetrics(store.registry, { route: 'users', listener: 'web' })
    metrics.finish(200, 250, 10, 100)
    metrics.finish(200, 250, 0, 100)
    metrics.finish(404, 500, 0, 5)
    metrics.finish(404, 0, 0, 0)
    metrics.finish(200, 1000, 0, 0)
    assert.deepEqual(lines(store), [
      'sluice_request_bytes_total{route="users"} 10',
      'sluice_request_duration_seconds_sum{route="users"} 2',
      'sluice_request_duration_seconds_count{route="users"} 5',
      'sluice_requests_total{code="200",listener="web",route="users"} 3',
      'sluice_requests_total{code="404",listener="web",route="users"} 2',
      'sluice_response_bytes_total{route="users"} 205',
    ])
  })

  it('cost no series until the first request', () => {
    const store = new MetricsStore()
    for (let i = 0; i < 10_000; i++) createRouteMetrics(store.registry, { route: `r${i}`, listener: 'web' })
    assert.deepEqual(lines(store), [])
  })

  it('of a new snapshot go on where the old one stopped', () => {
    const store = new MetricsStore()
    createRouteMetrics(store.registry, { route: 'users', listener: 'web' }).finish(200, 1, 0, 0)
    createRouteMetrics(store.registry, { route: 'users', listener: 'web' }).finish(200, 1, 0, 0)
    assert.ok(lines(store).includes('sluice_requests_total{code="200",listener="web",route="users"} 2'))
  })
})

describe('listener, service and error metrics', () => {
  it('count under their names', () => {
    const store = new MetricsStore()
    const listener = createListenerMetrics(store.registry, 'web')
    listener.connectionsAccepted.add(2)
    listener.connectionsOpen.add(2)
    listener.connectionsOpen.add(-1)
    createGatewayErrorMetrics(store.registry).add('route_not_found')
    const service = new ServiceMetrics(store.registry, 'users')
    service.attempt('success', 500, null)
    service.attempt('failure', 500, 'connect_failed')
    service.attempt('neutral', 1000, 'client_closed')
    service.idleConnections.add(1)
    const text = lines(store)
    for (const line of [
      'sluice_connections_accepted_total{listener="web"} 2',
      'sluice_connections_open{listener="web"} 1',
      'sluice_connections_refused_total{listener="web"} 0',
      'sluice_requests_in_flight{listener="web"} 0',
      'sluice_gateway_errors_total{code="route_not_found"} 1',
      'sluice_upstream_attempts_total{outcome="failure",service="users"} 1',
      'sluice_upstream_attempts_total{outcome="neutral",service="users"} 1',
      'sluice_upstream_attempts_total{outcome="success",service="users"} 1',
      'sluice_upstream_attempt_duration_seconds_sum{service="users"} 2',
      'sluice_upstream_errors_total{code="client_closed",service="users"} 1',
      'sluice_upstream_errors_total{code="connect_failed",service="users"} 1',
      'sluice_upstream_connections{service="users",state="idle"} 1',
    ]) {
      assert.ok(text.includes(line), line)
    }
  })
})

describe('process metrics', () => {
  it('count CPU time as it grows and leave out descriptors the system does not tell', () => {
    const store = new MetricsStore()
    let cpuSeconds = 1.5
    const reader = { cpuSeconds: () => cpuSeconds, residentBytes: () => 1024, openFds: () => null }
    store.onSnapshot(createProcessMetrics(store.registry, { reader, version: '1.2.3', nodeVersion: '24.0.0', startTimeMs: 5000 }))
    const expected = [
      'process_cpu_seconds_total 1.5',
      'process_resident_memory_bytes 1024',
      'process_start_time_seconds 5',
      'sluice_build_info{node_version="24.0.0",version="1.2.3"} 1',
    ]
    assert.deepEqual(lines(store), expected)
    cpuSeconds = 2
    assert.equal(lines(store)[0], 'process_cpu_seconds_total 2')
    cpuSeconds = 1
    assert.equal(lines(store)[0], 'process_cpu_seconds_total 2')
  })

  it('read this process', () => {
    assert.ok(systemProcessReader.cpuSeconds() > 0)
    assert.ok(systemProcessReader.residentBytes() > 1024 * 1024)
    assert.ok((systemProcessReader.openFds() ?? 3) >= 3)
    const ratio = createMemoryReader()()
    assert.ok(ratio > 0 && ratio < 1, `${ratio}`)
  })
})

describe('event-loop delay', () => {
  it('is the longest of the last fifteen publishes, beyond the sampling interval', () => {
    const store = new MetricsStore()
    const histogram = { max: 0, count: 1, reset() {} }
    const metric = new EventLoopDelayMetric(store.registry, 3, histogram)
    const publish = (maxMs: number): string => {
      histogram.max = maxMs * 1e6
      metric.publish()
      return lines(store)[0]!
    }
    assert.equal(publish(270), 'sluice_worker_event_loop_delay_seconds{worker="3"} 0.25')
    for (let i = 0; i < 14; i++) assert.equal(publish(20), 'sluice_worker_event_loop_delay_seconds{worker="3"} 0.25')
    assert.equal(publish(10), 'sluice_worker_event_loop_delay_seconds{worker="3"} 0')
  })

  it('is not lost to the next publish when somebody samples it more often', () => {
    const store = new MetricsStore()
    const histogram = {
      max: 0,
      count: 1,
      reset() {
        this.max = 0
      },
    }
    const metric = new EventLoopDelayMetric(store.registry, 3, histogram)
    const sample = (maxMs: number) => {
      histogram.max = maxMs * 1e6
      return metric.sampleMs()
    }
    assert.deepEqual([sample(120), sample(20), sample(10)], [100, 0, 0])
    metric.publish()
    assert.equal(lines(store)[0], 'sluice_worker_event_loop_delay_seconds{worker="3"} 0.1')
  })

  it('can be started and stopped on a real loop', () => {
    const store = new MetricsStore()
    const delay = startEventLoopDelay(store.registry, 0)
    delay.publish()
    delay.stop()
    assert.match(lines(store)[0]!, /^sluice_worker_event_loop_delay_seconds\{worker="0"\} [\d.]+$/)
  })
})
