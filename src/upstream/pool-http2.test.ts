import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import net, { type AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { TimerWheel } from '../base/timers.ts'
import { RequestHead } from '../codec/http1/head.ts'
import { SessionCore } from '../codec/http2/session-core.ts'
import { HTTP2_SERVICE_DEFAULTS } from '../config/http2-schema.ts'
import type { Http2ServiceConfig } from '../config/types.ts'
import type { UpstreamEvents } from '../exchange/contracts.ts'
import type { Attempt } from '../exchange/exchange.ts'
import { Http2Pool } from './pool-http2.ts'

interface Seen {
  attempt: Attempt
  events: string[]
  done: Promise<void>
}

class FakeGauge {
  value = 0
  add(change: number): void {
    this.value += change
  }
}

/** A pool with what is needed of the proxy around it. */
class Bench {
  readonly idle = new FakeGauge()
  readonly busy = new FakeGauge()
  readonly pool: Http2Pool
  readonly #seen = new Map<Attempt, { events: string[]; resolve: () => void }>()

  constructor(port: number, http2: Partial<Http2ServiceConfig> = {}, limits: { maxConnections?: number; connectTimeoutMs?: number } = {}) {
    const clock = { now: () => performance.now(), wallClock: () => Date.now() }
    const note = (attempt: Attempt, event: string, isLast = false) => {
      const seen = this.#seen.get(attempt)
      seen?.events.push(event)
      if (isLast) seen?.resolve()
    }
    const events: UpstreamEvents = {
      onReady: () => {},
      onInformational: (attempt, { status }) => note(attempt, String(status)),
      onHead: (attempt, { status }) => note(attempt, String(status)),
      onBody: () => true,
      onEnd: (attempt) => note(attempt, 'end', true),
      onFlush: () => {},
      onDrain: () => {},
      onFailure: (attempt, code) => note(attempt, code, true),
    }
    this.pool = new Http2Pool({
      connect: { host: '127.0.0.1', port },
      tls: null,
      onTlsFailure: () => {},
      onNoHttp2: () => {},
      connectTimeoutMs: limits.connectTimeoutMs ?? 1000,
      idleTimeoutMs: 60_000,
      hostHeader: 'preserve',
      http2: { ...HTTP2_SERVICE_DEFAULTS, ...http2 },
      limits: { headBytes: 65_536, headers: 100, uriBytes: 8192 },
      maxConnections: limits.maxConnections ?? 10,
      maxPending: 1000,
      pendingTimeoutMs: 5000,
      wheel: new TimerWheel(clock),
      now: clock.now,
      events,
      idle: this.idle as never,
      busy: this.busy as never,
    })
  }

  ask(path = '/'): Seen {
    const request = new RequestHead()
    const exchange = {
      request,
      method: 'GET',
      target: path,
      upgrade: '',
      hasRequestBody: false,
      upstreamHost: null,
      authority: 'example.com',
      responseHeld: false,
      isRetained: false,
    }
    const attempt = { exchange, connection: null, waiting: null, sent: false, reused: false, headReceived: false } as unknown as Attempt
    const events: string[] = []
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#seen.set(attempt, { events, resolve })
    this.pool.acquire(attempt, false)
    return { attempt, events, done: promise }
  }
}

async function startServer(t: TestContext, options: http2.ServerOptions = {}) {
  const sessions: http2.ServerHttp2Session[] = []
  /** Answers that wait to be given. */
  const held: (() => void)[] = []
  const server = http2.createServer(options)
  server.on('session', (session) => {
    sessions.push(session)
    session.on('error', () => {})
  })
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {})
    const answer = () => {
      if (stream.destroyed) return
      stream.respond({ ':status': 200 })
      stream.end('fine')
    }
    if (headers[':path'] === '/later') setTimeout(answer, 100)
    else if (headers[':path'] === '/held') held.push(answer)
    else answer()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    for (const session of sessions) session.destroy()
  })
  return { port: (server.address() as AddressInfo).port, sessions, held }
}

test('attempts that come while the connection is opened share it', async (t) => {
  const server = await startServer(t)
  const { pool, ask, idle, busy } = bind(new Bench(server.port))
  const all = [ask(), ask(), ask()]
  assert.deepEqual([idle.value, busy.value], [0, 1])
  assert.equal(all[0]?.attempt.waiting === null, false)
  await Promise.all(all.map(({ done }) => done))
  assert.deepEqual(new Set(all.map(({ events }) => events.join())), new Set(['200,end']))
  await until(() => idle.value === 1 && busy.value === 0)
  assert.equal(server.sessions.length, 1)
  pool.close()
  await once(server.sessions[0] as http2.ServerHttp2Session, 'close')
  await until(() => idle.value === 0 && busy.value === 0)
})

