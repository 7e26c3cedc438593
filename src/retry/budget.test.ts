// The tests with real threads run this very file (see the last lines).
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import fc from 'fast-check'
import { createSharedArea } from '../base/shared-area.ts'
import { interrupt, meet, type Racer, race, repeat } from '../base/shared-race.contract.ts'
import { RETRY_BUDGET_DEFAULTS, RetryBudget, type RetryBudgetConfig, retryBudgetWords } from './budget.ts'
import { RatioBudget, ratioBudgetWords } from './ratio-budget.ts'

const T = 1_700_000_000_000
const THREADS = 2
const ROUNDS = 100_000
const REQUESTS = 5000
/** Only the places at the same time count. */
const PLACES: RetryBudgetConfig = { ...RETRY_BUDGET_DEFAULTS, minPerSecond: 1e9 }
/** Only the share of the window counts. */
const SHARE: RetryBudgetConfig = { ...RETRY_BUDGET_DEFAULTS, minConcurrency: 1e9, minPerSecond: 0 }

function setUp(config: Partial<RetryBudgetConfig> = {}, workers = 2) {
  const area = createSharedArea(retryBudgetWords(workers), workers, 0)
  const complete = { ...RETRY_BUDGET_DEFAULTS, ...config }
  return [new RetryBudget(area, complete), new RetryBudget({ ...area, worker: 1 }, complete)] as const
}

function acquire(budget: RetryBudget, times: number, nowMs = T): number {
  let acquired = 0
  for (let i = 0; i < times; i++) if (budget.tryAcquire(nowMs)) acquired++
  return acquired
}

