import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { createSeededRandom } from '../../base/clock.ts'
import type { Picker } from '../picker.ts'
import { type ConsistentHashConfig, createConsistentHashPicker } from './consistent-hash.ts'
import {
  countPicks,
  createEndpoints,
  describePicker,
  EJECTION,
  KeyedContext,
  pickEndpoint,
  putAside,
  report,
  TestContext,
} from './picker.contract.ts'
import { HashRing, MAX_POINTS } from './ring.ts'

const DEFAULTS: ConsistentHashConfig = { hash: 'fnv1a', virtualNodes: 160, loadFactor: null }
const CRC: ConsistentHashConfig = { hash: 'crc32', virtualNodes: 10, loadFactor: null }

const keyed = { spread: 'weight', tolerance: 0.02, createContext: () => new KeyedContext() } as const
describePicker('consistent-hash', (endpoints, options) => createConsistentHashPicker(endpoints, options, DEFAULTS), keyed)
describePicker('consistent-hash without keys', (endpoints, options) => createConsistentHashPicker(endpoints, options, DEFAULTS), {
  spread: 'weight',
})
describePicker(
  'consistent-hash with bounded load',
  (endpoints, options) => createConsistentHashPicker(endpoints, options, { ...DEFAULTS, loadFactor: 1.25 }),
  { ...keyed, tolerance: 0.2 },
)
describePicker(
  'consistent-hash on a crc32 ring',
  (endpoints, options) => createConsistentHashPicker(endpoints, options, { ...CRC, virtualNodes: 160 }),
  // CRC-32 of similar texts is not as even as a hash made for this.
  { ...keyed, tolerance: 0.15 },
)

function setUp(weights: readonly number[], config = DEFAULTS, change?: (i: number) => { address: string }) {
  const fixture = createEndpoints(weights, EJECTION, null, change)
  const picker = createConsistentHashPicker(fixture.endpoints, { random: createSeededRandom(1), changes: fixture.changes }, config)
  return { ...fixture, picker, context: new TestContext() }
}

function portsOf(picker: Picker, keys: readonly string[]): number[] {
  const context = new TestContext()
  return keys.map((key) => {
    context.hashKey = key
    return pickEndpoint(picker, context).port
  })
}

const KEYS = Array.from({ length: 20_000 }, (_, i) => `user-${i}`)

