import { describe, it } from 'node:test'
import { createSharedArea } from '../../../src/base/shared-area.ts'
import { createSharedTable, SharedTable } from '../../../src/limit/shared-table.ts'
import { TOKEN_BUCKET_WORDS, TokenBucket } from '../../../src/limit/token-bucket.ts'
import { type Episode, forDecisions, LIMITS, must } from './decisions.ts'

const STEPS = 1000

/**
 * Whether any stretch of time, whenever it began, saw more than rate * t + burst: `level` is the worst of all of them. Time is cut into
 * ticks, of which a token has 4,096 at most and, with the largest bursts, 2.
 */
class PlainBucket {
  level = 0
  #atMs: number
  readonly #ratePerMs: number

  constructor(ratePerSecond: number, nowMs: number) {
    this.#ratePerMs = ratePerSecond / 1000
    this.#atMs = nowMs
  }

  levelAt(nowMs: number): number {
    return Math.max(0, this.level - (nowMs - this.#atMs) * this.#ratePerMs)
  }

  take(n: number, nowMs: number): number {
    this.level = this.levelAt(nowMs) + n
    this.#atMs = nowMs
    return this.level
  }
}

const TOLERANCE = 0.01

function settings({ random, int, pick }: Episode) {
  const ratePerSecond = pick([20 / 86_400, 0.5, 10, 100, 5000]) * (0.5 + random())
  return { ratePerSecond, burst: pick([1, 2, int(1, 20), int(20, 2000)]), originMs: 1_000_000 }
}

describe('a token bucket', () => {
  it('never admits more than rate * t + burst in any stretch of time, nor less than that, over all workers', LIMITS, () => {
    forDecisions((episode) => {
      const { random, int, pick } = episode
      const config = settings(episode)
      const workers = int(1, 4)
      const { buffer } = createSharedArea(TOKEN_BUCKET_WORDS, workers).words
      const views = Array.from(
        { length: workers },
        (_, worker) => new TokenBucket(createSharedArea(0, workers, worker, buffer as SharedArrayBuffer), config),
      )
      let nowMs = config.originMs
      const plain = new PlainBucket(config.ratePerSecond, nowMs)
      const tokenMs = 1000 / config.ratePerSecond
      for (let step = 0; step < STEPS; step++) {
        nowMs += pick([0, 0, 0, 0.1, 1, config.burst]) * tokenMs * random()
        // Long pauses, across the places where the words come round.
        if (random() < 0.005) nowMs += pick([2 ** 17, 2 ** 18.9, 2 ** 20.1, 2 ** 22]) * tokenMs * random()
        const n = random() < 0.9 ? 1 : int(1, config.burst + 1)
        if (pick(views).take(nowMs, n)) {
          const level = plain.take(n, nowMs)
          must(level <= config.burst + TOLERANCE, () => `${level} tokens of ${config.burst} and what flowed in`)
        } else {
          const level = plain.levelAt(nowMs) + n
          must(level > config.burst - TOLERANCE, () => `refused though only ${level} of ${config.burst} would have been taken`)
        }
      }
      return STEPS
    })
  })
})

describe('a table of token buckets', () => {
  it('never admits more than rate * t + burst for any key, while it need not throw any out', LIMITS, () => {
    forDecisions((episode) => {
      const { random, int, pick } = episode
      const config = settings(episode)
      let nowMs = config.originMs
      const layout = createSharedTable({ ...config, maxKeys: 512 }, nowMs, random)
      const views = Array.from({ length: int(1, 4) }, () => new SharedTable(layout))
      const keys = Array.from({ length: int(1, 60) }, (_, i) => ({
        name: `10.0.0.${i}`,
        plain: new PlainBucket(config.ratePerSecond, nowMs),
      }))
      const tokenMs = 1000 / config.ratePerSecond
      for (let step = 0; step < STEPS; step++) {
        nowMs += (pick([0, 0, 1, config.burst]) * tokenMs * random()) / keys.length
        const { name, plain } = pick(keys)
        const n = random() < 0.9 ? 1 : int(1, config.burst)
        if (!pick(views).take(name, nowMs, n).allowed) continue
        const level = plain.take(n, nowMs)
        must(level <= config.burst + TOLERANCE, () => `${level} tokens of ${config.burst} and what flowed in`)
      }
      must(views[0]!.evictions === 0, () => 'a bucket in use was thrown out of a table with room')
      return STEPS
    })
  })
})
