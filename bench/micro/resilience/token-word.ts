// Where to keep the arrival time of a token bucket: one 64-bit word with BigInt atomics, or one 32-bit word with a second one for what
// the modulus hides (src/limit/gcra.ts). One thread, each take allowed. Run:
// node --expose-gc --min-semi-space-size=256 --max-semi-space-size=256 bench/micro/resilience/token-word.ts
import { createSharedArea } from '../../../src/base/shared-area.ts'
import { TOKEN_BUCKET_WORDS, TokenBucket } from '../../../src/limit/token-bucket.ts'

const TAKES = 300_000
const ROUNDS = 9
const ORIGIN_MS = 1_700_000_000_000

/** The 64-bit variant: microseconds, no modulus, no second word. */
class BigBucket {
  readonly #word = new BigInt64Array(new SharedArrayBuffer(8))
  readonly #tokenUs: bigint
  readonly #burstUs: bigint

  constructor(ratePerSecond: number, burst: number) {
    this.#tokenUs = BigInt(Math.round(1e6 / ratePerSecond))
    this.#burstUs = this.#tokenUs * BigInt(burst)
  }

  take(nowMs: number): boolean {
    const now = BigInt(Math.floor((nowMs - ORIGIN_MS) * 1000))
    for (;;) {
      const tat = Atomics.load(this.#word, 0)
      const after = (tat > now ? tat : now) + this.#tokenUs
      if (after - now > this.#burstUs) return false
      if (Atomics.compareExchange(this.#word, 0, tat, after) === tat) return true
    }
  }
}

function measure(name: string, take: (nowMs: number) => boolean): void {
  const rounds: number[] = []
  let now = ORIGIN_MS
  let allowed = 0
  for (let i = 0; i < TAKES; i++) take((now += 0.01))
  globalThis.gc?.()
  const before = process.memoryUsage().heapUsed
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint()
    for (let i = 0; i < TAKES; i++) if (take((now += 0.01))) allowed++
    rounds.push(Number(process.hrtime.bigint() - start) / TAKES)
  }
  const bytes = Math.max(0, process.memoryUsage().heapUsed - before) / (TAKES * ROUNDS)
  const median = rounds.sort((a, b) => a - b)[ROUNDS >> 1] ?? 0
  console.log(`${name.padEnd(32)} ${median.toFixed(1).padStart(6)} ns  ${bytes.toFixed(1).padStart(5)} B allocated  (${allowed} allowed)`)
}

const big = new BigBucket(100_000, 1000)
measure('one 64-bit word, BigInt', (now) => big.take(now))
const area = createSharedArea(TOKEN_BUCKET_WORDS)
const bucket = new TokenBucket(area, { ratePerSecond: 100_000, burst: 1000, originMs: ORIGIN_MS })
measure('32-bit word and touched', (now) => bucket.take(now))
