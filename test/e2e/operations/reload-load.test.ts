// Reloads under load, each with a change that matters: nothing fails, no connection is closed, nothing grows.
import assert from 'node:assert/strict'
import net from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../support/port.ts'
import { runSluice, type SluiceProcess, startSluice } from '../../support/sluice.ts'
import { startUpstreamProcess, type UpstreamProcess } from '../../support/upstream-process.ts'
import { waitFor } from '../../support/wait.ts'
import { hasNoError, loadSeconds, runWrk } from '../../support/wrk.ts'
import { scrape } from './support/metrics.ts'
import { descriptors, residentBytes } from './support/process-state.ts'

const SECONDS = loadSeconds(8)
/** Enough that there is a tenth one and a last one well behind it. */
const RELOADS = Math.max(16, SECONDS - 2)
const CONNECTIONS = 32
const MIB = 1024 * 1024

interface Variation {
  step: number
  upstreams: UpstreamProcess[]
  ports: { web: number; probe: number; extra: number }
}

/** The configuration of a step. Every kind of change comes again and again, and no two steps in a row are equal. */
function configuration({ step, upstreams, ports }: Variation): string {
  const [a, b, c] = upstreams.map((upstream) => upstream.address)
  const endpoints = [
    [{ address: a }, { address: b }],
    [{ address: a, weight: 3 }, { address: b, weight: 2 }, { address: c }],
    [{ address: b }],
    [{ address: c, weight: 5 }, { address: a }],
  ][step % 4]
  const accessLog = [null, { path: 'access.log', format: 'json' }, { path: 'access.log', format: 'text' }][step % 3]
  const listeners = {
    web: { address: `127.0.0.1:${ports.web}`, headers: { via: `gateway-${step % 5}` } },
    probe: { address: `127.0.0.1:${ports.probe}` },
    ...(step % 3 === 0 ? { extra: { address: `127.0.0.1:${ports.extra}` } } : {}),
  }
  const extra = step % 2 === 0 ? `extra: { match: { path: '/extra' }, respond: { body: 'extra' } },` : ''
  // The service with another pool setting gets new connections; the other keeps its own.
  return `const mark = async (x, next) => {
  await next()
  x.response.headers.set('x-step', '${step}')
}
export default {
  workers: 2,
  admin: { address: '127.0.0.1:0' },
  accessLog: ${JSON.stringify(accessLog)},
  listeners: ${JSON.stringify(listeners)},
  services: {
    up: { endpoints: ${JSON.stringify(endpoints)}${step % 6 === 5 ? ", pool: { idleTimeout: '30s' }" : ''} },
  },
  routes: {
    ${extra}
    marked: { match: { path: '/marked' }, filters: [mark], respond: { body: 'marked' } },
    rest: { match: { prefix: '/' }, to: 'up' },
  },
}
`
}

async function check(sluice: SluiceProcess, { step, ports }: Variation): Promise<void> {
  const url = `http://127.0.0.1:${ports.probe}`
  const marked = await fetch(`${url}/marked`)
  assert.equal(marked.headers.get('x-step'), String(step), 'the filter of this step')
  assert.equal(await marked.text(), 'marked')
  const extra = await (await fetch(`${url}/extra`)).text()
  assert.equal(extra, step % 2 === 0 ? 'extra' : 'ok', 'the route of this step')
  assert.equal(await answers(ports.extra), step % 3 === 0, 'the listener of this step')
  assert.equal((await fetch(`${sluice.adminUrl}/readyz`)).status, 200)
}

/** Whether anything listens. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: '127.0.0.1' })
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

/** How a step reaches the gateway: writes the file and waits until it is in force. */
type Trigger = (sluice: SluiceProcess, config: string, step: number) => Promise<void>

async function generation(sluice: SluiceProcess): Promise<number> {
  return (await scrape(sluice)).sum('sluice_config_generation')
}

async function untilNext(sluice: SluiceProcess, before: number): Promise<void> {
  await waitFor('the reload', async () => (await generation(sluice)) === before + 1)
}

