import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ManualClock } from '../base/clock.ts'
import type { ErrorCode } from '../base/error.ts'
import { TimerWheel } from '../base/timers.ts'
import type { ConcurrencyLimitConfig, GatewayConfig } from '../config/types.ts'
import type { Attempt, Exchange } from '../exchange/exchange.ts'
import { exchangeOf } from '../filter/exchange.contract.ts'
import { type Priority, priorityLevel } from '../limit/priority.ts'
import type { Labels, MetricsRegistry } from '../observe/metrics-types.ts'
import { LimitMemory, LimitMemoryStore } from '../service/limit-memory.ts'
import { Admission } from './admission.ts'
import { LimitSet } from './limits.ts'
import type { CompiledRoute, ProxyContext, ServiceRuntime } from './runtime.ts'

type Limits = Record<string, Partial<ConcurrencyLimitConfig>>

function configOf(services: Limits, routes: Limits = {}): GatewayConfig {
  const complete = (limits: Limits) =>
    Object.fromEntries(
      Object.entries(limits).map(([name, limit]) => [
        name,
        { concurrency: { max: 2, maxQueued: 4, maxWaitMs: 1000, adaptive: null, ...limit } },
      ]),
    )
  return { services: complete(services), routes: complete(routes) } as unknown as GatewayConfig
}

/** One worker with its limits. Exchanges go on to `begun`, or fail into `failed`. */
class Worker {
  readonly clock = new ManualClock(1000)
  readonly wheel = new TimerWheel(this.clock, { automatic: false })
  readonly begun: Exchange[] = []
  readonly failed: [Exchange, ErrorCode][] = []
  readonly shed: string[] = []
  readonly #store: LimitMemoryStore
  readonly #index: number
  readonly #limits: LimitSet
  readonly #admission: Admission
  #prepared

  constructor(config: GatewayConfig, store = new LimitMemoryStore(1), index = 0, workers = 1) {
    this.#store = store
    this.#index = index
    const counter = (_name: string, _help: string, labels: Labels = {}) => ({
      add: () => this.shed.push(`${labels['scope']} ${labels['name']} ${labels['reason']} ${labels['importance']}`),
    })
    const registry = { counter } as unknown as MetricsRegistry
    this.#limits = new LimitSet({ workers, clock: this.clock, random: () => 0, wheel: this.wheel, registry })
    const context = { clock: this.clock, wheel: this.wheel, onDefect: (error: unknown) => assert.fail(String(error)) }
    this.#admission = new Admission(
      context as unknown as ProxyContext,
      (x) => this.begun.push(x),
      (x, code) => this.failed.push([x, code]),
    )
    this.#prepared = this.#load(config)
  }

  #load(config: GatewayConfig) {
    const { layout } = this.#store.retain(config, 0)
    const prepared = this.#limits.prepare(config, new LimitMemory(layout, this.#index))
    prepared.commit()
    return prepared
  }

  reload(config: GatewayConfig): void {
    this.#prepared = this.#load(config)
  }

  service(name: string): ServiceRuntime {
    return { limit: this.#prepared.get('service', name) } as unknown as ServiceRuntime
  }

  limit(name: string, scope: 'service' | 'route' = 'service') {
    const runtime = this.#prepared.get(scope, name)
    assert(runtime !== null)
    return runtime
  }

  enter(importance: Priority = 'normal', { route = '-', service = 'up' } = {}): Exchange {
    const x = exchangeOf('/')
    x.route = { importance: priorityLevel(importance), limit: this.#prepared.get('route', route) } as unknown as CompiledRoute
    this.#admission.enter(x, this.service(service))
    return x
  }

  fallBack(x: Exchange, service: string): void {
    x.fallbackCause = 'timeout'
    this.#admission.leaveService(x, 'upstream_timeout')
    this.#admission.enter(x, this.service(service))
  }

  /** As Finisher.finish does it. */
  finish(x: Exchange, errorCode: ErrorCode | null = null): void {
    assert(!x.finished)
    x.finished = true
    x.errorCode = errorCode
    x.places?.leave(this.clock.now())
  }

  pass(ms: number): void {
    this.clock.advance(ms)
    this.wheel.tick()
  }
}

/** Those whose wait has ended go on in the next tick. */
function nextTick(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve))
}

