// The access log under load: one valid line for each request, whatever happens to the file.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startSluice } from '../../support/sluice.ts'
import { startUpstream } from '../../support/upstream.ts'
import { startUpstreamProcess } from '../../support/upstream-process.ts'
import { waitFor } from '../../support/wait.ts'
import { loadSeconds, runWrk } from '../../support/wrk.ts'
import { scrape } from './support/metrics.ts'
import { descriptors } from './support/process-state.ts'

const config = (address: string, accessLog: object | null, more: object = {}) => ({
  workers: 2,
  accessLog,
  listeners: { web: { address: '127.0.0.1:0' } },
  services: { up: { endpoints: [address] } },
  routes: { a: { to: 'up' } },
  ...more,
})

const linesOf = (...path: string[]) =>
  readFileSync(join(...path), 'utf8')
    .split('\n')
    .slice(0, -1)

test('two workers under load write one valid JSON line for each request to a file', async (t) => {
  const upstream = await startUpstreamProcess(t)
  const sluice = await startSluice(t, config(upstream.address, { path: 'access.log', format: 'json' }))
  const { requests, bad } = await runWrk(`${sluice.url}/a%20path?q=%221%22`, { connections: 32, seconds: Math.max(2, loadSeconds(8) / 4) })
  assert.equal(bad, 0)
  await sluice.stop()
  const lines = linesOf(sluice.folder, 'access.log').map((line) => JSON.parse(line) as Record<string, unknown>)
  const complete = lines.filter((line) => line['status'] === 200)
  // wrk leaves at the end of its time, with one request under way on each connection.
  assert(complete.length >= requests && complete.length <= requests + 32, `${complete.length} lines for ${requests} requests`)
  assert(lines.every((line) => line['status'] === 200 || line['status'] === 499))
  assert.equal(new Set(lines.map((line) => line['requestId'])).size, lines.length, 'request ids are unique over workers')
  assert.equal(lines[0]!['path'], '/a%20path')
  assert.equal(lines[0]!['query'], 'q=%221%22')
})

test('a text log on standard output is complete when the gateway has ended', async (t) => {
  const upstream = await startUpstream(t, (_, response) => void response.end('ok'))
  const sluice = await startSluice(t, config(upstream.address, { path: '-', format: '${method} ${path} ${status} ${responseBytes}' }))
  for (let i = 0; i < 100; i++) await (await fetch(`${sluice.url}/${i}`)).text()
  await sluice.stop()
  const seen = sluice.logs.filter((line) => line.startsWith('GET /')).map((line) => Number(/^GET \/(\d+) 200 2$/.exec(line)?.[1]))
  assert.deepEqual(
    seen.sort((a, b) => a - b),
    Array.from({ length: 100 }, (_, i) => i),
  )
})

test('SIGUSR1 opens the file anew, so that a rotated log loses no line', async (t) => {
  const upstream = await startUpstreamProcess(t)
  const sluice = await startSluice(t, config(upstream.address, { path: 'access.log', format: '${status} ${requestId}' }))
  const load = runWrk(sluice.url, { connections: 16, seconds: 3 })
  const files = ['access.log']
  for (let i = 1; i <= 4; i++) {
    await sleep(500)
    files.unshift(`access.log.${i}`)
    renameSync(join(sluice.folder, 'access.log'), join(sluice.folder, `access.log.${i}`))
    sluice.signal('SIGUSR1')
    await waitFor('the new file', () => statSync(join(sluice.folder, 'access.log'), { throwIfNoEntry: false }))
    const isOpen = (name: string) => descriptors(sluice.pid).filter((target) => target === join(sluice.folder, name)).length
    await waitFor('the old file to be closed', () => isOpen(`access.log.${i}`) === 0)
    assert.equal(isOpen('access.log'), 2, 'once for each worker')
  }
  const { requests } = await load
  await sluice.stop()
  const lines = files.flatMap((file) => linesOf(sluice.folder, file))
  assert(lines.every((line) => /^(200|499) \S+$/.test(line)))
  assert.equal(new Set(lines).size, lines.length)
  const complete = lines.filter((line) => line.startsWith('200 ')).length
  assert(complete >= requests && complete <= requests + 16, `${complete} lines for ${requests} requests`)
  assert(linesOf(sluice.folder, 'access.log.2').length > 0)
})

test('a file that cannot be opened is told at the start and refuses a reload; one that cannot be opened anew stays in use', async (t) => {
  const upstream = await startUpstream(t, (_, response) => void response.end('ok'))
  const broken = { path: 'no/such/folder/access.log', format: 'json' }
  await assert.rejects(startSluice(t, config(upstream.address, broken)), /no\/such\/folder\/access\.log/)
  const sluice = await startSluice(t, config(upstream.address, { path: 'access.log', format: '${path}' }))
  const { status, problems } = await sluice.reload(config(upstream.address, broken))
  assert.equal(status, 422)
  assert.match(problems[0]!.message, /no\/such\/folder\/access\.log/)
  await fetch(`${sluice.url}/still-logged`)
  await waitFor('the line', () => linesOf(sluice.folder, 'access.log').includes('/still-logged'))
  // The folder is gone: there is nothing to open, and the lines follow the file.
  const folder = join(sluice.folder, 'logs')
  mkdirSync(folder)
  assert.equal((await sluice.reload(config(upstream.address, { path: 'logs/access.log', format: '${path}' }))).status, 200)
  renameSync(folder, `${folder}.old`)
  sluice.signal('SIGUSR1')
  await waitFor('the complaint', () => sluice.logs.some((line) => line.includes('cannot be opened anew')))
  await fetch(`${sluice.url}/follows`)
  await waitFor('the line', () => linesOf(`${folder}.old`, 'access.log').includes('/follows'))
  assert.equal((await scrape(sluice)).sum('sluice_access_log_dropped_lines_total'), 0)
  // And the workers still take configurations.
  assert.equal((await sluice.reload(config(upstream.address, null))).status, 200)
})

test('lines that have nowhere to go are counted and hold up nobody', async (t) => {
  const upstream = await startUpstream(t, (_, response) => void response.end('ok'))
  const sluice = await startSluice(t, config(upstream.address, { path: '/dev/full', format: 'json' }))
  for (let i = 0; i < 20; i++) assert.equal((await fetch(sluice.url)).status, 200)
  await waitFor('the count', async () => (await scrape(sluice)).sum('sluice_access_log_dropped_lines_total') === 20)
  await waitFor('the complaint', () => sluice.logs.some((line) => line.includes('the access log cannot be written')))
})