describe('consistent-hash', () => {
  it('sends a key always to the same endpoint, whatever the order of the endpoints and the seed of chance', () => {
    const { picker, endpoints, changes } = setUp([1, 2, 3, 1])
    const before = portsOf(picker, KEYS)
    const other = createConsistentHashPicker([...endpoints].reverse(), { random: createSeededRandom(99), changes }, DEFAULTS)
    assert.deepEqual(portsOf(other, KEYS), before)
    assert.deepEqual(portsOf(picker, KEYS), before)
  })

  it('moves only the keys of an endpoint that is removed, and by weight to all the others', () => {
    const { picker, endpoints, changes } = setUp([1, 1, 1, 1, 2])
    const before = portsOf(picker, KEYS)
    const rest = endpoints.filter((endpoint) => endpoint.port !== 2004)
    const after = portsOf(createConsistentHashPicker(rest, { random: Math.random, changes }, DEFAULTS), KEYS)
    const heirs = new Map<number, number>()
    for (const [i, port] of before.entries()) {
      if (port !== 2004) assert.equal(after[i], port, KEYS[i]!)
      else heirs.set(after[i]!, (heirs.get(after[i]!) ?? 0) + 1)
    }
    const moved = [...heirs.values()].reduce((sum, count) => sum + count)
    assert.equal(heirs.size, 4)
    for (const [port, count] of heirs) assert(Math.abs(count / moved - (port === 2007 ? 0.4 : 0.2)) < 0.1, `${port}: ${count} of ${moved}`)
  })

  it('moves the same keys to the same places while an endpoint is put aside or was tried, and back afterwards', () => {
    const { picker, endpoints, changes, context } = setUp([1, 1, 1, 1])
    const before = portsOf(picker, KEYS)
    const rest = endpoints.filter((endpoint) => endpoint.port !== 2004)
    const expected = portsOf(createConsistentHashPicker(rest, { random: Math.random, changes }, DEFAULTS), KEYS)
    context.tried = [endpoints[1]!]
    for (const [i, key] of KEYS.entries()) {
      context.hashKey = key
      assert.equal(pickEndpoint(picker, context).port, expected[i])
    }
    putAside(endpoints[1], context.nowMs)
    assert.deepEqual(portsOf(picker, KEYS), expected)
    context.nowMs += EJECTION.failTimeoutMs
    context.tried = null
    assert.equal(pickEndpoint(picker, context), endpoints[1], 'its trial')
    report(endpoints[1], 'success', context.nowMs)
    assert.deepEqual(portsOf(picker, KEYS), before)
  })

  it('does not move keys for failures that only cost weight', () => {
    const { picker, endpoints, context } = setUp([9, 9, 9])
    const before = portsOf(picker, KEYS)
    report(endpoints[0], 'failure', context.nowMs)
    assert.equal(endpoints[0]?.state.effectiveWeight, 6)
    assert.deepEqual(portsOf(picker, KEYS), before)
  })

  it('moves only the keys of the endpoint that is removed, whichever sets and weights there are', () => {
    const addresses = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,12}:[1-9][0-9]{0,4}$/), { minLength: 2, maxLength: 12 })
    const property = fc.property(addresses, fc.infiniteStream(fc.integer({ min: 1, max: 5 })), fc.nat(), (names, weightStream, at) => {
      const weights = names.map(() => weightStream.next().value as number)
      const { picker, endpoints, changes } = setUp(weights, DEFAULTS, (i) => ({ address: names[i]! }))
      const removed = endpoints[at % endpoints.length]!
      const rest = endpoints.filter((endpoint) => endpoint !== removed)
      const smaller = createConsistentHashPicker(rest, { random: Math.random, changes }, DEFAULTS)
      const context = new TestContext()
      for (let i = 0; i < 300; i++) {
        context.hashKey = `k${i}`
        const owner = pickEndpoint(picker, context)
        const after = pickEndpoint(smaller, context)
        assert(owner === removed ? after !== removed : after === owner)
      }
    })
    fc.assert(property, { seed: 3, numRuns: 100 })
  })

  it('keeps every share within 10% of its weight at 160 virtual nodes, for many sets of endpoints', () => {
    const keys = 100_000
    for (const [set, count] of [2, 3, 5, 5, 10, 10, 20, 50].entries()) {
      const { picker } = setUp(new Array(count).fill(1), DEFAULTS, (i) => ({ address: `10.${set}.0.${i}:80` }))
      for (const [address, picks] of countPicks(picker, new KeyedContext(), keys)) {
        // What chance alone does to a count of this size is allowed on top: three standard deviations.
        const even = keys / count
        assert(Math.abs(picks - even) <= 0.1 * even + 3 * Math.sqrt(even), `${count} endpoints: ${address} has ${picks}, even is ${even}`)
      }
    }
  })

  it('draws by weight for requests without a key', () => {
    const { picker, context } = setUp([3, 1])
    const share = (countPicks(picker, context, 20_000).get('127.0.0.1:2003') ?? 0) / 20_000
    assert(Math.abs(share - 0.75) < 0.02, `${share}`)
  })
})