describe('admission under a concurrency limit', () => {
  it('lets as many run as there are places, and the others in order of importance as places become free', async () => {
    const worker = new Worker(configOf({ up: {} }))
    const [a, b] = [worker.enter(), worker.enter()]
    const [background, normal, core] = [worker.enter('background'), worker.enter('normal'), worker.enter('core')]
    assert.deepEqual(worker.begun, [a, b])
    worker.finish(a)
    // Not from within the end of another exchange.
    assert.deepEqual(worker.begun, [a, b])
    await nextTick()
    assert.deepEqual(worker.begun, [a, b, core])
    worker.finish(core)
    await nextTick()
    worker.finish(normal)
    worker.finish(b)
    await nextTick()
    assert.deepEqual(worker.begun, [a, b, core, normal, background])
    worker.finish(background)
    assert.equal(worker.limit('up').limit.inFlight, 0)
    assert.deepEqual(worker.failed, [])
  })

  it('begins the time of the attempt when the wait is over', async () => {
    const worker = new Worker(configOf({ up: { max: 1 } }))
    const a = worker.enter()
    const b = worker.enter()
    worker.pass(500)
    worker.finish(a)
    await nextTick()
    assert.equal(b.nowMs, 1500)
  })

  it('refuses beyond the queue, and lets the more important take the place of the less important in it', async () => {
    const worker = new Worker(configOf({ up: { max: 1, maxQueued: 1 } }))
    worker.enter()
    const low = worker.enter('low')
    const refused = worker.enter('low')
    assert.deepEqual(worker.failed, [[refused, 'concurrency_limit']])
    const normal = worker.enter()
    await nextTick()
    assert.deepEqual(worker.failed.slice(1), [[low, 'concurrency_limit']])
    assert.deepEqual(worker.shed, ['service up queue-full low', 'service up displaced low'])
    assert(refused.isRetryForbidden)
    for (const x of [low, refused]) worker.finish(x, 'concurrency_limit')
    assert.equal(worker.limit('up').limit.waiting, 1)
    worker.finish(normal, 'client_closed')
    assert.equal(worker.limit('up').limit.waiting, 0)
  })

  it('refuses who has waited too long', async () => {
    const worker = new Worker(configOf({ up: { max: 1, maxWaitMs: 200 } }))
    const a = worker.enter()
    const b = worker.enter()
    worker.pass(190)
    await nextTick()
    assert.deepEqual(worker.failed, [])
    worker.pass(30)
    await nextTick()
    assert.deepEqual(worker.failed, [[b, 'queue_timeout']])
    assert.deepEqual(worker.shed, ['service up wait-too-long normal'])
    worker.finish(b, 'queue_timeout')
    worker.finish(a)
    assert.equal(worker.limit('up').limit.inFlight, 0)
    worker.pass(100)
    worker.pass(100)
    assert.equal(worker.wheel.size, 0, 'nothing polls when nobody waits')
  })

  it('frees the place in the queue of a client that leaves, and of a request whose time is up', async () => {
    const worker = new Worker(configOf({ up: { max: 1, maxQueued: 2 } }))
    const a = worker.enter()
    const [b, c] = [worker.enter(), worker.enter()]
    worker.finish(b, 'client_closed')
    worker.finish(c, 'upstream_timeout')
    assert.deepEqual(worker.shed, ['service up client-left normal', 'service up request-timeout normal'])
    const d = worker.enter()
    worker.finish(a)
    await nextTick()
    assert.deepEqual(worker.begun, [a, d])
  })

  it('gives back the place of a request that ended between getting it and going on', async () => {
    const worker = new Worker(configOf({ up: { max: 1 } }))
    const a = worker.enter()
    const b = worker.enter()
    worker.finish(a)
    worker.finish(b, 'client_closed')
    await nextTick()
    assert.deepEqual(worker.begun, [a])
    assert.equal(worker.limit('up').limit.inFlight, 0)
  })

  it('counts a request under its route and its service, and gives both places back', async () => {
    const worker = new Worker(configOf({ up: { max: 1 } }, { web: { max: 2 } }))
    const a = worker.enter('normal', { route: 'web' })
    const b = worker.enter('normal', { route: 'web' })
    const c = worker.enter('normal', { route: 'web' })
    const counts = () => [
      [worker.limit('web', 'route').limit.inFlight, worker.limit('web', 'route').limit.waiting],
      [worker.limit('up').limit.inFlight, worker.limit('up').limit.waiting],
    ]
    assert.deepEqual(counts(), [
      [2, 1],
      [1, 1],
    ])
    worker.finish(a)
    await nextTick()
    assert.deepEqual(worker.begun, [a, b])
    // c has the place of the route now and waits for the service.
    assert.deepEqual(counts(), [
      [2, 0],
      [1, 1],
    ])
    worker.finish(c, 'client_closed')
    worker.finish(b)
    assert.deepEqual(counts(), [
      [0, 0],
      [0, 0],
    ])
  })

  it('gives the place at the service back when a fallback goes to another one, and keeps that of the route', async () => {
    const worker = new Worker(configOf({ up: { max: 1 }, other: { max: 1 } }, { web: { max: 2 } }))
    const a = worker.enter('normal', { route: 'web' })
    const waiting = worker.enter('normal', { route: 'web' })
    worker.fallBack(a, 'other')
    await nextTick()
    assert.deepEqual(worker.begun, [a, a, waiting])
    const inFlight = () => [worker.limit('web', 'route'), worker.limit('up'), worker.limit('other')].map(({ limit }) => limit.inFlight)
    assert.deepEqual(inFlight(), [2, 1, 1])
    worker.finish(a)
    worker.finish(waiting)
    assert.deepEqual(inFlight(), [0, 0, 0])
  })

  it('does not go on twice when a request falls back between getting a place and going on', async () => {
    const worker = new Worker(configOf({ up: { max: 9 } }, { web: { max: 1 } }))
    const a = worker.enter('normal', { route: 'web' })
    const b = worker.enter('normal', { route: 'web' })
    worker.finish(a)
    worker.fallBack(b, 'unlimited')
    await nextTick()
    assert.deepEqual(worker.begun, [a, b])
    assert.equal(worker.limit('web', 'route').limit.inFlight, 1)
    worker.finish(b)
    assert.equal(worker.limit('web', 'route').limit.inFlight, 0)
  })

  it('does not fail a request that fell back before it heard that its wait was over', async () => {
    const worker = new Worker(configOf({ up: { max: 1, maxWaitMs: 100 } }))
    worker.enter()
    const b = worker.enter()
    worker.pass(150)
    worker.fallBack(b, 'unlimited')
    await nextTick()
    assert.equal(worker.begun[1], b)
    assert.deepEqual(worker.failed, [])
    assert.deepEqual(worker.shed, ['service up wait-too-long normal'])
  })

  it('lets the fallback of a request that its route had no place for go to its service', () => {
    const worker = new Worker(configOf({ other: { max: 1 } }, { web: { max: 1, maxQueued: 0 } }))
    worker.enter('normal', { route: 'web' })
    const b = worker.enter('normal', { route: 'web' })
    assert.deepEqual(worker.failed, [[b, 'concurrency_limit']])
    worker.fallBack(b, 'other')
    assert.equal(worker.begun[1], b)
    worker.finish(b)
    assert.deepEqual([worker.limit('other').limit.inFlight, worker.limit('web', 'route').limit.inFlight], [0, 1])
  })

  it('does not go on twice when a request falls back while it waits', async () => {
    const worker = new Worker(configOf({ up: { max: 1 } }))
    const a = worker.enter()
    const b = worker.enter()
    worker.fallBack(b, 'unlimited')
    worker.finish(a)
    await nextTick()
    assert.deepEqual(worker.begun, [a, b])
    assert.deepEqual([worker.limit('up').limit.inFlight, worker.limit('up').limit.waiting], [0, 0])
  })

  it('keeps what runs and what waits over a reload, with the new numbers', async () => {
    const worker = new Worker(configOf({ up: { max: 1 } }))
    const a = worker.enter()
    const b = worker.enter()
    const c = worker.enter()
    worker.reload(configOf({ up: { max: 2 } }))
    worker.pass(50)
    await nextTick()
    assert.deepEqual(worker.begun, [a, b])
    for (const x of [a, b]) worker.finish(x)
    await nextTick()
    assert.deepEqual(worker.begun, [a, b, c])
    worker.finish(c)
    assert.equal(worker.limit('up').limit.inFlight, 0)
  })

  it('lets all go on when a reload takes the limit away, and counts right when it comes back', async () => {
    const worker = new Worker(configOf({ up: { max: 1 } }))
    const all = [worker.enter(), worker.enter(), worker.enter()]
    worker.reload(configOf({}))
    await nextTick()
    assert.deepEqual(worker.begun, all)
    worker.reload(configOf({ up: { max: 2 } }))
    assert.equal(worker.limit('up').limit.inFlight, 3)
    const late = worker.enter()
    for (const x of all) worker.finish(x)
    worker.pass(50)
    await nextTick()
    assert.deepEqual(worker.begun, [...all, late])
    worker.finish(late)
    assert.deepEqual([worker.limit('up').limit.inFlight, worker.limit('up').limit.waiting], [0, 0])
  })
})

