// What becomes of a WebSocket whose handshake is under way when its listener begins to drain.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocketServer } from 'ws'
import { freePort } from '../../support/port.ts'
import { startSluice } from '../../support/sluice.ts'
import { waitFor } from '../../support/wait.ts'
import { startClient, type Version } from './kit.ts'

/** Answers a handshake only when it is told to. */
async function startSlow(t: TestContext) {
  const server = http.createServer((_, response) => void response.end('plain'))
  const sockets = new WebSocketServer({ noServer: true })
  const waiting: (() => void)[] = []
  const closes: number[] = []
  server.on('upgrade', (request, socket, head) => {
    waiting.push(() => sockets.handleUpgrade(request, socket, head, (opened) => opened.on('close', (code) => closes.push(code))))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, waiting, closes }
}

for (const version of ['h1', 'h2'] as Version[]) {
  test(`a WebSocket (${version}) that is answered during a stop hears Close 1001 at once, and so does its endpoint`, async (t) => {
    const slow = await startSlow(t)
    const sluice = await startSluice(t, {
      workers: 1,
      drainTimeout: '20s',
      listeners: { web: { address: '127.0.0.1:0', http2: {} } },
      services: { s: { endpoints: [slow.address] } },
      routes: { r: { websocket: {}, to: 's' } },
    })
    const client = await startClient(t, version, sluice.url)
    const opening = client.open()
    await waitFor('the handshake', () => slow.waiting.length === 1)
    const startedMs = performance.now()
    const stopping = sluice.stop()
    await sleep(300)
    slow.waiting[0]?.()
    const socket = await opening
    const [code] = (await once(socket, 'close')) as [number]
    assert.equal(code, 1001)
    assert.equal((await stopping).code, 0)
    assert.ok(performance.now() - startedMs < 10_000, 'the stop waited for nobody')
    await waitFor('the endpoint to hear of it', () => slow.closes.length === 1)
    assert.deepEqual(slow.closes, [1001])
  })
}

test('a listener that a reload takes away closes such a WebSocket too, whatever reloads came in between', async (t) => {
  const slow = await startSlow(t)
  const address = `127.0.0.1:${await freePort()}`
  const rest = {
    workers: 1,
    drainTimeout: '20s',
    services: { s: { endpoints: [slow.address] } },
    routes: { r: { websocket: {}, to: 's' } },
  }
  const other = { address: '127.0.0.1:0' }
  const sluice = await startSluice(t, { ...rest, listeners: { web: { address }, other } })
  const client = await startClient(t, 'h1', `http://${address}`)
  const opening = client.open()
  await waitFor('the handshake', () => slow.waiting.length === 1)
  for (let i = 0; i < 2; i++) {
    const limits = { headers: 90 + i }
    assert.equal((await sluice.reload({ ...rest, listeners: { web: { address, limits }, other } })).status, 200)
  }
  assert.equal((await sluice.reload({ ...rest, listeners: { other } })).status, 200)
  await sleep(200)
  slow.waiting[0]?.()
  const [code] = (await once(await opening, 'close')) as [number]
  assert.equal(code, 1001)
})