describe('bounded load', () => {
  it('never gives an endpoint more than the factor times its share, however hot a key is', () => {
    const { picker, context, endpoints } = setUp([1, 1, 1, 1, 1, 1, 1, 1], { ...DEFAULTS, loadFactor: 1.25 })
    context.hashKey = 'hot'
    for (let total = 1; total <= 400; total++) {
      pickEndpoint(picker, context).state.begin()
      for (const endpoint of endpoints)
        assert(endpoint.state.inFlight <= Math.ceil((1.25 * total) / 8), `${endpoint.state.inFlight} of ${total}`)
    }
    const loads = endpoints.map((endpoint) => endpoint.state.inFlight).sort((a, b) => b - a)
    assert.equal(loads[0], 63, 'and fills its own endpoint up to there')
  })

  it('keeps a key at its endpoint while nobody is too busy', () => {
    const bounded = setUp([1, 1, 1], { ...DEFAULTS, loadFactor: 1.25 })
    const plain = setUp([1, 1, 1])
    assert.deepEqual(portsOf(bounded.picker, KEYS), portsOf(plain.picker, KEYS))
  })

  it('bounds by weight', () => {
    const { picker, endpoints } = setUp([3, 1], { ...DEFAULTS, loadFactor: 1.1 })
    const context = new KeyedContext()
    for (let total = 1; total <= 400; total++) {
      pickEndpoint(picker, context).state.begin()
      assert(endpoints[1]!.state.inFlight <= Math.ceil((1.1 * total) / 4))
    }
  })

  it('still answers when everybody is above the bound', () => {
    const { picker, context, endpoints } = setUp([1, 1, 1], { ...DEFAULTS, loadFactor: 1.01 })
    context.hashKey = 'hot'
    for (let n = 0; n < 3; n++) for (const endpoint of endpoints) endpoint.state.begin()
    for (let i = 0; i < 10; i++) assert(endpoints.includes(pickEndpoint(picker, context)))
  })
})

describe('the crc32 ring', () => {
  it('has the known owners of known keys, with 10 virtual nodes', () => {
    const { picker } = setUp([1, 1, 1, 1, 1], CRC)
    const keys = [
      'http://127.0.0.1:2002/base/getinfo',
      'http://127.0.0.1:2002/base/error',
      'http://127.0.0.1:2002/base/changepwd',
      '127.0.0.1',
      '192.168.0.1',
    ]
    assert.deepEqual(portsOf(picker, keys), [2004, 2005, 2005, 2007, 2003])
  })

  it('moves exactly the 19,286 keys of 100,000 that a removed endpoint owned', () => {
    const { picker, endpoints, changes } = setUp([1, 1, 1, 1, 1], CRC)
    const keys = Array.from({ length: 100_000 }, (_, i) => `key${i}`)
    const before = portsOf(picker, keys)
    const after = portsOf(createConsistentHashPicker(endpoints.slice(0, 4), { random: Math.random, changes }, CRC), keys)
    assert.equal(before.filter((port) => port === 2007).length, 19_286)
    for (const [i, port] of before.entries()) assert(port === 2007 ? after[i] !== 2007 : after[i] === port)
  })
})

describe('HashRing', () => {
  it('finds the first point at or behind a hash, and goes round at the end', () => {
    for (const entries of [1, 2, 3, 50]) {
      const addresses = Array.from({ length: entries }, (_, i) => ({ address: `a:${i}`, weight: 1 }))
      const ring = new HashRing(addresses, 7, 'fnv1a')
      const points = [...ring.points]
      const hashes = [0, 1, 0x7fffffff, 0x80000000, 0xffffffff, ...points, ...points.map((point) => (point + 1) >>> 0)]
      for (const hash of hashes) {
        const expected = points.findIndex((point) => point >= hash)
        assert.equal(ring.find(hash | 0), expected === -1 ? 0 : expected)
      }
    }
  })

  it('has fewer points for each unit of weight when there would be too many, and at least one for each endpoint', () => {
    const heavy = [10_000, 5_000, 1, 0].map((weight, i) => ({ address: `a:${i}`, weight }))
    const { points, owners } = new HashRing(heavy, 160, 'fnv1a')
    assert(points.length <= MAX_POINTS && points.length > MAX_POINTS / 4)
    const counts = [0, 0, 0, 0]
    for (const owner of owners) counts[owner]! += 1
    assert(Math.abs(counts[0]! / counts[1]! - 2) < 0.01 && counts[2]! >= 1 && counts[3] === 0, `${counts}`)
  })

  it('gives a place that two endpoints share to the one with the lower address, in whatever order they come', () => {
    const a = { address: 'a', weight: 1 }
    const twin = { address: 'a', weight: 1 }
    const { owners } = new HashRing([a, twin], 50, 'crc32')
    assert.equal(owners.length, 50)
  })
})
