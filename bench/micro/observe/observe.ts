/**
 * What observing one request costs, in nanoseconds. Run: node bench/micro/observe/observe.ts
 * Each line is the median of several rounds; the rounds of all cases alternate, so a slow moment of the machine hits all alike.
 */
import { type AccessEntry, compileAccessLog } from '../../../src/observe/access-log.ts'
import { WorkerMetrics } from '../../../src/observe/metrics.ts'
import { MetricsStore } from '../../../src/observe/metrics-store.ts'
import { formatPrometheus } from '../../../src/observe/prometheus.ts'
import { createRouteMetrics } from '../../../src/observe/request-metrics.ts'

const ROUNDS = 9
const store = new MetricsStore()
const source = store.attach()
const metrics = new WorkerMetrics({ announce: (announcement) => source.receive(announcement) })
const counter = metrics.counter('bench_total', 'B.')
const histogram = metrics.histogram('bench_seconds', 'B.')
const route = createRouteMetrics(metrics, { route: 'bench', listener: 'web' })
const mixed = createRouteMetrics(metrics, { route: 'mixed', listener: 'web' })

const durations = new Float64Array(1024)
for (let i = 0; i < durations.length; i++) durations[i] = 0.0001 * 1.01 ** i

/** The usual way to find a bucket, kept to show what the bits save. */
const logBuckets = new Float64Array(128)
function recordByLogarithm(value: number): void {
  const index = Math.min(Math.max(Math.ceil(Math.log2(value) * 4) + 57, 0), 85)
  logBuckets[index]! += 1
}

const entries: AccessEntry[] = Array.from({ length: 256 }, (_, i) => ({
  timeMs: 1_767_322_800_000 + i * 0.7,
  listener: 'web',
  route: 'users',
  service: 'users',
  endpoint: '10.0.0.1:9001',
  clientIp: `192.0.2.${i}`,
  method: 'GET',
  host: 'api.example.com',
  path: `/users/${i * 7919}`,
  query: i % 2 === 0 ? '' : 'full=1',
  protocol: 'HTTP/1.1',
  status: 200,
  requestBytes: 0,
  responseBytes: 512 + i,
  durationMs: 1.2345 + i / 7,
  upstreamDurationMs: 0.9 + i / 7,
  attempts: 1,
  requestId: `01JGK3Q5V7-${i}`,
  // A string of its own each time, as it is when cut out of a request head; every fourth is another.
  userAgent: `Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/${i % 4 === 0 ? 139 : 140}.0`,
  referer: '',
  errorCode: '',
  flags: '',
}))
const hostile = entries.map((entry) => ({ ...entry, userAgent: 'a"b\n\u001b[2J' }))
const json = compileAccessLog('json')
const text = compileAccessLog('text')
const template = compileAccessLog('${method} ${path} ${status} ${durationMs}')

/** Lines are joined and encoded as the writer does it, so that work V8 puts off is paid for here. */
function lines(format: (entry: AccessEntry) => string, from: readonly AccessEntry[], count: number): number {
  let bytes = 0
  for (let i = 0; i < count; i += 256) {
    let batch = ''
    for (let j = 0; j < 256; j++) {
      batch += format(from[j]!)
      batch += '\n'
    }
    bytes += Buffer.from(batch, 'utf8').length
  }
  return bytes
}

function stringified(entry: AccessEntry): string {
  return JSON.stringify(entry)
}

const cases: { name: string; count: number; run: (count: number) => unknown }[] = [
  {
    name: 'counter.add',
    count: 2 ** 22,
    run(count) {
      for (let i = 0; i < count; i++) counter.add(1)
    },
  },
  {
    name: 'histogram.record',
    count: 2 ** 22,
    run(count) {
      for (let i = 0; i < count; i++) histogram.record(durations[i & 1023]!)
    },
  },
  {
    name: 'the same by logarithm (not used)',
    count: 2 ** 22,
    run(count) {
      for (let i = 0; i < count; i++) recordByLogarithm(durations[i & 1023]!)
    },
  },
  {
    name: 'RouteMetrics.finish, one status',
    count: 2 ** 22,
    run(count) {
      for (let i = 0; i < count; i++) route.finish(200, durations[i & 1023]! * 1000, 0, 512)
    },
  },
  {
    name: 'RouteMetrics.finish, status alternates',
    count: 2 ** 22,
    run(count) {
      for (let i = 0; i < count; i++) mixed.finish((i & 1) === 0 ? 200 : 404, durations[i & 1023]! * 1000, 10, 512)
    },
  },
  { name: 'access log line, json', count: 2 ** 16, run: (count) => lines(json, entries, count) },
  { name: 'access log line, json, to escape', count: 2 ** 16, run: (count) => lines(json, hostile, count) },
  { name: 'the same by JSON.stringify (not used)', count: 2 ** 16, run: (count) => lines(stringified, entries, count) },
  { name: 'access log line, text', count: 2 ** 16, run: (count) => lines(text, entries, count) },
  { name: 'access log line, template of 4', count: 2 ** 16, run: (count) => lines(template, entries, count) },
]

const results = cases.map((): number[] => [])
for (let round = 0; round <= ROUNDS; round++) {
  for (const [i, { count, run }] of cases.entries()) {
    const start = process.hrtime.bigint()
    run(count)
    const nanoseconds = Number(process.hrtime.bigint() - start) / count
    // The first round warms up.
    if (round > 0) results[i]!.push(nanoseconds)
  }
}
for (const [i, { name }] of cases.entries()) {
  const sorted = results[i]!.sort((a, b) => a - b)
  const [least, median, most] = [sorted[0]!, sorted[ROUNDS >> 1]!, sorted[ROUNDS - 1]!]
  console.log(`${name.padEnd(42)} ${median.toFixed(1).padStart(8)} ns   (${least.toFixed(1)} to ${most.toFixed(1)})`)
}

for (let i = 0; i < 1000; i++) createRouteMetrics(metrics, { route: `route-${i}`, listener: 'web' }).finish(200, 1, 0, 1)
const start = process.hrtime.bigint()
const scrape = formatPrometheus(store.snapshot())
const milliseconds = Number(process.hrtime.bigint() - start) / 1e6
console.log(`one scrape of 1,000 routes: ${milliseconds.toFixed(1)} ms, ${(scrape.length / 1e6).toFixed(1)} MB`)
