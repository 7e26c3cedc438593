import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createLimitMetrics, type LimitStatus, ShedMetrics } from './limit-metrics.ts'
import { MetricsStore } from './metrics-store.ts'
import { formatPrometheus } from './prometheus.ts'

function lines(store: MetricsStore, start: string): string[] {
  return formatPrometheus(store.snapshot())
    .split('\n')
    .filter((line) => line.startsWith(`${start}{`))
    .map((line) => line.slice(start.length))
    .sort()
}

describe('the metrics of limits', () => {
  it('count what was turned away by reason and importance', () => {
    const store = new MetricsStore()
    const shed = new ShedMetrics(store.registry, 'service', 'up', ['core', 'normal'])
    shed.add('queue-full', 1)
    shed.add('queue-full', 1)
    shed.add('queue-full', 0)
    shed.add('displaced', 1)
    assert.deepEqual(lines(store, 'sluice_shed_total'), [
      '{importance="core",name="up",reason="queue-full",scope="service"} 1',
      '{importance="normal",name="up",reason="displaced",scope="service"} 1',
      '{importance="normal",name="up",reason="queue-full",scope="service"} 2',
    ])
  })

  it('show each limit as it is at the scrape, and zeros for one that is gone', () => {
    const store = new MetricsStore()
    let status: LimitStatus[] = [
      { scope: 'service', name: 'up', limit: 10, inFlight: 7, waiting: 0 },
      { scope: 'route', name: 'up', limit: 2, inFlight: 2, waiting: 5 },
    ]
    store.onSnapshot(createLimitMetrics(store.registry, () => status))
    const all = () => ['limit', 'in_flight', 'waiting'].map((what) => lines(store, `sluice_concurrency_${what}`))
    assert.deepEqual(all(), [
      ['{name="up",scope="route"} 2', '{name="up",scope="service"} 10'],
      ['{name="up",scope="route"} 2', '{name="up",scope="service"} 7'],
      ['{name="up",scope="route"} 5', '{name="up",scope="service"} 0'],
    ])
    status = status.slice(0, 1)
    assert.deepEqual(all(), [
      ['{name="up",scope="route"} 0', '{name="up",scope="service"} 10'],
      ['{name="up",scope="route"} 0', '{name="up",scope="service"} 7'],
      ['{name="up",scope="route"} 0', '{name="up",scope="service"} 0'],
    ])
  })
})
