// Real worker threads on the same shared memory. Each worker runs this very file (see the last line).
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { createSeededRandom } from '../base/clock.ts'
import { createPicker } from './balance/index.ts'
import { createEndpoint } from './endpoint.ts'
import { EndpointStateStore } from './endpoint-state-store.ts'
import { type EndpointStateLayout, EndpointStates } from './endpoint-states.ts'

const EJECTION = { maxFails: 3, failTimeoutMs: 10_000 }
/** Due again after each millisecond. */
const SHORT = { maxFails: 1, failTimeoutMs: 1 }
/** Each failure costs a weight of 1, and none puts the endpoint aside. */
const MANY = { maxFails: 10_000_000, failTimeoutMs: 10_000 }
const T = 1_000_000
const ENDPOINTS = 500
const ROUNDS = 50_000
/** Long enough that both threads run at the same time for most of it, also on a busy machine. */
const FAILURES = 1_000_000
const CLAIMS = 1_000_000
const WEIGHTS = [4, 3, 2]
const PICKS = 49_995 // a multiple of 9
const WORKERS = 2

type Job = 'count' | 'claim' | 'fail' | 'recover' | 'pick' | 'die'

interface JobData {
  job: Job
  worker: number
  /** One or two. */
  workers: number
  layout: EndpointStateLayout
  /** Where the workers meet, to start together. */
  gate: SharedArrayBuffer
}

function address(i: number): string {
  return `10.0.0.1:${1000 + i}`
}

/** Waits until every worker has called it; then word 0 of the gate is a multiple of their number. */
function meet(gate: SharedArrayBuffer, workers: number): void {
  const words = new Int32Array(gate)
  const arrived = Atomics.add(words, 0, 1) + 1
  if (arrived % workers === 0) Atomics.notify(words, 0)
  else Atomics.wait(words, 0, arrived, 10_000)
}

function runJob({ job, worker, workers, layout, gate }: JobData): number {
  const states = new EndpointStates(layout, worker)
  const endpoints = Array.from({ length: ENDPOINTS }, (_, i) => states.state('users', address(i), 6, EJECTION))
  meet(gate, workers)
  const shared = endpoints[0]!
  let result = 0
  if (job === 'count') {
    for (let i = 0; i < ROUNDS; i++) {
      shared.begin()
      if (i % 2 === worker) shared.begin()
      shared.end(i % 5 === 0 ? 'failure' : 'success', T)
    }
  } else if (job === 'claim') {
    const claimed = states.state('users', address(0), 6, SHORT)
    for (let round = 1; round <= CLAIMS; round++) {
      if (claimed.admit(T + round * SHORT.failTimeoutMs)) result++
      // Meeting again and again keeps the threads racing, and neither too far behind the other.
      if (round % 10_000 === 0) meet(gate, workers)
    }
  } else if (job === 'fail') {
    const failing = states.state('users', address(0), MANY.maxFails, MANY)
    for (let i = 0; i < FAILURES; i++) {
      failing.begin()
      failing.end('failure', T)
    }
  } else if (job === 'recover') {
    const flapping = states.state('users', address(0), MANY.maxFails, MANY)
    for (let i = 0; i < FAILURES; i++) {
      flapping.begin()
      flapping.end(i % 3 === 0 ? 'failure' : 'success', T)
    }
  } else if (job === 'pick') {
    const set = WEIGHTS.map((weight, i) => {
      const config = { address: address(i), host: '10.0.0.1', port: 1000 + i, weight, tags: {} }
      return createEndpoint(config, states.state('users', config.address, weight, EJECTION))
    })
    const picker = createPicker({ algorithm: 'round-robin' }, set, { random: createSeededRandom(1), changes: states.changes('users') })
    const context = { tried: null, nowMs: T }
    for (let i = 0; i < PICKS; i++) {
      const pick = picker.pick(context)
      if (pick.kind !== 'endpoint') continue
      pick.endpoint.state.begin()
      pick.endpoint.state.end('success', T)
    }
  } else {
    shared.begin()
    shared.begin()
  }
  return result
}

async function runWorkers(store: EndpointStateStore, layout: EndpointStateLayout, job: Job, workers = WORKERS): Promise<number[]> {
  const gate = new SharedArrayBuffer(4)
  const running = Array.from({ length: workers }, (_, worker) => {
    const data: JobData = { job, worker, workers, layout, gate }
    return new Worker(new URL(import.meta.url), { workerData: data })
  })
  const exits = running.map((worker) => once(worker, 'exit'))
  const results = await Promise.all(running.map(async (worker) => ((await once(worker, 'message')) as [number])[0]))
  await Promise.all(exits)
  assert(store.statistics().length > 0)
  return results
}

function setUp() {
  const store = new EndpointStateStore({ workers: WORKERS })
  const endpoints = Array.from({ length: ENDPOINTS }, (_, i) => ({ address: address(i) }))
  const { layout } = store.retain([{ name: 'users', endpoints }], T)
  return { store, layout, main: new EndpointStates(layout, 0) }
}

function defineTests(): void {
  describe('endpoint state over threads', () => {
    it('counts every request and failure of two threads exactly', async () => {
      const { store, layout } = setUp()
      await runWorkers(store, layout, 'count')
      const row = store.statistics()[0]
      assert.equal(row?.requests, WORKERS * ROUNDS * 1.5)
      assert.equal(row?.failures, (WORKERS * ROUNDS) / 5)
      assert.equal(row?.inFlight, (WORKERS * ROUNDS) / 2)
    })

    it('admits exactly one trial in each failTimeout, however the threads race', async () => {
      const { store, layout, main } = setUp()
      const state = main.state('users', address(0), 6, SHORT)
      state.begin()
      state.end('failure', T)
      const won = await runWorkers(store, layout, 'claim')
      assert.equal(
        won.reduce((sum, n) => sum + n),
        CLAIMS,
      )
    })

    it('loses neither a failure nor the weight it costs when threads fail at the same moment', async () => {
      const { store, layout } = setUp()
      await runWorkers(store, layout, 'fail')
      const row = store.statistics()[0]
      assert.equal(row?.recentFailures, WORKERS * FAILURES)
      assert.equal(row?.penalty, WORKERS * FAILURES)
    })

    it('gives no more weight back than was lost when threads succeed at the same moment', async () => {
      const { store, layout } = setUp()
      await runWorkers(store, layout, 'recover')
      const penalty = store.statistics()[0]?.penalty
      assert(penalty !== undefined && penalty >= 0 && penalty <= WORKERS, `${penalty}`)
    })

    it('keeps the exact weighted ratio over 99,990 picks of two threads', async () => {
      const { store, layout } = setUp()
      await runWorkers(store, layout, 'pick')
      const rows = store.statistics().slice(0, 3)
      assert.deepEqual(
        rows.map((row) => row.requests),
        WEIGHTS.map((weight) => (WORKERS * PICKS * weight) / 9),
      )
      assert(rows.every((row) => row.inFlight === 0))
    })

    it('gives back what a worker that died had in flight', async () => {
      const { store, layout, main } = setUp()
      await runWorkers(store, layout, 'die', 1)
      const state = main.state('users', address(0), 6, EJECTION)
      assert.equal(state.inFlight, 2)
      store.resetWorker(0)
      assert.equal(state.inFlight, 0)
    })
  })
}

if (isMainThread) defineTests()
else parentPort?.postMessage(runJob(workerData as JobData))
