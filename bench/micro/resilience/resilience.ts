// Nanoseconds and bytes for one operation of each resilience algorithm, one worker alone on memory made for four. Everything that runs
// per request has to stay below 200 ns and allocate nothing. The new space is made so large that nothing is collected in between:
// node --expose-gc --min-semi-space-size=256 --max-semi-space-size=256 bench/micro/resilience/resilience.ts
import { createSeededRandom } from '../../../src/base/clock.ts'
import { createSharedArea } from '../../../src/base/shared-area.ts'
import { SharedHistogram, sharedHistogramWords } from '../../../src/base/shared-histogram.ts'
import { ADAPTIVE_THROTTLE_DEFAULTS, AdaptiveThrottle, adaptiveThrottleWords } from '../../../src/breaker/adaptive-throttle.ts'
import { CIRCUIT_BREAKER_DEFAULTS, CircuitBreaker, circuitBreakerWords } from '../../../src/breaker/circuit-breaker.ts'
import { BBR_DEFAULTS, BbrLimit } from '../../../src/limit/bbr.ts'
import { ConcurrencyLimit, concurrencyWords } from '../../../src/limit/concurrency.ts'
import { GRADIENT_DEFAULTS, GradientLimit, gradientWords } from '../../../src/limit/gradient.ts'
import { createSharedTable, SharedTable } from '../../../src/limit/shared-table.ts'
import { TOKEN_BUCKET_WORDS, TokenBucket } from '../../../src/limit/token-bucket.ts'
import { RETRY_BUDGET_DEFAULTS, RetryBudget, retryBudgetWords } from '../../../src/retry/budget.ts'
import { HEDGE_DEFAULTS, Hedge, hedgeWords } from '../../../src/retry/hedge.ts'
import { type FailedAttempt, RETRY_POLICY_DEFAULTS, RetryPolicy } from '../../../src/retry/policy.ts'

const WORKERS = 4
const CALLS = 200_000
const ROUNDS = 9
const LIMIT_NS = 200

let now = 1_700_000_000_000
let slowest = 0

/** The median of several rounds, so that one interruption does not show. The clock moves by 1/4096 ms with each call. */
function measure(name: string, run: (i: number) => void): void {
  for (let i = 0; i < CALLS; i++) run(i)
  const rounds: number[] = []
  globalThis.gc?.()
  const before = process.memoryUsage().heapUsed
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint()
    for (let i = 0; i < CALLS; i++) {
      now += 1 / 4096
      run(i)
    }
    rounds.push(Number(process.hrtime.bigint() - start) / CALLS)
  }
  const bytes = Math.max(0, process.memoryUsage().heapUsed - before) / (CALLS * ROUNDS)
  const median = rounds.sort((a, b) => a - b)[ROUNDS >> 1] ?? 0
  slowest = Math.max(slowest, median)
  console.log(`${name.padEnd(58)} ${median.toFixed(1).padStart(7)} ns ${bytes.toFixed(2).padStart(7)} B`)
}

function area(words: number) {
  return createSharedArea(words, WORKERS)
}

const random = createSeededRandom(1)
measure('(the empty loop)', () => {})

const breaker = new CircuitBreaker(area(circuitBreakerWords(WORKERS)), CIRCUIT_BREAKER_DEFAULTS)
measure('breaker: allow + record success', () => breaker.record(breaker.allow(now), 'success', 1, now))
measure('breaker: allow + record, 1 in 4 fails', (i) => breaker.record(breaker.allow(now), (i & 3) === 0 ? 'failure' : 'success', 1, now))
const open = new CircuitBreaker(area(circuitBreakerWords(WORKERS)), { ...CIRCUIT_BREAKER_DEFAULTS, openForMs: 1e9, maxOpenForMs: 1e9 })
for (let i = 0; i < 20; i++) open.record(open.allow(now), 'failure', 1, now)
measure('breaker: allow, open', () => open.allow(now))
const halfOpen = new CircuitBreaker(area(circuitBreakerWords(WORKERS)), { ...CIRCUIT_BREAKER_DEFAULTS, openForMs: 1, probes: 5 })
for (let i = 0; i < 20; i++) halfOpen.record(halfOpen.allow(now), 'failure', 1, now)
now += 10
measure('breaker: allow, half-open with 5 probes out', () => halfOpen.allow(now))

