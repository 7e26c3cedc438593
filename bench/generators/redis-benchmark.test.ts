import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRedisBenchmark } from './redis-benchmark.ts'

const GOOD = `"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
"SET","20000.00","9.739","0.136","2.679","18.735","19.015","610.303"
"GET","10000.00","3.463","0.128","2.759","8.895","11.255","85.759"
`

test('the table of redis-benchmark gives the commands of all lines and the times of the slowest', () => {
  assert.deepEqual(parseRedisBenchmark(GOOD, 20_000), { requests: 40_000, seconds: 3, p50Ms: 2.759, p99Ms: 19.015, errors: [] })
})

test('output without a figure is refused instead of read as zero', () => {
  assert.throws(() => parseRedisBenchmark('', 1), /no table/)
  assert.throws(() => parseRedisBenchmark(GOOD.split('\n')[0]!, 1), /no table/)
  assert.throws(() => parseRedisBenchmark(GOOD.replace('p99_latency_ms', 'p98_latency_ms'), 1), /no p99_latency_ms/)
  assert.throws(() => parseRedisBenchmark(GOOD.replace('"10000.00"', '"fast"'), 1), /no rps/)
})
