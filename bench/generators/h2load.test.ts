import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseH2load, parseH2loadLog } from './h2load.ts'

const GOOD = `starting benchmark...
progress: 100% of clients started
Main benchmark duration is over for thread #0. Stopping all clients.

finished in 2.01s, 39335.00 req/s, 2.06MB/s
requests: 78670 total, 78830 started, 78670 done, 78670 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 78670 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 4.13MB (4330162) total, 924.20KB (946376) headers (space savings 93.99%), 1.13MB (1180050) data
                     min         max         mean         sd        +/- sd
time for request:      242us    124.98ms      2.78ms      7.43ms    98.06%
`
const TIMES = Float64Array.from({ length: 100 }, (_, index) => index + 1)

test('h2load output gives the total and the time it took, its log the percentiles', () => {
  assert.deepEqual(parseH2load(GOOD, TIMES, 15), { requests: 78_670, seconds: 2.01, p50Ms: 51, p99Ms: 100, errors: [] })
})

test('the log has the times of requests in microseconds, in the order of their ends', () => {
  const log = '1795257050705673\t200\t4357\n1795257050705674\t200\t390\n1795257052703218\t200\t951\n'
  assert.deepEqual([...parseH2loadLog(log)], [0.39, 0.951, 4.357])
  assert.equal(parseH2loadLog('').length, 0)
  assert.throws(() => parseH2loadLog('1795257050705673 200 12\n'), /no line of a log/)
})

test('requests that failed and statuses that are not 2xx are reported', () => {
  const failed = GOOD.replace('78670 done, 78670 succeeded, 0 failed, 0 errored', '78670 done, 78660 succeeded, 10 failed, 7 errored')
  const { requests, errors } = parseH2load(failed.replace('78670 2xx, 0 3xx, 0 4xx, 0 5xx', '78600 2xx, 0 3xx, 0 4xx, 60 5xx'), TIMES, 15)
  assert.equal(requests, 78_660)
  assert.deepEqual(errors, ['10 requests failed (7 errored, 0 timeout)', '70 responses were not 2xx (3xx, 4xx, 5xx: 0, 0, 60)'])
})

test('responses without their message are no good responses, whatever their status', () => {
  assert.deepEqual(parseH2load(GOOD, TIMES, 16).errors, ['78670 bytes of responses are missing'])
})

test('output without a figure is refused instead of read as zero', () => {
  assert.throws(() => parseH2load(GOOD.replace(/^traffic.*\n/m, ''), TIMES, 15), /no summary/)
  assert.throws(() => parseH2load('could not connect\n', TIMES, 15), /no summary/)
  assert.throws(() => parseH2load(GOOD, new Float64Array(), 15), /no times/)
})
