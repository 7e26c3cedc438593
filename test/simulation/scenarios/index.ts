import type { Scenario } from '../scenario.ts'
import { busyWorker } from './busy-worker.ts'
import { halfOpen } from './half-open.ts'
import { hedging } from './hedging.ts'
import { newcomer } from './newcomer.ts'
import { outage } from './outage.ts'
import { overload } from './overload.ts'
import { retryStorm } from './retry-storm.ts'
import { slowOfFifty, slowOfTen } from './slow-endpoint.ts'
import { thousandGateways } from './thousand-gateways.ts'

/** Every scenario, in the order of docs/resilience.md. */
export const SCENARIOS: readonly Scenario[] = [
  slowOfTen,
  slowOfFifty,
  thousandGateways,
  newcomer,
  retryStorm,
  outage,
  hedging,
  halfOpen,
  overload,
  busyWorker,
]
