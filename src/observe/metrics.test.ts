import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { WorkerMetrics } from './metrics.ts'
import { MetricsStore } from './metrics-store.ts'
import { formatPrometheus } from './prometheus.ts'
import type { MetricsAnnouncement, SeriesAnnouncement } from './series.ts'

/** A worker's registry joined to a store, as a thread would be. */
function join(store: MetricsStore, options: { maxSeriesPerName?: number; segmentSlots?: number } = {}) {
  const source = store.attach()
  const sent: MetricsAnnouncement[] = []
  const metrics = new WorkerMetrics({
    ...options,
    announce(announcement) {
      const copy = structuredCloneShared(announcement)
      sent.push(copy)
      source.receive(copy)
    },
  })
  return { metrics, source, sent }
}

/** What postMessage does: everything is copied, shared memory is shared. */
function structuredCloneShared(announcement: MetricsAnnouncement): MetricsAnnouncement {
  return announcement.kind === 'segment' ? { ...announcement } : structuredClone(announcement)
}

function values(store: MetricsStore, name: string): Record<string, number> {
  const family = store.snapshot().find((one) => one.name === name)
  return Object.fromEntries((family?.series ?? []).map((series) => [series.labelText, series.slots[0]!]))
}

describe('worker metrics', () => {
  it('give the same series for the same name and labels in any order', () => {
    const store = new MetricsStore()
    const { metrics, sent } = join(store)
    metrics.counter('a_total', 'A.', { x: '1', y: '2' }).add(1)
    metrics.counter('a_total', 'A.', { y: '2', x: '1' }).add(2)
    assert.deepEqual(values(store, 'a_total'), { 'x="1",y="2"': 3 })
    assert.equal(sent.filter((one) => one.kind === 'series').length, 1)
  })

  it('refuse names, labels and types that contradict', () => {
    const { metrics } = join(new MetricsStore())
    metrics.counter('a_total', 'A.')
    assert.throws(() => metrics.gauge('a_total', 'A.'), /a_total is a counter, not a gauge/)
    assert.throws(() => metrics.counter('a-b', 'A.'), /not a metric name/)
    assert.throws(() => metrics.counter('b_total', 'B.', { 'a-b': '' }), /not a label name/)
    assert.throws(() => metrics.histogram('c', 'C.', { le: '1' }), /not a label name/)
    metrics.histogram('d', 'D.')
    assert.throws(() => metrics.histogram('d', 'D.', {}, { minExponent: 0, maxExponent: 3 }), /another scale/)
  })

  it('grow by segments, and no series lies across two', () => {
    const store = new MetricsStore()
    const { metrics, sent } = join(store, { segmentSlots: 100 })
    for (let i = 0; i < 5; i++) {
      metrics.counter('a_total', 'A.', { i: String(i) }).add(i)
      metrics.histogram('h', 'H.', { i: String(i) }).record(1)
    }
    metrics.histogram('big', 'B.', {}, { minExponent: -50, maxExponent: 50 }).record(1)
    const used = new Set<string>()
    for (const one of sent.filter((each): each is SeriesAnnouncement => each.kind === 'series')) {
      const slots = one.scale === null ? 1 : (one.scale.maxExponent - one.scale.minExponent) * 4 + 3
      const segment = sent.find((each) => each.kind === 'segment' && each.segmentIndex === one.segmentIndex)
      assert.ok(segment?.kind === 'segment' && (one.slot + slots) * 8 <= segment.buffer.byteLength)
      for (let i = 0; i < slots; i++) {
        assert.ok(!used.has(`${one.segmentIndex}:${one.slot + i}`))
        used.add(`${one.segmentIndex}:${one.slot + i}`)
      }
    }
    assert.deepEqual(values(store, 'a_total'), { 'i="0"': 0, 'i="1"': 1, 'i="2"': 2, 'i="3"': 3, 'i="4"': 4 })
  })

  it('count what is beyond the cap as "other" and say so', () => {
    const store = new MetricsStore()
    const { metrics } = join(store, { maxSeriesPerName: 2 })
    for (const route of ['a', 'b', 'c', 'd']) metrics.counter('r_total', 'R.', { route }).add(1)
    metrics.counter('r_total', 'R.', { route: 'a' }).add(1)
    assert.deepEqual(values(store, 'r_total'), { 'route="a"': 2, 'route="b"': 1, 'route="other"': 2 })
    assert.deepEqual(values(store, 'sluice_metrics_overflow_total'), { 'metric="r_total"': 2 })
  })
})

