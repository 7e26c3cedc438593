// What one feature makes of a request must not blind another: who judges endpoints by latency, errors or trials sees what happened.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { type SluiceProcess, startSluice } from '../../support/sluice.ts'
import { startRawUpstream, startUpstream } from '../../support/upstream.ts'
import { startEcho } from '../websocket/kit.ts'

function config(service: object): object {
  return {
    workers: 1,
    accessLog: null,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: { up: service },
    routes: { all: { to: 'up', websocket: {} } },
  }
}

async function statuses(gateway: SluiceProcess, count: number, path = ''): Promise<number[]> {
  const found: number[] = []
  for (let i = 0; i < count; i++) {
    const response = await fetch(`${gateway.url}/${path}`)
    await response.text()
    found.push(response.status)
  }
  return found
}

describe('a balancer that goes by latency', () => {
  it('does not take failing at once for being fast', async (t) => {
    const served = { 'peak-ewma': 0, 'fastest-response': 0 }
    const upstreams = await Promise.all(
      [0, 1, 2].map((i) =>
        startUpstream(t, (request, response) => {
          if (i === 1) served[request.url?.slice(1) as 'peak-ewma']++
          if (i === 1) response.writeHead(500).end()
          else setTimeout(() => response.end('ok'), 15)
        }),
      ),
    )
    const endpoints = upstreams.map(({ address }) => address)
    const gateway = await startSluice(t, {
      ...config({}),
      services: Object.fromEntries(
        Object.keys(served).map((balance) => [balance, { endpoints, balance: { algorithm: balance, decay: '500ms' } }]),
      ),
      routes: Object.fromEntries(Object.keys(served).map((balance) => [balance, { match: { path: `/${balance}` }, to: balance }])),
    })
    for (const balance of ['peak-ewma', 'fastest-response'] as const) {
      // As long as nothing is known of the others, the one that has answered gets more.
      await statuses(gateway, 20, balance)
      served[balance] = 0
      await Promise.all(Array.from({ length: 6 }, () => statuses(gateway, 30, balance)))
      assert(served[balance] < 40, `${balance}: ${served[balance]} of 180`)
    }
  })

  it('sees that an endpoint is slow though backup requests always overtake it', async (t) => {
    let slow = 0
    const upstreams = await Promise.all(
      [0, 1, 2].map((i) =>
        startUpstream(t, (_, response) => {
          if (i === 1) slow++
          setTimeout(() => response.end('ok'), i === 1 ? 400 : 2)
        }),
      ),
    )
    const endpoints = upstreams.map(({ address }) => address)
    const gateway = await startSluice(t, config({ endpoints, balance: 'peak-ewma', hedge: { after: '60ms', budget: '100%' } }))
    await statuses(gateway, 20)
    slow = 0
    await statuses(gateway, 60)
    assert(slow < 15, `${slow} of 60`)
  })
})

describe('a breaker that opens on slow calls', () => {
  it('counts the time to the answer, and not how long a download lasts', async (t) => {
    const upstream = await startUpstream(t, (request, response) => {
      if (request.url === '/download') response.write('begins')
      setTimeout(() => response.end('ends'), 150)
    })
    const breaker = { slowCall: '100ms', slowRate: '50%', minRequests: 3 }
    const gateway = await startSluice(t, config({ endpoints: [upstream.address], breaker }))
    assert.deepEqual(await statuses(gateway, 5, 'download'), [200, 200, 200, 200, 200])
    // Half of all, from here on.
    assert.deepEqual(await statuses(gateway, 6), [200, 200, 200, 200, 200, 503])
  })
})

describe('a WebSocket that is the trial', () => {
  it('closes the breaker when it stands, not when it ends', async (t) => {
    let isBroken = true
    const echo = await startEcho(t, 'h1')
    const relay = await startRawUpstream(t, (client) => {
      if (isBroken) return void client.resetAndDestroy()
      const server = net.connect(Number(echo.address.split(':')[1]), '127.0.0.1').on('error', () => client.destroy())
      client.pipe(server).pipe(client)
      client.on('close', () => server.destroy())
    })
    const breaker = { minRequests: 2, openFor: '100ms' }
    const gateway = await startSluice(t, config({ endpoints: [relay.address], breaker, retry: null, ejection: null }))
    assert.deepEqual(await statuses(gateway, 3), [502, 502, 503])
    isBroken = false
    await sleep(150)
    const socket = new WebSocket(gateway.url.replace('http', 'ws'))
    t.after(() => socket.terminate())
    await once(socket, 'open')
    assert.deepEqual(await statuses(gateway, 1), [200])
  })
})
