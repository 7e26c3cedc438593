import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { startSluice } from '../../support/sluice.ts'
import { startUpstream } from '../../support/upstream.ts'

function config(endpoints: string[], service: object = {}): object {
  return {
    workers: 1,
    accessLog: null,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: { up: { endpoints, ejection: null, ...service } },
    routes: { all: { to: 'up' } },
  }
}

describe('the time a request has left', () => {
  it('is told to the endpoint in milliseconds, anew for each attempt', async (t) => {
    const seen: number[] = []
    const up = await startUpstream(t, (request, response) => {
      seen.push(Number(request.headers['x-sluice-timeout']))
      if (seen.length === 1) setTimeout(() => request.socket.resetAndDestroy(), 100)
      else response.end()
    })
    const gateway = await startSluice(t, config([up.address], { timeouts: { request: '5s' } }))
    assert.equal((await fetch(gateway.url)).status, 200)
    assert.equal(seen[0], 5000)
    assert.ok((seen[1] as number) <= 4900 && (seen[1] as number) > 3000, `then ${seen[1]}`)
  })

  it('is no more than one attempt may take', async (t) => {
    let seen = ''
    const up = await startUpstream(t, (request, response) => {
      seen = String(request.headers['x-sluice-timeout'])
      response.end()
    })
    const gateway = await startSluice(t, config([up.address], { timeouts: { request: '5s', perTry: '2s' } }))
    await fetch(gateway.url)
    assert.equal(seen, '2000')
  })

  it('is shortened by what the caller says, and not lengthened', async (t) => {
    const seen: string[] = []
    const up = await startUpstream(t, (request, response) => {
      seen.push(request.headersDistinct['x-sluice-timeout']?.join() ?? 'none')
      if (request.url !== '/stuck') response.end()
    })
    const gateway = await startSluice(t, config([up.address], { timeouts: { request: '5s' } }))
    for (const value of ['1000', '60000', 'soon', '-1', '']) await fetch(gateway.url, { headers: { 'x-sluice-timeout': value } })
    assert.deepEqual(seen, ['1000', '5000', '5000', '5000', '5000'])
    const startedMs = performance.now()
    const late = await fetch(`${gateway.url}/stuck`, { headers: { 'x-sluice-timeout': '150' } })
    const tookMs = performance.now() - startedMs
    assert.equal(late.status, 504)
    assert.ok(tookMs >= 150 && tookMs < 5000, `took ${tookMs} ms`)
  })

  it('that is over is not spent on sending: the endpoint sees nothing', async (t) => {
    let seen = 0
    const up = await startUpstream(t, (_, response) => {
      seen++
      response.end()
    })
    const gateway = await startSluice(t, config([up.address]))
    assert.equal((await fetch(gateway.url, { headers: { 'x-sluice-timeout': '0' } })).status, 504)
    assert.equal(seen, 0)
  })

  it('shrinks from gateway to gateway', async (t) => {
    let seen = 0
    const up = await startUpstream(t, (request, response) => {
      seen = Number(request.headers['x-sluice-timeout'])
      response.end()
    })
    const inner = await startSluice(t, config([up.address], { timeouts: { request: '10s' } }))
    const outer = await startSluice(t, config([inner.url.slice('http://'.length)], { timeouts: { request: '3s' } }))
    assert.equal((await fetch(outer.url)).status, 200)
    assert.ok(seen > 2000 && seen <= 3000, `the endpoint was told ${seen}`)
  })

  it('is not told when that is switched off', async (t) => {
    let seen: unknown = ''
    const up = await startUpstream(t, (request, response) => {
      seen = request.headers['x-sluice-timeout']
      response.end()
    })
    const gateway = await startSluice(t, config([up.address], { timeouts: { propagate: false } }))
    await fetch(gateway.url)
    assert.equal(seen, undefined)
  })
})
