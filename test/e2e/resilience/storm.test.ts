// Everything against failure at once, endpoints and clients that misbehave in every way, reloads, and workers that die: when all is
// over nothing may be held by anybody any more.
import assert from 'node:assert/strict'
import http2 from 'node:http2'
import net from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createSeededRandom, type Random } from '../../../src/base/clock.ts'
import { type SluiceProcess, startSluice } from '../../support/sluice.ts'
import { startRawUpstream, type Upstream } from '../../support/upstream.ts'
import { waitFor } from '../../support/wait.ts'

/** How long the storm lasts. */
const STORM_MS = Number(process.env.SLUICE_TEST_STORM_SECONDS ?? '2') * 1000
const SEED = Number(process.env.SLUICE_TEST_STORM_SEED ?? '1')
const CLIENTS = 24

/** Answers of an endpoint, or none: by chance, for each request it reads. */
function misbehave(socket: net.Socket, random: Random): void {
  const text = (value: string) => socket.writable && socket.write(value)
  const end = () => socket.resetAndDestroy()
  const kind = Math.floor(random() * 16)
  switch (kind) {
    case 0:
      return void end()
    case 1:
      return void socket.end()
    case 2:
      return
    case 3:
      text('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345')
      return void setTimeout(end, 5)
    case 4:
      return void text('HTTP/1.1 503 Busy\r\nRetry-After: 99999999999999999999\r\nContent-Length: 0\r\n\r\n')
    case 5:
      return void text('HTTP/1.1 503 Busy\r\nX-Sluice-Retry: no\r\nContent-Length: 0\r\n\r\n')
    case 6:
      text('HTTP/1.1 103 Early\r\nLink: <a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n')
      return void setTimeout(() => text('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'), 20 * random())
    case 7:
      return void text('nonsense\r\n\r\n')
    case 8:
      return void setTimeout(() => text('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'), 300 * random())
    case 9:
      return void text('HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno')
    case 10:
      return void text(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n${random() < 0.5 ? '0\r\n\r\n' : 'zz'}`)
    case 11:
      return void text(`HTTP/1.1 413 Large\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx`)
    default:
      return void text('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
  }
}

function startEndpoint(t: TestContext, random: Random): Promise<Upstream> {
  return startRawUpstream(t, (socket) => {
    socket.on('data', (bytes) => {
      // One answer for each head that begins; of bodies nothing is read but their bytes.
      const heads = bytes.toString('latin1').split(' HTTP/1.1\r\n').length - 1
      for (let i = 0; i < heads; i++) misbehave(socket, random)
    })
    socket.on('end', () => socket.end())
  })
}

interface Shape {
  readonly endpoints: readonly string[]
  readonly round: number
}

/** A configuration of every kind of protection; each round another balancer and other numbers. */
function configOf({ endpoints, round }: Shape): string {
  const balancers = ['round-robin', 'peak-ewma', 'least-request', 'fastest-response', 'consistent-hash', 'first', 'maglev', 'random']
  const algorithm = balancers[round % balancers.length] as string
  const balance = {
    algorithm,
    ...(algorithm === 'consistent-hash' || algorithm === 'maglev' ? { on: 'header:x-key' } : {}),
    ...(round % 3 === 0 ? { sticky: { cookie: 'stick' } } : {}),
    ...(round % 2 === 0 && !['consistent-hash', 'maglev', 'random'].includes(algorithm) ? { slowStart: '200ms' } : {}),
    ...(round % 4 === 1 ? { panicThreshold: '50%' } : {}),
  }
  const breaker =
    round % 3 === 0
      ? { per: 'endpoint', openFor: '100ms', window: '1s', minRequests: 10, probes: 2 }
      : round % 3 === 1
        ? { openFor: '50ms', maxOpenFor: '100ms', window: '500ms', errorRate: '80%', probes: 3 }
        : { kind: 'adaptive-throttle' }
  const up = {
    endpoints: round % 5 === 4 ? endpoints.slice(0, 2) : endpoints,
    balance,
    breaker,
    timeouts: { request: '400ms', perTry: '150ms', idle: '500ms' },
    hedge: { after: round % 2 === 0 ? '20ms' : 'p90', budget: '30%', minSamples: 10 },
    retry: { attempts: 3, on: ['5xx', 'connect-failure', 'reset', 'timeout'], budget: '50%', replayBody: '1KiB' },
    ejection: { maxFails: 3, failTimeout: '100ms', errorRate: '50%', latencyFactor: 3, interval: '200ms', minRequests: 5 },
    concurrency: { max: 10, queue: 8, queueTimeout: '100ms', ...(round % 2 === 1 ? { adaptive: 'gradient' } : {}) },
    pool: { maxConnections: 6 },
    ...(round % 2 === 0 ? { fallback: { to: 'other' } } : { fallback: { respond: { status: 200, body: 'degraded' } } }),
  }
  const other = { ...up, fallback: null, concurrency: { max: 4, queue: 2, queueTimeout: '50ms' }, hedge: null }
  return `export default {
  workers: 2,
  admin: { address: '127.0.0.1:0' },
  accessLog: null,
  listeners: { web: { address: '127.0.0.1:0' } },
  services: ${JSON.stringify({ up, other })},
  routes: {
    die: { match: { path: '/die' }, filters: [async (x, next) => { setImmediate(() => { throw new Error('of the test') }); await next() }], to: 'up' },
    low: { match: { prefix: '/low' }, to: 'up', importance: 'low', concurrency: { max: 3, queue: 3, queueTimeout: '50ms' } },
    limited: { match: { prefix: '/limited' }, filters: [{ 'rate-limit': { rate: '200/s', burst: 20 } }], to: 'up', fallback: { to: 'other', on: ['rate-limited', 'failure', 'timeout', 503] } },
    waits: { match: { prefix: '/waits' }, filters: [async (x, next) => { await new Promise((go) => setTimeout(go, 5)); await next() }], to: 'up' },
    split: { match: { prefix: '/split' }, to: [{ service: 'up', weight: 1 }, { service: 'other', weight: 2 }] },
    rest: { to: 'up' },
  },
}
`
}

const PATHS = ['/', '/low', '/limited', '/waits', '/split']

/** One request over HTTP/1.1 that goes wrong by chance: it ends early, is slow, is too large, or is read slowly. */
async function attackHttp1(port: number, random: Random): Promise<void> {
  const socket = net.connect({ port, host: '127.0.0.1' })
  socket.on('error', () => {})
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  const answered = new Promise<void>((resolve) => socket.once('data', () => resolve()))
  socket.on('data', () => {})
  const path = PATHS[Math.floor(random() * PATHS.length)]
  const marks = [
    random() < 0.1 ? `X-Sluice-Timeout: ${['0', '1', '99999999', '-1', '1e3', '99999999999999', '50'][Math.floor(random() * 7)]}\r\n` : '',
    random() < 0.1 ? `X-Sluice-Attempt: ${['2', '-1', 'x', '99999999999999999999'][Math.floor(random() * 4)]}\r\n` : '',
    random() < 0.3 ? `X-Key: ${'k'.repeat(Math.floor(random() * 4000))}\r\n` : '',
    random() < 0.1 ? 'Idempotency-Key: 1\r\n' : '',
  ].join('')
  const body = random() < 0.4 ? Math.floor(random() ** 3 * 200_000) : -1
  const method = body >= 0 ? (random() < 0.5 ? 'PUT' : 'POST') : random() < 0.9 ? 'GET' : 'DELETE'
  const framing = body < 0 ? '' : random() < 0.2 ? `Expect: 100-continue\r\nContent-Length: ${body}\r\n` : `Content-Length: ${body}\r\n`
  const head = `${method} ${path} HTTP/1.1\r\nHost: a\r\n${marks}${framing}\r\n`
  if (random() < 0.05) {
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`)
    socket.write('Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
  } else if (random() < 0.1) {
    socket.write(head.slice(0, 20))
    await sleep(5 * random())
    socket.write(head.slice(20))
  } else {
    socket.write(head)
  }
  if (body > 0) {
    const cut = random() < 0.3 ? Math.floor(random() * body) : body
    if (random() < 0.3) await sleep(10 * random())
    socket.write(Buffer.alloc(cut, 'b'))
    if (cut < body && random() < 0.5) await sleep(50 * random())
  }
  const patienceMs = random() < 0.3 ? 100 * random() : 900
  await Promise.race([closed, answered, sleep(patienceMs)])
  if (random() < 0.5) socket.resetAndDestroy()
  else socket.destroy()
  await closed
}

/** A connection over HTTP/2 with several streams, some of which are reset. */
async function attackHttp2(port: number, random: Random): Promise<void> {
  const session = http2.connect(`http://127.0.0.1:${port}`)
  session.on('error', () => {})
  const streams = Array.from({ length: 1 + Math.floor(random() * 6) }, () => {
    const hasBody = random() < 0.4
    const path = PATHS[Math.floor(random() * PATHS.length)] as string
    const stream = session.request({ ':method': hasBody ? 'PUT' : 'GET', ':path': path }, { endStream: !hasBody })
    stream.on('error', () => {})
    stream.resume()
    if (hasBody) {
      stream.write(Buffer.alloc(Math.floor(random() ** 3 * 100_000)))
      if (random() < 0.8) stream.end()
    }
    if (random() < 0.3) setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), 60 * random())
    return new Promise<void>((resolve) => stream.once('close', () => resolve()))
  })
  await Promise.race([Promise.all(streams), sleep(random() < 0.2 ? 50 : 900)])
  session.destroy()
}

