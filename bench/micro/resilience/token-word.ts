// Where to keep the arrival time of a token bucket: one 64-bit word with BigInt atomics, or one 32-bit word with a second one for what
// the modulus hides (src/limit/gcra.ts). One thread. Run:
// node --expose-gc --min-semi-space-size=256 --max-semi-space-size=256 bench/micro/resilience/token-word.ts
import { createSharedArea } from '../../../src/base/shared-area.ts'
import { TOKEN_BUCKET_WORDS, TokenBucket } from '../../../src/limit/token-bucket.ts'

const TAKES = 300_000
const ROUNDS = 9
const ORIGIN_MS = 1_700_000_000_000

/** The 64-bit variant: microseconds, no modulus, no second word. Reports the same details. */
class BigBucket {
  readonly result = { allowed: false, remaining: 0, retryAfterMs: 0, resetMs: 0 }
  readonly #word = new BigInt64Array(new SharedArrayBuffer(8))
  readonly #tokenUs: bigint
  readonly #burstUs: bigint

  constructor(ratePerSecond: number, burst: number) {
    this.#tokenUs = BigInt(Math.round(1e6 / ratePerSecond))
    this.#burstUs = this.#tokenUs * BigInt(burst)
  }

  take(nowMs: number, n: number): boolean {
    const cost = BigInt(n) * this.#tokenUs
    const now = BigInt(Math.floor((nowMs - ORIGIN_MS) * 1000))
    for (;;) {
      const tat = Atomics.load(this.#word, 0)
      const after = (tat > now ? tat : now) + cost
      if (after - now > this.#burstUs) return this.#report(false, tat - now, after - now - this.#burstUs)
      if (Atomics.compareExchange(this.#word, 0, tat, after) === tat) return this.#report(true, after - now, 0n)
    }
  }

  #report(allowed: boolean, aheadUs: bigint, waitUs: bigint): boolean {
    this.result.allowed = allowed
    this.result.remaining = Number((this.#burstUs - aheadUs) / this.#tokenUs)
    this.result.retryAfterMs = Number(waitUs) / 1000
    this.result.resetMs = Number(aheadUs) / 1000
    return allowed
  }
}

function measure(name: string, take: (nowMs: number) => boolean): void {
  const rounds: number[] = []
  // In an array of mixed values, so that each time is one object made beforehand, and passing it allocates nothing.
  const times: unknown[] = ['', ...Array.from({ length: TAKES }, (_, i) => ORIGIN_MS + 0.3 + i * 0.01)]
  let allowed = 0
  for (let i = 1; i <= TAKES; i++) take(times[i] as number)
  globalThis.gc?.()
  const before = process.memoryUsage().heapUsed
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.threadCpuUsage().user
    for (let i = 1; i <= TAKES; i++) if (take(times[i] as number)) allowed++
    rounds.push(((process.threadCpuUsage().user - start) * 1000) / TAKES)
  }
  const bytes = Math.max(0, process.memoryUsage().heapUsed - before) / (TAKES * ROUNDS)
  const median = rounds.sort((a, b) => a - b)[ROUNDS >> 1] ?? 0
  console.log(`${name.padEnd(32)} ${median.toFixed(1).padStart(6)} ns  ${bytes.toFixed(1).padStart(5)} B allocated  (${allowed} allowed)`)
}

const big = new BigBucket(100_000, 10_000_000)
measure('one 64-bit word, BigInt', (now) => big.take(now, 1))
const area = createSharedArea(TOKEN_BUCKET_WORDS)
const bucket = new TokenBucket(area, { ratePerSecond: 100_000, burst: 10_000_000, originMs: ORIGIN_MS })
measure('32-bit word and touched', (now) => bucket.take(now, 1))
