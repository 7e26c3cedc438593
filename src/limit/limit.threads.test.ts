// Real worker threads on one limit. Each runs this very file (see the last lines).
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { createSeededRandom } from '../base/clock.ts'
import { createSharedArea } from '../base/shared-area.ts'
import { meet, type Racer, race } from '../base/shared-race.contract.ts'
import { ConcurrencyLimit, concurrencyWords } from './concurrency.ts'
import { createSharedTable, SharedTable, type SharedTableLayout } from './shared-table.ts'
import { TOKEN_BUCKET_WORDS, TokenBucket } from './token-bucket.ts'
import type { Waiter } from './wait-queue.ts'

const T = 1_700_000_000_000
const THREADS = 2
const SECONDS = 10
const PER_SECOND = 1000
const KEYS = 5000
const BURST = 7
const ROUNDS = 200_000
const PLACES = 3

interface Job {
  kind: 'rate' | 'bucket' | 'keys' | 'wrap' | 'places' | 'queue'
  layout: SharedTableLayout | null
  buffer: SharedArrayBuffer
}

const RUNS: Record<Job['kind'], (racer: Racer<Job>) => number | Promise<number>> = { rate, bucket, keys, wrap, places, queue }

/** Half of the requests each, on one virtual clock: the threads meet every 10 ms of it. */
function rate(racer: Racer<Job>): number {
  const table = new SharedTable(racer.data.layout as SharedTableLayout)
  let allowed = 0
  for (let i = racer.worker; i < SECONDS * PER_SECOND; i += THREADS) {
    if (i % 10 === racer.worker) meet(racer)
    if (table.take('10.1.2.3', T + i).allowed) allowed++
  }
  return allowed
}

function bucket(racer: Racer<Job>): number {
  const area = createSharedArea(0, 1, 0, racer.data.buffer)
  const shared = new TokenBucket(area, { ratePerSecond: 1, burst: ROUNDS, originMs: T })
  meet(racer)
  let allowed = 0
  for (let i = 0; i < ROUNDS; i++) if (shared.take(T)) allowed++
  return allowed
}

/** Both threads enter the same new keys at the same time, all the time. */
function keys(racer: Racer<Job>): number {
  const table = new SharedTable(racer.data.layout as SharedTableLayout)
  meet(racer)
  let allowed = 0
  for (let round = 0; round < BURST; round++) {
    for (let i = 0; i < KEYS; i++) {
      if (i % 100 === 0) meet(racer)
      if (table.take(`key ${i}`, T).allowed) allowed++
    }
  }
  return allowed
}

/**
 * Each round begins after a rest so long that the 32 bits have come round: exactly one burst is to be had. A quarter of a token more, so that
 * no round ends with the number of the one before: a swap that was begun before the rest could not tell them apart. In service that takes a
 * rest that is right to one tick in 2^32.
 */
function wrap(racer: Racer<Job>): number {
  const area = createSharedArea(0, 1, 0, racer.data.buffer)
  const shared = new TokenBucket(area, { ratePerSecond: 1000, burst: 1, originMs: T })
  let allowed = 0
  for (let round = 0; round < 20_000; round++) {
    const now = T + round * (2 ** 22 + 0.25)
    meet(racer)
    if (shared.take(now)) allowed++
  }
  return allowed
}

function places(racer: Racer<Job>): number {
  const area = createSharedArea(0, THREADS, racer.worker, racer.data.buffer)
  const limit = new ConcurrencyLimit(area, { max: PLACES, maxQueued: 0, maxWaitMs: 0 })
  let most = 0
  meet(racer)
  for (let i = 0; i < ROUNDS; i++) {
    let held = 0
    for (let each = 0; each < 2; each++) if (limit.tryEnter(0)) held++
    most = Math.max(most, limit.inFlight)
    for (; held > 0; held--) limit.leave()
  }
  return most
}

