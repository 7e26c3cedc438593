import type { Random } from '../base/clock.ts'
import type { CompiledRoute, ServiceRuntime, WeightedService } from './runtime.ts'

/** Destinations with weight 0 are left out: they exist to be turned up later. */
export function weigh(
  destinations: readonly { service: string; weight: number }[],
  services: ReadonlyMap<string, ServiceRuntime>,
): WeightedService[] {
  const live = destinations.filter((destination) => destination.weight > 0)
  const total = live.reduce((sum, destination) => sum + destination.weight, 0)
  let upTo = 0
  return live.map(({ service, weight }) => {
    const runtime = services.get(service)
    if (runtime === undefined) throw new Error(`no service named "${service}"`)
    upTo += weight / total
    return { service: runtime, upTo }
  })
}

/** One of the services of a route that has several, by weight. */
export function chooseService(route: CompiledRoute, random: Random): ServiceRuntime {
  const weighted = route.weighted as readonly WeightedService[]
  const point = random()
  for (let i = 0; i < weighted.length; i++) {
    const choice = weighted[i] as WeightedService
    if (point < choice.upTo) return choice.service
  }
  return (weighted[weighted.length - 1] as WeightedService).service
}
