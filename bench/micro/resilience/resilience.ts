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

/**
 * The time of each call, 1/4096 ms apart. In an array of mixed values, so that each is one object made beforehand: a number with a
 * fraction that is calculated and then passed on is a new object of 16 bytes, which would be the caller's and not what is measured.
 */
const TIMES: unknown[] = ['', ...Array.from({ length: CALLS }, (_, i) => 1_700_000_000_000.5 + i / 4096)]
const START_MS = 1_700_000_000_000 - 100
/** Compared with every result, so that no call is optimised away. */
const NEVER = Symbol('never')
let slowest = 0

/** Processor time of this thread, the median of several rounds, so that what else runs on the machine shows little. */
function measure(name: string, run: (i: number, now: number) => unknown): void {
  for (let i = 0; i < CALLS; i++) if (run(i, TIMES[i + 1] as number) === NEVER) return
  const rounds: number[] = []
  globalThis.gc?.()
  const before = process.memoryUsage().heapUsed
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.threadCpuUsage().user
    for (let i = 0; i < CALLS; i++) {
      if (run(i, TIMES[i + 1] as number) === NEVER) return
    }
    rounds.push(((process.threadCpuUsage().user - start) * 1000) / CALLS)
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
measure('(the empty loop)', (i) => i)

const breaker = new CircuitBreaker(area(circuitBreakerWords(WORKERS)), CIRCUIT_BREAKER_DEFAULTS)
measure('breaker: allow + record success', (_, now) => breaker.record(breaker.allow(now), 'success', 1, now))
measure('breaker: allow + record, 1 in 4 fails', (i, now) =>
  breaker.record(breaker.allow(now), (i & 3) === 0 ? 'failure' : 'success', 1, now),
)
const open = new CircuitBreaker(area(circuitBreakerWords(WORKERS)), { ...CIRCUIT_BREAKER_DEFAULTS, openForMs: 1e9, maxOpenForMs: 1e9 })
for (let i = 0; i < 20; i++) open.record(open.allow(START_MS), 'failure', 1, START_MS)
measure('breaker: allow, open', (_, now) => open.allow(now))
const halfOpen = new CircuitBreaker(area(circuitBreakerWords(WORKERS)), { ...CIRCUIT_BREAKER_DEFAULTS, openForMs: 1, probes: 5 })
for (let i = 0; i < 20; i++) halfOpen.record(halfOpen.allow(START_MS), 'failure', 1, START_MS)
measure('breaker: allow, half-open with 5 probes out', (_, now) => halfOpen.allow(now))

const throttle = new AdaptiveThrottle(area(adaptiveThrottleWords(WORKERS)), ADAPTIVE_THROTTLE_DEFAULTS, random)
measure('throttle: allow + record success', (_, now) => throttle.record(throttle.allow(now), 'success', 1, now))
measure('throttle: allow + record, 1 in 2 fails', (i, now) =>
  throttle.record(throttle.allow(now), (i & 1) === 0 ? 'failure' : 'success', 1, now),
)

const budget = new RetryBudget(area(retryBudgetWords(WORKERS)), RETRY_BUDGET_DEFAULTS)
measure('retry budget: begin + end', (_, now) => {
  budget.begin(now)
  budget.end()
})
measure('retry budget: tryAcquire + release', (_, now) => {
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
  return policy.shouldRetry(attempt)
})

const hedge = new Hedge(area(hedgeWords(WORKERS)), HEDGE_DEFAULTS)
measure('hedge: begin + delay + record', (i, now) => {
  hedge.begin(now)
  hedge.delayMs(now)
  hedge.record(i & 63, now)
})
const histogram = new SharedHistogram(area(sharedHistogramWords(WORKERS)), 0, 30_000)
measure('histogram: record', (i, now) => histogram.record(i & 1023, now))

const limit = new ConcurrencyLimit(area(concurrencyWords(WORKERS)), { max: 100, maxQueued: 100, maxWaitMs: 1000 })
measure('concurrency: tryEnter + leave', () => {
  if (limit.tryEnter(1)) limit.leave()
})
const gradient = new GradientLimit(area(gradientWords(WORKERS)), GRADIENT_DEFAULTS, random)
measure('gradient: record', (i, now) => {
  gradient.record(i & 15, now)
})
const bbr = new BbrLimit(BBR_DEFAULTS)
measure('bbr: tryEnter + leave', (_, now) => {
  if (bbr.tryEnter(1, now)) bbr.leave(10, now)
})

const bucket = new TokenBucket(area(TOKEN_BUCKET_WORDS), { ratePerSecond: 1e6, burst: 1000, originMs: START_MS })
measure('token bucket: take', (_, now) => {
  bucket.take(now)
})
const keys = Array.from({ length: 10_000 }, (_, i) => `10.1.${i >> 8}.${i & 255}`)
const table = new SharedTable(createSharedTable({ ratePerSecond: 100, burst: 300 }, START_MS, random))
measure('table: take, 10,000 keys of 10 characters', (i, now) => {
  table.take(keys[i % 10_000] as string, now)
})
measure('table: take, one key', (_, now) => {
  table.take('10.1.2.3', now)
})
const flooded = new SharedTable(createSharedTable({ ratePerSecond: 0.1, burst: 300, maxKeys: 1000 }, START_MS, random))
measure('table: take, a flood of keys into a full table', (i, now) => {
  flooded.take(keys[i % 10_000] as string, now)
})
console.log(`slowest: ${slowest.toFixed(1)} ns (limit ${LIMIT_NS})`)
