import { describe, it } from 'node:test'
import { createSharedArea } from '../../../src/base/shared-area.ts'
import { RetryBudget, retryBudgetWords } from '../../../src/retry/budget.ts'
import { HEDGE_DEFAULTS, Hedge, hedgeWords } from '../../../src/retry/hedge.ts'
import { forDecisions, LIMITS, must } from './decisions.ts'

const STEPS = 500
const PIECES = 10

/** What a budget may have seen, counted plainly: requests and extra requests in each piece of time. */
class PlainWindow {
  readonly #pieceMs: number
  readonly #requests = new Map<number, number>()
  readonly #extras = new Map<number, number>()

  constructor(windowMs: number) {
    this.#pieceMs = windowMs / PIECES
  }

  request(nowMs: number): void {
    this.#add(this.#requests, nowMs)
  }

  extra(nowMs: number): void {
    this.#add(this.#extras, nowMs)
  }

  requests(nowMs: number): number {
    return this.#sum(this.#requests, nowMs)
  }

  extras(nowMs: number): number {
    return this.#sum(this.#extras, nowMs)
  }

  #add(counts: Map<number, number>, nowMs: number): void {
    const piece = Math.floor(nowMs / this.#pieceMs)
    counts.set(piece, (counts.get(piece) ?? 0) + 1)
    counts.delete(piece - 2 * PIECES)
  }

  #sum(counts: Map<number, number>, nowMs: number): number {
    const last = Math.floor(nowMs / this.#pieceMs)
    let sum = 0
    for (let piece = last - PIECES + 1; piece <= last; piece++) sum += counts.get(piece) ?? 0
    return sum
  }
}

describe('a retry budget', () => {
  it('is never exceeded: neither the retries at the same time nor those in a window, over all workers', LIMITS, () => {
    forDecisions(({ random, int, pick, chance }) => {
      const workers = int(1, 4)
      const config = {
        activeRatio: pick([0, 0.1, 0.2, 0.5, 1]),
        minConcurrency: int(0, 5),
        windowRatio: pick([0, 0.1, 0.2, 1]),
        minPerSecond: pick([0, 0.1, 1, 5]),
        windowMs: pick([1000, 10_000]),
        maxInVain: 3,
        vainMs: 30_000,
      }
      const { buffer } = createSharedArea(retryBudgetWords(workers), workers).words
      const views = Array.from(
        { length: workers },
        (_, worker) => new RetryBudget(createSharedArea(0, workers, worker, buffer as SharedArrayBuffer), config),
      )
      const active = views.map(() => 0)
      const held = views.map(() => 0)
      const total = (counts: readonly number[]) => counts.reduce((sum, count) => sum + count, 0)
      const window = new PlainWindow(config.windowMs)
      const most = (config.minPerSecond * config.windowMs) / 1000
      const releasing = pick([0.1, 0.5, 0.9])
      let nowMs = 1_000_000 + random() * 1e6
      let decisions = 0
      for (let step = 0; step < STEPS; step++) {
        nowMs += pick([0, 0, 0.3, 5, 100]) * random()
        const worker = int(0, workers - 1)
        const budget = views[worker]!
        const what = random()
        if (what < 0.4) {
          budget.begin(nowMs)
          active[worker]!++
          window.request(nowMs)
        } else if (what < 0.65 && active[worker]! > 0) {
          budget.end()
          active[worker]!--
        } else if (what < 0.95 && held[worker]! > 0 && chance(releasing)) {
          budget.release()
          held[worker]!--
        } else if (what > 0.998) {
          views[0]!.clearWorker(worker)
          active[worker] = 0
          held[worker] = 0
        } else {
          decisions++
          const allowed = Math.max(config.minConcurrency, config.activeRatio * total(active))
          if (!budget.tryAcquire(nowMs)) continue
          held[worker]!++
          window.extra(nowMs)
          must(total(held) <= allowed + 1e-6, () => `${total(held)} retries run, ${allowed} are allowed`)
          const inWindow = Math.max(most, config.windowRatio * window.requests(nowMs))
          must(window.extras(nowMs) <= inWindow + 1e-6, () => `${window.extras(nowMs)} retries in the window, ${inWindow} are allowed`)
        }
        must(budget.retries === total(held), () => `${budget.retries} are held, not ${total(held)}`)
        must(budget.active === total(active), () => `${budget.active} are active, not ${total(active)}`)
      }
      return decisions
    })
  })
})

describe('a hedge budget', () => {
  it('is never exceeded in any window, over all workers', LIMITS, () => {
    forDecisions(({ random, int, pick, chance }) => {
      const workers = int(1, 4)
      const config = { ...HEDGE_DEFAULTS, budgetRatio: pick([0, 0.01, 0.05, 0.3, 1]) }
      const { buffer } = createSharedArea(hedgeWords(workers), workers).words
      const views = Array.from(
        { length: workers },
        (_, worker) => new Hedge(createSharedArea(0, workers, worker, buffer as SharedArrayBuffer), config),
      )
      const window = new PlainWindow(10_000)
      let nowMs = 1_000_000 + random() * 1e6
      let decisions = 0
      for (let step = 0; step < STEPS; step++) {
        nowMs += pick([0, 0, 1, 10, 500]) * random()
        const hedge = pick(views)
        if (chance(0.5)) {
          hedge.begin(nowMs)
          window.request(nowMs)
          continue
        }
        decisions++
        if (!hedge.trySpend(nowMs)) continue
        window.extra(nowMs)
        const allowed = config.budgetRatio * window.requests(nowMs)
        must(window.extras(nowMs) <= allowed + 1e-6, () => `${window.extras(nowMs)} backups in the window, ${allowed} are allowed`)
      }
      return decisions
    })
  })
})