const bySignalOrCommand: Trigger = async (sluice, config, step) => {
  const before = await generation(sluice)
  sluice.writeConfig(config)
  if (step % 3 === 0) {
    const { code, stdout, stderr } = await runSluice(['reload', '--admin', sluice.adminUrl!])
    assert.equal(code, 0, stderr)
    assert.match(stdout, /^reloaded \(generation \d+\)$/m)
  } else {
    sluice.signal('SIGHUP')
  }
  await untilNext(sluice, before)
}

const byWatch: Trigger = async (sluice, config) => {
  const before = await generation(sluice)
  sluice.writeConfig(config)
  await untilNext(sluice, before)
}

async function reloadUnderLoad(
  t: TestContext,
  trigger: Trigger,
  { args, seconds, reloads }: { args: string[]; seconds: number; reloads: number },
) {
  const upstreams = await Promise.all([1, 2, 3].map(() => startUpstreamProcess(t)))
  const ports = { web: await freePort(), probe: await freePort(), extra: await freePort() }
  const variation = { step: 0, upstreams, ports }
  const sluice = await startSluice(t, configuration(variation), { fileName: 'sluice.config.mjs', args })
  // As long as the reloads take, which on a busy machine is longer than they should.
  const over = new AbortController()
  const load = runWrk(sluice.url, { connections: CONNECTIONS, seconds: seconds + 100, until: over.signal })
  const endMs = performance.now() + seconds * 1000
  const figures: { rss: number; fds: number }[] = []
  for (let step = 1; step <= reloads; step++) {
    const leftMs = endMs - performance.now() - 1000
    await sleep(Math.max(0, leftMs / (reloads - step + 1)))
    variation.step = step
    await trigger(sluice, configuration(variation), step)
    await check(sluice, variation)
    figures.push({ rss: residentBytes(sluice.pid), fds: descriptors(sluice.pid).length })
  }
  await sleep(500)
  over.abort()
  const result = await load
  const metrics = await scrape(sluice)
  t.diagnostic(`${result.perSecond} req/s; ${figures.map(({ rss, fds }) => `${Math.round(rss / MIB)} MiB ${fds} fds`).join(', ')}`)
  assert(hasNoError(result), JSON.stringify(result))
  // wrk opens one connection to see whether anybody is there.
  const accepted = metrics.sum('sluice_connections_accepted_total', { listener: 'web' })
  assert(accepted >= CONNECTIONS && accepted <= CONNECTIONS + 1, `${accepted} connections for ${CONNECTIONS}: some were closed`)
  assert.equal(metrics.sum('sluice_gateway_errors_total'), 0)
  assert.equal(metrics.sum('sluice_config_reloads_total', { result: 'applied' }), reloads)
  assert.equal(metrics.sum('sluice_worker_restarts_total'), 0)
  return { sluice, figures, variation }
}

test('reloads by SIGHUP and by command under load fail no request, close no connection and leave nothing behind', {
  timeout: 180_000,
}, async (t) => {
  const { figures } = await reloadUnderLoad(t, bySignalOrCommand, { args: [], seconds: SECONDS, reloads: RELOADS })
  const tenth = figures[9]!
  const last = figures.at(-1)!
  const lowestLate = Math.min(...figures.slice(-4).map(({ rss }) => rss))
  const highestEarly = Math.max(...figures.slice(6, 10).map(({ rss }) => rss))
  assert(lowestLate < highestEarly + 16 * MIB, `memory grew from ${highestEarly} to ${lowestLate}`)
  // Connections to endpoints come and go with the endpoints of the steps.
  assert(last.fds <= tenth.fds + CONNECTIONS * 3, `descriptors grew from ${tenth.fds} to ${last.fds}`)
})

test('reloads by a watched file under load fail no request', { timeout: 180_000 }, async (t) => {
  await reloadUnderLoad(t, byWatch, { args: ['--watch'], seconds: Math.max(4, Math.round(SECONDS / 3)), reloads: 6 })
})
