import type { Scenario } from '../types.ts'
import { large } from './large.ts'
import { memory } from './memory.ts'
import { routes } from './routes.ts'
import { small } from './small.ts'

/** Every scenario, in the order of the report. */
export const SCENARIOS: readonly Scenario[] = [small, large, memory, routes]

/** The scenario of that name. Throws, naming the known ones, when there is none. */
export function scenarioNamed(name: string): Scenario {
  const found = SCENARIOS.find((scenario) => scenario.name === name)
  if (found === undefined) throw new RangeError(`unknown scenario "${name}"; known: ${SCENARIOS.map((s) => s.name).join(', ')}`)
  return found
}
