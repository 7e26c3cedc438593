import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { runSluice, type SluiceProcess, startSluice } from '../../support/sluice.ts'
import { startUpstream } from '../../support/upstream.ts'
import { waitFor } from '../../support/wait.ts'

type Scope = Parameters<typeof startSluice>[0]

/** An endpoint that answers with `status` and counts. Slow enough that every request of a burst meets the same state. */
async function startEndpoint(t: Scope, status: number) {
  const endpoint = { address: '', status, requests: 0 }
  const upstream = await startUpstream(t, (_request, response) => {
    endpoint.requests++
    setTimeout(() => response.writeHead(endpoint.status).end(), 100)
  })
  endpoint.address = upstream.address
  return endpoint
}

function start(t: Scope, addresses: readonly string[], breaker: object): Promise<SluiceProcess> {
  return startSluice(t, {
    workers: 4,
    accessLog: null,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: { up: { endpoints: addresses, retry: null, breaker } },
    routes: { all: { to: 'up' } },
  })
}

async function burst(gateway: SluiceProcess, count: number): Promise<number[]> {
  return Promise.all(
    Array.from({ length: count }, async () => {
      // A connection each, so that the kernel spreads them over the workers.
      const response = await fetch(gateway.url, { headers: { connection: 'close' } })
      await response.arrayBuffer()
      return response.status
    }),
  )
}

interface ServiceInfo {
  breaker: { state: string; requests: number; failures: number } | null
  retryBudget: object | null
  endpoints: { address: string; state: string; why: string | null; breaker: { state: string } | null }[]
}

async function info(gateway: SluiceProcess): Promise<ServiceInfo> {
  const response = await fetch(`${gateway.adminUrl}/services`)
  return ((await response.json()) as { services: ServiceInfo[] }).services[0]!
}

async function metric(gateway: SluiceProcess, line: RegExp): Promise<boolean> {
  return line.test(await (await fetch(`${gateway.adminUrl}/metrics`)).text())
}

function countOf(statuses: readonly number[], status: number): number {
  return statuses.filter((each) => each === status).length
}

describe('a breaker for each endpoint', () => {
  it('passes over the endpoint whose breaker is open, and tries it with exactly the configured probes over 4 workers', async (t) => {
    const bad = await startEndpoint(t, 500)
    const good = await startEndpoint(t, 200)
    const gateway = await start(t, [bad.address, good.address], { per: 'endpoint', minRequests: 20, openFor: '5s', probes: 3 })
    await burst(gateway, 60)
    bad.requests = 0
    assert.equal(countOf(await burst(gateway, 40), 200), 40)
    assert.equal(bad.requests, 0)
    const shown = (await info(gateway)).endpoints.find(({ address }) => address === bad.address)!
    assert.equal(shown.state, 'breaker-open')
    assert.match(shown.why!, /^its breaker is open: \d+ of \d+ requests failed; tried again in/)
    await waitFor('the time of probes', async () =>
      (await info(gateway)).endpoints.some(({ address, why }) => address === bad.address && why!.startsWith('its breaker is half-open')),
    )
    bad.status = 200
    assert.equal(countOf(await burst(gateway, 40), 200), 40)
    assert.equal(bad.requests, 3)
    assert.equal(countOf(await burst(gateway, 40), 200), 40)
    assert.ok(bad.requests > 10, `${bad.requests}`)
    await waitFor('the log', () => gateway.logs.some((line) => line.includes('a breaker closed') && line.includes(bad.address)))
  })

  it('answers 503 breaker_open with Retry-After when all are open', async (t) => {
    const endpoints = await Promise.all([startEndpoint(t, 500), startEndpoint(t, 500)])
    const addresses = endpoints.map(({ address }) => address)
    const gateway = await start(t, addresses, { per: 'endpoint', minRequests: 10, openFor: '1m' })
    await burst(gateway, 60)
    for (const endpoint of endpoints) endpoint.requests = 0
    const response = await fetch(gateway.url)
    assert.equal(response.status, 503)
    assert.ok(Number(response.headers.get('retry-after')) > 30)
    assert.match(await response.text(), /breaker_open/)
    const { stdout } = await runSluice(['explain', '-c', gateway.configPath, '--admin', gateway.adminUrl!, 'GET', '/'])
    for (const address of addresses) {
      assert.match(stdout, new RegExp(`\\n {4}${address}: breaker-open: its breaker is open: `))
      await waitFor('the gauge', () => metric(gateway, new RegExp(`^sluice_breaker_state{endpoint="${address}",service="up"} 2$`, 'm')))
    }
    assert.deepEqual(
      endpoints.map(({ requests }) => requests),
      [0, 0],
    )
    assert.ok(await metric(gateway, /^sluice_breaker_rejected_total\{service="up"\} \d+$/m))
  })
})

describe('a breaker of a service', () => {
  it('is shown with its numbers, and its changes are in the log and the metrics', async (t) => {
    const endpoint = await startEndpoint(t, 500)
    const gateway = await start(t, [endpoint.address], { hystrix: { requestVolumeThreshold: 20, sleepWindowInMilliseconds: 1500 } })
    await burst(gateway, 40)
    const opened = await waitFor('the log', () => gateway.logs.find((line) => line.includes('a breaker opened')))
    assert.match(opened, /"failures":\d\d/)
    const { breaker, retryBudget } = await info(gateway)
    assert.deepEqual([breaker?.state, breaker!.requests >= 20, breaker!.failures >= 20, retryBudget], ['open', true, true, null])
    endpoint.requests = 0
    assert.equal(countOf(await burst(gateway, 20), 503), 20)
    assert.equal(endpoint.requests, 0)
    await waitFor('the time of probes', async () => (await info(gateway)).breaker?.state === 'half-open')
    endpoint.status = 200
    await burst(gateway, 20)
    assert.equal(endpoint.requests, 1)
    await waitFor('the log', () => gateway.logs.some((line) => line.includes('a breaker closed')))
    assert.ok(await metric(gateway, /^sluice_breaker_state\{endpoint="",service="up"\} 0$/m))
  })

  it('that throttles sends about as much as the service can take, and all again when it is well', async (t) => {
    const endpoint = await startEndpoint(t, 500)
    const gateway = await start(t, [endpoint.address], { kind: 'adaptive-throttle', minRequests: 50, window: '3s' })
    await burst(gateway, 100)
    endpoint.requests = 0
    const refused = await burst(gateway, 100)
    assert.ok(countOf(refused, 503) > 80, `${countOf(refused, 503)} of 100`)
    assert.equal(endpoint.requests, countOf(refused, 500))
    await waitFor('the log', () => gateway.logs.some((line) => line.includes('a breaker turns requests away')))
    endpoint.status = 200
    await waitFor('all to pass', async () => countOf(await burst(gateway, 20), 200) === 20, { timeoutMs: 20_000, everyMs: 200 })
  })
})
