import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type SluiceProcess, startSluice } from '../../support/sluice.ts'
import { startUpstream, type Upstream } from '../../support/upstream.ts'
import { waitFor } from '../../support/wait.ts'

interface Endpoint {
  address: string
  /** Requests since `reset`. */
  readonly requests: number
  reset(): void
}

type Behaviour = (request: number) => { status: number; afterMs?: number } | 'reset'

async function startEndpoint(t: { after(f: () => unknown): void }, behave: Behaviour): Promise<Endpoint> {
  let requests = 0
  const upstream: Upstream = await startUpstream(t as never, (_request, response) => {
    const answer = behave(++requests)
    if (answer === 'reset') return void response.socket?.resetAndDestroy()
    setTimeout(() => response.writeHead(answer.status).end(), answer.afterMs ?? 0)
  })
  return {
    address: upstream.address,
    get requests() {
      return requests
    },
    reset: () => {
      requests = 0
    },
  }
}

function start(t: Parameters<typeof startSluice>[0], endpoints: readonly Endpoint[], service: object): Promise<SluiceProcess> {
  return startSluice(t, {
    workers: 2,
    accessLog: null,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: { up: { endpoints: endpoints.map(({ address }) => address), ...service } },
    routes: { all: { to: 'up' } },
  })
}

/** Keeps `width` requests under way while `check` says so; returns how many had each status. */
async function load(gateway: SluiceProcess, width: number, goesOn: () => boolean): Promise<Map<number, number>> {
  const statuses = new Map<number, number>()
  const client = async () => {
    while (goesOn()) {
      const response = await fetch(gateway.url)
      await response.arrayBuffer()
      statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1)
    }
  }
  await Promise.all(Array.from({ length: width }, client))
  return statuses
}

interface EndpointInfo {
  address: string
  state: string
  why: string | null
  inUse: boolean
  ejected: { reason: string; until: string } | null
}

async function endpointInfo(gateway: SluiceProcess, address: string): Promise<EndpointInfo> {
  const response = await fetch(`${gateway.adminUrl}/services`)
  const { services } = (await response.json()) as { services: { endpoints: EndpointInfo[] }[] }
  return services[0]!.endpoints.find((endpoint) => endpoint.address === address)!
}

/** Sends requests until the endpoint is in this state. */
async function loadUntil(gateway: SluiceProcess, address: string, state: string): Promise<EndpointInfo> {
  let isDone = false
  const traffic = load(gateway, 16, () => !isDone)
  try {
    return await waitFor(`${address} to be ${state}`, async () => {
      const info = await endpointInfo(gateway, address)
      return info.state === state ? info : null
    })
  } finally {
    isDone = true
    await traffic
  }
}

describe('an endpoint that is worse than the others', () => {
  it('by errors is ejected, gets nothing, and comes back', async (t) => {
    let isBad = true
    const endpoints = await Promise.all([
      ...[0, 1, 2].map(() => startEndpoint(t, () => ({ status: 200 }))),
      startEndpoint(t, (request) => ({ status: isBad && request % 2 === 0 ? 500 : 200 })),
    ])
    const bad = endpoints[3]!
    const gateway = await start(t, endpoints, {
      ejection: { errorRate: '40%', interval: '500ms', minRequests: 20, ejectionTime: '2s' },
      retry: null,
    })
    const info = await loadUntil(gateway, bad.address, 'ejected')
    assert.equal(info.inUse, false)
    assert.equal(info.ejected?.reason, 'error-rate')
    assert.match(info.why!, /^5\d(\.\d)?%|^4\d(\.\d)?% errors, the others 0%; tried again in/)
    const line = gateway.logs.find((text) => text.includes('an endpoint is ejected'))
    assert.ok(line?.includes(bad.address), line)
    isBad = false
    bad.reset()
    const endMs = performance.now() + 500
    const statuses = await load(gateway, 8, () => performance.now() < endMs)
    assert.equal(bad.requests, 0)
    assert.deepEqual([...statuses.keys()], [200])
    const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
    assert.match(metrics, /^sluice_endpoint_ejections_total\{reason="error-rate",service="up"\} 1$/m)
    assert.ok(metrics.includes(`sluice_endpoint_ejected{endpoint="${bad.address}",service="up"} 1`))
    await loadUntil(gateway, bad.address, 'in-use')
    bad.reset()
    for (const endpoint of endpoints) endpoint.reset()
    let sent = 0
    await load(gateway, 8, () => sent++ < 400)
    assert.ok(bad.requests > 60, `${bad.requests} of 400`)
  })

  it('by latency is ejected', async (t) => {
    const endpoints = await Promise.all([
      ...[0, 1, 2].map(() => startEndpoint(t, () => ({ status: 200 }))),
      startEndpoint(t, () => ({ status: 200, afterMs: 150 })),
    ])
    const slow = endpoints[3]!
    const gateway = await start(t, endpoints, {
      ejection: { latencyFactor: 3, minLatency: '75ms', interval: '500ms', minRequests: 5, ejectionTime: '1m' },
    })
    const info = await loadUntil(gateway, slow.address, 'ejected')
    assert.equal(info.ejected?.reason, 'latency')
  })

  it('comes back when a health check passes', async (t) => {
    let isBad = true
    const endpoints = await Promise.all([
      startEndpoint(t, () => ({ status: 200 })),
      startEndpoint(t, () => ({ status: isBad ? 500 : 200 })),
    ])
    const bad = endpoints[1]!
    const gateway = await start(t, endpoints, {
      ejection: { errorRate: '50%', interval: '300ms', minRequests: 10, ejectionTime: '1h' },
      health: { http: '/', interval: '400ms', timeout: '300ms', unhealthyAfter: 1000, healthyAfter: 1 },
      retry: null,
    })
    await loadUntil(gateway, bad.address, 'ejected')
    isBad = false
    await waitFor('the endpoint to be in use', async () => (await endpointInfo(gateway, bad.address)).inUse)
  })
})

describe('endpoints that are not worse than the others', () => {
  it('stay: 404s are not errors, and what all do is nobody’s fault', async (t) => {
    const all404 = await Promise.all([startEndpoint(t, () => ({ status: 404 })), startEndpoint(t, () => ({ status: 200 }))])
    const all500 = await Promise.all([startEndpoint(t, () => ({ status: 500 })), startEndpoint(t, () => ({ status: 500 }))])
    for (const endpoints of [all404, all500]) {
      const gateway = await start(t, endpoints, {
        ejection: { errorRate: '10%', interval: '200ms', minRequests: 10, ejectionTime: '1h' },
        retry: null,
      })
      const endMs = performance.now() + 1200
      await load(gateway, 8, () => performance.now() < endMs)
      for (const { address } of endpoints) assert.equal((await endpointInfo(gateway, address)).state, 'in-use')
      assert.ok(!gateway.logs.some((line) => line.includes('ejected')))
    }
  })

  it('never are all out of use: two that break every connection both still get requests', async (t) => {
    const endpoints = await Promise.all([startEndpoint(t, () => 'reset'), startEndpoint(t, () => 'reset')])
    const gateway = await start(t, endpoints, { ejection: { failTimeout: '1m', errorRate: '50%', interval: '200ms', minRequests: 5 } })
    let sent = 0
    await load(gateway, 4, () => sent++ < 100)
    for (const endpoint of endpoints) endpoint.reset()
    sent = 0
    await load(gateway, 4, () => sent++ < 100)
    for (const { requests } of endpoints) assert.ok(requests > 10, `${requests}`)
  })
})
