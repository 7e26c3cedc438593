// Concurrency limits and load shedding through real gateways.
import assert from 'node:assert/strict'
import type http from 'node:http'
import net from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type SluiceProcess, startSluice } from '../../support/sluice.ts'
import { startUpstream } from '../../support/upstream.ts'
import { waitFor } from '../../support/wait.ts'

/** An upstream that answers when told, and knows how many requests it has at the same time. */
class HeldUpstream {
  readonly waiting: { path: string; answer: () => void }[] = []
  readonly seen: string[] = []
  most = 0
  running = 0
  address = ''

  static async start(t: TestContext, delayMs: number | null = null): Promise<HeldUpstream> {
    const held = new HeldUpstream()
    const upstream = await startUpstream(t, (request, response) => held.#take(request, response, delayMs))
    held.address = upstream.address
    return held
  }

  #take(request: http.IncomingMessage, response: http.ServerResponse, delayMs: number | null): void {
    this.seen.push(request.url as string)
    this.running++
    this.most = Math.max(this.most, this.running)
    response.on('close', () => this.running--)
    const answer = () => response.end('done')
    if (delayMs === null) this.waiting.push({ path: request.url as string, answer })
    else setTimeout(answer, delayMs)
  }

  async answerNext(): Promise<void> {
    await waitFor('a request at the upstream', () => this.waiting.length > 0)
    this.waiting.shift()?.answer()
  }

  answerAll(): void {
    for (const { answer } of this.waiting.splice(0)) answer()
  }
}

function configOf(upstream: { address: string }, concurrency: unknown, more: object = {}): object {
  const route = (importance: string) => ({ match: { prefix: `/${importance}` }, to: 'up', importance })
  return {
    workers: 2,
    listeners: { web: { address: '127.0.0.1:0' } },
    services: { up: { endpoints: [upstream.address], concurrency, ejection: null, retry: null } },
    routes: { core: route('core'), low: route('low'), background: route('background'), rest: { to: 'up' } },
    ...more,
  }
}

interface Answer {
  status: number
  code: string | null
  headers: Headers
}

/** A connection of its own, so that both workers have some. */
async function ask(gateway: SluiceProcess, path = '/'): Promise<Answer> {
  const { status, headers, body } = await request(gateway, path)
  return { status, headers, code: status === 200 ? null : ((JSON.parse(body) as { code: string }).code ?? null) }
}

async function request(gateway: SluiceProcess, path: string): Promise<{ status: number; headers: Headers; body: string }> {
  const response = await fetch(`${gateway.url}${path}`, { headers: { connection: 'close' } })
  return { status: response.status, headers: response.headers, body: await response.text() }
}

const UP = { scope: 'service', name: 'up' }

interface Shown {
  limit: number
  inFlight: number
  waiting: number
}

async function shown(gateway: SluiceProcess): Promise<Shown> {
  const response = await fetch(`${gateway.adminUrl}/services`)
  const { services } = (await response.json()) as { services: { concurrency: Shown }[] }
  return services[0]?.concurrency as Shown
}

