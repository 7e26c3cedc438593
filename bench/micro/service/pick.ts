// Nanoseconds for one pick: every balancer, at 3, 10 and 100 endpoints, with equal and with different weights, alone and with one
// endpoint put aside. Run: node bench/micro/service/pick.ts
import { createSeededRandom } from '../../../src/base/clock.ts'
import type { BalanceConfig } from '../../../src/config/types.ts'
import { BALANCERS, createPicker } from '../../../src/service/balance/index.ts'
import { createEndpoint, type Endpoint } from '../../../src/service/endpoint.ts'
import { EndpointStateStore } from '../../../src/service/endpoint-state-store.ts'
import { EndpointStates } from '../../../src/service/endpoint-states.ts'

const EJECTION = { maxFails: 3, failTimeoutMs: 10_000 }
const NOW_MS = 1_000_000
const PICKS = 200_000
const ROUNDS = 9

function createEndpoints(count: number, weightOf: (i: number) => number) {
  const configs = Array.from({ length: count }, (_, i) => {
    return { address: `10.0.0.1:${1000 + i}`, host: '10.0.0.1', port: 1000 + i, weight: weightOf(i), tags: {} }
  })
  const { layout } = new EndpointStateStore({ workers: 4 }).retain([{ name: 'bench', endpoints: configs }], NOW_MS)
  const states = new EndpointStates(layout, 0)
  const endpoints = configs.map((config) => createEndpoint(config, states.state('bench', config.address, config.weight, EJECTION)))
  return { endpoints, changes: states.changes('bench') }
}

/** The median of several rounds, so that one interruption does not show. */
function nanosecondsPerCall(run: () => void): number {
  const rounds: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint()
    for (let i = 0; i < PICKS; i++) run()
    rounds.push(Number(process.hrtime.bigint() - start) / PICKS)
  }
  return rounds.sort((a, b) => a - b)[ROUNDS >> 1] ?? 0
}

function fail(endpoint: Endpoint | undefined): void {
  for (let i = 0; i < EJECTION.maxFails; i++) {
    endpoint?.state.begin()
    endpoint?.state.end('failure', NOW_MS)
  }
}

const random = createSeededRandom(1)
const context = { tried: null, nowMs: NOW_MS }
console.log('ns/pick              endpoints   equal   different   one aside')
for (const algorithm of Object.keys(BALANCERS) as BalanceConfig['algorithm'][]) {
  for (const count of [3, 10, 100]) {
    const row: number[] = []
    for (const weightOf of [() => 1, (i: number) => 1 + (i % 5)]) {
      const { endpoints, changes } = createEndpoints(count, weightOf)
      const picker = createPicker({ algorithm }, endpoints, { random, changes })
      row.push(nanosecondsPerCall(() => picker.pick(context)))
      fail(endpoints[1])
      if (row.length === 2) row.push(nanosecondsPerCall(() => picker.pick(context)))
    }
    const cells = row.map((ns) => ns.toFixed(1).padStart(8))
    console.log(`${algorithm.padEnd(20)} ${String(count).padStart(9)}${cells[0]}    ${cells[1]}    ${cells[2]}`)
  }
}
const { state } = createEndpoints(1, () => 1).endpoints[0] as Endpoint
const pair = nanosecondsPerCall(() => {
  state.begin()
  state.end('success', NOW_MS)
})
console.log(`begin + end, one worker alone: ${pair.toFixed(1)} ns`)
let sum = 0
const read = nanosecondsPerCall(() => {
  sum += state.inFlight
})
console.log(`inFlight over 4 workers: ${read.toFixed(1)} ns (in flight: ${sum})`)