describe('metrics store', () => {
  it('adds up all workers and the main thread', () => {
    const store = new MetricsStore()
    const [one, two] = [join(store), join(store)]
    store.registry.counter('a_total', 'A.').add(1)
    one.metrics.counter('a_total', 'A.').add(10)
    two.metrics.counter('a_total', 'A.').add(100)
    one.metrics.gauge('g', 'G.').set(5)
    two.metrics.gauge('g', 'G.').add(-2)
    one.metrics.histogram('h', 'H.').record(1)
    two.metrics.histogram('h', 'H.').record(2)
    assert.deepEqual(values(store, 'a_total'), { '': 111 })
    assert.deepEqual(values(store, 'g'), { '': 3 })
    const text = formatPrometheus(store.snapshot())
    assert.match(text, /^h_bucket\{le="1"\} 1$/m)
    assert.match(text, /^h_bucket\{le="2"\} 2$/m)
    assert.match(text, /^h_sum 3$/m)
    assert.match(text, /^h_count 2$/m)
  })

  it('keeps the counters and histograms of a dead worker and forgets its gauges', () => {
    const store = new MetricsStore()
    const [one, two] = [join(store), join(store)]
    one.metrics.counter('a_total', 'A.').add(7)
    one.metrics.gauge('g', 'G.').set(7)
    one.metrics.gauge('only_one', 'O.').set(7)
    one.metrics.histogram('h', 'H.').record(1)
    two.metrics.counter('a_total', 'A.').add(1)
    two.metrics.gauge('g', 'G.').set(1)
    one.source.release()
    one.source.release()
    assert.deepEqual(values(store, 'a_total'), { '': 8 })
    assert.deepEqual(values(store, 'g'), { '': 1 })
    assert.deepEqual(values(store, 'only_one'), {})
    assert.deepEqual(values(store, 'h'), { '': 1 })
    const replacement = join(store)
    replacement.metrics.counter('a_total', 'A.').add(2)
    assert.deepEqual(values(store, 'a_total'), { '': 10 })
  })

  it('counts what a dead worker announced too late to be read alive', () => {
    const store = new MetricsStore()
    const source = store.attach()
    const queue: MetricsAnnouncement[] = []
    const metrics = new WorkerMetrics({ announce: (announcement) => queue.push(announcement) })
    metrics.counter('a_total', 'A.').add(3)
    metrics.gauge('g', 'G.').set(3)
    source.release()
    for (const announcement of queue) source.receive(announcement)
    assert.deepEqual(values(store, 'a_total'), { '': 3 })
    assert.deepEqual(values(store, 'g'), {})
  })

  it('keeps the cap over all workers together', () => {
    const store = new MetricsStore({ maxSeriesPerName: 3 })
    for (let worker = 0; worker < 3; worker++) {
      const { metrics } = join(store, { maxSeriesPerName: 3 })
      for (let i = 0; i < 2; i++) metrics.counter('r_total', 'R.', { route: `${worker}-${i}` }).add(1)
    }
    const merged = values(store, 'r_total')
    assert.deepEqual(merged, { 'route="0-0"': 1, 'route="0-1"': 1, 'route="1-0"': 1, 'route="other"': 3 })
    assert.deepEqual(values(store, 'sluice_metrics_overflow_total'), { 'metric="r_total"': 3 })
  })

  it('does not let the gauges of workers that come and go fill the cap', () => {
    const store = new MetricsStore({ maxSeriesPerName: 3 })
    for (let i = 0; i < 20; i++) {
      const { metrics, source } = join(store)
      metrics.gauge('g', 'G.', { worker: String(i) }).set(1)
      source.release()
    }
    join(store).metrics.gauge('g', 'G.', { worker: 'last' }).set(1)
    assert.deepEqual(values(store, 'g'), { 'worker="last"': 1 })
  })

  it('runs collectors before each snapshot', () => {
    const store = new MetricsStore()
    const gauge = store.registry.gauge('g', 'G.')
    let runs = 0
    store.onSnapshot(() => gauge.set(++runs))
    store.snapshot()
    assert.deepEqual(values(store, 'g'), { '': 2 })
  })

  it('reads what a real thread wrote, also after it was terminated', async () => {
    const store = new MetricsStore()
    const source = store.attach()
    const code = `
      import { parentPort } from 'node:worker_threads'
      const { WorkerMetrics } = await import(${JSON.stringify(new URL('./metrics.ts', import.meta.url).href)})
      const metrics = new WorkerMetrics({ announce: (announcement) => parentPort.postMessage(announcement) })
      const counter = metrics.counter('a_total', 'A.', { by: 'thread' })
      for (let i = 0; i < 1000; i++) counter.add(1)
      parentPort.postMessage('done')
      setInterval(() => {}, 1000)
    `
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`))
    await new Promise<void>((resolve, reject) => {
      worker.on('error', reject)
      worker.on('message', (message: MetricsAnnouncement | 'done') => (message === 'done' ? resolve() : source.receive(message)))
    })
    assert.deepEqual(values(store, 'a_total'), { 'by="thread"': 1000 })
    const exited = once(worker, 'exit')
    await worker.terminate()
    await exited
    source.release()
    assert.deepEqual(values(store, 'a_total'), { 'by="thread"': 1000 })
  })
})