describe('admission of a request that began before a reload', () => {
  it('goes by what is left of the limits it began with', async () => {
    const worker = new Worker(configOf({ up: { max: 1 } }, { web: { max: 1 } }))
    const full = worker.enter()
    const a = worker.enter('normal', { route: 'web' })
    // It waits for the route while the limit of the service is taken away.
    const b = worker.enter('normal', { route: 'web' })
    worker.reload(configOf({}, { web: { max: 1 } }))
    await nextTick()
    worker.finish(a)
    await nextTick()
    assert.deepEqual(worker.begun, [full, a, b])
    worker.finish(b)
    assert.equal(worker.limit('web', 'route').limit.inFlight, 0)
  })
})

describe('admission over two workers', () => {
  it('goes on with a place another worker hands over, without waiting for a timer', async () => {
    const store = new LimitMemoryStore(2)
    const config = configOf({ up: { max: 1 } })
    const one = new Worker(config, store, 0, 2)
    const two = new Worker(config, store, 1, 2)
    const a = one.enter()
    const b = two.enter()
    one.finish(a)
    for (let i = 0; i < 200 && two.begun.length === 0; i++) await sleep(5)
    assert.deepEqual(two.begun, [b])
    two.finish(b)
    assert.equal(one.limit('up').limit.inFlight, 0)
  })

  it('has a queue in each worker, and both together are as long as configured', () => {
    const store = new LimitMemoryStore(2)
    const config = configOf({ up: { max: 1, maxQueued: 4 } })
    const workers = [new Worker(config, store, 0, 2), new Worker(config, store, 1, 2)]
    for (let i = 0; i < 5; i++) for (const worker of workers) worker.enter()
    assert.deepEqual(store.status(config), [{ scope: 'service', name: 'up', limit: 1, inFlight: 1, waiting: 4 }])
  })

  it('gets back what a dead worker held', async () => {
    const store = new LimitMemoryStore(2)
    const config = configOf({ up: { max: 1 } })
    const one = new Worker(config, store, 0, 2)
    const two = new Worker(config, store, 1, 2)
    one.enter()
    one.enter()
    const b = two.enter()
    store.resetWorker(0)
    two.pass(50)
    await nextTick()
    assert.deepEqual(two.begun, [b])
    assert.deepEqual(store.status(config), [{ scope: 'service', name: 'up', limit: 1, inFlight: 1, waiting: 0 }])
  })
})

