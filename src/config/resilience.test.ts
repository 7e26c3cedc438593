import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadConfig } from './load.ts'
import type { ServiceConfig } from './types.ts'

async function load(service: string): Promise<ServiceConfig> {
  const result = await loadConfig({
    path: '/sluice.yaml',
    text: `listeners: { web: { address: ":8080" } }\nservices: { a: { endpoints: ["b:1"], ${service} } }\n`,
    env: {},
    cpuCount: 2,
    readFile: () => assert.fail('there is no other file'),
    importModule: () => assert.fail('there is no module'),
  })
  assert.ok(result.ok, JSON.stringify(result))
  return result.config.services['a']!
}

test('failures put endpoints aside by default, and nothing is compared', async () => {
  assert.deepEqual((await load('')).ejection, { maxFails: 3, failTimeoutMs: 10_000, outliers: null })
  assert.equal((await load('ejection: null')).ejection, null)
})

test('one line compares endpoints by their errors, or by their latency', async () => {
  const { ejection } = await load('ejection: { errorRate: 50% }')
  const outliers = {
    intervalMs: 10_000,
    errorRateRatio: 0.5,
    latencyFactor: null,
    minLatencyMs: 50,
    minRequests: 100,
    minEndpoints: 2,
    ejectionMs: 30_000,
    maxEjectionMs: 300_000,
    maxEjectedRatio: 0.5,
  }
  assert.deepEqual(ejection, { maxFails: 3, failTimeoutMs: 10_000, outliers })
  assert.deepEqual((await load('ejection: { latencyFactor: 3 }')).ejection?.outliers, {
    ...outliers,
    errorRateRatio: null,
    latencyFactor: 3,
  })
  const capped = await load('ejection: { errorRate: 50%, ejectionTime: 1h }')
  assert.equal(capped.ejection?.outliers?.maxEjectionMs, 3_600_000)
})

test('a breaker is a circuit for the service unless it says otherwise', async () => {
  const circuit = {
    kind: 'circuit',
    per: 'service',
    windowMs: 10_000,
    minRequests: 20,
    errorRateRatio: 0.5,
    roundsToPercent: false,
    slowCallMs: null,
    slowRateRatio: 1,
    openForMs: 5000,
    maxOpenForMs: 30_000,
    probes: 1,
    probeTimeoutMs: 15_000,
  }
  assert.equal((await load('')).breaker, null)
  assert.deepEqual((await load('breaker: {}')).breaker, circuit)
  assert.deepEqual((await load('breaker: { per: endpoint, openFor: 10m }')).breaker, {
    ...circuit,
    per: 'endpoint',
    openForMs: 600_000,
    maxOpenForMs: 600_000,
  })
})

test('a throttle has defaults of its own', async () => {
  assert.deepEqual((await load('breaker: { kind: adaptive-throttle }')).breaker, {
    kind: 'adaptive-throttle',
    per: 'service',
    windowMs: 3000,
    k: 1 / 0.6,
    minRequests: 100,
    passEveryMs: 1000,
  })
})

test('the parameters of Hystrix give its breaker: rounded percent, one probe, an open time that does not grow', async () => {
  const { breaker } = await load('breaker: { hystrix: { requestVolumeThreshold: 7, errorThresholdPercentage: 30 } }')
  assert.deepEqual(breaker, {
    kind: 'circuit',
    per: 'service',
    windowMs: 10_000,
    minRequests: 7,
    errorRateRatio: 0.3,
    roundsToPercent: true,
    slowCallMs: null,
    slowRateRatio: 1,
    openForMs: 5000,
    maxOpenForMs: 5000,
    probes: 1,
    probeTimeoutMs: 1000,
  })
})
