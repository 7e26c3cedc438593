// Real worker threads on one breaker. Each runs this very file (see the last lines).
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { createSharedArea } from '../base/shared-area.ts'
import { meet, type Racer, race } from '../base/shared-race.contract.ts'
import { CIRCUIT_BREAKER_DEFAULTS, CircuitBreaker, circuitBreakerWords } from './circuit-breaker.ts'

const T = 1_700_000_000_000
const WORKERS = 4
const PROBES = 7
const ERAS = 3000
const CONFIG = { ...CIRCUIT_BREAKER_DEFAULTS, minRequests: 1, openForMs: 10, maxOpenForMs: 10, probes: PROBES, probeTimeoutMs: 1_000_000 }

interface Job {
  buffer: SharedArrayBuffer
}

/** Probes won in each era. */
function run(racer: Racer<Job>): number[] {
  const area = createSharedArea(0, WORKERS, racer.worker, racer.data.buffer)
  return probe(racer, new CircuitBreaker(area, CONFIG))
}

function probe(racer: Racer<Job>, breaker: CircuitBreaker): number[] {
  const won: number[] = []
  let now = T
  for (let era = 0; era < ERAS; era++) {
    // Everybody is allowed, everybody fails: the first opens it, what the others report is late.
    meet(racer)
    const token = breaker.allow(now)
    meet(racer)
    breaker.record(token, 'failure', 1, now)
    meet(racer)
    now += 10
    const tokens: number[] = []
    for (let i = 0; i < PROBES + 2; i++) {
      const claimed = breaker.allow(now)
      if (claimed !== 0) tokens.push(claimed)
    }
    won.push(tokens.length)
    meet(racer)
    // Every other era ends well.
    for (const claimed of tokens) breaker.record(claimed, era % 2 === 0 ? 'success' : 'failure', 1, now)
    meet(racer)
    if (era % 2 === 0) won.push(breaker.state(now) === 'closed' ? 0 : 1_000_000)
    else {
      won.push(breaker.state(now) === 'open' ? 0 : 1_000_000)
      now += 10
      meet(racer)
      const own: number[] = []
      for (let claimed = breaker.allow(now); claimed !== 0; claimed = breaker.allow(now)) own.push(claimed)
      meet(racer)
      for (const claimed of own) breaker.record(claimed, 'success', 1, now)
    }
  }
  return won
}

function defineTests(): void {
  describe('with real threads', () => {
    it('a breaker admits exactly the configured number of probes in each of 3,000 eras', async () => {
      const { words } = createSharedArea(circuitBreakerWords(WORKERS), WORKERS)
      const job: Job = { buffer: words.buffer as SharedArrayBuffer }
      const won = await race<Job, number[]>(import.meta.url, job, WORKERS)
      for (let era = 0; era < ERAS; era++) {
        assert.equal(
          won.reduce((sum, each) => sum + (each[era * 2] as number), 0),
          PROBES,
          `era ${era}`,
        )
        assert(won.every((each) => each[era * 2 + 1] === 0))
      }
    })
  })
}

if (isMainThread) defineTests()
else parentPort?.postMessage(run(workerData as Racer<Job>))
