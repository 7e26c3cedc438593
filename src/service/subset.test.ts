import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../base/clock.ts'
import type { SubsetConfig } from '../config/types.ts'
import { bytesPerCall, countPicks, createEndpoints, describePicker, EJECTION, putAside, TestContext } from './balance/picker.contract.ts'
import { createRoundRobinPicker } from './balance/round-robin.ts'
import { SubsetPicker } from './subset.ts'

const CONFIG: SubsetConfig = { key: 'group', from: { from: 'header', name: 'x-group' }, fallback: 'none', absent: 'any' }

describePicker(
  'subsets, without one asked for',
  (endpoints, options) => new SubsetPicker(endpoints, CONFIG, (members) => createRoundRobinPicker(members, options), null),
  { spread: 'weight' },
)

/** Endpoints with these tags: `group` has the value, '' is no tag. */
function setUp(groups: readonly string[], change: Partial<SubsetConfig> = {}, weights = groups.map(() => 1)) {
  const fixture = createEndpoints(weights, EJECTION, null, (i) => ({ tags: groups[i] === '' ? { zone: 'b' } : { group: groups[i]! } }))
  const options = { random: createSeededRandom(1), changes: fixture.changes }
  const config = { ...CONFIG, ...change }
  const create = (previous: SubsetPicker | null) =>
    new SubsetPicker(
      fixture.endpoints,
      config,
      (members, before) => createRoundRobinPicker(members, { ...options, previous: before }),
      previous,
    )
  const picker = create(null)
  const context = new TestContext()
  const portsFor = (key: string | null): number[] => {
    context.subsetKey = key
    return [...countPicks(picker, context, 30).keys()].map((address) => Number(address.split(':')[1])).sort()
  }
  return { ...fixture, picker, context, portsFor, create }
}

describe('subsets', () => {
  it('send a request only to the endpoints whose tag it names', () => {
    const { portsFor } = setUp(['b', 'a', 'b'])
    assert.deepEqual(portsFor('a'), [2004])
    assert.deepEqual(portsFor('b'), [2003, 2005])
  })

  it('have an answer of their own for a subset without endpoints', () => {
    const { picker, context } = setUp(['b', 'a', 'b'])
    for (const key of ['c', '__proto__', 'group']) {
      context.subsetKey = key
      assert.deepEqual(picker.pick(context), { kind: 'none', reason: 'empty-subset' })
    }
  })

  it('take a subset of drained endpoints for an empty one', () => {
    const { picker, context } = setUp(['b', 'a'], {}, [1, 0])
    context.subsetKey = 'a'
    assert.deepEqual(picker.pick(context), { kind: 'none', reason: 'empty-subset' })
  })

  it('fall back to any endpoint or to those without the tag, as configured', () => {
    assert.deepEqual(setUp(['a', '', ''], { fallback: 'any' }).portsFor('c'), [2003, 2004, 2005])
    assert.deepEqual(setUp(['a', '', ''], { fallback: 'default' }).portsFor('c'), [2004, 2005])
    const { picker, context } = setUp(['a', 'b'], { fallback: 'default' })
    context.subsetKey = 'c'
    assert.deepEqual(picker.pick(context), { kind: 'none', reason: 'empty-subset' }, 'there is none without the tag')
  })

  it('give a request that names none any endpoint, one without the tag, or none', () => {
    assert.deepEqual(setUp(['a', '']).portsFor(null), [2003, 2004])
    assert.deepEqual(setUp(['a', ''], { absent: 'default' }).portsFor(null), [2004])
    const { picker, context } = setUp(['a', ''], { absent: 'none' })
    assert.deepEqual(picker.pick(context), { kind: 'none', reason: 'empty-subset' })
  })

  it('stay within a subset that is unwell', () => {
    const { portsFor, endpoints, context } = setUp(['a', 'b', 'a'], { fallback: 'any' })
    putAside(endpoints[0], context.nowMs)
    assert.deepEqual(portsFor('a'), [2005])
    putAside(endpoints[2], context.nowMs)
    assert.deepEqual(portsFor('a'), [2003, 2005])
  })

  it('each continue where they stood when the picker is replaced', () => {
    const { picker, context, create } = setUp(['a', 'a', 'b', 'b'])
    const next = (from: SubsetPicker, key: string): string => {
      context.subsetKey = key
      const pick = from.pick(context)
      return pick.kind === 'endpoint' ? pick.endpoint.address : ''
    }
    assert.equal(next(picker, 'a'), '127.0.0.1:2003')
    const after = create(picker)
    assert.equal(next(after, 'a'), '127.0.0.1:2004')
    assert.equal(next(after, 'b'), '127.0.0.1:2005')
  })

  it('allocate nothing in a pick', () => {
    const { picker, context } = setUp(['a', 'b', 'a'])
    for (const key of ['a', 'c', null]) {
      context.subsetKey = key
      assert(bytesPerCall(() => picker.pick(context)) < 24)
    }
  })
})
