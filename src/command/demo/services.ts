import { createEcho } from './echo.ts'
import { failing } from './failing.ts'
import { type DemoHandler, type DemoService, startDemoService } from './service.ts'
import { slow } from './slow.ts'

/** The services of the demo with their ports, which examples/demo/sluice.yaml names too. */
export const DEMO_SERVICES: readonly { name: string; port: number; handler: DemoHandler }[] = [
  { name: 'echo-1', port: 9001, handler: createEcho('echo-1') },
  { name: 'echo-2', port: 9002, handler: createEcho('echo-2') },
  { name: 'slow', port: 9003, handler: slow },
  { name: 'failing', port: 9004, handler: failing },
]

/** Starts every service of the demo; when one cannot start, those that have are stopped again. */
export async function startDemoServices(services = DEMO_SERVICES): Promise<DemoService[]> {
  const results = await Promise.allSettled(services.map(({ name, port, handler }) => startDemoService(name, port, handler)))
  const started = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const failure = results.find((result) => result.status === 'rejected')
  if (failure === undefined) return started
  await Promise.all(started.map((service) => service.close()))
  throw failure.reason
}
