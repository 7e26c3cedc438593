import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Exchange } from '../exchange/exchange.ts'
import { sendHeldResponse } from './held.ts'

test('what was held of a tunnel is followed as what comes later, so that a frame of ours is never put into one of the endpoint', () => {
  const sent: string[] = []
  const followed: string[] = []
  const tunnel = {
    onResponse(bytes: Buffer, start: number, end: number): number {
      followed.push(bytes.toString('latin1', start, end))
      return end - 1
    },
    afterResponse: () => void followed.push('after'),
  }
  const downstream = { sendBody: (bytes: Buffer, start: number, end: number) => sent.push(bytes.toString('latin1', start, end)) > 0 }
  const x = { tunnel, downstream, responseBytes: 0, heldResponse: [] } as unknown as Exchange
  sendHeldResponse(x, [Buffer.from('abc'), Buffer.alloc(0), Buffer.from('de')])
  assert.deepEqual(followed, ['abc', 'de', 'after'])
  assert.deepEqual(sent, ['ab', 'd'])
  assert.equal(x.responseBytes, 3)
  assert.equal(x.heldResponse, null)
})