/** The sum of the series of this name that have all of these labels. */
async function metric(gateway: SluiceProcess, name: string, labels: Record<string, string> = {}): Promise<number> {
  const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text()
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
  return text
    .split('\n')
    .filter((line) => line.startsWith(name) && '{ '.includes(line.charAt(name.length)) && wanted.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

function waiting(gateway: SluiceProcess, count: number): Promise<boolean> {
  return waitFor(`${count} that wait`, async () => (await shown(gateway)).waiting === count)
}

function running(gateway: SluiceProcess, count: number): Promise<boolean> {
  return waitFor(`${count} that run`, async () => (await shown(gateway)).inFlight === count)
}

describe('a concurrency limit', () => {
  it('never lets more than 10 of 50 clients through to a slow service, over two workers, and nobody is lost', async (t) => {
    const upstream = await HeldUpstream.start(t, 20)
    const gateway = await startSluice(t, configOf(upstream, { max: 10, queue: 100, queueTimeout: '10s' }))
    let finished = 0
    const client = async () => {
      for (let i = 0; i < 10; i++) {
        assert.equal((await ask(gateway)).status, 200)
        finished++
      }
    }
    await Promise.all(Array.from({ length: 50 }, client))
    assert.equal(finished, 500)
    assert.equal(upstream.most, 10)
    assert.deepEqual(await shown(gateway), { limit: 10, inFlight: 0, waiting: 0 })
    assert.equal(await metric(gateway, 'sluice_shed_total'), 0)
  })

  it('bounds the queue and answers the rest with 503 at once', async (t) => {
    const upstream = await HeldUpstream.start(t)
    const gateway = await startSluice(t, configOf(upstream, { max: 2, queue: 4, queueTimeout: '10s' }))
    const first = [ask(gateway), ask(gateway)]
    await running(gateway, 2)
    const answers: Answer[] = []
    const rest = Array.from({ length: 12 }, () => ask(gateway).then((answer) => answers.push(answer)))
    // Two for each worker; the kernel may give all connections to one of them.
    await waitFor('refusals', () => answers.length >= 8)
    const { waiting: queued } = await shown(gateway)
    assert(queued >= 2 && queued <= 4, `${queued} wait`)
    for (const { status, code, headers } of answers) {
      assert.deepEqual([status, code, headers.get('retry-after'), headers.get('x-sluice-retry')], [503, 'concurrency_limit', '1', 'no'])
    }
    assert.equal(await metric(gateway, 'sluice_shed_total', { ...UP, reason: 'queue-full', importance: 'normal' }), answers.length)
    assert.equal(await metric(gateway, 'sluice_concurrency_in_flight', UP), 2)
    assert.equal(await metric(gateway, 'sluice_concurrency_waiting', UP), queued)
    assert.equal(await metric(gateway, 'sluice_concurrency_limit', UP), 2)
    for (let i = 0; i < 2 + queued; i++) await upstream.answerNext()
    await Promise.all([...first, ...rest])
    assert.equal(upstream.most, 2)
    await waitFor('the log lines', () => gateway.logs.filter((line) => line.includes('"flags":"CL"')).length === answers.length - queued)
  })

  it('serves those that wait by importance, over all workers', async (t) => {
    const upstream = await HeldUpstream.start(t)
    const gateway = await startSluice(t, configOf(upstream, { max: 2, queue: 100, queueTimeout: '10s' }))
    const all = [ask(gateway), ask(gateway)]
    await running(gateway, 2)
    for (const path of ['/background', '/low', '/', '/core', '/low', '/core']) {
      all.push(ask(gateway, path))
      await waiting(gateway, all.length - 2)
    }
    // One place at a time: two that are given at once to two workers may arrive in either order. Of two places, `low` and `background` may
    // have one, so the first of them waits until both are free.
    for (const seen of [3, 4, 5, 5, 6, 7, 8, 8]) {
      await upstream.answerNext()
      await waitFor('the next request', () => upstream.seen.length === seen)
    }
    for (const answer of await Promise.all(all)) assert.equal(answer.status, 200)
    assert.deepEqual(upstream.seen, ['/', '/', '/core', '/core', '/', '/low', '/low', '/background'])
  })

  it('answers 503 when the wait is over, and counts it', async (t) => {
    const upstream = await HeldUpstream.start(t)
    const gateway = await startSluice(t, configOf(upstream, { max: 1, queueTimeout: '300ms' }))
    const first = ask(gateway)
    await running(gateway, 1)
    const startMs = performance.now()
    const late = await ask(gateway)
    assert.deepEqual([late.status, late.code], [503, 'queue_timeout'])
    const tookMs = performance.now() - startMs
    assert(tookMs >= 290 && tookMs < 8000, `${tookMs}`)
    assert.equal(await metric(gateway, 'sluice_shed_total', { ...UP, reason: 'wait-too-long' }), 1)
    await upstream.answerNext()
    assert.equal((await first).status, 200)
    await waitFor('the log line', () => gateway.logs.some((line) => line.includes('"flags":"QT"')))
  })

  it('counts the wait against the request timeout', async (t) => {
    const upstream = await HeldUpstream.start(t)
    const config = configOf(upstream, { max: 1, queueTimeout: '10s' }) as { routes: { rest: object } }
    Object.assign(config.routes.rest, { timeouts: { request: '400ms' } })
    const gateway = await startSluice(t, config)
    const first = ask(gateway, '/core')
    await running(gateway, 1)
    const second = await ask(gateway)
    assert.deepEqual([second.status, second.code], [504, 'upstream_timeout'])
    // The answer can be here before the worker has put its books in order.
    await waiting(gateway, 0)
    assert.deepEqual(await shown(gateway), { limit: 1, inFlight: 1, waiting: 0 })
    await upstream.answerNext()
    assert.equal((await first).status, 200)
    assert.deepEqual(upstream.seen, ['/core'])
    assert.equal(await metric(gateway, 'sluice_shed_total', { ...UP, reason: 'request-timeout' }), 1)
  })

  it('frees the place in the queue when the client leaves, and does not send its request', async (t) => {
    const upstream = await HeldUpstream.start(t)
    const gateway = await startSluice(t, configOf(upstream, { max: 1, queueTimeout: '10s' }))
    const first = ask(gateway)
    await running(gateway, 1)
    const socket = net.connect(gateway.port(), '127.0.0.1')
    socket.on('error', () => undefined)
    socket.write('GET /leaves HTTP/1.1\r\nHost: a\r\n\r\n')
    await waiting(gateway, 1)
    socket.resetAndDestroy()
    await waiting(gateway, 0)
    const second = ask(gateway, '/stays')
    await waiting(gateway, 1)
    await upstream.answerNext()
    await upstream.answerNext()
    assert.deepEqual([(await first).status, (await second).status], [200, 200])
    assert.deepEqual(upstream.seen, ['/', '/stays'])
    assert.equal(await metric(gateway, 'sluice_shed_total', { ...UP, reason: 'client-left' }), 1)
  })

  it('holds a large request body back while it waits, and sends all of it afterwards', async (t) => {
    let received = 0
    const release: (() => void)[] = []
    const upstream = await startUpstream(t, (incoming, response) => {
      incoming.on('data', (piece: Buffer) => (received += piece.length))
      incoming.on('end', () => (incoming.method === 'GET' ? release.push(() => response.end('x')) : response.end('done')))
    })
    const gateway = await startSluice(t, configOf(upstream, { max: 1, queueTimeout: '10s' }))
    const first = ask(gateway)
    await waitFor('the first', () => release.length === 1)
    const body = Buffer.alloc(8 * 1024 * 1024, 'b')
    const upload = fetch(gateway.url, { method: 'POST', body })
    await waiting(gateway, 1)
    await sleep(300)
    assert.equal(received, 0)
    release[0]?.()
    assert.equal(await (await upload).text(), 'done')
    assert.equal(received, body.length)
    assert.equal((await first).status, 200)
  })

  it('keeps its count over a reload, with the new limit for what comes', async (t) => {
    const upstream = await HeldUpstream.start(t)
    const gateway = await startSluice(t, configOf(upstream, { max: 2, queueTimeout: '10s' }))
    const all = [ask(gateway), ask(gateway)]
    await running(gateway, 2)
    all.push(ask(gateway), ask(gateway), ask(gateway))
    await waiting(gateway, 3)
    assert.equal((await gateway.reload(configOf(upstream, { max: 4, queueTimeout: '10s' }))).status, 200)
    await running(gateway, 4)
    assert.deepEqual(await shown(gateway), { limit: 4, inFlight: 4, waiting: 1 })
    assert.equal((await gateway.reload(configOf(upstream, { max: 1, queueTimeout: '10s' }))).status, 200)
    assert.deepEqual(await shown(gateway), { limit: 1, inFlight: 4, waiting: 1 })
    for (let i = 0; i < 3; i++) await upstream.answerNext()
    await running(gateway, 1)
    assert.equal((await shown(gateway)).waiting, 1)
    await upstream.answerNext()
    await upstream.answerNext()
    for (const answer of await Promise.all(all)) assert.equal(answer.status, 200)
    assert.deepEqual(await shown(gateway), { limit: 1, inFlight: 0, waiting: 0 })
  })

  it('lets go what waits when a reload takes it away', async (t) => {
    const upstream = await HeldUpstream.start(t)
    const gateway = await startSluice(t, configOf(upstream, { max: 1, queueTimeout: '10s' }))
    const all = [ask(gateway)]
    await running(gateway, 1)
    all.push(ask(gateway), ask(gateway))
    await waiting(gateway, 2)
    assert.equal((await gateway.reload(configOf(upstream, null))).status, 200)
    await waitFor('all at the upstream', () => upstream.running === 3)
    assert.equal(await shown(gateway), null)
    upstream.answerAll()
    for (const answer of await Promise.all(all)) assert.equal(answer.status, 200)
  })

  it('serves those that wait before a shutdown ends', async (t) => {
    const upstream = await HeldUpstream.start(t)
    const gateway = await startSluice(t, configOf(upstream, { max: 1, queueTimeout: '10s' }))
    const all = [ask(gateway)]
    await running(gateway, 1)
    all.push(ask(gateway), ask(gateway))
    await waiting(gateway, 2)
    gateway.signal('SIGTERM')
    for (let i = 0; i < 3; i++) await upstream.answerNext()
    for (const answer of await Promise.all(all)) assert.equal(answer.status, 200)
    assert.deepEqual(await gateway.exited, { code: 0, signal: null })
  })

  it('of a route counts its requests whatever service they go to', async (t) => {
    const upstream = await HeldUpstream.start(t)
    const config = configOf(upstream, null) as { routes: { rest: object } }
    Object.assign(config.routes.rest, { concurrency: { max: 1, queue: 0 } })
    const gateway = await startSluice(t, config)
    const first = ask(gateway)
    await waitFor('the first', () => upstream.running === 1)
    assert.equal((await ask(gateway)).code, 'concurrency_limit')
    const core = ask(gateway, '/core')
    await waitFor('the other route', () => upstream.running === 2)
    assert.equal(await metric(gateway, 'sluice_concurrency_in_flight', { scope: 'route', name: 'rest' }), 1)
    upstream.answerAll()
    assert.deepEqual([(await first).status, (await core).status], [200, 200])
    assert.equal((await Promise.all([ask(gateway), upstream.answerNext()]))[0].status, 200)
  })

  it('gets back what a worker held that died', async (t) => {
    const upstream = await HeldUpstream.start(t)
    const gateway = await startSluice(
      t,
      `export default {
  workers: 2,
  admin: { address: '127.0.0.1:0' },
  accessLog: null,
  listeners: { web: { address: '127.0.0.1:0' } },
  services: { up: { endpoints: ['${upstream.address}'], concurrency: { max: 4, queueTimeout: '10s' }, retry: null, ejection: null } },
  routes: {
    die: { match: { path: '/die' }, filters: [async (x, next) => { setImmediate(() => { throw new Error('of the test') }); await next() }], to: 'up' },
    rest: { to: 'up' },
  },
}
`,
      { fileName: 'sluice.config.mjs' },
    )
    for (let round = 0; round < 3; round++) {
      const outcomes = Array.from({ length: 12 }, () =>
        ask(gateway).then(
          ({ status }) => status,
          () => 0,
        ),
      )
      await waitFor('the places', async () => (await shown(gateway)).inFlight === 4)
      await waiting(gateway, 8)
      await assert.rejects(ask(gateway, '/die'))
      await waitFor('the replacement', async () => (await metric(gateway, 'sluice_workers')) === 2)
      // The survivors are served one after the other, and new requests too.
      const answering = setInterval(() => upstream.answerAll(), 5)
      t.after(() => clearInterval(answering))
      const statuses = await Promise.all(outcomes)
      for (const status of statuses) assert(status === 200 || status === 0, `${status}`)
      assert.equal((await ask(gateway)).status, 200)
      clearInterval(answering)
      await running(gateway, 0)
      assert.equal((await shown(gateway)).waiting, 0)
    }
    assert(upstream.most <= 8, `${upstream.most}`)
  })
})

describe('an adaptive limit', () => {
  it('finds out how many requests a service can take at the same time', async (t) => {
    // A service with 8 places of its own: what comes beyond waits inside it.
    const line: (() => void)[] = []
    let busy = 0
    let most = 0
    const next = () => {
      const run = line.shift()
      if (run === undefined) busy--
      else run()
    }
    const upstream = await startUpstream(t, (_request, response) => {
      const run = () =>
        setTimeout(() => {
          response.end('done')
          next()
        }, 10)
      most = Math.max(most, busy + line.length + 1)
      if (busy >= 8) line.push(run)
      else {
        busy++
        run()
      }
    })
    const gateway = await startSluice(t, configOf(upstream, { adaptive: 'gradient', max: 200, queue: 400, queueTimeout: '10s' }))
    const until = performance.now() + 3000
    const client = async () => {
      while (performance.now() < until) assert.equal((await (await fetch(gateway.url)).text()).length, 4)
    }
    await Promise.all(Array.from({ length: 100 }, client))
    assert(most < 60, `${most} of 100 clients at the service`)
    const { limit, inFlight } = await shown(gateway)
    assert(limit >= 3 && limit < 60, `${limit}`)
    assert.equal(inFlight, 0)
  })
})

describe('load shedding', () => {
  it('refuses background requests while the event loop is late, and core requests go on', async (t) => {
    const upstream = await HeldUpstream.start(t, 0)
    const gateway = await startSluice(
      t,
      `const burn = (x, next) => { const until = performance.now() + 60; while (performance.now() < until); return next() }
const route = (importance) => ({ match: { prefix: '/' + importance }, to: 'up', importance })
export default {
  workers: 1,
  admin: { address: '127.0.0.1:0' },
  overload: { eventLoopDelay: '40ms', memory: null },
  listeners: { web: { address: '127.0.0.1:0' } },
  services: { up: { endpoints: ['${upstream.address}'] } },
  routes: { core: route('core'), low: route('low'), background: route('background'), burn: { match: { path: '/burn' }, filters: [burn], to: 'up', importance: 'core' } },
}
`,
      { fileName: 'sluice.config.mjs' },
    )
    assert.equal((await ask(gateway, '/background')).status, 200)
    let isOver = false
    const burner = async () => {
      while (!isOver) await ask(gateway, '/burn')
    }
    const burning = burner()
    const background: Answer[] = []
    const core: Answer[] = []
    for (let i = 0; i < 25; i++) {
      background.push(await ask(gateway, '/background'))
      core.push(await ask(gateway, '/core'))
    }
    isOver = true
    await burning
    const refused = background.filter(({ status }) => status === 503)
    const coreRefused = core.filter(({ status }) => status === 503)
    assert(refused.length >= 10, `${refused.length} of the background requests refused`)
    assert(coreRefused.length * 4 < refused.length, `${coreRefused.length} of the core requests refused`)
    assert.deepEqual([refused[0]?.code, refused[0]?.headers.get('retry-after')], ['load_shed', '1'])
    assert.equal(
      await metric(gateway, 'sluice_shed_total', { scope: 'gateway', reason: 'overload', importance: 'background' }),
      refused.length,
    )
    assert(gateway.logs.some((line) => line.includes('"flags":"LS"')))
    // It is over soon after the load is.
    await waitFor('the end of it', async () => (await ask(gateway, '/background')).status === 200)
  })
})
