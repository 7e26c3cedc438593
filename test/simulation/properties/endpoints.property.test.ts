import { describe, it } from 'node:test'
import { maxEjectable, OutlierEjection } from '../../../src/breaker/ejection.ts'
import type { BalanceConfig } from '../../../src/config/types.ts'
import { createPicker, latencyTrackingOf } from '../../../src/service/balance/index.ts'
import { RoundRobinPicker } from '../../../src/service/balance/round-robin.ts'
import { createEndpoint, type Endpoint, NOT_ASIDE, type Outcome } from '../../../src/service/endpoint.ts'
import { EndpointStateStore } from '../../../src/service/endpoint-state-store.ts'
import { EndpointStates } from '../../../src/service/endpoint-states.ts'
import { type Episode, forDecisions, LIMITS, must } from './decisions.ts'

const STEPS = 600
const ON = { from: 'header', name: 'x-user' } as const
const BALANCES: readonly BalanceConfig[] = [
  { algorithm: 'random' },
  { algorithm: 'weighted-random' },
  { algorithm: 'round-robin' },
  { algorithm: 'round-robin', slowStartMs: 500 },
  { algorithm: 'least-request', choices: 2 },
  { algorithm: 'least-request', choices: 'all' },
  { algorithm: 'least-connections' },
  { algorithm: 'fastest-response', decayMs: 1000 },
  { algorithm: 'peak-ewma', decayMs: 1000, slowStartMs: 300, panicRatio: 0.5 },
  { algorithm: 'consistent-hash', on: ON, hash: 'fnv1a', virtualNodes: 20, loadFactor: null },
  { algorithm: 'consistent-hash', on: ON, hash: 'fnv1a', virtualNodes: 20, loadFactor: 1.25 },
  { algorithm: 'maglev', on: ON },
  { algorithm: 'rendezvous', on: ON },
  { algorithm: 'first', spilloverRatio: 0.7 },
]

interface Running {
  readonly endpoint: Endpoint
  readonly atMs: number
}

function createService({ int, pick, random }: Episode) {
  const workers = int(1, 3)
  const count = int(1, 8)
  const balance = pick(BALANCES)
  const ejection = { maxFails: int(1, 4), failTimeoutMs: int(50, 2000) }
  const configs = Array.from({ length: count }, (_, i) => ({
    address: `10.0.0.${i}:80`,
    host: `10.0.0.${i}`,
    port: 80,
    weight: pick([0, 1, 1, 1, 3, 10]),
    priority: int(0, 2),
    tags: {},
  }))
  const startMs = 1_000_000 + random() * 1e9
  const store = new EndpointStateStore({ workers, slotsPerSegment: 16 })
  const { layout } = store.retain([{ name: 'users', endpoints: configs }], startMs)
  const views = Array.from({ length: workers }, (_, worker) => {
    const states = new EndpointStates(layout, worker)
    const endpoints = configs.map((config) =>
      createEndpoint(config, states.state('users', config.address, config.weight, ejection, latencyTrackingOf(balance))),
    )
    return { endpoints, picker: createPicker(balance, endpoints, { random, changes: states.changes('users') }) }
  })
  return { startMs, store, configs, views, ejection }
}

describe('endpoints and balancers', () => {
  it('have no weight below zero, never choose one without weight, and always choose one while there is any', LIMITS, () => {
    forDecisions((episode) => {
      const { int, pick, chance, random } = episode
      const { startMs, store, configs, views } = createService(episode)
      const hasAny = configs.some(({ weight }) => weight > 0)
      const failRatios = configs.map(() => pick([0, 0, 0.5, 1]))
      const running: Running[] = []
      // Sent before a reload took the weight away from some.
      for (const endpoint of views[0]!.endpoints) for (let n = 0; n < 4; n++) start(running, endpoint, startMs)
      const context = { tried: null as Endpoint[] | null, nowMs: startMs, hashKey: null as string | null }
      for (let step = 0; step < STEPS; step++) {
        context.nowMs += pick([0, 1, 10, 100]) * random()
        const view = pick(views)
        context.hashKey = `user-${int(0, 50)}`
        context.tried = chance(0.1) ? [pick(view.endpoints)] : null
        if (chance(0.01)) store.control('users', pick(configs).address)?.setHealth(pick(['healthy', 'unhealthy']), context.nowMs)
        const found = view.picker.pick(context)
        must((found.kind === 'endpoint') === hasAny, () => `${found.kind} was chosen`)
        if (found.kind === 'endpoint') {
          must(found.endpoint.weight > 0, () => 'an endpoint without weight was chosen')
          start(running, found.endpoint, context.nowMs)
        }
        if (running.length > 0 && chance(0.95)) finish(episode, running, failRatios, context.nowMs)
        check(view.endpoints)
        if (view.picker instanceof RoundRobinPicker)
          for (const row of view.picker.inspect()) must(row.effectiveWeight >= 0, () => `a weight of ${row.effectiveWeight}`)
      }
      while (running.length > 0) finish(episode, running, failRatios, context.nowMs)
      for (const { state } of views[0]!.endpoints) must(state.inFlight === 0, () => `${state.inFlight} requests are never given back`)
      recover(views[0]!.endpoints, context.nowMs)
      return STEPS
    })
  })
})

