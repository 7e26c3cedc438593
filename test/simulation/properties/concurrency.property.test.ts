import { describe, it } from 'node:test'
import { createSharedArea } from '../../../src/base/shared-area.ts'
import { ConcurrencyLimit, concurrencyWords } from '../../../src/limit/concurrency.ts'
import { PRIORITY_LEVELS } from '../../../src/limit/priority.ts'
import type { Waiter } from '../../../src/limit/wait-queue.ts'
import { type Episode, forDecisions, LIMITS, must } from './decisions.ts'

const STEPS = 600
const MAX_WAIT_MS = 50

class Request implements Waiter {
  readonly priority: number
  readonly worker: number
  readonly #playground: Playground
  state: 'new' | 'waiting' | 'running' | 'over' = 'new'
  waitUntilMs = 0
  nextWaiter: Waiter | null = null
  previousWaiter: Waiter | null = null
  isWaiting = false

  constructor(playground: Playground, worker: number, priority: number) {
    this.#playground = playground
    this.worker = worker
    this.priority = priority
  }

  onAdmitted(): void {
    must(this.state === 'waiting' || this.state === 'new', () => `a request that is ${this.state} was admitted`)
    this.state = 'running'
    this.#playground.running.push(this)
  }

  onShed(): void {
    must(this.state === 'waiting', () => `a request that is ${this.state} was shed`)
    this.state = 'over'
  }
}

class Playground {
  readonly running: Request[] = []
  readonly waiting = new Set<Request>()
  readonly limits: ConcurrencyLimit[]
  readonly max: number
  nowMs = 1_000_000

  constructor({ int, pick }: Episode) {
    const workers = int(1, 4)
    this.max = int(1, 20)
    const config = { max: this.max, maxQueued: pick([0, 1, 3, 20]), maxWaitMs: MAX_WAIT_MS }
    const { buffer } = createSharedArea(concurrencyWords(workers), workers).words
    this.limits = Array.from(
      { length: workers },
      (_, worker) => new ConcurrencyLimit(createSharedArea(0, workers, worker, buffer as SharedArrayBuffer), config),
    )
  }

  enter(request: Request): void {
    const limit = this.limits[request.worker]!
    const admission = limit.enter(request, this.nowMs)
    if (admission === 'admitted') {
      request.state = 'running'
      this.running.push(request)
    } else if (admission === 'queued') {
      if (request.state === 'new') request.state = 'waiting'
      this.waiting.add(request)
    } else request.state = 'over'
  }

  leave(at: number): void {
    const [request] = this.running.splice(at, 1)
    request!.state = 'over'
    this.limits[request!.worker]!.leave()
  }

  settle(): void {
    for (const request of this.waiting) if (request.state !== 'waiting') this.waiting.delete(request)
  }
}

describe('a concurrency limit', () => {
  it('is never exceeded, and no place is ever lost, over all workers', LIMITS, () => {
    forDecisions((episode) => {
      const { int, pick, chance } = episode
      const playground = new Playground(episode)
      const { limits, running, waiting, max } = playground
      const first = limits[0]!
      let decisions = 0
      for (let step = 0; step < STEPS; step++) {
        playground.nowMs += pick([0, 0, 1, 20])
        const worker = int(0, limits.length - 1)
        const limit = limits[worker]!
        const what = int(0, 99)
        const before = first.inFlight
        let mayTake = first.limit
        if (what < 45) {
          decisions++
          playground.enter(new Request(playground, worker, int(0, PRIORITY_LEVELS - 1)))
        } else if (what < 80 && running.length > 0) playground.leave(int(0, running.length - 1))
        else if (what < 85 && waiting.size > 0) {
          const request = pick([...waiting])
          if (limits[request.worker]!.cancel(request)) request.state = 'over'
        } else if (what < 90) limit.poll(playground.nowMs)
        else if (what < 96) limit.takeGrants()
        else if (what < 98) {
          limit.setLimit(int(1, max))
          mayTake = first.limit
        } else if (chance(0.2)) die(playground, worker)
        playground.settle()
        const held = first.inFlight
        must(held <= max, () => `${held} places are held, of ${max}`)
        must(held <= Math.max(before, mayTake), () => `${held} places are held, of ${mayTake}`)
        must(running.length <= held, () => `${running.length} requests run on ${held} places`)
      }
      empty(playground)
      return decisions
    })
  })
})

/** A worker dies with all that runs and waits in it; another starts in its place. */
function die({ limits, running, waiting }: Playground, worker: number): void {
  for (let i = running.length - 1; i >= 0; i--) if (running[i]!.worker === worker) running.splice(i, 1)
  const queue = limits[worker]!
  for (const request of waiting) if (request.worker === worker) queue.cancel(request)
  limits[(worker + 1) % limits.length]!.clearWorker(worker)
  for (const request of waiting) if (request.worker === worker) waiting.delete(request)
}

/** Everything ends: every waiter hears of it, and every place is free. */
function empty(playground: Playground): void {
  const { limits, running, waiting } = playground
  for (let round = 0; round < 200 && (running.length > 0 || waiting.size > 0); round++) {
    while (running.length > 0) playground.leave(0)
    for (const limit of limits) limit.takeGrants()
    playground.nowMs += MAX_WAIT_MS
    for (const limit of limits) limit.poll(playground.nowMs)
    playground.settle()
  }
  for (const limit of limits) limit.takeGrants()
  must(waiting.size === 0, () => `${waiting.size} requests wait for ever`)
  must(limits[0]!.inFlight === 0, () => `${limits[0]!.inFlight} places are lost`)
}