const throttle = new AdaptiveThrottle(area(adaptiveThrottleWords(WORKERS)), ADAPTIVE_THROTTLE_DEFAULTS, random)
measure('throttle: allow + record success', () => throttle.record(throttle.allow(now), 'success', 1, now))
measure('throttle: allow + record, 1 in 2 fails', (i) => throttle.record(throttle.allow(now), (i & 1) === 0 ? 'failure' : 'success', 1, now))

const budget = new RetryBudget(area(retryBudgetWords(WORKERS)), RETRY_BUDGET_DEFAULTS)
measure('retry budget: begin + end', () => {
  budget.begin(now)
  budget.end()
})
measure('retry budget: tryAcquire + release', () => {
  if (budget.tryAcquire(now)) budget.release()
})

const policy = new RetryPolicy(RETRY_POLICY_DEFAULTS)
const attempt: FailedAttempt = {
  failure: 'status',
  status: 503,
  grpcStatus: -1,
  attempts: 1,
  method: 'GET',
  hasIdempotencyKey: false,
  isResponseStarted: false,
  isBodyReplayable: true,
  isClientGone: false,
  isFreeRetryUsed: false,
  isCallersRetry: false,
  remainingMs: 1000,
  serverDelayMs: -1,
}
measure('retry policy: shouldRetry', (i) => {
  attempt.attempts = i & 1
  policy.shouldRetry(attempt)
})

const hedge = new Hedge(area(hedgeWords(WORKERS)), HEDGE_DEFAULTS)
measure('hedge: begin + delay + record', (i) => {
  hedge.begin(now)
  hedge.delayMs(now)
  hedge.record(i & 63, now)
})
const histogram = new SharedHistogram(area(sharedHistogramWords(WORKERS)), 0, 30_000)
measure('histogram: record', (i) => histogram.record(i & 1023, now))

const limit = new ConcurrencyLimit(area(concurrencyWords(WORKERS)), { max: 100, maxQueued: 100, maxWaitMs: 1000 })
measure('concurrency: tryEnter + leave', () => {
  if (limit.tryEnter(1)) limit.leave()
})
const gradient = new GradientLimit(area(gradientWords(WORKERS)), GRADIENT_DEFAULTS, random)
measure('gradient: record', (i) => {
  gradient.record(i & 15, now)
})
const bbr = new BbrLimit(BBR_DEFAULTS)
measure('bbr: tryEnter + leave', () => {
  if (bbr.tryEnter(1, now)) bbr.leave(10, now)
})

const bucket = new TokenBucket(area(TOKEN_BUCKET_WORDS), { ratePerSecond: 1e6, burst: 1000, originMs: now })
measure('token bucket: take', () => {
  bucket.take(now)
})
const keys = Array.from({ length: 10_000 }, (_, i) => `10.1.${i >> 8}.${i & 255}`)
const table = new SharedTable(createSharedTable({ ratePerSecond: 100, burst: 300 }, now, random))
measure('table: take, 10,000 keys of 10 characters', (i) => {
  table.take(keys[i % 10_000] as string, now)
})
measure('table: take, one key', () => {
  table.take('10.1.2.3', now)
})
const flooded = new SharedTable(createSharedTable({ ratePerSecond: 0.1, burst: 300, maxKeys: 1000 }, now, random))
measure('table: take, a flood of keys into a full table', (i) => {
  flooded.take(keys[i % 10_000] as string, now)
})
console.log(`slowest: ${slowest.toFixed(1)} ns (limit ${LIMIT_NS})`)
