import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { createSharedArea } from '../base/shared-area.ts'
import { interrupt, repeat } from '../base/shared-race.contract.ts'
import { type ConcurrencyConfig, ConcurrencyLimit, concurrencyWords } from './concurrency.ts'
import { PRIORITIES, priorityLevel } from './priority.ts'
import { type ShedReason, type Waiter, WaitQueue } from './wait-queue.ts'

const T = 1_700_000_000_000
const CORE = priorityLevel('core')
const NORMAL = priorityLevel('normal')
const LOW = priorityLevel('low')
const BACKGROUND = priorityLevel('background')

class Request implements Waiter {
  priority: number
  waitUntilMs = 0
  nextWaiter: Waiter | null = null
  previousWaiter: Waiter | null = null
  isWaiting = false
  state: 'new' | 'admitted' | ShedReason = 'new'

  constructor(priority = NORMAL) {
    this.priority = priority
  }

  onAdmitted(): void {
    assert.equal(this.state, 'new')
    this.state = 'admitted'
  }

  onShed(reason: ShedReason): void {
    assert.equal(this.state, 'new')
    this.state = reason
  }
}

function setUp(config: Partial<ConcurrencyConfig> = {}, workers = 2) {
  const area = createSharedArea(concurrencyWords(workers), workers, 0)
  const complete = { max: 4, maxQueued: 3, maxWaitMs: 1000, ...config }
  return Array.from({ length: workers }, (_, worker) => new ConcurrencyLimit({ ...area, worker }, complete)) as [
    ConcurrencyLimit,
    ConcurrencyLimit,
  ]
}

function states(requests: Request[]): string[] {
  return requests.map(({ state }) => state)
}

describe('a queue of waiters', () => {
  it('serves by priority, then first come first served', () => {
    const queue = new WaitQueue(10)
    const [a, b, c, d] = [LOW, CORE, LOW, CORE].map((priority) => new Request(priority)) as [Request, Request, Request, Request]
    for (const each of [a, b, c, d]) assert(queue.push(each))
    assert.equal(queue.topPriority, CORE)
    assert.deepEqual([queue.shift(), queue.shift(), queue.shift(), queue.shift(), queue.shift()], [b, d, a, c, null])
    assert.equal(queue.topPriority, -1)
  })

  it('lets the latest of the least important make room for one that is more important', () => {
    const queue = new WaitQueue(3)
    const [a, b, c] = [LOW, BACKGROUND, BACKGROUND].map((priority) => new Request(priority)) as [Request, Request, Request]
    for (const each of [a, b, c]) queue.push(each)
    assert(!queue.push(new Request(BACKGROUND)))
    assert(queue.push(new Request(NORMAL)))
    assert.deepEqual(states([a, b, c]), ['new', 'new', 'displaced'])
    assert(queue.push(new Request(CORE)))
    assert(queue.push(new Request(CORE)))
    assert(!queue.push(new Request(NORMAL)))
    assert.deepEqual(states([a, b, c]), ['displaced', 'displaced', 'displaced'])
    assert.equal(queue.length, 3)
  })

  it('lets anyone leave from anywhere, once', () => {
    const queue = new WaitQueue(5)
    const all = Array.from({ length: 5 }, () => new Request())
    for (const each of all) queue.push(each)
    for (const i of [2, 0, 4]) {
      assert(queue.remove(all[i] as Request))
      assert(!queue.remove(all[i] as Request))
    }
    assert.deepEqual([queue.shift(), queue.shift(), queue.shift()], [all[1], all[3], null])
  })

  it('sheds those whose time has passed', () => {
    const queue = new WaitQueue(5)
    const all = [10, 20, 30].map((waitUntilMs, i) => Object.assign(new Request(i), { waitUntilMs }))
    for (const each of all) queue.push(each)
    assert.equal(queue.expire(20), 2)
    assert.deepEqual(states(all), ['wait-too-long', 'wait-too-long', 'new'])
  })
})

