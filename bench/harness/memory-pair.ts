import { setTimeout as sleep } from 'node:timers/promises'
import type { MemorySample, MemoryScenario } from '../types.ts'
import { type Contender, startContender } from './contender.ts'
import { openIdleClients } from './idle-clients.ts'
import type { Effort, OnRound, Pair } from './pair.ts'
import { treeRssBytes } from './process-tree.ts'
import { stop } from './processes.ts'
import { BODY_BYTES, type Upstream } from './upstream.ts'

/** Connections that come and go before the first reading, so that code and tables every connection shares are already there. */
const WARM_CONNECTIONS = 500

/** Every round starts fresh processes: memory that was once taken is not always given back. */
export async function measureMemoryPair(scenario: MemoryScenario, pair: Pair, upstream: Upstream, effort: Effort, onRound: OnRound) {
  const ours: MemorySample[] = []
  const theirs: MemorySample[] = []
  for (let round = 1; round <= effort.rounds; round++) {
    const one = await measure(scenario, pair.ours, upstream.smallPort)
    const two = await measure(scenario, pair.theirs, upstream.smallPort)
    ours.push(one)
    theirs.push(two)
    onRound(round, one, two)
  }
  return { ours, theirs }
}

async function measure(scenario: MemoryScenario, contender: Contender, upstreamPort: number): Promise<MemorySample> {
  const { idleConnections, settleSeconds } = scenario
  const { running, port } = await startContender(contender, upstreamPort, BODY_BYTES.small)
  try {
    const warm = await openIdleClients(port, WARM_CONNECTIONS, contender.setup.routes)
    await warm.close()
    await sleep(settleSeconds * 1000)
    const rssBeforeBytes = treeRssBytes(running.pid)
    const clients = await openIdleClients(port, idleConnections, contender.setup.routes)
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