/** As many successes as an endpoint has weight bring all of it back. */
function recover(endpoints: readonly Endpoint[], nowMs: number): void {
  for (const { state, weight } of endpoints) {
    if (state.asideMs(nowMs) !== NOT_ASIDE) continue
    for (let n = 0; n < weight; n++) {
      state.begin()
      state.end('success', nowMs, 1)
    }
    must(state.effectiveWeight === weight, () => `a weight of ${state.effectiveWeight} after ${weight} successes`)
  }
}

function start(running: Running[], endpoint: Endpoint, atMs: number): void {
  endpoint.state.begin()
  running.push({ endpoint, atMs })
}

function finish({ int, chance }: Episode, running: Running[], failRatios: readonly number[], nowMs: number): void {
  const { endpoint, atMs } = running.splice(int(0, running.length - 1), 1)[0]!
  const index = Number(endpoint.host.slice('10.0.0.'.length))
  const outcome: Outcome = chance(0.1) ? 'neutral' : chance(failRatios[index]!) ? 'failure' : 'success'
  endpoint.state.end(outcome, nowMs, nowMs - atMs)
}

function check(endpoints: readonly Endpoint[]): void {
  for (const { state, weight } of endpoints) {
    const { effectiveWeight, inFlight } = state
    must(inFlight >= 0, () => `${inFlight} requests in flight`)
    must(
      effectiveWeight <= weight && effectiveWeight >= Math.min(1, weight),
      () => `a weight of ${effectiveWeight} where ${weight} is configured`,
    )
  }
}

describe('ejection of outliers', () => {
  it('never takes out more endpoints than allowed, and never the last that works', LIMITS, () => {
    forDecisions((episode) => {
      const { int, pick, chance, random } = episode
      const { startMs, store, configs, views, ejection } = createService(episode)
      const addresses = configs.map(({ address }) => address)
      const maxEjectedRatio = pick([0.1, 0.5, 1])
      const group = store.group('users', addresses, maxEjectedRatio)
      const allowed = maxEjectable(addresses.length, maxEjectedRatio)
      must(allowed <= addresses.length - 1, () => `${allowed} of ${addresses.length} may be ejected`)
      const outliers = new OutlierEjection({
        errorRateRatio: pick([null, 0.1, 0.5]),
        latencyFactor: pick([null, 1.5, 3]),
        minLatencyMs: 1,
        minRequests: 1,
        minEndpoints: 2,
        ejectionMs: int(100, 5000),
        maxEjectionMs: 20_000,
      })
      const { endpoints } = views[0]!
      let nowMs = startMs
      let decisions = 0
      for (let round = 0; round < 40; round++) {
        nowMs += int(1, 3000)
        const samples = endpoints.map(({ state }) => {
          const results = int(0, 100)
          return {
            results,
            errors: Math.floor(results * pick([0, 0.1, 1])),
            latencyMs: pick([-1, 5, 50, 500]),
            isInUse: state.asideMs(nowMs) === NOT_ASIDE,
          }
        })
        outliers.sweep(addresses, samples, ({ endpoint }, durationMs) => {
          decisions++
          return store.control('users', addresses[endpoint]!)!.eject(durationMs, group, nowMs)
        })
        // No failure in between has put any aside: whatever is out of use now, ejection or checks have taken out.
        const aside = endpoints.filter(({ state }) => state.asideMs(nowMs) !== NOT_ASIDE && Number.isFinite(state.asideMs(nowMs)))
        must(aside.length <= allowed, () => `${aside.length} of ${addresses.length} are ejected, ${allowed} may be`)
        must(aside.length < addresses.length, () => 'all are ejected')
        decisions += addresses.length
        for (const { state } of endpoints) {
          if (!chance(0.5) || state.asideMs(nowMs) !== 0 || !state.admit(nowMs)) continue
          state.begin()
          state.end(random() < 0.5 ? 'success' : 'failure', nowMs + Math.min(1, ejection.failTimeoutMs), 1)
        }
      }
      return decisions
    })
  })
})