describe('a concurrency limit', () => {
  it('admits up to the limit over all workers, then queues, then refuses', () => {
    const [one, two] = setUp()
    const requests = Array.from({ length: 8 }, () => new Request())
    const admissions = requests.map((request, i) => (i < 2 ? two : one).enter(request, T))
    assert.deepEqual(admissions, ['admitted', 'admitted', 'admitted', 'admitted', 'queued', 'queued', 'queued', 'shed'])
    assert.deepEqual([one.inFlight, one.queued, two.queued], [4, 3, 0])
  })

  it('gives a free place to the waiter, not to the one that comes', () => {
    const [one] = setUp({ max: 1 })
    const first = new Request()
    assert.equal(one.enter(new Request(), T), 'admitted')
    assert.equal(one.enter(first, T), 'queued')
    one.leave()
    assert.equal(first.state, 'admitted')
    assert.equal(one.enter(new Request(), T), 'queued')
    assert.equal(one.inFlight, 1)
  })

  it('hands a place over to the most important waiter of all workers', () => {
    const [one, two] = setUp({ max: 1 })
    one.enter(new Request(), T)
    const normal = new Request()
    const core = new Request(CORE)
    one.enter(normal, T)
    two.enter(core, T)
    one.leave()
    assert.equal(normal.state, 'new')
    assert.equal(two.nextGrant(1000), null)
    two.takeGrants()
    assert.equal(core.state, 'admitted')
    two.leave()
    one.takeGrants()
    assert.equal(normal.state, 'admitted')
    one.leave()
    assert.equal(one.inFlight, 0)
  })

  it('gives up a place that was handed over to a waiter who left meanwhile', () => {
    const [one, two] = setUp({ max: 1 })
    one.enter(new Request(), T)
    const waiter = new Request()
    two.enter(waiter, T)
    one.leave()
    assert(two.cancel(waiter))
    assert.equal(one.inFlight, 1)
    two.poll(T)
    assert.equal(one.inFlight, 0)
  })

  it('keeps room for the important: low and background fill only a part', () => {
    const [one, two] = setUp({ max: 10, maxQueued: 0 })
    const count = (priority: number) => {
      let admitted = 0
      while ((admitted % 2 === 0 ? one : two).tryEnter(priority)) admitted++
      return admitted
    }
    assert.deepEqual([count(BACKGROUND), count(LOW), count(NORMAL), count(CORE)], [5, 3, 2, 0])
    assert.deepEqual(PRIORITIES.map(priorityLevel), [0, 1, 2, 3])
  })

  it('lets those of little importance wait until their share is free', () => {
    const [one] = setUp({ max: 4 })
    for (let i = 0; i < 4; i++) one.tryEnter(CORE)
    const background = new Request(BACKGROUND)
    assert.equal(one.enter(background, T), 'queued')
    one.leave()
    one.leave()
    assert.equal(background.state, 'new')
    one.leave()
    assert.equal(background.state, 'admitted')
    assert.equal(one.inFlight, 2)
  })

  it('finds the waiter that came while the place was being given up', () => {
    const [one, two] = setUp({ max: 1 })
    one.enter(new Request(), T)
    const waiter = new Request()
    // Word 0 is the number of places held: the other worker looks right before it falls.
    interrupt(
      'sub',
      0,
      () => assert.equal(two.enter(waiter, T), 'queued'),
      () => one.leave(),
    )
    two.takeGrants()
    assert.equal(waiter.state, 'admitted')
    two.leave()
    assert.equal(one.inFlight, 0)
  })

  it('finds the place that became free while the waiter sat down', () => {
    const [one, two] = setUp({ max: 1 })
    one.enter(new Request(), T)
    const waiter = new Request()
    // Word 3 is the number of waiters: the place becomes free right before anybody can see this one.
    interrupt(
      'add',
      3,
      () => one.leave(),
      () => assert.equal(two.enter(waiter, T), 'admitted'),
    )
    assert.equal(two.inFlight, 1)
    assert.equal(two.queued, 0)
  })

  it('sheds those who have waited too long', () => {
    const [one] = setUp({ max: 1 })
    one.enter(new Request(), T)
    const [early, late] = [new Request(), new Request()]
    one.enter(early, T)
    one.enter(late, T + 500)
    one.poll(T + 1000)
    assert.deepEqual(states([early, late]), ['wait-too-long', 'new'])
    one.leave()
    assert.equal(late.state, 'admitted')
  })

  it('admits waiters when the limit is raised, and takes nobody out when it is lowered', () => {
    const [one, two] = setUp({ max: 10 })
    two.setLimit(1)
    const waiters = [new Request(), new Request(), new Request()]
    for (const each of waiters) one.enter(each, T)
    assert.equal(one.inFlight, 1)
    two.setLimit(100)
    assert.equal(one.limit, 10)
    one.poll(T)
    assert.equal(one.inFlight, 3)
    two.setLimit(0.3)
    assert.equal(two.limit, 1)
    assert(!two.tryEnter(CORE))
    one.leave()
    one.leave()
    assert(!two.tryEnter(CORE))
    one.leave()
    assert(two.tryEnter(CORE))
  })

  it('gets back what a dead worker held', () => {
    const [one, two] = setUp({ max: 2 })
    two.tryEnter(CORE)
    two.tryEnter(CORE)
    two.enter(new Request(), T)
    one.clearWorker(1)
    assert.equal(one.inFlight, 0)
    one.tryEnter(CORE)
    one.leave()
    assert.equal(one.inFlight, 0)
  })

  it('wakes a worker whose waiter gets a place', async () => {
    const [one, two] = setUp({ max: 1 })
    one.enter(new Request(), T)
    const waiter = new Request()
    two.enter(waiter, T)
    const grant = two.nextGrant(5000)
    one.leave()
    assert.equal(await grant, 'ok')
    two.takeGrants()
    assert.equal(waiter.state, 'admitted')
  })

  it('never has more requests than places, loses none, and forgets no waiter', () => {
    const event = fc.record({
      kind: fc.constantFrom('enter', 'enter', 'try', 'leave', 'leave', 'cancel', 'poll', 'limit', 'grants'),
      worker: fc.nat(1),
      priority: fc.nat(3),
      which: fc.nat(100),
      waitMs: fc.constantFrom(0, 0, 1, 300),
    })
    const property = fc.property(fc.integer({ min: 1, max: 6 }), fc.array(event, { minLength: 80, maxLength: 160 }), (max, events) => {
      const limits = setUp({ max })
      const all: Request[][] = [[], []]
      const bare = [0, 0]
      let now = T
      let highest = max
      const heldBy = (worker: number) => bare[worker]! + all[worker]!.filter(({ state }) => state === 'admitted').length
      for (const { kind, worker, priority, which, waitMs } of events) {
        now += waitMs
        const limit = limits[worker] as ConcurrencyLimit
        const own = all[worker] as Request[]
        if (kind === 'enter') {
          const request = new Request(priority)
          const admission = limit.enter(request, now)
          if (admission === 'admitted') request.state = 'admitted'
          if (admission === 'shed') assert(!request.isWaiting)
          else own.push(request)
        } else if (kind === 'try' && limit.tryEnter(priority)) bare[worker]!++
        else if (kind === 'leave') {
          const at = own.findIndex(({ state }) => state === 'admitted')
          if (bare[worker]! > 0) bare[worker]!--
          else if (at !== -1) own.splice(at, 1)
          else continue
          limit.leave()
        } else if (kind === 'cancel') {
          const waiting = own.filter(({ isWaiting }) => isWaiting)
          const request = waiting[which % Math.max(1, waiting.length)]
          if (request !== undefined && limit.cancel(request)) own.splice(own.indexOf(request), 1)
        } else if (kind === 'poll') limit.poll(now)
        else if (kind === 'grants') limit.takeGrants()
        else if (kind === 'limit') {
          highest = 1 + (which % 6)
          limit.setLimit(highest)
        }
        assert(limit.inFlight <= Math.max(max, highest))
        assert(heldBy(0) + heldBy(1) <= limit.inFlight)
        for (const each of own) assert.equal(each.isWaiting, each.state === 'new')
      }
      // Everybody leaves: every waiter gets its turn, and nothing is left.
      for (let round = 0; round < 500; round++) {
        const worker = round % 2
        const limit = limits[worker] as ConcurrencyLimit
        limit.takeGrants()
        const at = all[worker]!.findIndex(({ state }) => state === 'admitted')
        if (bare[worker]! > 0) bare[worker]!--
        else if (at !== -1) all[worker]!.splice(at, 1)
        else continue
        limit.leave()
      }
      for (const limit of limits) limit.takeGrants()
      assert(
        all.flat().every(({ state }) => state !== 'new' && state !== 'admitted'),
        `${states(all.flat())}`,
      )
      assert.equal(limits[0].inFlight, 0)
    })
    fc.assert(property, { numRuns: repeat(900), seed: 19 })
  })
})
