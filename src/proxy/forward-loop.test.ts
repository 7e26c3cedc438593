import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasPassed, withOwnName } from './forward-loop.ts'

test('a name in Via is found wherever it stands, and only as a name', () => {
  const passed = ['1.1 edge', '1.0 a, 1.1 edge', 'HTTP/1.1 edge (Sluice)', '1.1 a (x, y) ,2.0  edge', '1.1 a,1.1 edge,1.1 b']
  for (const via of passed) assert.equal(hasPassed([via], 'edge'), true, via)
  assert.equal(hasPassed(['1.1 a', '1.1 b, 1.1 edge'], 'edge'), true)
  const others = ['', 'edge', '1.1 edge2', '1.1 my-edge', '1.1 a (edge)', '1.1 edge:8080', '1.1 edge.example.com', 'edge 1.1']
  for (const via of others) assert.equal(hasPassed([via], 'edge'), false, via)
})

test('the name that all have gets an ending for the gateway and the listener; a name that was chosen stays', () => {
  const named = (via: string | null, gateway: string, listener: string) =>
    withOwnName({ headers: { via } } as Parameters<typeof withOwnName>[0], gateway, listener).headers.via
  assert.match(named('sluice', 'host 1', 'a') ?? '', /^sluice-[0-9a-f]{10}$/)
  assert.equal(named('sluice', 'host 1', 'a'), named('sluice', 'host 1', 'a'))
  assert.equal(new Set([named('sluice', 'host 1', 'a'), named('sluice', 'host 2', 'a'), named('sluice', 'host 1', 'b')]).size, 3)
  assert.equal(named('edge', 'host 1', 'a'), 'edge')
  assert.equal(named(null, 'host 1', 'a'), null)
})
