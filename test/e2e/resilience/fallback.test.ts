import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { startSluice } from '../../support/sluice.ts'
import { startUpstream } from '../../support/upstream.ts'
import { waitFor } from '../../support/wait.ts'

function config(services: object, routes: object = { all: { to: 'up' } }): object {
  return {
    workers: 1,
    accessLog: { path: '-', format: '${path} ${status} [${flags}] ${service}' },
    listeners: { web: { address: '127.0.0.1:0' } },
    services,
    routes,
  }
}

const DEGRADED = { respond: { status: 200, headers: { 'x-degraded': 'yes' }, body: 'degraded' } }

describe('a fallback', () => {
  it('answers instead of an error, and the access log tells why', async (t) => {
    const dead = await startUpstream(t, () => undefined)
    await dead.stop()
    const gateway = await startSluice(t, config({ up: { endpoints: [dead.address], fallback: DEGRADED } }))
    const response = await fetch(`${gateway.url}/a`)
    assert.equal(response.status, 200)
    assert.equal(response.headers.get('x-degraded'), 'yes')
    assert.equal(await response.text(), 'degraded')
    await waitFor('the access log', () => gateway.logs.includes('/a 200 [UF,FB] up'))
    const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
    assert.match(metrics, /^sluice_fallbacks_total\{cause="failure",service="up"\} 1$/m)
  })

  it('is for the causes it names: here for timeouts, not for what failed', async (t) => {
    const stuck = await startUpstream(t, (request) => void (request.url === '/reset' && request.socket.resetAndDestroy()))
    const service = { endpoints: [stuck.address], retry: null, timeouts: { request: '100ms' }, fallback: { on: ['timeout'], ...DEGRADED } }
    const gateway = await startSluice(t, config({ up: service }))
    assert.equal((await fetch(`${gateway.url}/slow`)).status, 200)
    assert.equal((await fetch(`${gateway.url}/reset`)).status, 502)
  })

  it('replaces statuses it names, and leaves other answers alone', async (t) => {
    const up = await startUpstream(t, (request, response) => response.writeHead(Number(request.url?.slice(1))).end('own'))
    const service = { endpoints: [up.address], ejection: null, fallback: { on: ['5xx'], ...DEGRADED } }
    const gateway = await startSluice(t, config({ up: service }))
    const answers: string[] = []
    for (const status of [200, 404, 500, 503]) {
      const response = await fetch(`${gateway.url}/${status}`)
      answers.push(`${response.status} ${await response.text()}`)
    }
    assert.deepEqual(answers, ['200 own', '404 own', '200 degraded', '200 degraded'])
  })

  it('asks another service, with the body that was sent', async (t) => {
    const failing = await startUpstream(t, (request) => {
      request.resume()
      request.on('end', () => request.socket.resetAndDestroy())
    })
    const other = await startUpstream(t, (request, response) => {
      const pieces: Buffer[] = []
      request.on('data', (piece: Buffer) => pieces.push(piece))
      request.on('end', () => response.end(`other got ${Buffer.concat(pieces).length}`))
    })
    const services = {
      up: { endpoints: [failing.address], ejection: null, fallback: { to: 'other' } },
      other: { endpoints: [other.address] },
    }
    const gateway = await startSluice(t, config(services))
    assert.equal(await (await fetch(`${gateway.url}/get`)).text(), 'other got 0')
    assert.equal(await (await fetch(`${gateway.url}/put`, { method: 'PUT', body: 'x'.repeat(5000) })).text(), 'other got 5000')
    await waitFor('the access log', () => gateway.logs.includes('/get 200 [FB] other'))
    // A POST that the first service may have acted on is not kept, so it cannot be sent again.
    assert.equal((await fetch(`${gateway.url}/post`, { method: 'POST', body: 'x' })).status, 502)
  })

  it('of a service that fails too is the error of that service: there is no fallback of a fallback', async (t) => {
    const dead = await startUpstream(t, () => undefined)
    await dead.stop()
    const services = {
      up: { endpoints: [dead.address], fallback: { to: 'other' } },
      other: { endpoints: [dead.address], fallback: { to: 'up' } },
    }
    const gateway = await startSluice(t, config(services))
    assert.equal((await fetch(gateway.url)).status, 502)
  })

  it('of a route goes before that of its service, and covers what filters refuse when told to', async (t) => {
    const up = await startUpstream(t, (_, response) => response.end('up'))
    const routes = {
      all: {
        to: 'up',
        filters: [{ 'rate-limit': { rate: '1/m', burst: 1 } }],
        fallback: { on: ['rate-limited'], respond: { status: 202, body: 'later' } },
      },
    }
    const gateway = await startSluice(t, config({ up: { endpoints: [up.address], fallback: DEGRADED } }, routes))
    assert.equal(await (await fetch(gateway.url)).text(), 'up')
    const second = await fetch(gateway.url)
    assert.equal(`${second.status} ${await second.text()}`, '202 later')
  })

  it('answers while the breaker is open', async (t) => {
    let seen = 0
    const failing = await startUpstream(t, (_, response) => {
      seen++
      response.writeHead(500).end()
    })
    const service = {
      endpoints: [failing.address],
      retry: null,
      ejection: null,
      breaker: { minRequests: 5, openFor: '30s' },
      fallback: DEGRADED,
    }
    const gateway = await startSluice(t, config({ up: service }))
    for (let i = 0; i < 10; i++) await (await fetch(gateway.url)).text()
    const before = seen
    const response = await fetch(`${gateway.url}/open`)
    assert.equal(await response.text(), 'degraded')
    assert.equal(seen, before)
    await waitFor('the access log', () => gateway.logs.includes('/open 200 [CB,FB] up'))
  })
})