describe('adaptive admission', () => {
  function answered(x: Exchange, headMs: number, status = 200): void {
    x.attempt = { status, headMs, startedMs: 1000 } as unknown as Attempt
  }

  it('measures with few requests at a time, from answers that went well and nothing else', () => {
    const worker = new Worker(configOf({ up: { max: 100, adaptive: { kind: 'gradient', min: 5 } } }))
    const { limit } = worker.limit('up')
    assert.equal(limit.limit, 20)
    const run = (headMs: number, status: number, code: ErrorCode | null) => {
      const x = worker.enter()
      answered(x, headMs, status)
      worker.finish(x, code)
    }
    run(3, 500, null)
    run(3, 200, 'client_closed')
    run(3, 0, 'connect_failed')
    assert.equal(limit.limit, 20)
    run(10, 200, null)
    assert.equal(limit.limit, 5, 'the first answer begins the measurement')
    // A timeout is no latency without load.
    for (let i = 0; i < 60; i++) run(0, 0, 'upstream_timeout')
    assert.equal(limit.limit, 5)
    for (let i = 0; i < 50; i++) run(0, 200, null)
    assert.equal(limit.limit, 20)
  })

  it('has the configured limit again when a reload makes it a fixed one', () => {
    const worker = new Worker(configOf({ up: { max: 100, adaptive: { kind: 'gradient', min: 5 } } }))
    assert.equal(worker.limit('up').limit.limit, 20)
    worker.reload(configOf({ up: { max: 100 } }))
    assert.equal(worker.limit('up').limit.limit, 100)
  })

  it('does not count what was refused or left the queue as running', async () => {
    const worker = new Worker(configOf({ up: { max: 1, maxQueued: 2, adaptive: { kind: 'bbr', maxLoopDelayMs: 50 } } }))
    const { parts } = worker.limit('up')
    const all = [worker.enter(), worker.enter(), worker.enter(), worker.enter()]
    assert.equal(parts.bbr?.inFlight, 3)
    worker.finish(all[1] as Exchange, 'client_closed')
    assert.equal(parts.bbr?.inFlight, 2)
    worker.pass(1100)
    await nextTick()
    assert.equal(parts.bbr?.inFlight, 1)
    worker.finish(all[0] as Exchange)
    assert.equal(parts.bbr?.inFlight, 0)
  })

  it('lowers the limit when answers turn into timeouts', () => {
    const worker = new Worker(configOf({ up: { max: 100, adaptive: { kind: 'gradient', min: 5 } } }))
    const { limit } = worker.limit('up')
    for (let i = 0; i < 60; i++) {
      const x = worker.enter()
      answered(x, 0)
      worker.finish(x)
    }
    assert.equal(limit.limit, 20)
    for (let i = 0; i < 400; i++) {
      const x = worker.enter()
      answered(x, -1, 0)
      worker.pass(5)
      worker.finish(x, 'upstream_timeout')
    }
    assert(limit.limit < 10, `${limit.limit}`)
  })

  it('takes on no more than has lately got done while the event loop is late', async () => {
    const worker = new Worker(configOf({ up: { max: 100, adaptive: { kind: 'bbr', maxLoopDelayMs: 50 } } }))
    for (let i = 0; i < 40; i++) {
      const x = worker.enter()
      answered(x, 10)
      worker.finish(x)
      worker.pass(50)
    }
    for (let i = 0; i < 30; i++) worker.limit('up').reportLoad(60, 0, worker.clock.now())
    const running = Array.from({ length: 20 }, () => worker.enter())
    const refused = worker.failed.length
    assert(refused >= 15, `${refused} refused`)
    assert.equal(worker.shed[0], 'service up adaptive normal')
    assert.equal(worker.failed[0]?.[1], 'concurrency_limit')
    for (const x of running) worker.finish(x)
    const { parts, limit } = worker.limit('up')
    assert.deepEqual([parts.bbr?.inFlight, limit.inFlight], [0, 0])
  })
})
