import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseWrk } from './wrk.ts'

const GOOD = `Running 4s test @ http://127.0.0.1:40001/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.02ms  350.12us  12.40ms   91.20%
    Req/Sec    62.10k     2.30k   66.80k    75.00%
  Latency Distribution
     50%  981.00us
     75%    1.10ms
     90%    1.32ms
     99%    2.05s
  248412 requests in 4.01s, 58.02MB read
Requests/sec:  61948.13
Transfer/sec:     14.47MB
`

test('wrk output gives the total, the time it took and the percentiles in milliseconds', () => {
  assert.deepEqual(parseWrk(GOOD), { requests: 248_412, seconds: 4.01, p50Ms: 0.981, p99Ms: 2050, errors: [] })
})

test('socket errors and statuses that are not 2xx are reported', () => {
  const lines = '  Socket errors: connect 0, read 3, write 0, timeout 1\n  Non-2xx or 3xx responses: 12\nRequests/sec:'
  const { errors } = parseWrk(GOOD.replace('Requests/sec:', lines))
  assert.deepEqual(errors, ['socket errors: connect 0, read 3, write 0, timeout 1', '12 responses were not 2xx'])
})

test('output without a figure is refused instead of read as zero', () => {
  assert.throws(() => parseWrk('unable to connect to 127.0.0.1:1 Connection refused\n'), /no total/)
  assert.throws(() => parseWrk(GOOD.replace(/^.*99%.*\n/m, '')), /no 99% line/)
})
