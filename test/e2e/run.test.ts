import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import net from 'node:net'
import { test } from 'node:test'
import { rawRequest } from '../support/raw.ts'
import { startSluice } from '../support/sluice.ts'
import { startRawUpstream } from '../support/upstream.ts'
import { waitFor } from '../support/wait.ts'

const config = (body: string) => `
listeners: { web: { address: "127.0.0.1:0" }, other: { address: "127.0.0.1:0" } }
routes: { a: { respond: { body: "${body}" } } }
`
const get = async (url: string) => (await fetch(url)).text()

test('the printed addresses are the ones that answer', async (t) => {
  const sluice = await startSluice(t, config('one'))
  assert.equal(await get(sluice.url), 'one')
  assert.equal(await get(`http://127.0.0.1:${sluice.port('other')}/`), 'one')
  assert.equal((await fetch(`${sluice.adminUrl}/healthz`)).status, 200)
  assert.throws(() => sluice.port('none'), /no listener none; there are: web, other/)
  assert.deepEqual(await sluice.stop(), { code: 0, signal: null })
})

test('a reload by the admin listener, by SIGHUP and by a watched file reaches the traffic; a bad one changes nothing', async (t) => {
  const sluice = await startSluice(t, config('one'), { args: ['--watch'] })
  const url = sluice.url
  assert.deepEqual(await sluice.reload(config('two')), { status: 200, problems: [] })
  assert.equal(await get(url), 'two')
  const refused = await sluice.reload(config('three').replace('routes', 'rotes'))
  assert.equal(refused.status, 422)
  assert.match(refused.problems[0]!.message, /did you mean "routes"\?/)
  assert.equal(await get(url), 'two')
  sluice.writeConfig(config('four'))
  await waitFor('the watch', async () => (await get(url)) === 'four')
  sluice.signal('SIGHUP')
  await waitFor('the log of the reload', () => sluice.logs.some((line) => line.includes('SIGHUP')))
  assert.equal(await get(url), 'four')
})

test('without its configuration file the gateway goes on', async (t) => {
  const sluice = await startSluice(t, config('one'))
  rmSync(sluice.configPath)
  sluice.signal('SIGHUP')
  await waitFor('the complaint', () => sluice.logs.some((line) => line.includes('does not exist')))
  assert.equal(await get(sluice.url), 'one')
})

test('a second signal ends a drain that still waits, with exit code 1', async (t) => {
  const upstream = await startRawUpstream(t, () => {})
  const sluice = await startSluice(t, {
    listeners: { web: { address: '127.0.0.1:0' } },
    services: { silent: { endpoints: [upstream.address] } },
    routes: { a: { to: 'silent' } },
  })
  const answer = rawRequest(sluice.port(), 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', { timeoutMs: 10_000 })
  await waitFor('the request at the upstream', () => upstream.connections > 0)
  sluice.signal('SIGTERM')
  await waitFor('the drain', () => sluice.logs.some((line) => line.includes('SIGTERM')))
  sluice.signal('SIGTERM')
  assert.deepEqual(await sluice.exited, { code: 1, signal: null })
  assert.equal((await answer).text, '')
})

test('a port that is taken is a failure in plain words', async (t) => {
  const blocker = net.createServer().listen(0, '127.0.0.1')
  t.after(() => void blocker.close())
  await new Promise((resolve) => blocker.once('listening', resolve))
  const { port } = blocker.address() as net.AddressInfo
  const start = startSluice(t, config('one').replace('127.0.0.1:0', `127.0.0.1:${port}`))
  await assert.rejects(start, (error: Error) => {
    assert.match(error.message, /ended with 1 before it served/)
    assert.match(error.message, new RegExp(`${port}`))
    assert.doesNotMatch(error.message, /\n\s+at /, 'no stack')
    return true
  })
})
