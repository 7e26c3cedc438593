import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rawRequest } from './raw.ts'
import { startRawUpstream, startUpstream } from './upstream.ts'

test('everything a server sent comes back, also when it closes, resets or goes on', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => {
    socket.once('data', (data) => {
      const what = data.toString()
      socket.write('\xff'.concat(what), 'latin1')
      if (what === 'close') socket.end()
      if (what === 'reset') setTimeout(() => socket.resetAndDestroy(), 20)
    })
  })
  assert.deepEqual(await rawRequest(upstream.port, 'close'), { text: '\xffclose', ended: 'closed' })
  assert.deepEqual(await rawRequest(upstream.port, 'reset'), { text: '\xffreset', ended: 'reset' })
  assert.deepEqual(await rawRequest(upstream.port, 'stay', { timeoutMs: 50 }), { text: '\xffstay', ended: 'timeout' })
  assert.deepEqual(await rawRequest(upstream.port, 'stay', { until: (text) => text.endsWith('stay') }), {
    text: '\xffstay',
    ended: 'until',
  })
  assert.equal(upstream.connections, 4)
})

test('chunks arrive as separate reads, and our half closes when asked to', async (t) => {
  const reads: string[] = []
  const upstream = await startRawUpstream(t, (socket) => {
    socket.on('data', (data) => reads.push(data.toString()))
    socket.on('end', () => socket.end(`${reads.length}`))
  })
  assert.deepEqual(await rawRequest(upstream.port, ['a', Buffer.from('b'), 'c'], { end: true }), { text: '3', ended: 'closed' })
  assert.deepEqual(reads, ['a', 'b', 'c'])
})

test('a port nobody listens on is an error, not an empty answer', async (t) => {
  const upstream = await startUpstream(t, () => {})
  await upstream.stop()
  await assert.rejects(rawRequest(upstream.port, 'x'), { code: 'ECONNREFUSED' })
})
