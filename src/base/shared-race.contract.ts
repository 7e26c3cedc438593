// For tests of exactness: starts real worker threads that run the test file itself and meet at a gate.
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'

/** What every racer gets, beside the data of its test. */
export interface Racer<T> {
  readonly worker: number
  readonly workers: number
  readonly gate: SharedArrayBuffer
  readonly data: T
}

/** Waits until every worker has called it; then all go on together. */
export function meet({ gate, workers }: Racer<unknown>): void {
  const words = new Int32Array(gate)
  const arrived = Atomics.add(words, 0, 1) + 1
  const round = Math.ceil(arrived / workers) * workers
  if (arrived === round) {
    Atomics.notify(words, 0)
    return
  }
  for (let seen = arrived; seen < round; seen = Atomics.load(words, 0)) Atomics.wait(words, 0, seen, 10_000)
}

/** Runs `workers` threads of the test file at `url` and returns what each posted. */
export async function race<T, R>(url: string, data: T, workers: number): Promise<R[]> {
  const gate = new SharedArrayBuffer(4)
  const threads = Array.from({ length: workers }, (_, worker) => {
    const racer: Racer<T> = { worker, workers, gate, data }
    return new Worker(new URL(url), { workerData: racer })
  })
  const exits = threads.map((thread) => once(thread, 'exit'))
  const results = await Promise.all(threads.map(async (thread) => ((await once(thread, 'message')) as [R])[0]))
  await Promise.all(exits)
  return results
}

/** Runs of a property with many decisions: 1 in CI, more by `SLUICE_TEST_FACTOR` in the nightly run. */
export function repeat(runs: number): number {
  const factor = Number(process.env['SLUICE_TEST_FACTOR'] ?? 1)
  return Math.max(1, Math.round(runs * (Number.isFinite(factor) && factor > 0 ? factor : 1)))
}

/** The operations that can be interrupted. */
type AtomicName = 'compareExchange' | 'add' | 'sub' | 'exchange'

/**
 * Runs `run`, and `other` once in the middle of it: right before the first `name` on the word at `index`. So a race of a few nanoseconds
 * happens in every run of a test. `other` may use the same word; it is not interrupted.
 */
export function interrupt(name: AtomicName, index: number, other: () => void, run: () => void): void {
  const atomics = Atomics as unknown as Record<AtomicName, (words: Int32Array, at: number, ...values: number[]) => number>
  const original = atomics[name]
  let isDone = false
  atomics[name] = (words, at, ...values) => {
    if (!isDone && at === index) {
      isDone = true
      other()
    }
    return original(words, at, ...values)
  }
  try {
    run()
  } finally {
    atomics[name] = original
  }
  if (!isDone) throw new Error(`Atomics.${name} was not called on word ${index}`)
}