/** Every request queues, each place is handed over, and each request is served once. */
async function queue(racer: Racer<Job>): Promise<number> {
  const area = createSharedArea(0, THREADS, racer.worker, racer.data.buffer)
  const limit = new ConcurrencyLimit(area, { max: PLACES, maxQueued: 64, maxWaitMs: 1e9 })
  const running: Waiter[] = []
  const counts = { served: 0, shed: 0, most: 0 }
  const create = (): Waiter => {
    const waiter: Waiter = {
      priority: counts.served % 3,
      waitUntilMs: 0,
      nextWaiter: null,
      previousWaiter: null,
      isWaiting: false,
      onAdmitted: () => running.push(waiter),
      onShed: () => counts.shed++,
    }
    return waiter
  }
  meet(racer)
  let sent = 0
  while (counts.served + counts.shed < 20_000) {
    while (sent < 20_000 && limit.queued < 16) {
      const waiter = create()
      const admission = limit.enter(waiter, T)
      sent++
      if (admission === 'admitted') running.push(waiter)
      else if (admission === 'shed') counts.shed++
      if (admission === 'admitted') break
    }
    counts.most = Math.max(counts.most, limit.inFlight)
    while (running.length > 0) {
      running.pop()
      counts.served++
      limit.leave()
    }
    limit.takeGrants()
    // No poll: every place must come by hand-over. Waiting is bounded so that a lost one shows as a failure.
    if (running.length === 0 && limit.queued > 0) {
      const grant = limit.nextGrant(5000)
      if (grant !== null && (await grant) === 'timed-out') return -1
      limit.takeGrants()
    }
  }
  limit.takeGrants()
  return counts.most <= PLACES && counts.shed === 0 ? counts.served : -2
}

const noLayout = null
function buffer(words: number): SharedArrayBuffer {
  return createSharedArea(words).words.buffer as SharedArrayBuffer
}

async function run(kind: Job['kind'], words: number, layout: SharedTableLayout | null = noLayout) {
  const shared = buffer(words)
  const results = await race<Job, number>(import.meta.url, { kind, layout, buffer: shared }, THREADS)
  return { shared, results, total: results.reduce((sum, each) => sum + each, 0) }
}

function defineTests(): void {
  describe('with real threads', () => {
    it('100 per second with a burst of 300, under 1,000 per second for 10 s, admits 1,300', async () => {
      const layout = createSharedTable({ ratePerSecond: 100, burst: 300 }, T, createSeededRandom(17))
      const { results, total } = await run('rate', 1, layout)
      assert(total >= 1298 && total <= 1300, `${total}`)
      assert(results.every((each) => each > 0))
    })

    it('a token bucket gives exactly its burst', async () => {
      assert.equal((await run('bucket', TOKEN_BUCKET_WORDS)).total, ROUNDS)
    })

    it('keys entered by two threads at once get exactly one bucket', async () => {
      const layout = createSharedTable({ ratePerSecond: 0.001, burst: BURST, maxKeys: 40_000 }, T, createSeededRandom(18))
      const { total } = await run('keys', 1, layout)
      assert.equal(new SharedTable(layout).evictions, 0)
      assert.equal(total, KEYS * BURST)
    })

    it('a bucket that rested until its number came round is full exactly once', async () => {
      assert.equal((await run('wrap', TOKEN_BUCKET_WORDS)).total, 20_000)
    })

    it('a concurrency limit never has more requests than places, and loses no place', async () => {
      const { shared, results } = await run('places', concurrencyWords(THREADS))
      assert(Math.max(...results) <= PLACES, `${results}`)
      const limit = new ConcurrencyLimit(createSharedArea(0, THREADS, 0, shared), { max: PLACES, maxQueued: 0, maxWaitMs: 0 })
      assert.equal(limit.inFlight, 0)
    })

    it('a place that becomes free is handed to a waiter of another thread, and none is lost', async () => {
      const { results } = await run('queue', concurrencyWords(THREADS))
      assert.deepEqual(results, [20_000, 20_000])
    })
  })
}

if (isMainThread) defineTests()
else {
  const racer = workerData as Racer<Job>
  parentPort?.postMessage(await RUNS[racer.data.kind](racer))
}