/** Everything that counts what is under way now. */
async function held(gateway: SluiceProcess): Promise<Record<string, number>> {
  const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
  const found: Record<string, number> = {}
  for (const line of text.split('\n')) {
    const gauge = /^(sluice_(?:requests_in_flight|concurrency_in_flight|concurrency_waiting)\S*) (\S+)$/.exec(line)
    if (gauge !== null && Number(gauge[2]) !== 0) found[gauge[1] as string] = Number(gauge[2])
  }
  interface Shown {
    name: string
    endpoints: { address: string; inFlight: number }[]
    retryBudget: { requests: number; retries: number } | null
    concurrency: { inFlight: number; waiting: number } | null
  }
  const { services } = (await (await fetch(`${gateway.adminUrl}/services`)).json()) as { services: Shown[] }
  for (const { name, endpoints, retryBudget, concurrency } of services) {
    for (const { address, inFlight } of endpoints) if (inFlight !== 0) found[`${name} ${address}`] = inFlight
    if (retryBudget !== null && retryBudget.requests !== 0) found[`${name} budget requests`] = retryBudget.requests
    if (retryBudget !== null && retryBudget.retries !== 0) found[`${name} budget retries`] = retryBudget.retries
    if (concurrency !== null && concurrency.inFlight !== 0) found[`${name} places`] = concurrency.inFlight
    if (concurrency !== null && concurrency.waiting !== 0) found[`${name} waiting`] = concurrency.waiting
  }
  return found
}

