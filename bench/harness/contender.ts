import type { Competitor, ProxySetup } from '../types.ts'
import { PROXY_CPUS } from './pinning.ts'
import { freePort } from './ports.ts'
import { verifyProxy, waitUntilReady } from './probe.ts'
import { newFolder, type Running, start, stop } from './processes.ts'

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

/** Starts a contender before an upstream port and checks that it works as the scenario says. Throws when it does not. */
export async function startContender(contender: Contender, upstreamPort: number, bodyBytes: number): Promise<RunningContender> {
  const { competitor, setup } = contender
  const folder = newFolder(competitor.name)
  const port = await freePort()
  const adminPort = await freePort()
  const launch = competitor.launch({ ...setup, folder, port, adminPort, upstreamPort })
  const running = start(competitor.name, folder, launch, PROXY_CPUS)
  try {
    await waitUntilReady(running, port)
    await verifyProxy(running, port, setup.routes, bodyBytes)
  } catch (error) {
    await stop(running.pid)
    throw error
  }
  return { running, port }
}
