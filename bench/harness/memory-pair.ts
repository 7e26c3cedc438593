import { setTimeout as sleep } from 'node:timers/promises'
import type { MemorySample, MemoryScenario } from '../types.ts'
import { type Contender, startContender } from './contender.ts'
import { openIdleClients } from './idle-clients.ts'
import type { Effort, OnRound, Pair } from './pair.ts'
import { treeRssBytes } from './process-tree.ts'
import { stop } from './processes.ts'

/** Connections that come and go before the first reading, so that code and tables every connection shares are already there. */
const WARM_CONNECTIONS = 500

/** Every round starts fresh processes: memory that was once taken is not always given back. */
export async function measureMemoryPair(scenario: MemoryScenario, pair: Pair, effort: Effort, onRound: OnRound) {
  const ours: MemorySample[] = []
  const theirs: MemorySample[] = []
  for (let round = 1; round <= effort.rounds; round++) {
    const one = await measure(scenario, pair.ours)
    const two = await measure(scenario, pair.theirs)
    ours.push(one)
    theirs.push(two)
    onRound(round, one, two)
  }
  return { ours, theirs }
}

async function measure(scenario: MemoryScenario, contender: Contender): Promise<MemorySample> {
  const { idleConnections, settleSeconds, websocket = false } = scenario
  const { running, port } = await startContender(contender, scenario.upstream)
  try {
    const warm = await openIdleClients(port, WARM_CONNECTIONS, contender.setup.routes, websocket)
    await warm.close()
    await sleep(settleSeconds * 1000)
    const rssBeforeBytes = treeRssBytes(running.pid)
    const clients = await openIdleClients(port, idleConnections, contender.setup.routes, websocket)
    await sleep(settleSeconds * 1000)
    const rssAfterBytes = treeRssBytes(running.pid)
    const open = await clients.countOpen()
    await clients.close()
    return {
      kind: 'memory',
      rssBeforeBytes,
      rssAfterBytes,
      bytesPerConnection: (rssAfterBytes - rssBeforeBytes) / idleConnections,
      errors: open === idleConnections ? [] : [`${idleConnections - open} of ${idleConnections} idle connections were closed`],
    }
  } finally {
    await stop(running.pid)
  }
}
