// Nanoseconds for one pick: every balancer, at 3, 10 and 100 endpoints, with equal and with different weights, alone and with one
// endpoint put aside. Every endpoint has answered before and has something in flight; every pick has another of 64 keys.
// Run: node bench/micro/service/pick.ts [name]
import { createSeededRandom } from '../../../src/base/clock.ts'
import type { BalanceConfig } from '../../../src/config/types.ts'
import { createPicker, latencyTrackingOf } from '../../../src/service/balance/index.ts'
import { createEndpoint, type Endpoint } from '../../../src/service/endpoint.ts'
import { EndpointStateStore } from '../../../src/service/endpoint-state-store.ts'
import { EndpointStates } from '../../../src/service/endpoint-states.ts'

const EJECTION = { maxFails: 3, failTimeoutMs: 10_000 }
const NOW_MS = 1_000_000
const PICKS = 300_000
const ROUNDS = 9

const on = { from: 'header', name: 'x-user' } as const
const ring = { algorithm: 'consistent-hash', on, hash: 'fnv1a', virtualNodes: 160, loadFactor: null } as const
const CONFIGS: Record<string, BalanceConfig> = {
  random: { algorithm: 'random' },
  'weighted-random': { algorithm: 'weighted-random' },
  'round-robin': { algorithm: 'round-robin' },
  'least-request, 2': { algorithm: 'least-request', choices: 2 },
  'least-request, all': { algorithm: 'least-request', choices: 'all' },
  'least-connections': { algorithm: 'least-connections' },
  'fastest-response': { algorithm: 'fastest-response', decayMs: 10_000 },
  'peak-ewma': { algorithm: 'peak-ewma', decayMs: 10_000 },
  'consistent-hash': ring,
  'the same, bounded': { ...ring, loadFactor: 1.25 },
  'the same, crc32': { ...ring, hash: 'crc32', virtualNodes: 10 },
  maglev: { algorithm: 'maglev', on },
  rendezvous: { algorithm: 'rendezvous', on },
  first: { algorithm: 'first', spilloverRatio: 0.7 },
  'sticky round-robin': { algorithm: 'round-robin', sticky: { cookie: 'sid', ttlMs: null } },
  'round-robin subset': {
    algorithm: 'round-robin',
    subset: { key: 'group', from: on, fallback: 'none', absent: 'any' },
  },
}

function createEndpoints(config: BalanceConfig, count: number, weightOf: (i: number) => number) {
  const configs = Array.from({ length: count }, (_, i) => {
    return { address: `10.0.0.1:${1000 + i}`, host: '10.0.0.1', port: 1000 + i, weight: weightOf(i), tags: {} }
  })
  const { layout } = new EndpointStateStore({ workers: 4 }).retain([{ name: 'bench', endpoints: configs }], NOW_MS)
  const states = new EndpointStates(layout, 0)
  const latency = latencyTrackingOf(config)
  const endpoints = configs.map((one) => createEndpoint(one, states.state('bench', one.address, one.weight, EJECTION, latency)))
  for (const [i, { state }] of endpoints.entries()) {
    state.begin()
    state.end('success', NOW_MS - 1000, 5 + (i % 7))
    for (let n = 0; n <= i % 3; n++) state.begin()
  }
  return { endpoints, changes: states.changes('bench') }
}

/** Time of the CPU, the least of several rounds: whatever else the machine does only adds to it. */
function nanosecondsPerCall(run: () => void): number {
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage()
    for (let i = 0; i < PICKS; i++) run()
    least = Math.min(least, (process.cpuUsage(before).user * 1000) / PICKS)
  }
  return least
}

function fail(endpoint: Endpoint | undefined): void {
  for (let i = 0; i < EJECTION.maxFails; i++) {
    endpoint?.state.begin()
    endpoint?.state.end('failure', NOW_MS)
  }
}

const random = createSeededRandom(1)
const keys = Array.from({ length: 64 }, (_, i) => `user-${1000 + i}`)
const context = { tried: null, nowMs: NOW_MS, hashKey: '', stickyKey: null, subsetKey: null }
let turn = 0

console.log('ns/pick              endpoints   equal   different   one aside')
for (const [name, config] of Object.entries(CONFIGS)) {
  if (process.argv[2] !== undefined && !name.includes(process.argv[2])) continue
  for (const count of [3, 10, 100]) {
    const row: number[] = []
    for (const weightOf of [() => 1, (i: number) => 1 + (i % 5)]) {
      const { endpoints, changes } = createEndpoints(config, count, weightOf)
      const picker = createPicker(config, endpoints, { random, changes })
      const run = (): void => {
        context.hashKey = keys[turn++ & 63]!
        picker.pick(context)
      }
      row.push(nanosecondsPerCall(run))
      fail(endpoints[1])
      if (row.length === 2) row.push(nanosecondsPerCall(run))
    }
    const cells = row.map((ns) => ns.toFixed(1).padStart(8))
    console.log(`${name.padEnd(20)} ${String(count).padStart(9)}${cells[0]}    ${cells[1]}    ${cells[2]}`)
  }
}
const { state } = createEndpoints({ algorithm: 'random' }, 1, () => 1).endpoints[0] as Endpoint
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
