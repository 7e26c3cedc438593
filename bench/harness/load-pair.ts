import type { LoadSample, LoadScenario } from '../types.ts'
import { type Contender, type RunningContender, startContender } from './contender.ts'
import type { Effort, OnRound, Pair } from './pair.ts'
import { machineCpuSeconds, treeCpuSeconds } from './process-tree.ts'
import { stop } from './processes.ts'
import { hasSettled } from './warm-up.ts'

/** Length of one turn of the warm-up. */
const WARM_TURN_SECONDS = 2

/** Both contenders run side by side the whole time; only one has load at a time. */
export async function measureLoadPair(scenario: LoadScenario, pair: Pair, effort: Effort, onRound: OnRound) {
  const started: RunningContender[] = []
  try {
    const a = await startContender(pair.ours, scenario.upstream)
    started.push(a)
    const b = await startContender(pair.theirs, scenario.upstream)
    started.push(b)
    await warmUp(scenario, pair.ours, a, effort)
    await warmUp(scenario, pair.theirs, b, effort)
    const ours: LoadSample[] = []
    const theirs: LoadSample[] = []
    for (let round = 1; round <= effort.rounds; round++) {
      const one = await measure(scenario, pair.ours, a, effort.seconds)
      const two = await measure(scenario, pair.theirs, b, effort.seconds)
      ours.push(one)
      theirs.push(two)
      onRound(round, one, two)
    }
    return { ours, theirs }
  } finally {
    await Promise.all(started.map(({ running }) => stop(running.pid)))
  }
}

/** Load until the program gets no faster: what is compiled while it runs can take more than ten seconds to settle. */
async function warmUp(scenario: LoadScenario, contender: Contender, at: RunningContender, effort: Effort): Promise<void> {
  if (effort.warmupSeconds === 0) return
  if (effort.warmupSeconds !== null) {
    await measure(scenario, contender, at, effort.warmupSeconds)
    return
  }
  const figures: number[] = []
  while (!hasSettled(figures)) figures.push((await measure(scenario, contender, at, WARM_TURN_SECONDS)).requestsPerCpuSecond)
}

async function measure(scenario: LoadScenario, contender: Contender, at: RunningContender, seconds: number): Promise<LoadSample> {
  const { running, port } = at
  const start = performance.now()
  const before = treeCpuSeconds(running.pid)
  const foreignBefore = foreignCpuSeconds()
  const report = await scenario.generator.run({ port, seconds, routes: contender.setup.routes })
  const cpuSeconds = treeCpuSeconds(running.pid) - before
  const foreignCpus = Math.max(0, ((foreignCpuSeconds() - foreignBefore) * 1000) / (performance.now() - start))
  if (!running.alive()) throw new Error(`${running.name} ended under load: ${running.log()}`)
  return {
    kind: 'load',
    ...report,
    cpuSeconds,
    foreignCpus,
    requestsPerSecond: report.requests / report.seconds,
    requestsPerCpuSecond: report.requests / cpuSeconds,
  }
}

/** CPU time of all that does not belong to the benchmark: proxies, upstream and load are children of this process. */
function foreignCpuSeconds(): number {
  return machineCpuSeconds() - treeCpuSeconds(process.pid)
}
