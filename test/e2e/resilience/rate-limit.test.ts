import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { requirePrograms } from '../../support/programs.ts'
import { runProgram } from '../../support/run.ts'
import { startSluice } from '../../support/sluice.ts'

const { wrk } = await requirePrograms(['wrk'])

describe('the rate-limit filter', () => {
  it('admits burst and rate exactly, over two workers and 64 connections', async (t) => {
    const gateway = await startSluice(t, {
      workers: 2,
      accessLog: null,
      listeners: { web: { address: '127.0.0.1:0' } },
      routes: { all: { filters: [{ 'rate-limit': { rate: '100/s', burst: 300 } }], respond: { body: 'ok' } } },
    })
    const seconds = 4
    const startedMs = performance.now()
    await runProgram(wrk as string, ['-t1', '-c64', `-d${seconds}s`, gateway.url], { timeoutMs: 30_000 })
    const lastedSeconds = (performance.now() - startedMs) / 1000
    const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
    const admitted = Number(/sluice_requests_total\{[^}]*code="200"[^}]*\} (\d+)/.exec(metrics)?.[1])
    const refused = Number(/sluice_requests_total\{[^}]*code="429"[^}]*\} (\d+)/.exec(metrics)?.[1])
    assert.ok(admitted >= 300 + 100 * seconds * 0.99, `${admitted} admitted`)
    assert.ok(admitted <= (300 + 100 * lastedSeconds) * 1.01, `${admitted} admitted in ${lastedSeconds} s`)
    assert.ok(refused > admitted, `${refused} refused: there was too little load to say anything`)
  })

  it('answers with 429, Retry-After and the RateLimit fields, and keeps keys apart', async (t) => {
    const gateway = await startSluice(t, {
      workers: 2,
      accessLog: null,
      listeners: { web: { address: '127.0.0.1:0' } },
      routes: {
        all: { filters: [{ 'rate-limit': { rate: '1/m', burst: 2, by: 'header:x-key', name: 'keys' } }], respond: { body: 'ok' } },
      },
    })
    const ask = async (key: string) => {
      const response = await fetch(gateway.url, { headers: { 'x-key': key, connection: 'close' } })
      return { status: response.status, headers: response.headers, body: await response.text() }
    }
    const statuses = [(await ask('a')).status, (await ask('a')).status, (await ask('b')).status]
    assert.deepEqual(statuses, [200, 200, 200])
    const refused = await ask('a')
    assert.equal(refused.status, 429)
    assert.ok(Number(refused.headers.get('retry-after')) >= 55)
    assert.equal(refused.headers.get('ratelimit-policy'), '"keys";q=2;w=120')
    assert.match(refused.headers.get('ratelimit') ?? '', /^"keys";r=0;t=\d+$/)
    assert.equal((JSON.parse(refused.body) as { code: string }).code, 'rate_limited')
  })

  it('keeps what was used when the configuration is reloaded', async (t) => {
    const config = (body: string) => ({
      workers: 1,
      accessLog: null,
      listeners: { web: { address: '127.0.0.1:0' } },
      routes: { all: { filters: [{ 'rate-limit': { rate: '1/h', burst: 1 } }], respond: { body } } },
    })
    const gateway = await startSluice(t, config('one'))
    const status = async () => {
      const response = await fetch(gateway.url)
      await response.text()
      return response.status
    }
    assert.equal(await status(), 200)
    await gateway.reload(config('two'))
    assert.equal(await status(), 429)
  })
})