test('an attempt that was given up while it waited is not sent', async (t) => {
  const server = await startServer(t)
  const { pool, ask } = bind(new Bench(server.port))
  const one = ask()
  const two = ask()
  one.attempt.waiting?.cancel(one.attempt)
  await two.done
  assert.deepEqual([one.events, one.attempt.sent, two.events], [[], false, ['200', 'end']])
  pool.close()
})

test('a closed pool finishes what it has', async (t) => {
  const server = await startServer(t)
  const { pool, ask, busy, idle } = bind(new Bench(server.port))
  const running = ask('/later')
  const waiting = ask('/later')
  pool.close()
  await Promise.all([running.done, waiting.done])
  assert.deepEqual(
    [running.events, waiting.events],
    [
      ['200', 'end'],
      ['200', 'end'],
    ],
  )
  await once(server.sessions[0] as http2.ServerHttp2Session, 'close')
  await until(() => idle.value === 0 && busy.value === 0)
})

test('what an endpoint allows less than expected goes to other connections, then waits', async (t) => {
  const server = await startServer(t, { settings: { maxConcurrentStreams: 2 } })
  const { pool, ask } = bind(new Bench(server.port, {}, { maxConnections: 3 }))
  const all = Array.from({ length: 20 }, () => ask('/later'))
  await Promise.all(all.map(({ done }) => done))
  assert.deepEqual(new Set(all.map(({ events }) => events.join())), new Set(['200,end']))
  assert.equal(server.sessions.length, 3)
  pool.close()
})

test('a connection whose stream ids are used up is replaced', async (t) => {
  const server = await startServer(t)
  const sessions: unknown[] = []
  const { start } = SessionCore.prototype
  t.mock.method(SessionCore.prototype, 'start', function (this: SessionCore<never>) {
    sessions.push(this)
    start.call(this)
  })
  const { pool, ask } = bind(new Bench(server.port, {}, { maxConnections: 1 }))
  await ask().done
  const later = ask('/later')
  // What a billion requests would do.
  ;(sessions[0] as { nextId: number }).nextId = 0x7fff_ffff
  const last = ask('/later')
  const beyond = ask('/later')
  await Promise.all([later.done, last.done, beyond.done])
  assert.deepEqual([later.events, last.events, beyond.events].map(String), ['200,end', '200,end', '200,end'])
  assert.equal(server.sessions.length, 2)
  pool.close()
})

test('a connection that is going away finishes its streams and makes room for another', async (t) => {
  const server = await startServer(t)
  const { pool, ask, idle, busy } = bind(new Bench(server.port, {}, { maxConnections: 1 }))
  await ask().done
  const running = ask('/held')
  await until(() => server.held.length > 0)
  const [first] = server.sessions as [http2.ServerHttp2Session]
  first.goaway()
  await sleep(100)
  const next = ask()
  await next.done
  assert.deepEqual([next.events, running.events, busy.value], [['200', 'end'], [], 1])
  server.held[0]?.()
  await running.done
  assert.deepEqual(running.events, ['200', 'end'])
  // node:http2 does not close after it went away itself: it gets a second for that.
  await until(() => idle.value === 1 && busy.value === 0)
  pool.close()
})

test('all who wait for a connection fail with it', async (t) => {
  const server = net.createServer((socket) => socket.destroy()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { ask, idle, busy } = bind(new Bench((server.address() as AddressInfo).port))
  const all = [ask(), ask(), ask()]
  await Promise.all(all.map(({ done }) => done))
  assert.deepEqual(
    all.map(({ events }) => events.join()),
    ['connect_failed', 'connect_failed', 'connect_failed'],
  )
  assert.deepEqual([idle.value, busy.value], [0, 0])
})

test('an endpoint that never greets runs into the connect timeout', async (t) => {
  const server = net.createServer((socket) => socket.resume()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { ask } = bind(new Bench((server.address() as AddressInfo).port, {}, { connectTimeoutMs: 50 }))
  const one = ask()
  await one.done
  assert.deepEqual(one.events, ['connect_timeout'])
})

async function until(check: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !check(); i++) await sleep(10)
  assert.ok(check())
}

function bind(bench: Bench) {
  return { pool: bench.pool, idle: bench.idle, busy: bench.busy, ask: (path?: string) => bench.ask(path) }
}
