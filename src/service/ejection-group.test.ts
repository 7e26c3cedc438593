import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createRoundRobinPicker } from './balance/round-robin.ts'
import { createEndpoint, NOT_ASIDE } from './endpoint.ts'
import { EndpointStateStore } from './endpoint-state-store.ts'
import { EndpointStates } from './endpoint-states.ts'

const T = 1_700_000_000_000
const EJECTION = { maxFails: 3, failTimeoutMs: 10_000, outliers: {} }
const ADDRESSES = ['a:1', 'b:1', 'c:1', 'd:1']

function setUp(maxEjectedRatio = 0.5, addresses = ADDRESSES) {
  const store = new EndpointStateStore({ workers: 2 })
  const { layout } = store.retain([{ name: 'users', endpoints: addresses.map((address) => ({ address })) }], T)
  const worker = (index: number, ejection = EJECTION) => {
    const states = new EndpointStates(layout, index)
    return (address: string) => states.state('users', address, 1, ejection)
  }
  const group = store.group('users', addresses, maxEjectedRatio)
  const control = (address: string) => store.control('users', address)!
  const eject = (address: string, nowMs = T) => control(address).eject(30_000, group, nowMs)
  const fail = (address: string, nowMs: number, times = 3) => {
    for (let i = 0; i < times; i++) {
      const state = worker(0)(address)
      state.begin()
      state.end('failure', nowMs)
    }
  }
  return { states: new EndpointStates(layout, 0), worker, control, eject, fail }
}

describe('an endpoint that the main thread ejects', () => {
  it('is out of use on every worker for its time, then one request tries it, and a success brings it back', () => {
    const { worker, eject, control } = setUp()
    assert(eject('a:1'))
    for (const index of [0, 1]) {
      assert.equal(worker(index)('a:1').asideMs(T + 20_000), 10_000)
      assert.equal(worker(index)('b:1').asideMs(T), NOT_ASIDE)
      assert(!worker(index)('a:1').admit(T + 29_999))
    }
    assert(worker(0)('a:1').admit(T + 30_000))
    assert(!worker(1)('a:1').admit(T + 30_000))
    assert.deepEqual(control('a:1').aside(10_000, T + 30_001), { kind: 'trial', leftMs: 9999 })
    worker(0)('a:1').begin()
    worker(0)('a:1').end('success', T + 30_010)
    assert.equal(worker(1)('a:1').asideMs(T + 30_010), NOT_ASIDE)
    assert.equal(worker(1)('a:1').upForMs(T + 30_110), 100)
  })

  it('waits for failTimeout after a trial that failed, also when failures alone put nothing aside', () => {
    for (const maxFails of [3, 0]) {
      const { worker, eject } = setUp()
      const state = worker(0, { ...EJECTION, maxFails })('a:1')
      eject('a:1')
      assert(state.admit(T + 30_000))
      state.begin()
      state.end('failure', T + 30_000)
      assert.equal(state.asideMs(T + 30_001), 9999)
    }
  })

  it('is the only one out of use where failures put nothing aside', () => {
    const { worker, control } = setUp()
    const state = worker(0, { ...EJECTION, maxFails: 0 })('a:1')
    for (let i = 0; i < 100; i++) {
      state.begin()
      state.end('failure', T + i)
    }
    assert.equal(state.asideMs(T + 100), NOT_ASIDE)
    assert.equal(state.effectiveWeight, 1)
    assert.equal(control('a:1').asideCount, 0)
  })

  it('is seen by a picker at once, and again when it is due', () => {
    const { states, eject } = setUp()
    const endpoints = ADDRESSES.map((address) =>
      createEndpoint({ address, host: 'a', port: 1, weight: 1, tags: {} }, states.state('users', address, 1, EJECTION)),
    )
    const picker = createRoundRobinPicker(endpoints, { random: () => 0.5, changes: states.changes('users') })
    const pick = (nowMs: number) => {
      const found = picker.pick({ tried: null, nowMs })
      return found.kind === 'endpoint' ? found.endpoint.address : found.kind
    }
    const picks = (nowMs: number) => new Set([pick(nowMs), pick(nowMs), pick(nowMs), pick(nowMs)])
    assert.deepEqual(picks(T), new Set(ADDRESSES))
    eject('b:1')
    assert.deepEqual(picks(T), new Set(['a:1', 'c:1', 'd:1']))
    assert(picks(T + 30_000).has('b:1'))
  })

  it('comes back when an active check passes that was sent afterwards', () => {
    const { worker, control, eject } = setUp()
    eject('a:1', T)
    assert(!control('a:1').reinstate(T - 1, T + 5))
    assert(control('a:1').reinstate(T + 1, T + 5))
    assert.equal(worker(0)('a:1').asideMs(T + 5), NOT_ASIDE)
  })

  it('is none when failures have put it aside already', () => {
    const { eject, fail, control } = setUp()
    fail('a:1', T)
    assert(!eject('a:1', T + 1))
    assert.deepEqual(control('a:1').aside(10_000, T + 1), { kind: 'failures', leftMs: 9999 })
    assert.equal(control('a:1').asideCount, 1)
  })
})

describe('how many are ejected', () => {
  it('is limited to the share, with those that failures put aside', () => {
    const { eject, fail } = setUp(0.5)
    assert(eject('a:1'))
    fail('b:1', T)
    assert(!eject('c:1'))
  })

  it('is one at least where there are two, and never all', () => {
    const two = setUp(0, ['a:1', 'b:1'])
    assert(two.eject('a:1'))
    assert(!two.eject('b:1'))
    assert(!setUp(1, ['a:1']).eject('a:1'))
    const all = setUp(1)
    assert.deepEqual(
      ADDRESSES.map((address) => all.eject(address)),
      [true, true, true, false],
    )
  })

  it('leaves an endpoint that health checks do not speak against', () => {
    const { eject, control } = setUp(1)
    for (const address of ['a:1', 'b:1', 'c:1']) control(address).setHealth('unhealthy', T)
    assert(!eject('d:1'))
    control('a:1').setHealth('healthy', T)
    assert(eject('d:1'))
  })
})

describe('what is counted for the comparison', () => {
  it('is results with errors and latencies, over all workers; not requests that say nothing', () => {
    const { worker, control } = setUp()
    const end = (index: number, ...args: Parameters<ReturnType<ReturnType<typeof worker>>['end']>) => {
      const state = worker(index)('a:1')
      state.begin()
      state.end(...args)
    }
    end(0, 'success', T, 10)
    end(1, 'success', T, 30, true)
    end(1, 'failure', T)
    end(0, 'neutral', T, 500)
    assert.deepEqual(control('a:1').totals(), { results: 3, errors: 2, latencies: 2, latencyMs: 40 })
  })

  it('is nothing where endpoints are not compared', () => {
    const { states, control } = setUp()
    for (const ejection of [null, { ...EJECTION, outliers: null }]) {
      const state = states.state('users', 'a:1', 1, ejection)
      state.begin()
      state.end('failure', T, 10)
    }
    assert.deepEqual(control('a:1').totals(), { results: 0, errors: 0, latencies: 0, latencyMs: 0 })
  })
})
