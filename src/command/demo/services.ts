import { createEcho } from './echo.ts'
import { failing } from './failing.ts'
import { startGrpcEcho } from './grpc.ts'
import { type DemoHandler, type DemoService, startDemoService } from './service.ts'
import { slow } from './slow.ts'
import { startTcpEcho } from './tcp.ts'

/** HTTP by a handler, or a server of its own. */
export type DemoEntry =
  | { name: string; port: number; handler: DemoHandler }
  | { name: string; port: number; start: (name: string, port: number) => Promise<DemoService> }

/** The services of the demo with their ports, which examples/demo/sluice.yaml names too. */
export const DEMO_SERVICES: readonly DemoEntry[] = [
  { name: 'echo-1', port: 9001, handler: createEcho('echo-1') },
  { name: 'echo-2', port: 9002, handler: createEcho('echo-2') },
  { name: 'slow', port: 9003, handler: slow },
  { name: 'failing', port: 9004, handler: failing },
  { name: 'tcp-echo', port: 9005, start: startTcpEcho },
  { name: 'grpc-echo', port: 9006, start: startGrpcEcho },
]

function start(entry: DemoEntry): Promise<DemoService> {
  const { name, port } = entry
  return 'handler' in entry ? startDemoService(name, port, entry.handler) : entry.start(name, port)
}

/** Starts every service of the demo; when one cannot start, those that have are stopped again. */
export async function startDemoServices(services = DEMO_SERVICES): Promise<DemoService[]> {
  const results = await Promise.allSettled(services.map(start))
  const started = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const failure = results.find((result) => result.status === 'rejected')
  if (failure === undefined) return started
  await Promise.all(started.map((service) => service.close()))
  throw failure.reason
}
