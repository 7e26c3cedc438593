import type { Competitor, ProxySetup, UpstreamName } from '../types.ts'
import { certificate } from './certificate.ts'
import { PROXY_CPUS } from './pinning.ts'
import { freePort } from './ports.ts'
import { waitUntilReady } from './probe.ts'
import { newFolder, type Running, start, stop } from './processes.ts'
import { upstreamPort } from './upstream.ts'
import { verifyProxy } from './verify.ts'

/** One competitor in one setup. */
export interface Contender {
  readonly competitor: Competitor
  readonly setup: ProxySetup
  /** How it is called in the report when the name alone does not tell. */
  readonly title: string
}

export interface RunningContender {
  readonly running: Running
  readonly port: number
}

/** Starts a contender before an upstream and checks that it works as the scenario says. Throws when it does not. */
export async function startContender(contender: Contender, upstream: UpstreamName): Promise<RunningContender> {
  const { competitor, setup } = contender
  const folder = newFolder(competitor.name)
  const port = await freePort()
  const adminPort = await freePort()
  const placement = { ...setup, folder, port, adminPort, upstreamPort: await upstreamPort(upstream) }
  const launch = competitor.launch({ ...placement, certificate: setup.downstream === 'https' ? await certificate() : null })
  const running = start(competitor.name, folder, launch, PROXY_CPUS)
  try {
    await waitUntilReady(running, port, setup.downstream, upstream)
    await verifyProxy(running, port, setup, upstream)
  } catch (error) {
    await stop(running.pid)
    throw error
  }
  return { running, port }
}