function defineTests(): void {
  describe('a retry budget', () => {
    it('has three places at any number of requests, over all workers', () => {
      const [one, two] = setUp(PLACES)
      assert.equal(acquire(one, 2), 2)
      assert.equal(acquire(two, 5), 1)
      one.release()
      assert.equal(acquire(two, 5), 1)
      assert.equal(one.retries, 3)
    })

    it('has places for 20 % of the active requests', () => {
      const [one, two] = setUp(PLACES)
      for (let i = 0; i < 60; i++) one.begin(T)
      for (let i = 0; i < 39; i++) two.begin(T)
      assert.equal(acquire(one, 100), 19)
      two.begin(T)
      assert.equal(acquire(two, 100), 1)
      for (let i = 0; i < 60; i++) one.end()
      one.release()
      assert.equal(acquire(two, 100), 0)
      assert.deepEqual([one.active, one.retries], [40, 19])
    })

    it('loses its floor after three retries in a row in vain, over all workers, and has the share of the requests left', () => {
      const [one, two] = setUp()
      for (let i = 0; i < 3; i++) {
        assert((i % 2 === 0 ? one : two).tryAcquire(T))
        one.release()
        ;(i % 2 === 0 ? one : two).learn(false, true, T)
      }
      assert.equal(acquire(two, 5, T + 1000), 0)
      for (let i = 0; i < 20; i++) one.begin(T + 1000)
      assert.equal(acquire(two, 5, T + 1000), 1, 'three of the four that 20 requests earn are spent')
    })

    it('has its floor again as soon as anything succeeds, or after half a minute for one try', () => {
      const [one, two] = setUp()
      const fail = (nowMs: number) => one.learn(false, true, nowMs)
      for (let i = 0; i < 3; i++) fail(T)
      assert(!two.tryAcquire(T))
      two.learn(true, false, T)
      assert(two.tryAcquire(T))
      two.release()
      for (let i = 0; i < 3; i++) fail(T + 20_000)
      assert(!one.tryAcquire(T + 49_999))
      assert(one.tryAcquire(T + 50_000))
      one.release()
      fail(T + 50_000)
      assert(!one.tryAcquire(T + 50_001), 'one more in vain is enough')
    })

    it('keeps its floor while first attempts fail and retries help', () => {
      const [one] = setUp()
      for (let i = 0; i < 100; i++) {
        const nowMs = T + i * 2000
        one.begin(nowMs)
        one.learn(false, false, nowMs)
        assert(one.tryAcquire(nowMs), `${i}`)
        one.release()
        // Every second retry is in vain too.
        one.learn(i % 2 === 0, true, nowMs)
        one.end()
      }
    })

    it('spends 20 % of the requests of the window, however short the retries are', () => {
      const [one, two] = setUp({ minPerSecond: 0 })
      for (let i = 0; i < 500; i++) {
        one.begin(T)
        one.end()
        two.begin(T)
        two.end()
      }
      let retries = 0
      for (let i = 0; i < 1000; i++) {
        const budget = i % 2 === 0 ? one : two
        if (!budget.tryAcquire(T)) continue
        budget.release()
        retries++
      }
      assert.equal(retries, 200)
      assert.deepEqual(one.statistics(T), { active: 0, retries: 0, windowRequests: 1000, windowRetries: 200 })
      // What was earned expires.
      assert.equal(acquire(one, 10, T + 10_000), 0)
    })

    it('allows one retry per second at any number of requests', () => {
      const [one] = setUp({ minConcurrency: 1000 })
      assert.equal(acquire(one, 100), 10)
    })

    it('does not spend what found no place', () => {
      const [one] = setUp({ minPerSecond: 1, minConcurrency: 1 })
      assert.equal(acquire(one, 50), 1)
      assert.equal(one.statistics(T).windowRetries, 1)
    })

    it('gives back what it withdrew when another worker took the last place meanwhile', () => {
      const [one, two] = setUp({ minConcurrency: 1 })
      const other = () => assert(two.tryAcquire(T))
      interrupt('compareExchange', 0, other, () => assert(!one.tryAcquire(T)))
      assert.deepEqual([one.retries, one.statistics(T).windowRetries], [1, 1])
    })

    it('gets back what a dead worker held', () => {
      const [one, two] = setUp(PLACES)
      two.begin(T)
      acquire(two, 2)
      acquire(one, 1)
      one.clearWorker(1)
      assert.deepEqual([one.active, one.retries], [0, 1])
      one.clearWorker(1)
      assert.equal(one.retries, 1)
    })

    it('keeps the load of a service that fails everything at 1.2 times the requests', () => {
      const [one, two] = setUp()
      let attempts = 0
      for (let i = 0; i < 60_000; i++) {
        const budget = i % 2 === 0 ? one : two
        const now = T + i
        budget.begin(now)
        attempts++
        for (let tries = 0; tries < 4; tries++) {
          if (!budget.tryAcquire(now)) break
          attempts++
          budget.release()
        }
        budget.end()
      }
      assert(attempts <= 72_000 && attempts > 71_000, `${attempts}`)
    })

    it('is never exceeded, whatever happens', () => {
      const event = fc.record({
        kind: fc.constantFrom('begin', 'end', 'acquire', 'acquire', 'release'),
        worker: fc.nat(1),
        waitMs: fc.constantFrom(0, 0, 1, 100, 2000),
      })
      const config = fc.record({
        activeRatio: fc.constantFrom(0, 0.2, 1),
        minConcurrency: fc.nat(4),
        windowRatio: fc.constantFrom(0, 0.1, 0.5),
        minPerSecond: fc.nat(3),
      })
      const property = fc.property(config, fc.array(event, { minLength: 80, maxLength: 160 }), (partial, events) => {
        const budgets = setUp(partial)
        const held = [0, 0]
        const active = [0, 0]
        let now = T
        for (const { kind, worker, waitMs } of events) {
          now += waitMs
          const budget = budgets[worker] as RetryBudget
          if (kind === 'begin') {
            budget.begin(now)
            active[worker]!++
          } else if (kind === 'end' && active[worker]! > 0) {
            budget.end()
            active[worker]!--
          } else if (kind === 'release' && held[worker]! > 0) {
            budget.release()
            held[worker]!--
          } else if (kind === 'acquire' && budget.tryAcquire(now)) {
            held[worker]!++
            const retries = held[0]! + held[1]!
            const { windowRequests, windowRetries } = budget.statistics(now)
            assert(retries <= Math.max(partial.minConcurrency, Math.floor(partial.activeRatio * (active[0]! + active[1]!))))
            assert(windowRetries <= Math.max(partial.minPerSecond * 10, partial.windowRatio * windowRequests))
          }
          assert.equal(budget.retries, held[0]! + held[1]!)
          assert.equal(budget.active, active[0]! + active[1]!)
        }
      })
      fc.assert(property, { numRuns: repeat(900), seed: 11 })
    })
  })

  describe('a ratio budget', () => {
    it('gives back what was not used', () => {
      const budget = new RatioBudget(createSharedArea(ratioBudgetWords(1)), 0, { windowMs: 1000, ratio: 0.5, minPerWindow: 0 })
      assert(!budget.tryWithdraw(T))
      budget.deposit(T)
      budget.deposit(T)
      assert(budget.tryWithdraw(T))
      assert(!budget.tryWithdraw(T))
      budget.refund(T)
      assert(budget.tryWithdraw(T))
      assert.deepEqual(budget.statistics(T), { requests: 2, extras: 1 })
    })
  })

  describe('a retry budget over threads', () => {
    it('never gives more places than it has, and loses none', async () => {
      const { words } = createSharedArea(retryBudgetWords(THREADS), THREADS)
      const most = await race<Job, number>(import.meta.url, { kind: 'places', buffer: words.buffer as SharedArrayBuffer }, THREADS)
      assert(Math.max(...most) <= 3, `${most}`)
      const [budget] = [new RetryBudget(createSharedArea(0, THREADS, 0, words.buffer as SharedArrayBuffer), PLACES)]
      assert.deepEqual([budget.active, budget.retries], [0, 0])
      assert.equal(acquire(budget, 10), 3)
    })

    it('spends exactly the share of the window', async () => {
      const { words } = createSharedArea(retryBudgetWords(THREADS), THREADS)
      const spent = await race<Job, number>(import.meta.url, { kind: 'share', buffer: words.buffer as SharedArrayBuffer }, THREADS)
      const total = spent.reduce((sum, each) => sum + each, 0)
      assert.equal(total, THREADS * REQUESTS * 0.2)
    })
  })
}

interface Job {
  kind: 'places' | 'share'
  buffer: SharedArrayBuffer
}

function run(racer: Racer<Job>): number {
  const area = createSharedArea(0, THREADS, racer.worker, racer.data.buffer)
  if (racer.data.kind === 'places') {
    const budget = new RetryBudget(area, PLACES)
    let most = 0
    meet(racer)
    for (let i = 0; i < ROUNDS; i++) {
      const held = acquire(budget, 2)
      most = Math.max(most, budget.retries)
      for (let each = held; each > 0; each--) budget.release()
    }
    return most
  }
  const budget = new RetryBudget(area, SHARE)
  for (let i = 0; i < REQUESTS; i++) budget.begin(T)
  meet(racer)
  let spent = 0
  for (let i = 0; i < REQUESTS; i++) if (budget.tryAcquire(T)) spent++
  meet(racer)
  // The last one may have been refused to both while they raced for it; it is there now, for one of them.
  if (racer.worker === 0) for (let i = 0; i < 10; i++) if (budget.tryAcquire(T)) spent++
  return spent
}

if (isMainThread) defineTests()
else parentPort?.postMessage(run(workerData as Racer<Job>))