async function storm(gateway: SluiceProcess, endpoints: readonly string[], seed: number, dies: boolean): Promise<void> {
  const until = performance.now() + STORM_MS
  const clients = Array.from({ length: CLIENTS }, async (_, i) => {
    const random = createSeededRandom(seed * 1000 + i)
    while (performance.now() < until) await (random() < 0.8 ? attackHttp1 : attackHttp2)(gateway.port(), random)
  })
  for (let round = 1; performance.now() < until; round++) {
    await sleep(STORM_MS / 6)
    const { status, problems } = await gateway.reload(configOf({ endpoints, round }))
    assert.equal(status, 200, JSON.stringify(problems))
    if (dies && round % 2 === 0) await fetch(`${gateway.url}/die`).then(undefined, () => undefined)
  }
  await Promise.all(clients)
}

describe('after a storm of everything that can go wrong', () => {
  for (const dies of [false, true]) {
    it(`nothing is held by anybody any more${dies ? ', also when workers died in it' : ''}`, { timeout: STORM_MS + 60_000 }, async (t) => {
      const random = createSeededRandom(SEED)
      const upstreams = await Promise.all([1, 2, 3, 4].map(() => startEndpoint(t, random)))
      const endpoints = upstreams.map(({ address }) => address)
      const gateway = await startSluice(t, configOf({ endpoints, round: 0 }), { fileName: 'sluice.config.mjs' })
      await storm(gateway, endpoints, SEED, dies)
      await waitFor('two workers', async () => (await (await fetch(`${gateway.adminUrl}/metrics`)).text()).includes('\nsluice_workers 2'))
      let left: Record<string, number> = {}
      const look = async () => {
        left = await held(gateway)
        return Object.keys(left).length === 0
      }
      await waitFor('nothing under way', look).catch(() => undefined)
      assert.deepEqual(left, {})
      assert.deepEqual(
        gateway.logs
          .filter((line) => line.includes('"level":"error"') && !line.includes('of the test') && !line.includes('worker died'))
          .slice(0, 5),
        [],
      )
    })
  }
})
