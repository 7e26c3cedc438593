import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSeededRandom } from '../../base/clock.ts'
import {
  bytesPerCall,
  countPicks,
  createEndpoints,
  describePicker,
  EJECTION,
  pickEndpoint,
  putAside,
  report,
  TestContext,
} from './picker.contract.ts'
import { createRoundRobinPicker } from './round-robin.ts'
import { StickyCookie, StickyPicker, stickyIdOf } from './sticky.ts'

describePicker(
  'sticky sessions over round-robin',
  (endpoints, options) => new StickyPicker(createRoundRobinPicker(endpoints, options), endpoints),
  {
    spread: 'weight',
  },
)

function setUp(weights: readonly number[]) {
  const fixture = createEndpoints(weights)
  const inner = createRoundRobinPicker(fixture.endpoints, { random: createSeededRandom(1), changes: fixture.changes })
  const context = new TestContext()
  return { ...fixture, picker: new StickyPicker(inner, fixture.endpoints), context }
}

describe('sticky sessions', () => {
  it('send every request of a session to the endpoint its cookie names', () => {
    const { picker, context, endpoints } = setUp([1, 1, 1])
    context.stickyKey = stickyIdOf('127.0.0.1:2004')
    assert.deepEqual([...countPicks(picker, context, 100).keys()], [endpoints[1]!.address])
  })

  it('choose as always for a cookie that names nobody', () => {
    const { picker, context } = setUp([1, 1, 1])
    for (const key of ['', 'nonsense', stickyIdOf('127.0.0.1:9999'), '127.0.0.1:2004', '__proto__']) {
      context.stickyKey = key
      assert.equal(countPicks(picker, context, 3).size, 3)
    }
  })

  it('leave an endpoint that is put aside, drained, or was tried by this request', () => {
    const { picker, context, endpoints } = setUp([1, 1, 0])
    context.stickyKey = stickyIdOf(endpoints[2]!.address)
    assert(!countPicks(picker, context, 10).has(endpoints[2]!.address))
    context.stickyKey = stickyIdOf(endpoints[0]!.address)
    context.tried = [endpoints[0]!]
    assert.equal(pickEndpoint(picker, context), endpoints[1])
    context.tried = null
    putAside(endpoints[0], context.nowMs)
    assert.deepEqual([...countPicks(picker, context, 10).keys()], [endpoints[1]!.address])
    context.nowMs += EJECTION.failTimeoutMs
    assert.equal(pickEndpoint(picker, context), endpoints[0], 'the trial, as for every request')
    report(endpoints[0], 'success', context.nowMs)
    assert.equal(countPicks(picker, context, 10).get(endpoints[0]!.address), 10)
  })

  it('allocate nothing in a pick', () => {
    const { picker, context, endpoints } = setUp([1, 1, 1])
    context.stickyKey = stickyIdOf(endpoints[1]!.address)
    assert(bytesPerCall(() => picker.pick(context)) < 24)
  })
})

describe('the sticky cookie', () => {
  const { endpoints } = createEndpoints([1, 1])
  const [first, second] = endpoints as [(typeof endpoints)[0], (typeof endpoints)[0]]

  it('names the endpoint that answered without its address', () => {
    const cookie = new StickyCookie({ cookie: 'sid', ttlMs: null })
    const value = cookie.setCookie(first, null, false)
    assert.equal(value, `sid=${stickyIdOf(first.address)}; Path=/; HttpOnly; SameSite=Lax`)
    assert.match(stickyIdOf(first.address), /^[0-9a-f]{16}$/)
    assert.notEqual(stickyIdOf(first.address), stickyIdOf(second.address))
  })

  it('is not sent again to a client that has it, and moves a session whose endpoint has changed', () => {
    const cookie = new StickyCookie({ cookie: 'sid', ttlMs: 90_000 })
    assert.equal(cookie.setCookie(first, stickyIdOf(first.address), true), null)
    assert.equal(
      cookie.setCookie(second, stickyIdOf(first.address), true),
      `sid=${stickyIdOf(second.address)}; Path=/; Max-Age=90; HttpOnly; SameSite=Lax; Secure`,
    )
  })

  it('has the same value on every gateway and in every version', () => {
    assert.equal(stickyIdOf('127.0.0.1:2003'), '7d95f4e1a0ba8c90')
  })
})
